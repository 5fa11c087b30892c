"""Tells how fresh a cache is, without a request: as of which moment it holds everything that was written.

A write of ours is answered with a version that the API server assigned after the request was sent. Once the watch has shown
that version or a later one, the cache holds everything that was written before the request. A list proves the same at once.
Versions of one kind in one cluster compare as numbers (KEP-5504).

Two questions follow. `holds_our_writes`: whether the cache holds all that was written under our lease, by this process and by
those that held the lease before. Answers to our own writes go into the cache, so it does, once it is complete as of a moment
after the lease was acquired, and after the last write whose answer was lost. `is_recent`: whether it was complete a moment
ago, so that it is worth as much as an answer that was under way for that long.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

RECENT = 1.0  # seconds
APART = 0.02  # seconds between two proofs that are remembered
PENDING = 1024  # proofs that wait for their version; of a watch that lags further behind later ones are remembered

NEVER = float("-inf")


@dataclass(slots=True)
class Freshness:
    """Times are monotonic. `as_of`: the cache holds everything that was written before this moment."""

    as_of: float = NEVER
    _doubted: float = NEVER
    _proofs: deque[tuple[int, float]] = field(default_factory=deque[tuple[int, float]])

    def listed(self, sent: float) -> None:
        """The cache holds the answer to a list that was sent at this moment."""
        self.as_of = max(self.as_of, sent)

    def answered(self, sent: float, version: int, shown: int) -> None:
        """A write that was sent at this moment made this version; `shown` is the latest version of the watch."""
        if version <= shown:
            self.listed(sent)
        elif len(self._proofs) < PENDING and (not self._proofs or sent - self._proofs[-1][1] >= APART):
            self._proofs.append((version, sent))

    def shown(self, version: int) -> None:
        """The watch has shown this version."""
        while self._proofs and self._proofs[0][0] <= version:
            self.listed(self._proofs.popleft()[1])

    def doubt(self, now: float) -> None:
        """Until now something may have been written under our lease that only the watch will tell."""
        self._doubted = now

    @property
    def holds_our_writes(self) -> bool:
        """All that was written under our lease is in the cache."""
        return self.as_of > self._doubted

    def is_recent(self, now: float) -> bool:
        """The cache was complete a moment ago."""
        return self.holds_our_writes and self.as_of >= now - RECENT

    def covers(self, answered: float, now: float) -> bool:
        """The answer to a write that was sent at that moment, and is in the cache, is worth as much as a recent cache."""
        return answered > self._doubted and answered >= now - RECENT
