"""Sends the same request again and again over kept connections, the same way to every compared server.

Reads its orders as JSON from standard input and prints what it saw as JSON. It speaks just enough HTTP/1.1 to know where an
answer ends, so that what is measured is the server. Its own share of the processor is reported with the figures.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import sys
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import uvloop

from benchmarks.goals import percentile

END_OF_HEAD = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


class LoadOrders(msgspec.Struct, frozen=True):
    """`paths` are asked for in turn, by so many connections at the same time, for so many seconds after `warm_up`."""

    address: str
    port: int
    paths: tuple[str, ...]
    ca: str
    headers: dict[str, str] = {}
    certificate: str = ""
    key: str = ""
    connections: int = 16
    seconds: float = 3.0
    warm_up: float = 0.5


class LoadResult(msgspec.Struct, frozen=True):
    """Answers with status 200 and all others; times in seconds; `cpu` is the load generator's own."""

    answers: int
    refused: int
    seconds: float
    p50: float
    p99: float
    size: int
    cpu: float

    @property
    def rate(self) -> float:
        return self.answers / self.seconds


class Measured:
    """What all connections saw since the warm-up."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.refused = 0
        self.size = 0

    def clear(self) -> None:
        self.__init__()


class LoadConnection(asyncio.Protocol):
    """One request after the other, each as soon as the answer to the one before is complete."""

    def __init__(self, requests: Iterator[bytes], measured: Measured) -> None:
        self._requests = requests
        self._measured = measured
        self._head = bytearray()
        self._left: int | None = None  # bytes of the body still to come; None while in the head, -1 when it comes in chunks
        self._tail = b""
        self._size = 0
        self._sent = 0.0
        self._good = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._head.clear()
        self._left, self._tail, self._size = None, b"", 0
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        if self._left is None:
            self._head += data
            at = self._head.find(END_OF_HEAD)
            if at < 0:
                return
            head, data = bytes(self._head[:at]).lower(), bytes(self._head[at + len(END_OF_HEAD) :])
            self._good = head.startswith(b"http/1.1 200")
            length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._left = int(length) if length else -1
        self._body(data)

    def _body(self, data: bytes) -> None:
        self._size += len(data)
        if self._left == -1:
            self._tail = (self._tail + data)[-len(LAST_CHUNK) :]
            complete = self._tail == LAST_CHUNK
        else:
            complete = self._size >= (self._left or 0)
        if complete:
            self._done()

    def _done(self) -> None:
        measured = self._measured
        if self._good:
            measured.times.append(time.perf_counter() - self._sent)
            measured.size = self._size
        else:
            measured.refused += 1
        if not self._transport.is_closing():
            self._ask()


async def run(orders: LoadOrders) -> LoadResult:
    loop, measured = asyncio.get_running_loop(), Measured()
    requests = itertools.cycle(_requests(orders))
    transports = [
        (
            await loop.create_connection(
                lambda: LoadConnection(requests, measured), orders.address, orders.port, ssl=_tls(orders)
            )
        )[0]
        for _ in range(orders.connections)
    ]
    await asyncio.sleep(orders.warm_up)
    measured.clear()
    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(orders.seconds)
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    times = measured.times or [0.0]
    seen = LoadResult(
        answers=len(measured.times),
        refused=measured.refused,
        seconds=seconds,
        p50=percentile(times, 50),
        p99=percentile(times, 99),
        size=measured.size,
        cpu=used,
    )
    for transport in transports:
        transport.abort()
    return seen


def _requests(orders: LoadOrders) -> list[bytes]:
    headers = {"Host": f"{orders.address}:{orders.port}", "Accept": "application/json", **orders.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return [f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode() for path in orders.paths]


def _tls(orders: LoadOrders) -> ssl.SSLContext | None:
    if not orders.ca:
        return None
    context = ssl.create_default_context(cafile=orders.ca)
    if orders.certificate:
        context.load_cert_chain(orders.certificate, orders.key)
    return context


def main() -> None:
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=LoadOrders)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(orders))))


if __name__ == "__main__":
    main()
