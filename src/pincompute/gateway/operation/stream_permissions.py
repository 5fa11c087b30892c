"""Checks again and again whether an open stream may stay open, because permissions end while shells do not (S-255)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from pincompute.gateway.access import Authorizer
from pincompute.gateway.call_context import Call

EVERY = 3.0  # seconds between two checks


@dataclass(frozen=True, slots=True)
class StreamPermissions:
    """Asks the authorizer about open streams. `now` returns seconds since the epoch."""

    authorizer: Authorizer
    now: Callable[[], float]

    def ended(self, call: Call) -> str:
        """Why the call may not continue; empty while it may."""
        if call.caller.expires <= self.now():
            return "the login has expired"
        decision = self.authorizer.decide(call.caller, call.operation, call.project, call.name)
        return "" if decision.allowed else "the permission was withdrawn"

    async def until_ended(self, call: Call) -> str:
        """Return why, within seconds of the moment at which the call may not continue."""
        while True:
            if why := self.ended(call):
                return why
            await asyncio.sleep(EVERY)
