"""Provisions a region whose programs run: definitions, members, images, the demo project and examples/hello.

Clusters are provisioned in parallel, each as soon as its API server is ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from pincompute.api import node_access, priority_and_fairness
from pincompute.api.labels import HOST
from pincompute.kube.api_client import ApiClient
from pincompute.region import example_app, gateway_programs, node_daemons, region_programs
from pincompute.region.cluster import (
    api_server_audit,
    cluster_dns,
    former_rights,
    manifest_installer,
    manifest_provider,
    member_registration,
    secret_encryption,
    service_account_tokens,
    update_type_conversion,
)
from pincompute.region.cluster.manifest_installer import Installer
from pincompute.region.images import administrator_registry, daemon_images, image_registry, platform_images
from pincompute.region.layout import Layout, MemberSpec
from pincompute.region.network_policy import enforcer_program
from pincompute.region.nodes import real_node, simulated_nodes
from pincompute.region.process.program_states import ProgramStates
from pincompute.region.progress import Progress
from pincompute.region.region_error import RegionError

PAUSE = Path(__file__).parent / "images" / "pause"
PREPARING = 60.0  # seconds federation has to prepare a project
GRANTS = f"{manifest_installer.FIELD_MANAGER}-daemons"  # manager of grants: definitions are applied without any


@dataclass(frozen=True, slots=True)
class RunningRegion:
    """The clusters of a region while they are provisioned."""

    layout: Layout
    binaries: Path
    states: ProgramStates
    progress: Progress


async def provision(region: RunningRegion, *, example: bool) -> list[example_app.ZoneAnswer]:
    """Provision every cluster; with the example, wait until it answers."""
    async with asyncio.TaskGroup() as tasks:
        members = {member: tasks.create_task(provision_member(region, member)) for member in region.layout.spec.members}
        tasks.create_task(_provision_host(region, members, example=example))
        tasks.create_task(_push_images(region))
        for program in (gateway_programs.GATEWAY, gateway_programs.ISSUER):
            tasks.create_task(region.states.ready(program))
    async with asyncio.TaskGroup() as tasks:
        for member in region.layout.spec.members:
            tasks.create_task(_withdraw_former_rights(region, member))
    region.progress.say("definitions, members and images are in place")
    if not example:
        return []
    return await _see_answers(region)


async def provision_member(region: RunningRegion, member: MemberSpec) -> None:
    """Everything a member holds before work comes."""
    wanted = [
        *await asyncio.to_thread(manifest_provider.definitions, "member"),
        *cluster_dns.manifests(region.layout, 1 + member.index),
        *enforcer_program.manifests(region.layout),
        priority_and_fairness.programs_of_a_region(*api_server_audit.CERTIFICATE_USERS),
    ]
    await region.states.ready(f"{member.name}-apiserver")
    async with manifest_installer.client(region.layout.kubeconfig, member.name) as client:
        installer = Installer(client)
        await installer.apply_all(wanted)
        await secret_encryption.encrypt_all(client, region.layout, member.name)
        await service_account_tokens.issue(client, region.layout, member.name)
        await simulated_nodes.provide(installer, member, region.layout.simulated_nodes(member))
        if not region.layout.spec.daemons:
            await Installer(client, GRANTS).apply(node_access.grants({}))


async def register(layout: Layout, member: MemberSpec, host: Installer) -> None:
    """Registers a provisioned member at the host, with the credentials that federation and gateway have there."""
    for secret in member_registration.filled_secrets(layout, member):
        await host.apply(secret)
    await host.apply(member_registration.member_cluster(member))


async def _provision_host(region: RunningRegion, members: Mapping[MemberSpec, asyncio.Task[None]], *, example: bool) -> None:
    definitions = await asyncio.to_thread(manifest_provider.definitions, "host")
    await region.states.ready(f"{HOST}-apiserver")
    async with manifest_installer.client(region.layout.kubeconfig, HOST) as client:
        host = Installer(client)
        await update_type_conversion.convert(client)
        await host.apply_all(definitions)
        await member_registration.migrate(client)
        await secret_encryption.encrypt_all(client, region.layout, HOST)
        await service_account_tokens.issue(client, region.layout, HOST)
        for member, task in members.items():
            await task
            await register(region.layout, member, host)
        if example:
            await host.create_once(member_registration.demo_project())
            await _create_example(region.layout, client, host)


async def _create_example(layout: Layout, client: ApiClient, host: Installer) -> None:
    """When its project is prepared and every member takes work: or it would be placed on the first ones and then moved."""
    if await example_app.exists(client):
        return
    project = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": member_registration.DEMO}}
    try:
        async with asyncio.timeout(PREPARING):
            await host.appeared(project)
            for member in layout.spec.members:
                await example_app.takes_work(client, member)
    except TimeoutError:
        raise RegionError(
            f"project {member_registration.DEMO} or a member was not prepared within {PREPARING:g} s: "
            f"`pincompute region kubectl --context host get projects,memberclusters` names what is missing; "
            f"see also `pincompute region logs {region_programs.FEDERATION}`"
        ) from None
    await host.create_once(example_app.app())


async def _withdraw_former_rights(region: RunningRegion, member: MemberSpec) -> None:
    """After an upgrade, the federation needs a moment for the projects. A project that it cannot prepare fails no command."""
    async with manifest_installer.client(region.layout.kubeconfig, member.name) as client:
        reason = await former_rights.withdraw(client)
        try:
            async with asyncio.timeout(PREPARING):
                while reason:
                    await asyncio.sleep(0.5)
                    reason = await former_rights.withdraw(client)
        except TimeoutError:
            region.progress.say(reason)


async def _push_images(region: RunningRegion) -> None:
    if not region.layout.spec.real_nodes:
        return
    await region.states.ready(image_registry.NAME)
    with administrator_registry.connect(region.layout) as registry:
        for folder, tag in ((PAUSE, real_node.PAUSE), (example_app.image_folder(), example_app.IMAGE)):
            await asyncio.to_thread(platform_images.build, folder, tag, registry)


async def write_daemons(region: RunningRegion) -> None:
    """Writes the daemons, with images of this installation; federation brings them to the nodes. Raises ImageError."""
    say, layout = region.progress.say, region.layout
    record = layout.home / daemon_images.RECORD
    with administrator_registry.connect(layout) as registry:
        made = {
            image: await asyncio.to_thread(daemon_images.ensure, image, registry, record, say) for image in daemon_images.IMAGES
        }
    for member in layout.spec.members:
        await grant(layout, member, daemons=True)
    root = real_node.cgroup_root(layout)
    async with manifest_installer.client(layout.kubeconfig, HOST) as client:
        for image, found in made.items():
            await Installer(client).apply(node_daemons.manifest(image, found.digest, root))
    names = " and ".join(image.name for image in made)
    say(f"{names} come to every node; `pin admin daemon list` shows how far they are")


async def grant(layout: Layout, member: MemberSpec, *, daemons: bool) -> None:
    """Grants the region's daemons their access to the member's nodes, or takes back exactly these grants."""
    granted = node_daemons.grants(real_node.cgroup_root(layout)) if daemons else node_access.grants({})
    async with manifest_installer.client(layout.kubeconfig, member.name) as client:
        await Installer(client, GRANTS).apply(granted)


async def _see_answers(region: RunningRegion) -> list[example_app.ZoneAnswer]:
    layout = region.layout
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(manifest_installer.client(layout.kubeconfig, HOST))
        if not layout.spec.real_nodes:
            await example_app.placed(host)
            region.progress.say("examples/hello is ready on simulated nodes; they run nothing, so nothing answers")
            return []
        members = {
            member: await stack.enter_async_context(manifest_installer.client(layout.kubeconfig, member.name))
            for member in layout.spec.members
        }
        return await example_app.answers(host, members)
