"""Defines PinSidecar, a container of the platform in users' pods, and PinSidecarShard, which says what one member runs of it.

Administrators write PinSidecars on the host. The federation writes one PinSidecarShard per sidecar into each member, and the
operator there injects the container into the pods that it makes.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pincompute.api import json_digest, merge_patch
from pincompute.api.conditions import Conditions
from pincompute.api.labels import OF_PLATFORM, SIDECARS
from pincompute.api.meta import GROUP, VERSION, Manifest, Object, Resource, Struct, doc
from pincompute.api.shards import Origin
from pincompute.api.workloads import OnFailure, RolloutState, ZoneName

OtherChanges: TypeAlias = Literal["NextRecreation", "Replace"]
Channel: TypeAlias = Literal["Stable", "Canary"]
Payer: TypeAlias = Literal["Project", "Platform"]
FleetStrategy: TypeAlias = Literal["ZoneByZone", "Canary", "Parallel"]

EVERY = "*"  # in a list of projects: all of them
MOST_USERS = 10  # workloads that a status names
MOST_IMAGES = 32  # former images that a status names


class SharedVolume(Struct):
    """An empty folder in each pod that has the sidecar. Containers of the user that mount it share it with the sidecar."""

    name: Annotated[str, doc("What it is called; containers mount it as platform-SIDECAR-NAME.", minLength=1, maxLength=15)]
    mount_path: Annotated[str, doc("Where the sidecar sees it.", minLength=1, maxLength=253)]
    size_limit: Annotated[int | str, doc("A pod that puts more into it is replaced.", maxLength=64)] = "16Mi"
    memory: Annotated[bool, doc("It is kept in memory.")] = False


class SidecarHealth(Struct):
    """The sidecar is ready while this answers with a status from 200 to 399."""

    port: Annotated[int, doc("Port of the sidecar.", minimum=1, maximum=65535)]
    path: Annotated[str, doc("Path to ask for.", maxLength=1024)] = "/"
    period_seconds: Annotated[int, doc("Time between checks.", minimum=1, maximum=3600)] = 10


class SidecarContainer(Struct):
    """The container. It has no field with which it could ask for more than Pod Security `restricted` allows."""

    image: Annotated[str, doc("Image to run, by a name that every node can pull.", minLength=1, maxLength=1024)]
    command: Annotated[tuple[str, ...], doc("Program to run instead of the image's.", maxItems=64)] = ()
    args: Annotated[tuple[str, ...], doc("Its arguments instead of the image's.", maxItems=256)] = ()
    env: Annotated[dict[str, Annotated[str, doc("Value.", maxLength=4096)]], doc("Variables by name.", maxProperties=64)] = {}
    pod_fields: Annotated[
        dict[str, Annotated[str, doc("A field.", maxLength=128)]],
        doc("Variables with fields of the pod, such as NODE: spec.nodeName.", maxProperties=16),
    ] = {}
    cpu: Annotated[int | str, doc("CPU that is set aside in each pod.", maxLength=64)] = "20m"
    memory: Annotated[int | str, doc("Memory that is set aside in each pod, and the most it may take.", maxLength=64)] = "32Mi"
    run_as_user: Annotated[
        int | None,
        doc("Number of the user that it runs as; by default the image's, which must not be 0.", minimum=1, maximum=2147483647),
    ] = None
    health: Annotated[SidecarHealth | None, doc("When it counts as ready; by default when it runs.")] = None
    shared: Annotated[tuple[SharedVolume, ...], doc("Folders that it shares with containers of the user.", maxItems=8)] = ()


class SidecarSelector(Struct):
    """Which workloads get the sidecar without naming it: those that meet both conditions. An empty one selects none."""

    match_labels: Annotated[dict[str, str], doc("Pods that carry all these labels.", maxProperties=32)] = {}
    projects: Annotated[tuple[str, ...], doc("Pods of these projects; * stands for all.", maxItems=256)] = ()


class FleetUpdate(Struct):
    """How another version reaches the pods that have the sidecar, over all clusters."""

    strategy: Annotated[
        FleetStrategy,
        doc("ZoneByZone completes one zone before the next; Canary changes a share in every zone first; Parallel all."),
    ] = "ZoneByZone"
    zone_order: Annotated[tuple[ZoneName, ...], doc("ZoneByZone: these zones come first, in this order.", maxItems=32)] = ()
    steps: Annotated[
        tuple[Annotated[int | str, doc("A number or a percentage.", maxLength=10)], ...],
        doc("How many pods over all clusters have the new version after each step: numbers or percentages.", maxItems=16),
    ] = ()
    bake_seconds: Annotated[
        int, doc("For how long all pods of a step must be healthy before the next one begins.", minimum=0, maximum=604800)
    ] = 10
    progress_deadline_seconds: Annotated[
        int, doc("How long a step may take, without its bake time, before it has failed.", minimum=1, maximum=604800)
    ] = 600
    on_failure: Annotated[
        OnFailure, doc("What happens when a step fails: Rollback brings the version before back; Hold leaves all as it is.")
    ] = "Rollback"


class PinSidecarSpec(Struct):
    container: Annotated[SidecarContainer, doc("What runs.")]
    description: Annotated[str, doc("What it is for, in a sentence for users.", maxLength=512)] = ""
    allowed_projects: Annotated[
        tuple[str, ...],
        doc("Projects whose pods may have it, by name or by selector; * stands for all, an empty list for none.", maxItems=256),
    ] = (EVERY,)
    selector: Annotated[SidecarSelector | None, doc("Which workloads get it besides those that name it.")] = None
    paid_by: Annotated[
        Payer,
        doc(
            "Whose its requests are. Project: they count towards the limits of each project whose pods have it. Platform: they "
            "count towards no limit, and the quotas of the project's namespaces have room for them. Platform is the default, "
            "because no project chose the amounts, and a sidecar that comes must not use up what a project was given."
        ),
    ] = "Platform"
    other_changes: Annotated[
        OtherChanges,
        doc(
            "What a change of more than the image, or a selector that no longer selects a pod, does to pods that run: "
            "NextRecreation waits until a pod is made anew for another reason; Replace replaces pods, and draws on the "
            "disruption account of each workload."
        ),
    ] = "NextRecreation"
    update: Annotated[FleetUpdate, doc("How another version reaches running pods.")] = FleetUpdate()
    channel: Annotated[
        Channel,
        doc("Stable brings another version to all pods; Canary to the first step's share, or one pod, until this is Stable."),
    ] = "Stable"
    paused: Annotated[bool, doc("Pods keep the version that they have until this is false again.")] = False


class SidecarVersion(Struct):
    """One version: what runs. `shape` names all of it but the image."""

    revision: Annotated[str, doc("Names the version.")]
    shape: Annotated[str, doc("Names all that another image leaves as it is.")]
    container: Annotated[SidecarContainer, doc("What runs.")]


class SidecarRollout(Struct):
    """How far another version has come."""

    revision: Annotated[str, doc("Version that is rolled out.")]
    state: Annotated[RolloutState, doc("Progressing, AwaitingApproval, Complete, RollingBack or RolledBack.")] = "Progressing"
    step: Annotated[int, doc("Steps that are complete.")] = 0
    steps: Annotated[int, doc("Steps in all.")] = 1
    pods: Annotated[int, doc("How many pods over all clusters may have the version now.")] = 0
    zones: Annotated[tuple[str, ...], doc("The zones in the order of their turns.")] = ()
    since: Annotated[datetime | None, doc("When the step or state began; absent while it is paused or waits for a member.")] = (
        None
    )
    healthy_since: Annotated[datetime | None, doc("Since when all pods of the step are healthy.")] = None
    failure: Annotated[str, doc("Why it failed, in a sentence.")] = ""


class SidecarMember(Struct):
    """One member's pods with the sidecar, as last reported."""

    cluster: Annotated[str, doc("Member cluster.")]
    zone: Annotated[str, doc("Its zone.")]
    pods: Annotated[int, doc("Pods that have the sidecar.")] = 0
    updated: Annotated[int, doc("Of these, pods with the wanted version.")] = 0
    ready: Annotated[int, doc("Of these, pods whose sidecar is ready.")] = 0
    skipped: Annotated[int, doc("Pods that take the version only when they are made anew.")] = 0
    known: Annotated[bool, doc("False while the cluster does not answer; the figures are its last.")] = True
    message: Annotated[str, doc("What is wrong there, if anything.")] = ""


