"""Ends open streams when the right to them ends, because permissions end while shells do not (S-255).

A change of a project wakes the streams of that project, a revoked service token wakes its own, and a timer wakes a stream whose
login expires. Nothing asks again and again, so a thousand quiet shells cost nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from pincompute.api.meta import Object
from pincompute.api.projects import Project
from pincompute.gateway.access import Authorizer
from pincompute.gateway.call_context import Call
from pincompute.gateway.operation.task_groups import first_of
from pincompute.kube.cache_views import Unknown

LONGEST = 3600.0  # seconds between two checks when nothing happens: clocks are set, and timers do not see it
UNKNOWN = 3.0  # seconds until a stream is judged again while the projects are not known

STOPS = "the gateway stops"
EXPIRED = "the login has expired"


@dataclass(slots=True)
class StreamPermissions:
    """Judges open streams. `project` finds one by name, and `now` returns seconds since the epoch.

    `stopping` is set when the gateway stops: shells, commands, copies and ports then end, and are recorded, before the audit
    log is closed.
    """

    authorizer: Authorizer
    project: Callable[[str], Project | None]
    now: Callable[[], float]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _projects: dict[str, set[asyncio.Event]] = field(default_factory=dict[str, set[asyncio.Event]])
    _tokens: dict[str, set[asyncio.Event]] = field(default_factory=dict[str, set[asyncio.Event]])

    def project_changed(self, cluster: str, obj: Object, *, initial: bool) -> None:  # noqa: ARG002 - the listener's shape
        _wake(self._projects, obj.metadata.name)

    def token_ended(self, identity: str) -> None:
        _wake(self._tokens, identity)

    def ended(self, call: Call, uid: str = "") -> str:
        """Why the call may not continue; empty while it may. `uid` is of the project in which it began."""
        if call.caller.expires <= self.now():
            return EXPIRED
        if uid and self._uid(call.project) != uid:
            return "the project was deleted"
        decision = self.authorizer.decide(call.caller, call.operation, call.project, call.name)
        return "" if decision.allowed else "the permission was withdrawn"

    async def until_ended(self, call: Call) -> str:
        """Return why, at the moment from which the call may not continue."""
        with self._registered(call) as woken:
            uid = ""
            while True:
                woken.clear()
                wait = max(0.0, min(call.caller.expires - self.now(), LONGEST))
                try:
                    uid = uid or self._uid(call.project)
                    if why := self.ended(call, uid):
                        return why
                except Unknown:
                    wait = UNKNOWN
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await woken.wait()

    async def until_cut(self, call: Call) -> str:
        """As `until_ended`, or when the gateway stops."""
        return await first_of(self.until_ended(call), self._until_stopping())

    async def _until_stopping(self) -> str:
        await self.stopping.wait()
        return STOPS

    def _uid(self, name: str) -> str:
        """The uid of the project of this name; empty when there is none, or when it is being deleted."""
        found = self.project(name) if name else None
        return found.metadata.uid if found is not None and not found.deleting else ""

    @contextmanager
    def _registered(self, call: Call) -> Generator[asyncio.Event]:
        woken = asyncio.Event()
        places = [(self._projects, call.project), (self._tokens, call.caller.token_id)]
        for streams, key in places:
            streams.setdefault(key, set()).add(woken)
        try:
            yield woken
        finally:
            for streams, key in places:
                streams[key].discard(woken)
                if not streams[key]:
                    del streams[key]


def _wake(streams: dict[str, set[asyncio.Event]], key: str) -> None:
    for woken in streams.get(key, ()):
        woken.set()
