"""So many requests at once of each caller; what they send beyond waits for their own to end, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class _CallerSlots:
    """Nobody waits while fewer than allowed are held; who gave up is still among the waiting."""

    held: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque[asyncio.Future[None]])


class CallerConcurrency:
    def __init__(self, each: int) -> None:
        self._each = each
        self._shares: dict[str, _CallerSlots] = {}

    def free(self, who: str) -> bool:
        share = self._shares.get(who)
        return share is None or share.held < self._each

    def take(self, who: str) -> None:
        """When it is free."""
        share = self._shares.get(who)
        if share is None:
            share = self._shares[who] = _CallerSlots()
        share.held += 1

    async def wait(self, who: str) -> None:
        """Until it is free; takes it."""
        if self.free(who):
            self.take(who)
            return
        turn = asyncio.get_running_loop().create_future()
        self._shares[who].waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # given in the same moment
                self.give(who)
            raise

    def give(self, who: str) -> None:
        """A request has ended: the next one goes on in its place."""
        share = self._shares[who]
        while share.waiting:
            turn = share.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        share.held -= 1
        if not share.held:
            del self._shares[who]