class VersionImage(Struct):
    """The image of a version."""

    revision: Annotated[str, doc("Names the version.")]
    image: Annotated[str, doc("What its container runs.")]


class PinSidecarStatus(Struct):
    observed_generation: Annotated[int, doc("The last metadata.generation that was acted on.")] = 0
    revision: Annotated[str, doc("Version that the spec asks for.")] = ""
    stable: Annotated[SidecarVersion | None, doc("The last version that reached all pods; a rollback returns to it.")] = None
    former: Annotated[SidecarVersion | None, doc("The version before it, for a rollback by hand.")] = None
    rollout: Annotated[SidecarRollout | None, doc("How far the version has come.")] = None
    images: Annotated[
        tuple[VersionImage, ...], doc("Images of all versions that pods may have, the oldest first; the registry keeps these.")
    ] = ()
    pods: Annotated[int, doc("Pods that have the sidecar, over all clusters.")] = 0
    updated: Annotated[int, doc("Of these, pods with the wanted version.")] = 0
    skipped: Annotated[int, doc("Pods that take the wanted version only when they are made anew.")] = 0
    members: Annotated[tuple[SidecarMember, ...], doc("The pods by member cluster.")] = ()
    users: Annotated[tuple[str, ...], doc("Workloads that have it, as PROJECT/NAME; the first of them.")] = ()
    message: Annotated[str, doc("What waits or is wrong, and what to do.")] = ""
    conditions: Conditions = ()


