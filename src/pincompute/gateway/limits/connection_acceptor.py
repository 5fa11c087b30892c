"""How many may be connected, TLS handshakes included, and who makes room when there are as many.

A connection waits while nobody works for it: during its handshake, between two requests, while a request arrives. The
surprising rule: when all places are taken, whoever has waited longest goes, and nobody is refused while somebody waits. So
connections that only sit there, however many, keep no place from those who come with a question.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

HANDSHAKE = 30.0  # seconds
AT_ONCE = 16  # accepted in one turn of the loop, so that a crowd does not hold up those who are inside
PAUSE = 0.1  # seconds after the system had no descriptor for one more


class IdleConnections:
    """Connections for which nobody works, and how each is ended, the longest waiting first."""

    def __init__(self) -> None:
        self._ends: dict[object, Callable[[], object]] = {}

    def begins(self, who: object, end: Callable[[], object]) -> None:
        """Waits from now on, also when it did before."""
        self._ends.pop(who, None)
        self._ends[who] = end

    def ends(self, who: object) -> None:
        self._ends.pop(who, None)

    def make_room(self) -> bool:
        """End the connection that has waited longest; false when none waits."""
        if not self._ends:
            return False
        self._ends.pop(next(iter(self._ends)))()
        return True


class ConnectionAcceptor:
    """Accepts connections until it is closed. Stands where uvicorn expects asyncio's server."""

    def __init__(
        self,
        listener: socket.socket,
        tls: ssl.SSLContext | None,
        protocol: Callable[[], asyncio.Protocol],
        waiting: IdleConnections,
        full: Callable[[int], bool],
    ) -> None:
        """`full`: whether there is no place for one more beside so many whose handshake is under way."""
        self.sockets = [listener]
        self._listener = listener
        self._tls = tls
        self._protocol = protocol
        self._waiting = waiting
        self._full = full
        self._arriving: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())
        self._accepting.add_done_callback(lambda _: listener.close())

    def close(self) -> None:
        for task in (self._accepting, *self._arriving):
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.wait([self._accepting, *self._arriving])

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        for number in itertools.count(1):
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)  # accepting does not wait while somebody is at the door
            try:
                accepted, _ = await loop.sock_accept(self._listener)
            except OSError as problem:  # no descriptors: those who wait give theirs
                log.warning("a connection could not be accepted", extra={"why": str(problem)})
                self._waiting.make_room()
                await asyncio.sleep(PAUSE)
                continue
            if self._full(len(self._arriving)) and not self._waiting.make_room():
                accepted.close()
                continue
            task = asyncio.create_task(self._let_in(accepted))
            self._arriving.add(task)
            self._waiting.begins(task, task.cancel)
            task.add_done_callback(self._let_go)

    async def _let_in(self, accepted: socket.socket) -> None:
        """Through the handshake; from then on the protocol says when it waits."""
        limits: dict[str, Any] = {"ssl_handshake_timeout": HANDSHAKE} if self._tls else {}
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, accepted, ssl=self._tls, **limits)
        except OSError as problem:  # no handshake, or one that came to nothing
            log.debug("no handshake", extra={"why": str(problem)})

    def _let_go(self, task: asyncio.Task[None]) -> None:
        self._arriving.discard(task)
        self._waiting.ends(task)
        if not task.cancelled() and (problem := task.exception()):
            log.warning("a connection could not be begun", extra={"why": str(problem)})
