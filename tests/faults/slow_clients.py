"""Simulates many slow clients: it reads its orders as JSON from standard input, and reports each second.

A client that is cut off connects again, until the program is ended. All of them read next to nothing of what they are sent.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
import socket
import ssl
import sys
from collections import Counter
from contextlib import suppress
from typing import Any

import msgspec
import uvloop

PERIOD = 1.0  # seconds between two bytes of one client
AT_ONCE = 48  # clients that are connecting
AGAIN = 1.0  # seconds before somebody who was cut off comes again
SMALL = 4096  # bytes a client has room for


class Manner(msgspec.Struct, frozen=True):
    """So many clients that say `begins` at once, then a byte of `goes_on` each PERIOD. Who `naps` reads nothing for so long."""

    name: str
    clients: int
    begins: bytes = b""
    goes_on: bytes = b""
    tls: bool = True
    naps: float = 0.0


class CrowdOrders(msgspec.Struct, frozen=True):
    address: str
    port: int
    ca: str
    manners: tuple[Manner, ...]


class CrowdReport(msgspec.Struct, frozen=True):
    """How many clients have been connected at least once, are now, and how often connections were ended by the server."""

    came: int = 0
    connected: int = 0
    cut: dict[str, int] = {}


class Visitor(asyncio.Protocol):
    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


class SlowClients:
    def __init__(self, orders: CrowdOrders) -> None:
        self._orders = orders
        self._tls = ssl.create_default_context(cafile=orders.ca) if orders.ca else None
        self._connecting = asyncio.Semaphore(AT_ONCE)
        self._came: set[int] = set()
        self._connected = 0
        self._cut: Counter[str] = Counter()

    async def run(self) -> None:
        """Those with a handshake first: the others are not let wait long."""
        numbers = itertools.count()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tell())
            for manner in sorted(self._orders.manners, key=lambda m: not m.tls):
                for _ in range(manner.clients):
                    tasks.create_task(self._client(next(numbers), manner))

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            told = CrowdReport(len(self._came), self._connected, dict(self._cut))
            sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
            sys.stdout.flush()

    async def _client(self, number: int, manner: Manner) -> None:
        while True:
            with suppress(OSError):
                await self._visit(number, manner)
                self._cut[manner.name] += 1
            await asyncio.sleep(AGAIN)

    async def _visit(self, number: int, manner: Manner) -> None:
        async with self._connecting:
            transport, visitor = await self._connect(self._tls if manner.tls else None)
        self._came.add(number)
        self._connected += 1
        try:
            transport.write(manner.begins)
            await self._nap(transport, manner.naps)
            for byte in manner.goes_on:
                if await _within(PERIOD, visitor.ended) or transport.is_closing():
                    return
                transport.write(bytes([byte]))
            await visitor.ended.wait()
        finally:
            self._connected -= 1
            transport.abort()

    async def _connect(self, tls: ssl.SSLContext | None) -> tuple[Any, Visitor]:
        loop, plain = asyncio.get_running_loop(), socket.socket()
        plain.setblocking(False)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        try:
            await loop.sock_connect(plain, (self._orders.address, self._orders.port))
            host = self._orders.address if tls else None
            return await loop.create_connection(Visitor, sock=plain, ssl=tls, server_hostname=host)
        except BaseException:
            plain.close()
            raise

    async def _nap(self, transport: Any, seconds: float) -> None:
        if seconds:
            transport.pause_reading()
            await asyncio.sleep(seconds)
            transport.resume_reading()


async def _within(seconds: float, event: asyncio.Event) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


def main() -> None:
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=CrowdOrders)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(SlowClients(orders).run())


if __name__ == "__main__":
    main()
