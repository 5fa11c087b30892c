"""Asks the server for the earlier revision to which an app that is stalled can be rolled back. The server alone decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pincompute_sdk.cli.target import PREFIXES, WorkloadTarget
from pincompute_sdk.core.errors import PinError

if TYPE_CHECKING:
    from pincompute_sdk.generated.kinds import Workload, WorkloadsResource
    from pincompute_sdk.generated.models import Explanation, Status


def sentence(of: Explanation) -> str:
    """Returns the command and the revision, or where to read them; empty where there is no way back."""
    kind = PREFIXES.get(of.kind)
    if kind is None:  # one that a newer gateway has
        return ""
    typed = WorkloadTarget(kind, of.name).typed
    if "rollback" in of.missing:
        return f"`pin explain {typed}` says which revision it can go back to, if any"
    if of.rollback is None:
        return ""
    well = "which ran well" if of.rollback.ran_well else "the one before; whether it ran well is not known now"
    return f"`pin rollback {typed}` goes back to revision {of.rollback.revision}, {well}"


def of(them: WorkloadsResource, app: Workload) -> tuple[str, ...]:
    """Returns the command and the revision, or why they cannot be read; nothing for an app that is not stalled."""
    try:
        rollback = _asked(them, app)
    except PinError as error:
        return (f"which revision it can go back to cannot be read now: {error}",)
    return (rollback,) if rollback else ()


def possible(them: WorkloadsResource, app: Workload) -> bool:
    """Returns whether the server names a way back."""
    try:
        return bool(_asked(them, app))
    except PinError:
        return False


class WatchedHint:
    """The hint of an app that is looked at again and again. The server is asked again only when the status has changed."""

    def __init__(self) -> None:
        self._status: Status | None = None
        self._hint: tuple[str, ...] = ()

    def of(self, them: WorkloadsResource, app: Workload) -> tuple[str, ...]:
        if app.status == self._status:
            return self._hint
        try:
            rollback = _asked(them, app)
        except PinError:
            return ()  # the next look asks again
        self._status, self._hint = app.status, (rollback,) if rollback else ()
        return self._hint


def _asked(them: WorkloadsResource, app: Workload) -> str:
    if app.status is None or not app.status.stalled:
        return ""
    return sentence(them.explain(app.project, app.name))
