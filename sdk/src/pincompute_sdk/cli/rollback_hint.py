"""Asks for the earlier revision to which an app that is stalled can be rolled back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pincompute_sdk.core.errors import PinError

if TYPE_CHECKING:
    from pincompute_sdk.generated.kinds import Workload, WorkloadsResource

STALLED = "Stalled"  # the state in which waiting does not help


def of(them: WorkloadsResource, app: Workload) -> tuple[str, ...]:
    """Returns the command and the revision, or why they cannot be read; nothing for an app that is not stalled."""
    if app.status is None or app.status.state != STALLED:
        return ()
    try:
        rollback = them.explain(app.project, app.name).rollback
    except PinError as error:
        return (f"which earlier revision ran well cannot be read now: {error}",)
    return (rollback,) if rollback else ()
