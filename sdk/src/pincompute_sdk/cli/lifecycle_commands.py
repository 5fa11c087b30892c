"""`pin pause`, `resume`, `stop`, `start`, `restart` and `scale`. Each is idempotent and is recorded with author and reason.

All but `pause` follow what they change until it is done, by the rules of `pin deploy`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pincompute_sdk.cli import doubtful_amounts, progress, prompt, target
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.options import ANYWHERE, WAIT, Reason, Replica, WaitOptions, Where, Workload, Yes
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.wait import FollowedChange
from pincompute_sdk.cli.wait_conditions import ReplicaRestarted, Settled, settled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pincompute_sdk.generated.kinds import WorkloadsResource
    from pincompute_sdk.generated.models import LifecycleResult, ReplicaStatus


def pause(name: Workload, /, *, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Freeze changes; what runs keeps running."""
    wanted = target.whole(name)
    with target.opened(wanted, where) as (them, project):
        terminal.out(them.pause(project, wanted.name, because(reason)).message)


def resume(name: Workload, /, *, wait: WaitOptions = WAIT, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Let changes continue after a pause, and follow them."""
    wanted = target.whole(name)
    with target.opened(wanted, where) as (them, project):
        done = them.resume(project, wanted.name, because(reason))
        follow(them, done, wait, FollowedChange("the change"))


def stop(name: Workload, /, *, wait: WaitOptions = WAIT, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Scale to zero and remember the count."""
    wanted = target.whole(name)
    with target.opened(wanted, where) as (them, project):
        done = them.stop(project, wanted.name, because(reason))
        follow(them, done, wait, FollowedChange("the stop", f"pin start {wanted.typed}"))


def start(name: Workload, /, *, wait: WaitOptions = WAIT, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Run as many replicas as before the stop."""
    wanted = target.whole(name)
    with target.opened(wanted, where) as (them, project):
        done = them.start(project, wanted.name, because(reason))
        follow(them, done, wait, FollowedChange("the start", f"pin stop {wanted.typed}"))


def restart(
    name: Replica,
    /,
    *,
    container: Annotated[str, Parameter(name=["--container", "-c"], help="Only this container; the others keep running.")] = "",
    replica: Annotated[str, Parameter(help="Only this replica; also written NAME/REPLICA.")] = "",
    wait: WaitOptions = WAIT,
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Restart all replicas in the pace of an update, one replica, or one container of one or all replicas."""
    named = target.parse(name)
    wanted, chosen = replace(named, replica=""), replica or named.replica
    body = {**because(reason), **({"container": container} if container else {}), **({"replica": chosen} if chosen else {})}
    with target.opened(wanted, where) as (them, project):
        before = them.replicas(project, wanted.name).items if chosen or container else ()
        done = them.restart(project, wanted.name, body)
        condition = _restarted(them, before, done, container) if chosen or container else None
        follow(them, done, wait, FollowedChange("the restart", "" if condition else None), condition)


def _restarted(
    them: WorkloadsResource, before: Sequence[ReplicaStatus], done: LifecycleResult, container: str
) -> ReplicaRestarted | None:
    """What a restart of one replica waits for; None when that replica was not there before."""
    found = next((each for each in before if each.name == done.replica), None)
    return ReplicaRestarted(them, before=found, container=container) if found is not None else None


def scale(
    name: Workload,
    replicas: Annotated[int, Parameter(help="How many; 0 or more.")],
    /,
    *,
    yes: Yes = False,
    wait: WaitOptions = WAIT,
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Change the number of replicas; asks when there would be more than 100 times as many."""
    if replicas < 0:
        raise CommandError("replicas cannot be negative", remedy="`pin stop` runs none and remembers the count", code=USAGE)
    wanted = target.whole(name)
    with target.opened(wanted, where) as (them, project):
        before = int(getattr(them.get(project, wanted.name), "replicas", 1))
        if not yes:
            doubt = doubtful_amounts.of_replicas(before, replicas)
            prompt.doubt([doubt] if doubt else [], f"Scale {name} to {replicas}?", "correct the number, or add --yes")
        done = them.scale(project, wanted.name, {"replicas": replicas, **because(reason)})
        follow(
            them, done, wait, FollowedChange("the change", f"pin scale {wanted.typed} {before}" if before != replicas else "")
        )


def follow(
    them: WorkloadsResource, done: LifecycleResult, wait: WaitOptions, change: FollowedChange, condition: Settled | None = None
) -> None:
    """Says what the server answered, and follows it until it is done, unless there is nothing to wait for."""
    terminal.out(done.message)
    if not wait.wait:
        return
    app = them.get(done.project, done.name)
    held = app.paused or (app.stopped and done.verb != "stop")
    if not held and (done.changed or not settled(app)):
        progress.follow(app, wait.timeout, replace(change, changed=done.changed), condition or Settled(them))


def because(reason: str) -> dict[str, Any]:
    return {"reason": reason} if reason else {}