class PinSidecar(Object):
    """A container of the platform that is injected into users' pods and updated over all clusters without touching theirs."""

    spec: Annotated[PinSidecarSpec, doc("What is injected, into which pods, and how another version reaches them.")]
    status: Annotated[PinSidecarStatus, doc("Which pods have which version.")] = PinSidecarStatus()


class PinSidecarShardSpec(Struct):
    """What one member runs of the sidecar. `birth` is the version of pods that are made."""

    origin: Annotated[Origin, doc("The PinSidecar that this comes from.")]
    versions: Annotated[tuple[SidecarVersion, ...], doc("The versions that pods here may have.", maxItems=4)]
    birth: Annotated[str, doc("The version of new pods.")]
    target: Annotated[str, doc("The version that pods are brought to.")]
    updated: Annotated[int, doc("So many pods here may have the target.", minimum=0)] = 0
    allowed_projects: Annotated[tuple[str, ...], doc("Projects whose pods may have it; * stands for all.")] = (EVERY,)
    selector: Annotated[SidecarSelector | None, doc("Which pods get it besides those that name it.")] = None
    other_changes: Annotated[OtherChanges, doc("What a change of more than the image does to pods that run.")] = (
        "NextRecreation"
    )
    paused: Annotated[bool, doc("Pods keep the version that they have.")] = False
    ending: Annotated[
        bool, doc("The sidecar is being deleted: pods that do not name it are replaced by others without it.")
    ] = False


