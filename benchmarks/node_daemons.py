"""Measures what the daemons of a node cost: CPU and memory of the metrics agent and of the log shipper, idle and at work.

The metrics agent reads control groups that the kernel made for this, so it needs root. Lines are written as a runtime writes
them, by a process beside the shipper.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.goals import Figure, at_most
from benchmarks.progress import Say
from pincompute.region.nodes import cgroups

CONTAINERS = 100
RATE = 10_000_000  # bytes of log in a second
BURSTS = 20  # of lines in a second
SECONDS = 10.0  # of one measurement
SCRAPES = 10
GROUP = "/pincompute-benchmark-daemons"
POD = "0f8fad5b-d9cb-469f-a165-{:012d}"
TICKS = os.sysconf("SC_CLK_TCK")

LINES = """
import sys, time
from pathlib import Path
pods, rate, bursts, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
files = [file.open("ab", buffering=0) for file in sorted(pods.glob("*/*/0.log"))]
began = time.monotonic()
for burst in range(int(seconds * bursts)):
    for number, file in enumerate(files):
        line = b"2026-11-30T21:00:00.%09dZ stdout F %s\\n" % (burst * len(files) + number, b"x" * 160)
        file.write(line * (rate // bursts // len(files) // len(line)))
    time.sleep(max(0.0, began + (burst + 1) / bursts - time.monotonic()))
"""


async def run(_options: BenchmarkOptions, say: Say) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        return [*await _metrics_agent(Path(folder), say), *await _log_shipper(Path(folder), say)]


async def _metrics_agent(folder: Path, say: Say) -> list[Figure]:
    say(f"the metrics agent, {CONTAINERS} containers")
    links = folder / "links"
    links.mkdir()
    for number in range(CONTAINERS):
        cgroups.ensure(f"{GROUP}/kubepods/burstable/pod{POD.format(number)}/{number:064x}")
        (links / f"web-{number}_shop_main-{number:064x}.log").symlink_to("/nowhere")
    try:
        options = (
            "--proc=/proc",
            f"--cgroups={cgroups.ROOT}",
            f"--cgroup-root={GROUP}",
            f"--containers={links}",
            "--filesystem=/",
        )
        async with _daemon("metrics_agent", *options) as (pid, port):
            idle = await _cpu(pid, SECONDS)
            resting = _memory(pid)
            before, began = _ticks(pid), time.monotonic()
            for _ in range(SCRAPES):
                text = await _metrics(port)
            seconds = (time.monotonic() - began) / SCRAPES
            cpu = (_ticks(pid) - before) / TICKS / SCRAPES
            return [
                Figure("metrics agent idle, CPU", round(100 * idle, 2), "% of a CPU", at_most(0.5)),
                Figure("metrics agent idle, memory", resting, "MB", at_most(40)),
                Figure("metrics agent, one scrape", round(1000 * seconds, 1), "ms", note=f"{len(text.splitlines())} lines"),
                Figure("metrics agent, CPU of one scrape", round(1000 * cpu, 1), "ms", at_most(200)),
                Figure("metrics agent, memory after scrapes", _memory(pid), "MB", at_most(64)),
            ]
    finally:
        cgroups.remove(GROUP)


async def _log_shipper(folder: Path, say: Say) -> list[Figure]:
    say(f"the log shipper, {RATE // 1_000_000} MB/s of {CONTAINERS} containers")
    pods, output = folder / "pods", folder / "projects"
    for number in range(CONTAINERS):
        log = pods / f"shop_web-{number}_{POD.format(number)}" / "main" / "0.log"
        log.parent.mkdir(parents=True)
        log.write_bytes(b"2026-11-30T20:00:00.%09dZ stdout F begins\n" % number)
    sizes = (
        "--max-file-size=10Mi",
        "--max-container-size=50Mi",
        "--max-project-size=200Mi",
        "--max-total-size=1Gi",
        "--min-free=1",
    )
    async with _daemon("log_shipper", f"--source={pods}", f"--output={output}", *sizes) as (pid, port):
        await asyncio.sleep(3)
        idle, resting = await _cpu(pid, SECONDS), _memory(pid)
        before = _ticks(pid)
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", LINES, str(pods), str(RATE), str(BURSTS), str(SECONDS)
        )
        await writer.wait()
        written, began = sum(file.stat().st_size for file in pods.glob("*/*/0.log")), time.monotonic()
        await _shipped(port, written)
        behind = time.monotonic() - began
        cpu = (_ticks(pid) - before) / TICKS / (written / 1e6)
        return [
            Figure("log shipper idle, CPU", round(100 * idle, 2), "% of a CPU", at_most(2)),
            Figure("log shipper idle, memory", resting, "MB", at_most(40)),
            Figure("log shipper, CPU of one MB", round(1000 * cpu, 2), "ms", at_most(30), f"{written / 1e6:.0f} MB"),
            Figure("log shipper, seconds behind at the end", round(behind, 2), "s", at_most(3)),
            Figure("log shipper at work, memory", _memory(pid), "MB", at_most(64)),
        ]


@asynccontextmanager
async def _daemon(package: str, *options: str) -> AsyncGenerator[tuple[int, int]]:
    """Runs a daemon of this checkout; yields its process and its port."""
    command = (sys.executable, "-m", f"pincompute.daemons.{package}", "--listen=127.0.0.1:0", *options)
    daemon = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert daemon.stdout is not None
        line = await daemon.stdout.readline()
        yield daemon.pid, int(line.decode().rpartition(":")[2])
    finally:
        daemon.send_signal(signal.SIGTERM)
        await daemon.wait()


async def _metrics(port: int) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        return await answer.text()


async def _shipped(port: int, written: int) -> None:
    """Returns when the shipper has written so many bytes."""
    while True:
        if _value(await _metrics(port), "shipped_bytes_total") >= written:
            return
        await asyncio.sleep(0.05)


def _value(text: str, name: str) -> float:
    return sum(
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"pincompute_log_shipper_{name}{{")
    )


async def _cpu(pid: int, seconds: float) -> float:
    """Returns the part of a CPU that the process takes over some seconds."""
    before, began = _ticks(pid), time.monotonic()
    await asyncio.sleep(seconds)
    return (_ticks(pid) - before) / TICKS / (time.monotonic() - began)


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def _memory(pid: int) -> float:
    """Returns the resident memory in MB."""
    return round(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
