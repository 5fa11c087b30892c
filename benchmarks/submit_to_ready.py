"""Measures from the POST of a PinApp on the host to `phase: Running` in its status there.

Everything runs: operators, schedulers and controller managers in two members, and KWOK nodes, whose pods are ready at once; so
this is the time of the platform and of Kubernetes, without any container's start.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks import offered_load, resource_costs
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.benchmark_region import PROJECT, BenchmarkRegion, everything, region
from benchmarks.goals import Figure, at_least, at_most, latencies, middle
from benchmarks.progress import Say
from benchmarks.resource_costs import ServedRequests
from benchmarks.watch_arrivals import watching
from pincompute.api.labels import HOST
from pincompute.api.meta import Key
from pincompute.api.workloads import PINAPPS, PinApp
from pincompute.region import region_programs

NODES = 15  # simulated, per member; each takes 110 pods
WARM_UP = 10
SEQUENTIAL = 40
BURST = 1000
REPLICAS = 2  # one in each member
MEMBER_KINDS = ("pinappshards", "pods")
SETTLE = 5.0  # seconds in which writes that come after `Running` are still counted


async def run(_options: BenchmarkOptions, say: Say) -> list[Figure]:
    async with region(say, everything, simulated_nodes=NODES) as made:
        await _capacity(made)
        await _sequential(made, "warm", WARM_UP)
        say(f"{SEQUENTIAL} apps, one after the other")
        figures = await _sequential(made, "seq", SEQUENTIAL)
        say(f"burst of {BURST:,} apps of {REPLICAS} replicas")
        return figures + await _burst(made)


def running(_kind: str, app: Any) -> bool:
    return isinstance(app, PinApp) and app.status.phase == "Running" and app.status.observed_generation == 1


async def _capacity(made: BenchmarkRegion) -> None:
    """Until the federation has heard of the members' room: a first app runs."""
    async with watching(made.host, PINAPPS, PROJECT, running) as arrivals:
        await offered_load.submit(made.host, offered_load.app("first", REPLICAS))
        await arrivals.have(1)


async def _sequential(made: BenchmarkRegion, prefix: str, count: int) -> list[Figure]:
    before, taken = await resource_costs.served(made.host), list[float]()
    async with watching(made.host, PINAPPS, PROJECT, running) as arrivals:
        for name in offered_load.names(prefix, count):
            key = Key(PROJECT, name)
            began = await offered_load.submit(made.host, offered_load.app(name, REPLICAS))
            await arrivals.until(lambda wanted=key: wanted in arrivals.at)
            taken.append(arrivals.at[key] - began)
        await asyncio.sleep(SETTLE)
    did = await resource_costs.served(made.host) - before
    return [
        *latencies("one at a time", taken, {}, "POST to phase Running on the host"),
        _writes("one at a time", did, count),
    ]


def _writes(title: str, did: ServedRequests, count: int) -> Figure:
    plural = PINAPPS.plural
    value = round(did.writes(plural) / count, 2)
    return Figure(f"{title}, host writes", value, "per app", at_most(3.1), did.listed(plural))


def _reads(did: ServedRequests) -> float:
    return round(did.reads(*MEMBER_KINDS) / BURST, 2)


async def _burst(made: BenchmarkRegion) -> list[Figure]:
    pids = made.pids()
    before, cpu = await resource_costs.served(made.host), resource_costs.cpu(pids)
    member = made.clients[made.members[0]]
    there = await resource_costs.served(member)
    async with watching(made.host, PINAPPS, PROJECT, running) as arrivals:
        began = time.monotonic()
        sent = await offered_load.submit_all(
            made.host, (offered_load.app(n, REPLICAS) for n in offered_load.names("burst", BURST))
        )
        submitted = time.monotonic() - began
        await arrivals.until(lambda: sent.keys() <= arrivals.at.keys())
        seconds = time.monotonic() - began
        spent = resource_costs.spent(cpu, resource_costs.cpu(pids))
        await asyncio.sleep(SETTLE)
    did = await resource_costs.served(made.host) - before
    in_member = await resource_costs.served(member) - there
    waits = [arrivals.at[key] - at for key, at in sent.items()]
    title = f"burst of {BURST:,}"
    return [
        Figure(
            f"{title}, ready on the host",
            round(BURST / seconds, 1),
            "apps/s",
            at_least(80),
            f"{REPLICAS} replicas each; {seconds:.1f} s, the submits alone {submitted:.1f} s",
        ),
        *latencies(title, waits, {}, "POST to phase Running"),
        _writes(title, did, BURST),
        Figure(f"{title}, host reads", round(did.reads(PINAPPS.plural) / BURST, 2), "per app", at_most(0.5)),
        Figure(f"{title}, reads in a member", _reads(in_member), "per app", at_most(1), "shards by name, and lists of pods"),
        Figure(
            f"{title}, writes in a member",
            round(in_member.writes(*MEMBER_KINDS) / BURST, 2),
            "per app",
            None,
            in_member.listed(*MEMBER_KINDS),
        ),
        Figure(f"{title}, 409s", round(100 * did.conflicts(PINAPPS.plural) / did.writes(PINAPPS.plural), 2), "%", at_most(1)),
        Figure(f"{title}, CPU of host API server", _each(spent[f"{HOST}-apiserver"]), "ms/app", at_most(15)),
        Figure(f"{title}, CPU of federation", _each(spent[region_programs.FEDERATION]), "ms/app"),
        Figure(f"{title}, CPU of an operator", _each(middle([spent[f"{m}-operator"] for m in made.members])), "ms/app"),
        Figure(f"{title}, CPU of everything", _each(sum(spent.values())), "ms/app", None, resource_costs.busiest(spent)),
    ]


def _each(seconds: float) -> float:
    return round(1000 * seconds / BURST, 1)