class VersionStatus(Struct):
    """The pods of one version in one member."""

    revision: Annotated[str, doc("Names the version.")]
    pods: Annotated[int, doc("Pods that have it.")] = 0
    ready: Annotated[int, doc("Pods in which it is ready.")] = 0
    unplaced: Annotated[int, doc("Pods that no node has taken yet, so that it cannot have started in them.")] = 0
    awaiting_image: Annotated[int, doc("Pods that take it when their nodes have pulled its image.")] = 0
    pulling: Annotated[int, doc("Nodes that pull its image now, for less than ten minutes.")] = 0
    failing: Annotated[int, doc("Pods in which it cannot start or has crashed, and nodes that cannot pull its image.")] = 0
    restarts: Annotated[int, doc("Restarts of it, added up.")] = 0
    message: Annotated[str, doc("Why it fails in one of them.")] = ""


class PinSidecarShardStatus(Struct):
    observed_generation: Annotated[int, doc("The last metadata.generation that was acted on.")] = 0
    pods: Annotated[int, doc("Pods that have the sidecar.")] = 0
    asked: Annotated[int, doc("Pods that wait for their workload's disruption account to take the target.")] = 0
    skipped: Annotated[int, doc("Pods that differ from the target in more than the image, or are to lose the sidecar.")] = 0
    versions: Annotated[tuple[VersionStatus, ...], doc("The pods by version.")] = ()
    users: Annotated[tuple[str, ...], doc("Workloads that have it here, as PROJECT/NAME; the first of them.")] = ()


class PinSidecarShard(Object):
    """A PinSidecar's part in one member cluster."""

    spec: Annotated[PinSidecarShardSpec, doc("What should run in this cluster.")]
    status: Annotated[PinSidecarShardStatus, doc("What runs in this cluster.")] = PinSidecarShardStatus()


PINSIDECARS = Resource(GROUP, VERSION, "PinSidecar", "pinsidecars", False, PinSidecar)
PINSIDECARSHARDS = Resource(GROUP, VERSION, "PinSidecarShard", "pinsidecarshards", False, PinSidecarShard)


def version(container: SidecarContainer) -> SidecarVersion:
    """Returns the version that this container is."""
    whole: Manifest = merge_patch.to_json(container)
    return SidecarVersion(
        revision=_name(whole),
        shape=_name({name: value for name, value in whole.items() if name != "image"}),
        container=container,
    )


def of_revision(shard: PinSidecarShard, revision: str) -> SidecarVersion | None:
    """Returns a version that the shard knows."""
    return next((each for each in shard.spec.versions if each.revision == revision), None)


def container_name(sidecar: str) -> str:
    """Returns the name of a sidecar's container in a pod."""
    return OF_PLATFORM + sidecar


def volume_name(sidecar: str, shared: str) -> str:
    """Returns the name of a volume that a sidecar shares."""
    return f"{OF_PLATFORM}{sidecar}-{shared}"


def images(sidecar: PinSidecar) -> frozenset[str]:
    """Returns the images that pods may run, or that a rollback may return to."""
    spec, status = sidecar.spec, sidecar.status
    kept = (version.container.image for version in (status.stable, status.former) if version is not None)
    return frozenset((spec.container.image, *kept, *(each.image for each in status.images)))


def allows(allowed_projects: Collection[str], project: str) -> bool:
    """Returns whether pods of the project may have a sidecar with these `allowedProjects`."""
    return project in allowed_projects or EVERY in allowed_projects


def forbidden(sidecar: str, project: str) -> str:
    """Returns the sentence for a workload that names a sidecar which its project may not have."""
    remedy = "leave it out, or ask an administrator to add the project to its allowedProjects"
    return f"project {project} may not have sidecar {sidecar}: {remedy}"


def named_by(template: Manifest) -> tuple[str, ...]:
    """Returns the sidecars that a pod template names."""
    metadata: Manifest = template.get("metadata") or {}
    notes: Manifest = metadata.get("annotations") or {}
    return tuple(name for name in str(notes.get(SIDECARS) or "").split(",") if name)


def _name(value: Manifest) -> str:
    return "s1" + json_digest.of(value)[:12]
