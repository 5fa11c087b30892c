"""Reads from the metrics of a region's processes how long their event loops were blocked."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import msgspec
from live_region import ANSWER, Region

from pincompute.region.process import supervisor_socket
from pincompute.region.process.program import HttpReady, Program

OURS = ("federation", "gateway")


def stalls(region: Region, program: str) -> int:
    """Times that the program's own code held its event loop up for more than 50 ms since it started.

    Told by its thread's own clock: what a busy machine keeps it from doing does not count.
    """
    return int(float(_figure(_metrics(region, program), "pincompute_loop_stalls_total")))


def longest(region: Region, program: str) -> float:
    """Seconds of the longest of them."""
    return float(_figure(_metrics(region, program), "pincompute_loop_longest_stall_seconds"))


@contextmanager
def no_stalls(region: Region, programs: Iterable[str] = OURS) -> Generator[None, None, None]:
    """No code of these holds its event loop up inside the block; the log of one that does names the place."""
    before = {program: stalls(region, program) for program in programs}
    yield
    found = {program: stalls(region, program) - count for program, count in before.items()}
    told = {program: f"{count} times, {longest(region, program):.3f} s at most" for program, count in found.items() if count}
    assert not told, f"event loops were held up: {told}; see `pincompute region logs`"


def _metrics(region: Region, program: str) -> str:
    wanted = msgspec.json.decode((region.home / supervisor_socket.PROGRAMS).read_bytes(), type=tuple[Program, ...])
    ready = next(p.ready for p in wanted if p.name == program)
    assert isinstance(ready, HttpReady), program
    with urllib.request.urlopen(ready.url.removesuffix("/readyz") + "/metrics", timeout=ANSWER) as answer:
        return answer.read().decode()


def _figure(metrics: str, name: str) -> str:
    found = re.search(rf'^{name}{{cause="computing"}} (\S+)$', metrics, re.MULTILINE)
    assert found is not None, f"{name} is not among the metrics"
    return found[1]
