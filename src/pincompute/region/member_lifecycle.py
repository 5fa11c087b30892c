"""Adds and removes members while the region runs. Removal moves the work first. A repeated command continues."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import msgspec

from pincompute.api import conditions
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import NotFound
from pincompute.region import home, lifecycle, provisioning
from pincompute.region.cluster import manifest_installer, member_registration
from pincompute.region.cluster.manifest_installer import Installer
from pincompute.region.layout import MAX_MEMBERS, Layout, MemberSpec
from pincompute.region.machine import leftovers
from pincompute.region.nodes import simulated_nodes
from pincompute.region.process.program_states import ProgramStates
from pincompute.region.progress import Progress
from pincompute.region.provisioning import RunningRegion
from pincompute.region.region_error import RegionError

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LONGEST = 15  # characters: the name is part of link, namespace and pod names
JOINING = 120.0  # seconds a new member has to take work
MOVING = 600.0  # seconds the work of a member has to move


def add(place: Path, name: str, zone: str, progress: Progress) -> None:
    """A new cluster with its node, registered when it can take work."""
    check_label("--name", name)
    check_label("--zone", zone)
    with home.changing(place):
        layout = lifecycle.running(place)
        grown = layout_with(layout, name, zone)
        programs = lifecycle.find_binaries(progress, lifecycle.extra_components(grown))
        lifecycle.apply(grown, programs)
        asyncio.run(_provision(RunningRegion(grown, programs, ProgramStates(place, progress), progress), name))
        progress.say(f"member {name} in zone {zone} is part of the region")


def remove(place: Path, name: str, progress: Progress) -> None:
    """Work moves to other members, then the cluster and all it had are gone."""
    with home.changing(place):
        layout = lifecycle.running(place)
        leaving = member(layout, name)
        if len(layout.spec.members) == 1:
            raise RegionError(f"{name} is the last member: `pincompute region down` ends the whole region")
        progress.say(f"moving the work of {name} to other members")
        asyncio.run(_unregister(layout, leaving))
        kept = tuple(m for m in layout.spec.members if m != leaving)
        shrunk = Layout(place, msgspec.structs.replace(layout.spec, members=kept))
        lifecycle.apply(shrunk, lifecycle.find_binaries(progress, lifecycle.extra_components(shrunk)))
        leftovers.remove_node(layout, leaving)
        for folder in (layout.cluster_dir(name), layout.node_dir(leaving), layout.pki / name):
            shutil.rmtree(folder, ignore_errors=True)
        progress.say(f"member {name} is gone")


def add_nodes(place: Path, name: str, count: int, progress: Progress) -> None:
    """So many simulated nodes beside what the member has. Recorded first, so that `up` completes what was interrupted."""
    with home.changing(place):
        layout = lifecycle.running(place)
        chosen = member(layout, name)
        grown = msgspec.structs.replace(chosen, simulated_nodes=layout.simulated_nodes(chosen) + count)
        members = tuple(grown if m == chosen else m for m in layout.spec.members)
        wanted = Layout(place, msgspec.structs.replace(layout.spec, members=members))
        lifecycle.apply(wanted, lifecycle.find_binaries(progress, lifecycle.extra_components(wanted)))
        asyncio.run(_create_nodes(wanted, grown))
        progress.say(f"member {name} has {grown.simulated_nodes} simulated nodes")


def layout_with(layout: Layout, name: str, zone: str) -> Layout:
    """The layout with one more member; the same one when it is there already. An index is used again only when none is left."""
    members = layout.spec.members
    same = next((m for m in members if m.name == name), None)
    if same is not None and same.zone == zone:
        return layout
    if same is not None or name == HOST:
        taken = f"is member of zone {same.zone}" if same else "is the host cluster"
        raise RegionError(f"--name {name}: already taken, it {taken}; choose another name")
    highest = max(m.index for m in members)
    free = [i for i in (*range(highest + 1, MAX_MEMBERS), *range(highest)) if i not in {m.index for m in members}]
    if not free:
        raise RegionError(f"the region has {MAX_MEMBERS} members, which is as many as fit: remove one first")
    added = (*members, MemberSpec(name=name, zone=zone, index=free[0]))
    return Layout(layout.home, msgspec.structs.replace(layout.spec, members=added))


def member(layout: Layout, name: str) -> MemberSpec:
    found = next((m for m in layout.spec.members if m.name == name), None)
    if found is None:
        known = ", ".join(m.name for m in layout.spec.members)
        raise RegionError(f"no member is called {name!r}: expected one of {known}")
    return found


def check_label(option: str, value: str) -> None:
    if len(value) > LONGEST or not LABEL.fullmatch(value):
        raise RegionError(
            f"{option} {value!r}: expected at most {LONGEST} lower-case letters, digits and hyphens, no hyphen at either end"
        )


async def _provision(region: RunningRegion, name: str) -> None:
    added = member(region.layout, name)
    async with asyncio.TaskGroup() as tasks:
        polling = tasks.create_task(region.states.poll())
        await provisioning.provision_member(region, added)
        if region.layout.spec.daemons:
            await provisioning.grant(region.layout, added, daemons=True)
        if region.layout.spec.real_nodes:
            await region.states.ready(f"{name}-node")
        async with manifest_installer.client(region.layout.kubeconfig, HOST) as client:
            await provisioning.register(region.layout, added, Installer(client))
            await _taking_work(client, name)
        polling.cancel()


async def _taking_work(host: ApiClient, name: str) -> None:
    """Return when the host trusts the member and knows a node of it: what is submitted next may land there."""
    try:
        async with asyncio.timeout(JOINING):
            while True:
                status = (await host.get(MEMBERCLUSTERS, Key("", name))).status
                if conditions.is_true(status.conditions, "Ready") and status.capacity and status.capacity.ready_nodes:
                    return
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise RegionError(
            f"{name} is registered but takes no work after {JOINING:g} s: "
            f"`pincompute region kubectl --context host describe membercluster {name}` "
            f"and `pincompute region logs {name}-node` say why; repeat this command when that is solved"
        ) from None


async def _unregister(layout: Layout, leaving: MemberSpec) -> None:
    """Delete the MemberCluster; federation holds it by a finalizer until nothing runs there any more (S-007)."""
    async with manifest_installer.client(layout.kubeconfig, HOST) as client:
        host = Installer(client)
        await host.delete(member_registration.member_cluster(leaving))
        try:
            async with asyncio.timeout(MOVING):
                await _gone(client, leaving.name)
        except TimeoutError:
            raise RegionError(
                f"the work of {leaving.name} has not moved within {MOVING:g} s: "
                f"`pincompute region kubectl --context host describe membercluster {leaving.name}` "
                f"says what blocks it; the member stays until you repeat this command"
            ) from None
        for secret in member_registration.secrets(leaving):
            await host.delete(secret)


async def _gone(client: ApiClient, name: str) -> None:
    try:
        while True:
            await client.get(MEMBERCLUSTERS, Key("", name))
            await asyncio.sleep(0.2)
    except NotFound:
        return


async def _create_nodes(layout: Layout, chosen: MemberSpec) -> None:
    async with manifest_installer.client(layout.kubeconfig, chosen.name) as client:
        await simulated_nodes.provide(Installer(client), chosen, layout.simulated_nodes(chosen))
