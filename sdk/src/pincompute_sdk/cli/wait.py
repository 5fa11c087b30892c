"""Waits for a workload until a change is done, it has ended, it cannot become what it should be, or the time is over.

All commands that wait use the same rule. The server decides whether waiting helps (`status.stalled`): an image that does not
exist, a command that cannot be started, a crash loop, a secret or config that an environment needs, fields that are refused, a
request that no node can hold, and room or a registry that has not come for 30 s end the wait at once. What may heal by
itself is shown while it lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pincompute_sdk.cli import free_room, last_lines, rollback_hint, status_tree, target, wait_conditions
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import FAILURE, INTERRUPTED, TIMEOUT
from pincompute_sdk.cli.output.human_values import count
from pincompute_sdk.cli.wait_conditions import SteadyReadyCount
from pincompute_sdk.core.errors import PinError

if TYPE_CHECKING:
    from pincompute_sdk.cli.wait_conditions import Settled
    from pincompute_sdk.generated.kinds import Workload, WorkloadsResource
    from pincompute_sdk.generated.models import KeptRevision

PACE = 0.5  # seconds between two polls
OLD_STALL = 60.0  # seconds after which a stall that was there before a change is believed: the platform has tried again
UNCHANGED_STALL = 3.0  # the same where nothing changed: the platform has seen what the user mended elsewhere just before
CANDIDATES = 3


@dataclass(frozen=True, slots=True)
class FollowedChange:
    """What a command changes: `name` is a noun, and `back` the command that undoes it. None stands for an earlier revision,
    or the deletion of what has none. `changed`: whether the command changed anything at all.
    """

    name: str
    back: str | None = None
    changed: bool = True

    @property
    def patience(self) -> float:
        """Seconds for which a stall from before the command is not believed."""
        return OLD_STALL if self.changed else UNCHANGED_STALL


def follow(
    written: Workload, seconds: float, change: FollowedChange, condition: Settled, draw: Callable[[Workload], None]
) -> Workload:
    """Draws the workload until the condition is met or it has ended well, and returns it. Raises CommandError when that cannot
    be, is late, or is no longer asked for.
    """
    them, app = condition.them, written
    old = OldStall(written.status.stalled if written.status else "", change.patience)
    count_of_ready = SteadyReadyCount()
    for app in versions(them, written.project, written.name, seconds):
        if app.created != written.created:
            raise _made_anew(app)
        if replaced := condition.replaced(app):
            raise CommandError(replaced, remedy="repeat this command if its own value is still wanted", code=FAILURE)
        if condition.asks and (fields := wait_conditions.replaced(written, app)):
            raise _taken_over(app, fields)
        met = condition.met(app)
        draw(app)
        if undone_at(app) and not condition.undoes and (change.back is None or undone_at(app) != undone_at(written)):
            raise undone(app)
        if met or ended(app):
            return app
        if condition.undoes and undone_at(app):
            continue  # it is what was asked for, and the last replicas start
        now = time.monotonic()
        stands = count_of_ready.stands(app, now)
        if app.status is not None and old.is_over(app.status.stalled, now) and app.status.stalled and stands:
            raise stalled(them, app, change)
    raise late(app, seconds, condition.missing(app), _undo(them, app, change), details(them, app))


def _made_anew(app: Workload) -> CommandError:
    """Says that the command cannot tell of its own change, because the workload that it changed is gone."""
    by = f" by {app.author}" if app.author else ""
    return CommandError(
        f"{app.name} was deleted while this command waited, and another one of this name was made{by}",
        remedy=f"`pin history {target.typed(app)}` shows who did it; repeat this command if its change is still wanted",
        code=FAILURE,
    )


def _taken_over(app: Workload, fields: Sequence[str]) -> CommandError:
    """Says that the workload asks for something else by now, so that the command cannot tell of its own change."""
    by = f"by {app.author} " if app.author else ""
    changed = ", ".join(_as_written(name) for name in fields)
    return CommandError(
        f"{app.name} was changed again {by}while this command waited",
        reason=f"changed since: {changed}",
        remedy=f"`pin history {target.typed(app)}` shows all changes; repeat this command if its own is still wanted",
        code=FAILURE,
    )


def _as_written(field: str) -> str:
    """Returns the name of a field as it stands in a file: `initContainers`."""
    first, *more = field.split("_")
    return first + "".join(word.capitalize() for word in more)


def standing(app: Workload, change: FollowedChange) -> str:
    """Returns the reason for which an app is stalled since before the command; empty for any other app."""
    status = app.status
    if status is None or not status.settled or not status.stalled:
        return ""
    return (
        f"{app.name} was stalled before this command: {status.message}\n"
        f"The platform tries again by itself; if it is still so in {change.patience:.0f} s, this command ends"
    )


@dataclass(slots=True)
class OldStall:
    """A stall from before the command: its cause may be mended since, outside the file, and the platform tries again."""

    reason: str
    patience: float
    since: float = field(default_factory=time.monotonic)

    def is_over(self, reason: str, now: float) -> bool:
        """Tells whether the stall that is reported now may be believed."""
        if reason != self.reason or now - self.since > self.patience:
            self.reason = ""
        return not self.reason


def versions(them: WorkloadsResource, project: str, name: str, seconds: float) -> Iterator[Workload]:
    """Yields the workload again and again until the time is over."""
    end = time.monotonic() + seconds
    while True:
        yield them.get(project, name)
        if time.monotonic() + PACE > end:
            return
        time.sleep(PACE)


def ended(app: Workload) -> bool:
    """Tells whether it ran to its end and does not start again. Raises CommandError when it failed."""
    status = app.status
    if status is None or not status.settled or status.state not in ("Succeeded", "Failed"):
        return False
    if status.state == "Failed":
        remedy = f"`pin logs {target.typed(app)}` shows the end of its output"
        raise CommandError(f"{app.name} has failed", reason=status.message, remedy=remedy, code=FAILURE)
    return True


def undone_at(app: Workload) -> datetime | None:
    """Returns since when the last update is undone, and all replicas have the revision before it again."""
    status = app.status
    made = status.rollout if status is not None and status.settled else None  # else it speaks of what was deployed before
    return made.since if made is not None and made.state == "RolledBack" else None


def undone(app: Workload) -> CommandError:
    """Says why the update was undone."""
    wanted, ready = status_tree.wanted(app), app.status.ready if app.status else 0
    message = f"the update of {app.name} failed, and it is undone; {min(ready, wanted)} of {count(wanted, 'replica')} serve"
    remedy = f"correct the file and deploy again, or `pin rollout retry {target.typed(app)}`"
    return CommandError(message, reason=app.status.message if app.status else "", remedy=remedy, code=FAILURE)


def stalled(them: WorkloadsResource, app: Workload, change: FollowedChange) -> CommandError:
    """Says why it cannot run as it is, what still serves, and the way back."""
    status, typed = app.status, target.typed(app)
    again = "correct the file and deploy again; the platform goes on by itself when the cause is gone"
    ready, wanted = status.ready if status else 0, count(status_tree.wanted(app), "replica")
    serve = "serves" if ready == 1 else "serve"
    former = status is not None and status.ready > status.updated
    if former or (change.back is None and ready and earlier_revisions(them, app)):
        message, back = (
            f"{app.name} cannot be updated; {ready} of {wanted} still {serve}",
            change.back or (f"pin rollback {typed}" if rollback_hint.possible(them, app) else ""),
        )
    else:
        message, back = f"{app.name} cannot run as it is", change.back
        message += f"; {ready} of {wanted} {serve}" if ready else ""
    reason = "\n".join((status.message if status else "", *details(them, app)))
    return CommandError(message, reason=reason, remedy=f"`{back}`, or {again}" if back else again, code=FAILURE)


def details(them: WorkloadsResource, app: Workload) -> tuple[str, ...]:
    """What is reported of replicas that are not ready, the last lines of one that crashed, and how much room there is for those
    that have no place, or why that cannot be read.
    """
    try:
        replicas = them.replicas(app.project, app.name).items
    except PinError as error:
        return (f"the replicas of {app.name} cannot be read now: {error}",)
    return (*last_lines.reported(replicas), *free_room.of(them, app), *last_lines.of(them, app, replicas))


def late(app: Workload, seconds: float, missing: str, undo: str, more: Sequence[str] = ()) -> CommandError:
    """`missing` says what is not so yet, `undo` how to undo it; `more` are details."""
    status, typed = app.status, target.typed(app)
    ready, wanted = status.ready if status else 0, status_tree.wanted(app)
    is_ready = f"{ready} of {count(wanted, 'replica')} {'is' if 1 in (ready, wanted) else 'are'} ready"
    if status is not None and status.updated < wanted <= ready:
        has = "has" if 1 in (status.updated, wanted) else "have"
        is_ready += f", and {status.updated} of {wanted} {has} the present revision"
    undo = f"; or undo it: {undo}" if undo else ""
    return CommandError(
        f"{missing} after {seconds:.0f} s: {is_ready}",
        reason="\n".join(filter(None, (status.message if status else "", *more))),
        remedy=f"it continues on the server when the cause is gone: `pin explain {typed}`{undo}",
        code=TIMEOUT,
    )


def _undo(them: WorkloadsResource, app: Workload, change: FollowedChange) -> str:
    if change.back is not None:
        return f"`{change.back}`" if change.back else ""
    typed, earlier = target.typed(app), earlier_revisions(them, app)
    if any(revision.ran_well for revision in earlier):
        return f"`pin rollback {typed}`"
    names = ", ".join(revision.revision for revision in earlier[:CANDIDATES])
    return f"`pin rollback {typed} --to REVISION`, one of {names}" if earlier else f"`pin delete {typed}`"


def earlier_revisions(them: WorkloadsResource, app: Workload) -> list[KeptRevision]:
    """The kept revisions to which a rollback can go; empty when nobody knows any. One whose update failed leads nowhere."""
    try:
        found = them.revisions(app.project, app.name).items
    except PinError:
        return []
    return [revision for revision in found if not revision.present and not revision.failure]


@contextmanager
def interruptible(what: str, typed: str, see: str = "") -> Generator[None]:
    """Ctrl-C ends the waiting and nothing else; says what continues and how to `see` it."""
    try:
        yield
    except KeyboardInterrupt:
        raise CommandError(
            f"interrupted: {what} continues on the server",
            remedy=f"`{see or f'pin status {typed} --watch'}` shows it",
            code=INTERRUPTED,
        ) from None
