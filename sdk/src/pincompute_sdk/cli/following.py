"""A workload as it changes, until a deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pincompute_sdk.cli.failure import TIMEOUT, CommandError
from pincompute_sdk.generated.models import App

if TYPE_CHECKING:
    from pincompute_sdk.client import Client

PACE = 0.5  # seconds between two looks


def versions(pin: Client, project: str, name: str, seconds: float) -> Iterator[App]:
    """The app at every look; raises when time is up."""
    end = time.monotonic() + seconds
    while True:
        yield pin.apps.get(project, name)
        if time.monotonic() + PACE > end:
            return
        time.sleep(PACE)


def settled(app: App) -> bool:
    """All that was asked for runs, in the present revision, and nothing of the old is left."""
    status = app.status
    if status is None or not status.settled:
        return False
    return status.ready == status.updated == status.replicas == app.replicas


def late(app: App, seconds: float) -> CommandError:
    message = app.status.message if app.status else ""
    return CommandError(
        f"app {app.name} is not as wanted after {seconds:.0f} s",
        reason=message,
        remedy=f"it goes on by itself: `pin status {app.name} --watch`; why: `pin explain {app.name}`",
        code=TIMEOUT,
    )
