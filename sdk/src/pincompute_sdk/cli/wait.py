"""Polls a workload until a deadline, and says when it runs, has ended, or is late."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pincompute_sdk.cli import status_tree, target
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import FAILURE, INTERRUPTED, TIMEOUT
from pincompute_sdk.core.errors import PinError
from pincompute_sdk.generated.models import RevisionRecord

if TYPE_CHECKING:
    from pincompute_sdk.generated.kinds import Workload, WorkloadsResource

PACE = 0.5  # seconds between two polls
RECORDS = 20  # revisions that are looked at for one to go back to
CANDIDATES = 3


def versions(them: WorkloadsResource, project: str, name: str, seconds: float) -> Iterator[Workload]:
    """Yields the workload again and again until the time is over."""
    end = time.monotonic() + seconds
    while True:
        yield them.get(project, name)
        if time.monotonic() + PACE > end:
            return
        time.sleep(PACE)


def settled(app: Workload) -> bool:
    """Tells whether all replicas run in the present revision and none of an older one is left."""
    status = app.status
    if status is None or not status.settled:
        return False
    return status.ready == status.updated == status.replicas == status_tree.wanted(app)


def ended(app: Workload) -> bool:
    """Tells whether it ran to its end and does not start again. Raises CommandError when it failed."""
    status = app.status
    if status is None or status.state not in ("Succeeded", "Failed"):
        return False
    if status.state == "Failed":
        remedy = f"`pin logs {target.typed(app)}` shows the end of its output"
        raise CommandError(f"{app.name} has failed", reason=status.message, remedy=remedy, code=FAILURE)
    return True


def late(app: Workload, seconds: float, earlier: Sequence[str]) -> CommandError:
    """`earlier` are revisions to go back to, newest first."""
    message, typed = app.status.message if app.status else "", target.typed(app)
    back = f"`pin rollback {typed} --to REVISION`, one of {', '.join(earlier)}" if earlier else f"`pin delete {typed}`"
    return CommandError(
        f"{app.name} is not ready after {seconds:.0f} s",
        reason=message,
        remedy=f"the rollout continues when the problem is solved: `pin explain {typed}`; or undo it: {back}",
        code=TIMEOUT,
    )


def earlier_revisions(them: WorkloadsResource, app: Workload) -> list[str]:
    """The names of revisions that the app had before its present containers; empty when nobody knows any."""
    try:
        found = them.history(app.project, app.name, type_="revision", uid=app.id, limit=RECORDS).items
    except PinError:
        return []
    names = [record.revision for record in found if isinstance(record, RevisionRecord)]
    return [name for name in dict.fromkeys(names) if name not in ("", *names[:1])][:CANDIDATES]


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
