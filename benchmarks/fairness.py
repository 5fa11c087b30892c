"""Runs a client that lists everything in 50 loops beside a modest one, and measures the modest one.

The limits are those that are installed, and the loops have been going on for a moment. The greedy one does not wait when it
is told to; it is a process of its own on the same cores, so what is measured contains its own cost. Each has a project of its
own.
"""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field

import aiohttp
import msgspec

from benchmarks import offered_load
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion, control_planes, project, region
from benchmarks.compared_servers import ComparedServer, sides
from benchmarks.gateway_load import LoadResult
from benchmarks.goals import Figure, at_most, middle, percentile
from benchmarks.progress import Say
from pincompute.region import gateway_programs
from pincompute.region.cluster.manifest_installer import Installer

APPS = 1000  # of the greedy one's project
LOOPS = 50
QUIET = "quiet"  # the other one's project
NAME = "app"
READ_EVERY, LIST_EVERY = 0.02, 0.5  # seconds; together 60 of the 100 tokens a second that a caller has
SECONDS = 6.0  # of a round
BEGIN = 2.0  # seconds in which the greedy one starts, connects and uses up what it has saved


async def run(options: BenchmarkOptions, say: Say) -> list[Figure]:
    async with region(say, control_planes, members=1) as made:
        await _found(made)
        await made.run(
            p for p in made.programs() if p.name.endswith(("-etcd", "-apiserver")) or p.name == gateway_programs.GATEWAY
        )
        say(f"{APPS:,} apps")
        await offered_load.submit_all(made.host, (offered_load.app(name, 2) for name in offered_load.names(NAME, APPS)))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
            greedy, quiet = await _callers(made, http)
            return _figures(await _rounds(greedy, quiet, http, options, say))


async def _found(made: BenchmarkRegion) -> None:
    """The quiet one's project, while the federation still runs."""
    host = Installer(made.host)
    await host.apply(project(QUIET))
    async with asyncio.timeout(60):
        await host.appeared({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": QUIET}})


@dataclass(slots=True)
class FairnessRounds:
    """P99 in seconds of what the quiet one asked, by itself and beside the greedy one; what the greedy one got."""

    alone: dict[str, list[float]] = field(default_factory=lambda: {"GET": [], "LIST": []})
    beside: dict[str, list[float]] = field(default_factory=lambda: {"GET": [], "LIST": []})
    seen: list[LoadResult] = field(default_factory=list)


async def _callers(made: BenchmarkRegion, http: aiohttp.ClientSession) -> tuple[ComparedServer, ComparedServer]:
    """Two service tokens, so two callers; the quiet one's project has one app."""
    greedy, _ = await sides(made, http)
    quiet, _ = await sides(made, http)
    app = {"kind": "App", "name": NAME, "replicas": 0, "containers": [{"name": "main", "image": "registry.example/hello:1"}]}
    place = quiet.url(f"/v1/projects/{QUIET}/apps")
    async with http.post(place, json=app, headers=quiet.headers, ssl=quiet.tls()) as answer:
        answer.raise_for_status()
    return greedy, quiet


async def _rounds(
    greedy: ComparedServer, quiet: ComparedServer, http: aiohttp.ClientSession, options: BenchmarkOptions, say: Say
) -> FairnessRounds:
    """In turns, so that a mood of the machine meets both."""
    found, tls = FairnessRounds(), quiet.tls()
    for number in range(options.rounds):
        say(f"round {number + 1} of {options.rounds}, {2 * SECONDS:g} s")
        _keep(found.alone, await _ask(quiet, tls, http))
        beside = asyncio.create_task(asyncio.to_thread(_list_everything, greedy))
        await asyncio.sleep(BEGIN)
        _keep(found.beside, await _ask(quiet, tls, http))
        found.seen.append(await beside)
    return found


def _keep(into: dict[str, list[float]], times: dict[str, list[float]]) -> None:
    for verb, values in times.items():
        into[verb].append(percentile(values, 99))


async def _ask(side: ComparedServer, tls: ssl.SSLContext, http: aiohttp.ClientSession) -> dict[str, list[float]]:
    """Seconds of every answer; a refusal is an error."""
    times: dict[str, list[float]] = {"GET": [], "LIST": []}
    end = time.monotonic() + SECONDS

    async def ask(verb: str, path: str) -> None:
        began = time.perf_counter()
        async with http.get(side.url(path), headers=side.headers, ssl=tls) as answer:
            answer.raise_for_status()
            await answer.read()
        times[verb].append(time.perf_counter() - began)

    async def pace(verb: str, path: str, every: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            while time.monotonic() < end:
                tasks.create_task(ask(verb, path))
                await asyncio.sleep(every)

    apps = f"/v1/projects/{QUIET}/apps"
    await asyncio.gather(pace("GET", f"{apps}/{NAME}", READ_EVERY), pace("LIST", apps, LIST_EVERY))
    return times


def _list_everything(side: ComparedServer) -> LoadResult:
    orders = side.orders(f"/v1/projects/{PROJECT}/apps", connections=LOOPS, seconds=BEGIN + SECONDS)
    command = (sys.executable, "-m", "benchmarks.gateway_load")
    done = subprocess.run(command, input=msgspec.json.encode(orders), stdout=subprocess.PIPE, check=True, timeout=60)
    return msgspec.json.decode(done.stdout, type=LoadResult)


def _figures(found: FairnessRounds) -> list[Figure]:
    figures: list[Figure] = []
    for verb in ("GET", "LIST"):
        alone, beside = 1000 * middle(found.alone[verb], 6), 1000 * middle(found.beside[verb], 6)
        figures += [
            Figure(f"{verb} P99, alone", round(alone, 1), "ms", None, "medians of rounds in turns"),
            Figure(f"{verb} P99, beside {LOOPS} loops", round(beside, 1), "ms"),
            Figure(f"{verb} P99, ratio", round(beside / alone, 2), "x", at_most(2)),
        ]
    lists = middle([seen.answers / seen.seconds for seen in found.seen])
    refused = middle([seen.refused / seen.seconds for seen in found.seen])
    return [*figures, Figure(f"lists of {APPS:,} the {LOOPS} loops got", lists, "/s", None, f"{refused:g} refused a second")]
