"""Holds switches that make the in-memory API server misbehave, for tests of its clients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class InjectedRefusal:
    """Answer with this HTTP code; `times` counts down, None is for good."""

    code: int
    retry_after: int | None = None
    times: int | None = None


@dataclass(slots=True)
class Faults:
    """All off at first. `affects` (verb, path) limits them to some requests; a watch has the verb WATCH."""

    cut: bool = False  # close the connection without an answer
    silent: bool = False  # take the request and never answer
    delay: float = 0.0  # seconds before every answer
    refusal: InjectedRefusal | None = None
    stale_at: str = ""  # reads show the objects as they were at this version
    gone_as_status: bool = False  # a watch from a compacted version gets HTTP 410, not an ERROR event
    bookmark_every: float = 60.0  # seconds, as a real API server's
    affects: Callable[[str, str], bool] = lambda _verb, _path: True

    def clear(self) -> None:
        """All off again."""
        fresh = Faults()
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def refused(self) -> InjectedRefusal | None:
        """The refusal for this request, if one is due."""
        due = self.refusal
        if due is None or due.times == 0:
            return None
        if due.times is not None:
            due.times -= 1
        return due
