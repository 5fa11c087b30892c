"""Runs a region for one benchmark: a home in a temporary folder, simulated nodes, gone when the block ends.

The programs are those of the product, with the product's settings; a benchmark chooses which of them run, so that, say,
propagation is measured without operators. Everything is on loopback; nothing of the machine's network is touched.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from benchmarks.progress import Say
from pincompute import installation
from pincompute.api.labels import HOST
from pincompute.api.meta import Manifest
from pincompute.kube import kubeconfig
from pincompute.kube.api_client import ApiClient
from pincompute.region import atomic_files, gateway_programs, home, lifecycle, provisioning, region_programs, slot_claims
from pincompute.region.cluster import certificates, secret_encryption, service_account_tokens
from pincompute.region.cluster.manifest_installer import Installer
from pincompute.region.layout import Layout, MemberSpec, RegionSpec
from pincompute.region.machine import port_conflicts
from pincompute.region.nodes import simulated_nodes
from pincompute.region.process import readiness_probes, region_processes, supervisor_socket
from pincompute.region.process.program import Program
from pincompute.region.progress import Progress

PROJECT = "bench"
START = 180.0  # seconds a program has to get ready on a busy machine
Wanted = Callable[[Program], bool]


@dataclass(frozen=True, slots=True)
class BenchmarkRegion:
    """The region while it runs. `clients` are an administrator's, one per cluster, without a rate limit that matters."""

    layout: Layout
    binaries: Path
    clients: dict[str, ApiClient]
    say: Say

    @property
    def host(self) -> ApiClient:
        return self.clients[HOST]

    @property
    def members(self) -> tuple[str, ...]:
        return tuple(m.name for m in self.layout.spec.members)

    def programs(self) -> tuple[Program, ...]:
        """All that a region of this layout would run."""
        return region_programs.programs(self.layout, self.binaries)

    async def run(self, programs: Iterable[Program]) -> None:
        """Have exactly these programs running; returns when all are ready."""
        wanted = tuple(programs)
        atomic_files.write(self.layout.home / supervisor_socket.PROGRAMS, msgspec.json.format(msgspec.json.encode(wanted)))
        await asyncio.to_thread(lifecycle.supervise, self.layout.home)
        async with asyncio.timeout(START):
            for program in wanted:
                await _ready(program)

    def pids(self) -> dict[str, int]:
        """Process ids by program."""
        return {p.program: p.pid for p in region_processes.of_home(self.layout.home) if p.leader and p.program != "supervisor"}


async def _ready(program: Program) -> None:
    for _ in itertools.count():
        if program.ready is None or not await readiness_probes.obstacle(program.ready):
            return
        await asyncio.sleep(0.05)


@asynccontextmanager
async def region(say: Say, wanted: Wanted, *, members: int = 2, simulated_nodes: int = 0) -> AsyncGenerator[BenchmarkRegion]:
    """Host and members with the wanted programs, definitions installed, members registered, the project prepared."""
    place = _folder()
    progress = Progress(say.console)
    home.create(place)
    spec = RegionSpec(
        slot=slot_claims.claim(place, slot_claims.directory()),
        members=tuple(MemberSpec(name=f"{zone}1", zone=zone, index=n) for n, zone in enumerate("abcdefgh"[:members])),
        real_nodes=False,
        simulated_nodes=simulated_nodes,
    )
    layout = Layout(place, spec)
    try:
        home.save(layout)
        binaries = await asyncio.to_thread(lifecycle.find_binaries, progress, lifecycle.extra_components(layout))
        await asyncio.to_thread(_prepare, layout, binaries)
        async with AsyncExitStack() as stack:
            clients = {n: await stack.enter_async_context(_client(layout, n)) for n in region_programs.clusters(layout)}
            made = BenchmarkRegion(layout, binaries, clients, say)
            say(f"starting {1 + members} clusters")
            await _fill(made, wanted)
            yield made
    finally:
        await asyncio.to_thread(lifecycle.end_programs, place)
        slot_claims.release(place, spec.slot, slot_claims.directory())
        shutil.rmtree(place, ignore_errors=True)


def control_planes(program: Program) -> bool:
    """Host and members without whatever makes pods: no operators, nodes, schedulers or member controllers."""
    return program.name in (region_programs.FEDERATION, "host-controller-manager") or program.name.endswith(
        ("-etcd", "-apiserver")
    )


def everything(program: Program) -> bool:
    """All but the registry and DNS, which simulated pods have no use for, and the gateway, because there are no users."""
    return program.name not in ("registry", gateway_programs.GATEWAY, gateway_programs.ISSUER) and not program.name.endswith(
        "-coredns"
    )


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="pincompute-benchmark-")).resolve()


def _prepare(layout: Layout, binaries: Path) -> None:
    certificates.issue(layout, datetime.now(UTC))
    secret_encryption.issue(layout)
    port_conflicts.check(port_conflicts.wanted(layout), layout.home)
    for path, data in region_programs.configuration(layout, binaries).items():
        atomic_files.write(path, data)


def _client(layout: Layout, cluster: str) -> ApiClient:
    return ApiClient(kubeconfig.load(layout.kubeconfig, cluster), name=cluster, user_agent="benchmark", qps=1e6, burst=1e6)


async def _fill(made: BenchmarkRegion, wanted: Wanted) -> None:
    """API servers first, then what they must hold, then our own processes."""
    programs = tuple(p for p in made.programs() if wanted(p))
    kubernetes = tuple(p for p in programs if not _ours(p) and not p.name.endswith("-kwok"))
    await made.run(kubernetes)
    made.say("installing definitions")
    async with asyncio.TaskGroup() as tasks:
        for cluster, client in made.clients.items():
            role = "host" if cluster == HOST else "member"
            tasks.create_task(Installer(client).apply_all([*installation.of(role), *simulated_nodes.manifests()]))
    for cluster, client in made.clients.items():
        await service_account_tokens.issue(client, made.layout, cluster)
    await made.run(programs)
    await _register(made)


def _ours(program: Program) -> bool:
    return program.name == region_programs.FEDERATION or program.name.endswith("-operator")


async def _register(made: BenchmarkRegion) -> None:
    host = Installer(made.host)
    for member in made.layout.spec.members:
        client = Installer(made.clients[member.name])
        for manifest in simulated_nodes.nodes(member, made.layout.simulated_nodes(member)):
            await client.create_once(manifest)
        await provisioning.register(made.layout, member, host)
    await host.apply(project(PROJECT))
    namespace: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PROJECT}}
    async with asyncio.timeout(START):
        for client in made.clients.values():
            await Installer(client).appeared(namespace)


def project(name: str) -> Manifest:
    return {
        "apiVersion": "pincompute.io/v1alpha1",
        "kind": "Project",
        "metadata": {"name": name},
        "spec": {"description": "benchmarks"},
    }
