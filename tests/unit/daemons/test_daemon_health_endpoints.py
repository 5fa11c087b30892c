"""The port of a daemon answers probes whatever its other callers do."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

from pincompute.daemons import health_endpoints

pytestmark = pytest.mark.served


@contextmanager
def server(*collectors: Collector, missing: str = "") -> Generator[int]:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    with health_endpoints.serve(registry, "127.0.0.1", 0, lambda: missing) as port:
        yield port


def status(port: int, path: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as found:
            return found.status
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def test_paths_have_their_answers():
    with server(missing="the disk") as port:
        assert {path: status(port, path) for path in ("/livez", "/readyz", "/metrics", "/other")} == {
            "/livez": 200,
            "/readyz": 503,
            "/metrics": 200,
            "/other": 404,
        }


def test_callers_that_send_no_whole_request_keep_no_probe_from_its_answer():
    with server() as port, ExitStack() as opened:
        for _ in range(3 * health_endpoints.AT_ONCE):
            silent = opened.enter_context(connect(port))
            silent.sendall(b"GET /livez HTTP/1.1\r\nX-Slow: ")
        assert [status(port, path) for path in ("/livez", "/readyz", "/metrics")] == [200, 200, 200]


class SlowScrape(Collector):
    """A scrape that lasts until it may end."""

    def __init__(self) -> None:
        self.running = threading.Semaphore(0)
        self.may_end = threading.Event()

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        self.running.release()
        self.may_end.wait(10)
        return iter(())


def test_scrapes_leave_places_for_probes():
    scrape = SlowScrape()
    with server(scrape) as port, ExitStack() as opened:
        for _ in range(health_endpoints.SCRAPES):
            opened.enter_context(connect(port)).sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert scrape.running.acquire(timeout=10)
        assert [status(port, path) for path in ("/livez", "/readyz", "/metrics")] == [200, 200, 503]
        scrape.may_end.set()


def test_a_connection_ends_after_its_time_however_busy_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health_endpoints, "LIFETIME", 0.6)
    with server() as port, connect(port) as caller:
        until, ended = time.monotonic() + 10, False
        while not ended and time.monotonic() < until:
            time.sleep(0.1)
            ended = not _takes_a_byte(caller)
        assert ended


def _takes_a_byte(caller: socket.socket) -> bool:
    try:
        return caller.send(b"G") == 1
    except (ConnectionResetError, BrokenPipeError):
        return False
