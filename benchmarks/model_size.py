"""Compares the size of the simple form with that of the objects that the API server holds.

Every size is of compact JSON. Beside the raw object stands the one without managedFields, which may be most of it, so that
the comparison is not won by leaving out what nobody reads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import yaml

from benchmarks import offered_load
from benchmarks.benchmark_options import BenchmarkOptions
from benchmarks.benchmark_region import PROJECT, everything, region
from benchmarks.goals import Figure, at_most, middle
from benchmarks.progress import Say
from benchmarks.submit_to_ready import running
from benchmarks.watch_arrivals import watching
from pincompute.api.meta import Manifest
from pincompute.api.workloads import PINAPPS
from pincompute.gateway.model import APP
from pincompute.region import bundled_folders

APPS = 20  # of the usual size, beside the example
NODES = 5  # simulated, per member
MOST = 0.5  # of the raw object


async def run(_options: BenchmarkOptions, say: Say) -> list[Figure]:
    async with region(say, everything, simulated_nodes=NODES) as made:
        say(f"{APPS} apps and the example, until they run")
        async with watching(made.host, PINAPPS, PROJECT, running) as arrivals:
            await offered_load.submit_all(
                made.host, [_example(), *(offered_load.app(name, 6) for name in offered_load.names("size", APPS))]
            )
            await arrivals.have(APPS + 1)
        listed: Manifest = msgspec.json.decode(await made.host.request("GET", PINAPPS.path(PROJECT)))
    return [
        _figure("raw object", listed["items"], lambda raw: raw, "as the API server gives it"),
        _figure("object without managedFields", listed["items"], _unmanaged, "so are the gateway's full objects"),
    ]


def _example() -> Manifest:
    text = (bundled_folders.folder("examples") / "hello" / "app.yaml").read_text("utf-8")
    example: Manifest = yaml.safe_load(text)
    return {**example, "metadata": {**example["metadata"], "namespace": PROJECT}}


def _unmanaged(raw: Manifest) -> Manifest:
    return {**raw, "metadata": {name: part for name, part in raw["metadata"].items() if name != "managedFields"}}


def _figure(name: str, objects: list[Any], compared: Callable[[Manifest], Manifest], note: str) -> Figure:
    sizes = [(len(_simple(raw)), len(msgspec.json.encode(compared(raw)))) for raw in objects]
    shares = [simple / whole for simple, whole in sizes]
    usual = f"{middle([s for s, _ in sizes], 0):.0f} of {middle([w for _, w in sizes], 0):.0f} bytes, {max(shares):.2f} at most"
    return Figure(f"simple form / {name}", middle(shares), "", at_most(MOST), f"{note}; {usual}")


def _simple(raw: Manifest) -> bytes:
    return msgspec.json.encode(APP.to_simple(msgspec.convert(raw, PINAPPS.type)))
