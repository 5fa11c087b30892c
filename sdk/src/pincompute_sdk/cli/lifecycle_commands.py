"""`pin pause`, `resume`, `stop`, `start`, `restart` and `scale`. Each is idempotent and is recorded with author and reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pincompute_sdk.cli import options, target
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.options import ANYWHERE, Reason, Replica, Where, Workload
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.target import WorkloadTarget
from pincompute_sdk.generated.models import LifecycleResult

if TYPE_CHECKING:
    from pincompute_sdk.generated.kinds import WorkloadsResource


def pause(name: Workload, /, *, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Freeze changes; what runs keeps running."""
    _act(where, target.whole(name), lambda them, p, n: them.pause(p, n, _because(reason)))


def resume(name: Workload, /, *, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Let changes continue after a pause."""
    _act(where, target.whole(name), lambda them, p, n: them.resume(p, n, _because(reason)))


def stop(name: Workload, /, *, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Scale to zero and remember the count."""
    _act(where, target.whole(name), lambda them, p, n: them.stop(p, n, _because(reason)))


def start(name: Workload, /, *, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Run as many replicas as before the stop."""
    _act(where, target.whole(name), lambda them, p, n: them.start(p, n, _because(reason)))


def restart(
    name: Replica,
    /,
    *,
    container: Annotated[str, Parameter(name=["--container", "-c"], help="Only this container; the others keep running.")] = "",
    replica: Annotated[str, Parameter(help="Only this replica; also written NAME/REPLICA.")] = "",
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Restart all replicas in the pace of an update, one replica, or one container."""
    wanted = target.parse(name)
    chosen = replica or wanted.replica
    body = {**_because(reason), **({"container": container} if container else {}), **({"replica": chosen} if chosen else {})}
    _act(where, replace(wanted, replica=""), lambda them, p, n: them.restart(p, n, body))


def scale(
    name: Workload,
    replicas: Annotated[int, Parameter(help="How many; 0 or more.")],
    /,
    *,
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Change the number of replicas."""
    if replicas < 0:
        raise CommandError("replicas cannot be negative", remedy="`pin stop` runs none and remembers the count", code=USAGE)
    body = {"replicas": replicas, **_because(reason)}
    _act(where, target.whole(name), lambda them, p, n: them.scale(p, n, body))


def _act(where: Where, wanted: WorkloadTarget, verb: Callable[[WorkloadsResource, str, str], LifecycleResult]) -> None:
    """Calls the verb and prints the server's message."""
    with options.client(where) as pin:
        project = options.project(pin.context)
        with target.explained(pin, project, wanted):
            done = verb(options.workloads(pin, wanted.kind), project, wanted.name)
    terminal.out(f"{done.message}")


def _because(reason: str) -> dict[str, Any]:
    return {"reason": reason} if reason else {}
