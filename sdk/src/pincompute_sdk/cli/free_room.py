"""Asks how much room is left on the node with the most, for an app that waits for room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pincompute_sdk.core.errors import PinError

if TYPE_CHECKING:
    from pincompute_sdk.generated.kinds import Workload, WorkloadsResource

NO_ROOM = "InsufficientCapacity"  # why an app is stalled


def of(them: WorkloadsResource, app: Workload) -> tuple[str, ...]:
    """Returns what the node with the most room has left, or why it cannot be read; nothing for an app that has room."""
    status = app.status
    if status is None or not (status.unplaced or status.stalled == NO_ROOM):
        return ()
    try:
        room = them.explain(app.project, app.name).room
    except PinError as error:
        return (f"the room that nodes have left cannot be read now: {error}",)
    return (room,) if room else ()
