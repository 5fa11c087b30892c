"""Names how far the rollout of a program of the platform, a sidecar or a daemon, has come."""

from __future__ import annotations

from typing import Protocol

from pincompute.api.conditions import Condition
from pincompute.api.workloads import RolloutState

COMPLETE = "Complete"


class RolloutRecord(Protocol):
    """What the status of a program records of its rollout."""

    @property
    def state(self) -> RolloutState: ...

    @property
    def failure(self) -> str: ...


def word(record: RolloutRecord, *, paused: bool) -> str:
    """Returns the state of the rollout, or what keeps it there: somebody has paused it, or a version that failed is held."""
    if paused:
        return "Paused"
    return "Held" if record.failure and record.state == "Progressing" else record.state


def ready(reason: str, generation: int, message: str) -> Condition:
    """Returns the condition Ready. Its reason is one word, and the message says what to do."""
    return Condition(
        type="Ready",
        status="True" if reason == COMPLETE else "False",
        observed_generation=generation,
        reason=reason,
        message=message,
    )
