"""Whether a stream that is open may stay so: asked again and again, because rights end while shells do not (S-255)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from pincompute.gateway.call_context import Call
from pincompute.gateway.middleware import RequestAuthorizer

EVERY = 3.0  # seconds between two questions


@dataclass(frozen=True, slots=True)
class StreamPermissions:
    """`now` gives seconds since the epoch."""

    authorizer: RequestAuthorizer
    now: Callable[[], float]

    def ended(self, call: Call) -> str:
        """Why the call may not go on; empty while it may."""
        if call.caller.expires <= self.now():
            return "the login has expired"
        decision = self.authorizer.decide(call.caller, call.operation, call.project, call.name)
        return "" if decision.allowed else "the right to it was withdrawn"

    async def until_ended(self, call: Call) -> str:
        """Returns why, within seconds of the moment at which the call may not go on."""
        while True:
            if why := self.ended(call):
                return why
            await asyncio.sleep(EVERY)
