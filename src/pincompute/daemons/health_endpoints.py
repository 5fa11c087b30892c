"""Serves a daemon's HTTP port: /livez, /readyz and /metrics, with few threads and a time for every connection.

Whoever reaches the port may open connections and send nothing, so a caller that has not asked yet makes place for another, and
scrapes never take the places that probes need. It uses the standard library, so the image of a daemon needs no HTTP server.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

AT_ONCE = 8  # connections, each with a thread
SCRAPES = 6  # of them that /metrics may take; probes have the others
LIFETIME = 15.0  # seconds of one connection, however busy; Prometheus waits 10 for a scrape unless it is told otherwise

Missing = Callable[[], str]
"""What the daemon waits for or cannot do, in words; empty when it is ready."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer of the daemon."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


BUSY = Answer(503, b"too many scrapes at once\n")


def answer(path: str, accept: str, registry: CollectorRegistry, missing: Missing) -> Answer:
    """Returns the answer to a GET. Metrics are OpenMetrics text for those who accept it."""
    match path.partition("?")[0]:
        case "/livez":
            return Answer(200, b"ok\n")
        case "/readyz":
            waits = missing()
            return Answer(503, f"waiting for {waits}\n".encode()) if waits else Answer(200, b"ok\n")
        case "/metrics":
            encode, content_type = choose_encoder(accept)
            return Answer(200, encode(registry), content_type)
        case _:
            return Answer(404, b"here are /livez, /readyz and /metrics\n")


def _is_scrape(path: str) -> bool:
    return path.partition("?")[0] == "/metrics"


@contextmanager
def serve(registry: CollectorRegistry, address: str, port: int, missing: Missing) -> Generator[int]:
    """Serves in threads while the context is open and returns the port; port 0 picks a free one."""

    class Handler(BaseHTTPRequestHandler):
        timeout = LIFETIME

        def do_GET(self) -> None:
            if not connections.ask(self.connection, scrape=_is_scrape(self.path)):
                self._send(BUSY)
                return
            self._send(answer(self.path, self.headers.get("Accept", ""), registry, missing))

        def _send(self, found: Answer) -> None:
            self.send_response(found.status)
            self.send_header("Content-Type", found.content_type)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
            """Says nothing: a scrape is no event."""

    connections = Connections()
    server = BoundedServer((address, port), Handler, connections)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.5}, daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


class Connections:
    """The open connections, the oldest first, and what each did: it asked for nothing yet, or for a probe or a scrape."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: dict[socket, float] = {}
        self._asked: dict[socket, bool] = {}

    def open(self, connection: socket, now: float) -> bool:
        """Takes a place, if need be that of the caller that waits longest without a request; returns whether there was one."""
        with self._lock:
            if len(self._opened) >= AT_ONCE:
                silent = next((each for each in self._opened if each not in self._asked), None)
                if silent is None:
                    return False
                self._end(silent)
            self._opened[connection] = now
            return True

    def ask(self, connection: socket, *, scrape: bool) -> bool:
        """Notes what a caller asked for; returns False when all places of scrapes are taken."""
        with self._lock:
            if scrape and sum(self._asked.values()) >= SCRAPES:
                return False
            if connection in self._opened:
                self._asked[connection] = scrape
            return True

    def close(self, connection: socket) -> None:
        with self._lock:
            self._opened.pop(connection, None)
            self._asked.pop(connection, None)

    def end_old(self, now: float) -> None:
        """Ends the connections whose time is over. They keep their places until their threads notice."""
        with self._lock:
            for connection in [each for each, opened in self._opened.items() if now - opened > LIFETIME]:
                _shut(connection)

    def _end(self, connection: socket) -> None:
        del self._opened[connection]
        _shut(connection)


def _shut(connection: socket) -> None:
    """Makes the thread of a connection fail at its next read or write, also at one that it is in."""
    with suppress(OSError):
        connection.shutdown(SHUT_RDWR)


class BoundedServer(ThreadingHTTPServer):
    """An HTTP server with a bounded number of connections, each for a bounded time."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], connections: Connections) -> None:
        super().__init__(address, handler)
        self._connections = connections

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._connections.open(request, time.monotonic()):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.close(request)

    def service_actions(self) -> None:
        """Is called by the server's loop, twice in a second."""
        self._connections.end_old(time.monotonic())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: a caller that goes away in the middle is no fault of the daemon."""
