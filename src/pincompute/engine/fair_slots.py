"""Shares a number of slots between parties: one that wants many gets its next one after every other that waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress


class FairSlots:
    """So many slots at a time. Within a party the order is first come, first served."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by party, the one whose turn is next first

    @asynccontextmanager
    async def taken(self, party: str) -> AsyncGenerator[None]:
        """Waits for a slot of the party, and has it until the block ends."""
        await self._take(party)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, party: str) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(party, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back()
            else:
                self._leave(party, turn)
            raise

    def _give_back(self) -> None:
        """Gives the slot to the party whose turn it is. Who was cancelled and has not noticed yet has no turn."""
        while self._waiting:
            party, turns = next(iter(self._waiting.items()))
            del self._waiting[party]
            turn = turns.popleft()
            if turns:
                self._waiting[party] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _leave(self, party: str, turn: asyncio.Future[None]) -> None:
        turns = self._waiting.get(party)
        if turns is None:
            return
        with suppress(ValueError):
            turns.remove(turn)
        if not turns:
            del self._waiting[party]
