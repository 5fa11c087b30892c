"""What a region holds once its programs run: definitions, members, images, the demo project and examples/hello.

Clusters are filled side by side, each as soon as its API server is ready.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from pincompute.api.labels import HOST
from pincompute.kube.transport import Client
from pincompute.region import assembly, demo, dns, gateway, image, install, manifests, node, platform, registry, simulated
from pincompute.region.errors import RegionError
from pincompute.region.install import Installer
from pincompute.region.layout import Layout, Member
from pincompute.region.progress import Progress
from pincompute.region.watch import Watch

PAUSE = Path(__file__).parent / "pause"
PREPARING = 60.0  # seconds federation has to prepare a project


@dataclass(frozen=True, slots=True)
class Cluster:
    """The clusters of a region while they are filled."""

    layout: Layout
    binaries: Path
    watch: Watch
    progress: Progress


async def populate(region: Cluster, *, example: bool) -> list[demo.Answer]:
    """Fill every cluster; with the example, wait until it answers."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_fill_host(region, example=example))
        tasks.create_task(_push_images(region))
        for program in (gateway.GATEWAY, gateway.ISSUER):
            tasks.create_task(region.watch.ready(program))
        for member in region.layout.spec.members:
            tasks.create_task(fill_member(region, member))
    region.progress.say("definitions, members and images are in place")
    if not example:
        return []
    return await _see_answers(region)


async def fill_member(region: Cluster, member: Member) -> None:
    """Everything a member holds before work comes."""
    wanted = [
        *await asyncio.to_thread(platform.definitions, "member"),
        *dns.manifests(region.layout, 1 + member.index),
        *simulated.manifests(),
    ]
    await region.watch.ready(f"{member.name}-apiserver")
    async with install.client(region.layout.kubeconfig, member.name) as client:
        installer = Installer(client)
        await installer.apply_all(wanted)
        for manifest in simulated.nodes(member, region.layout.simulated_nodes(member)):
            await installer.create_once(manifest)


async def register(layout: Layout, member: Member, host: Installer) -> None:
    """Tell the host of a member."""
    for manifest in manifests.membership(layout, member):
        await host.apply(manifest)


async def _fill_host(region: Cluster, *, example: bool) -> None:
    definitions = await asyncio.to_thread(platform.definitions, "host")
    await region.watch.ready(f"{HOST}-apiserver")
    async with install.client(region.layout.kubeconfig, HOST) as client:
        host = Installer(client)
        await host.apply_all(definitions)
        for member in region.layout.spec.members:
            await register(region.layout, member, host)
        if example:
            await host.create_once(manifests.demo_project())
            await _create_example(region.layout, client, host)


async def _create_example(layout: Layout, client: Client, host: Installer) -> None:
    """When its project is prepared and every member takes work: or it would be placed on the first ones and then moved."""
    if await demo.exists(client):
        return
    project = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": manifests.DEMO}}
    try:
        async with asyncio.timeout(PREPARING):
            await host.appeared(project)
            for member in layout.spec.members:
                await demo.takes_work(client, member)
    except TimeoutError:
        raise RegionError(
            f"project {manifests.DEMO} or a member was not prepared within {PREPARING:g} s: `kubectl --context host get "
            f"projects,memberclusters` names what is missing; see also `pincompute region logs {assembly.FEDERATION}`"
        ) from None
    await host.create_once(demo.app())


async def _push_images(region: Cluster) -> None:
    if not region.layout.spec.real_nodes:
        return
    await region.watch.ready(registry.NAME)
    for folder, tag in ((PAUSE, node.PAUSE), (demo.image_folder(), demo.IMAGE)):
        await asyncio.to_thread(image.build, folder, tag, region.layout.registry, region.binaries)


async def _see_answers(region: Cluster) -> list[demo.Answer]:
    layout = region.layout
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(install.client(layout.kubeconfig, HOST))
        if not layout.spec.real_nodes:
            await demo.placed(host)
            region.progress.say("examples/hello is ready on simulated nodes; they run nothing, so nothing answers")
            return []
        members = {
            member: await stack.enter_async_context(install.client(layout.kubeconfig, member.name))
            for member in layout.spec.members
        }
        return await demo.answers(host, members)
