"""Polls a workload until a deadline, and tells when it runs or has ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pincompute_sdk.cli import status_tree, target
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import FAILURE, TIMEOUT

if TYPE_CHECKING:
    from pincompute_sdk.generated.kinds import Workload, WorkloadsResource

PACE = 0.5  # seconds between two polls


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


def late(app: Workload, seconds: float) -> CommandError:
    message, typed = app.status.message if app.status else "", target.typed(app)
    return CommandError(
        f"{app.name} is not as wanted after {seconds:.0f} s",
        reason=message,
        remedy=f"it goes on once nothing is in its way: `pin explain {typed}`; or go back: `pin rollback {typed}`",
        code=TIMEOUT,
    )
