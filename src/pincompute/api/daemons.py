"""Defines PinDaemon, a program of the platform with one copy per node, and PinDaemonShard, which says what one member runs.

Administrators write PinDaemons on the host. The federation writes one PinDaemonShard per daemon into each member, and the
operator there makes a DaemonSet of it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

import msgspec

from pincompute.api import json_digest, merge_patch
from pincompute.api.conditions import Conditions
from pincompute.api.meta import GROUP, VERSION, Object, Resource, Struct, doc
from pincompute.api.shards import Origin
from pincompute.api.sidecars import VersionImage
from pincompute.api.workloads import OnFailure, RolloutState, ZoneName

Tenancy: TypeAlias = Literal["Shared", "PerProject"]
SharingMode: TypeAlias = Literal["Daemon", "Dual"]
HostPathType: TypeAlias = Literal["Directory", "DirectoryOrCreate", "File", "Socket"]
Protocol: TypeAlias = Literal["TCP", "UDP"]
TaintEffect: TypeAlias = Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"]
TolerationOperator: TypeAlias = Literal["Equal", "Exists"]

MOST_HISTORY = 10  # former versions that a status keeps


class DaemonHealth(Struct):
    """A copy is ready while this answers with a status from 200 to 399."""

    port: Annotated[int, doc("Port of the program.", minimum=1, maximum=65535)]
    path: Annotated[str, doc("Path to ask for.", maxLength=1024)] = "/"
    period_seconds: Annotated[int, doc("Time between checks.", minimum=1, maximum=3600)] = 10


class DaemonPort(Struct):
    """A port on which each copy listens."""

    name: Annotated[str, doc("What it is called.", minLength=1, maxLength=15)]
    port: Annotated[int, doc("Its number.", minimum=1, maximum=65535)]
    host_port: Annotated[int | None, doc("Port of the node that leads to it; absent for none.", minimum=1, maximum=65535)] = (
        None
    )
    protocol: Annotated[Protocol, doc("TCP or UDP.")] = "TCP"


class HostPath(Struct):
    """A file or folder of the node. Only a cluster administrator writes one."""

    path: Annotated[str, doc("Where it is on the node.", minLength=1, maxLength=1024)]
    type: Annotated[HostPathType, doc("What must be there; DirectoryOrCreate makes a folder.")] = "Directory"


class DaemonVolume(Struct):
    """A folder of a copy: of the node with `hostPath`, or else an empty one that ends with the copy."""

    name: Annotated[str, doc("What it is called.", minLength=1, maxLength=63)]
    mount_path: Annotated[str, doc("Where the program sees it.", minLength=1, maxLength=1024)]
    host_path: Annotated[HostPath | None, doc("What of the node it is; absent for an empty folder.")] = None
    read_only: Annotated[bool, doc("The program only reads it.")] = False
    size_limit: Annotated[int | str, doc("Of an empty folder: a copy that puts more into it is replaced.", maxLength=64)] = (
        "16Mi"
    )


class DaemonSecurity(Struct):
    """What a copy may do on its node. Without a field it has the rights of Pod Security `restricted`.

    `capabilities` is a list and not the `add` and `drop` of a pod, because a copy drops all others anyway.
    """

    run_as_user: Annotated[
        int | None, doc("User that it runs as; by default the image's, which must not be 0.", minimum=0, maximum=2147483647)
    ] = None
    privileged: Annotated[bool, doc("It may do everything on the node. Only a cluster administrator writes this.")] = False
    capabilities: Annotated[
        tuple[Annotated[str, doc("A capability.", minLength=1, maxLength=64)], ...],
        doc(
            "Capabilities that it keeps, as a list; all others are dropped. Only a cluster administrator writes these.",
            maxItems=40,
        ),
    ] = ()
    read_only_root_filesystem: Annotated[bool, doc("It writes to its volumes only.")] = True
    host_network: Annotated[bool, doc("It uses the node's network. Only a cluster administrator writes this.")] = False
    host_pid: Annotated[bool, doc("It sees the node's processes. Only a cluster administrator writes this.")] = msgspec.field(
        default=False, name="hostPID"
    )


class DaemonContainer(Struct):
    """The program."""

    image: Annotated[str, doc("Image to run, by a name that every node can pull.", minLength=1, maxLength=1024)]
    command: Annotated[tuple[str, ...], doc("Program to run instead of the image's.", maxItems=64)] = ()
    args: Annotated[tuple[str, ...], doc("Its arguments instead of the image's.", maxItems=256)] = ()
    env: Annotated[dict[str, Annotated[str, doc("Value.", maxLength=4096)]], doc("Variables by name.", maxProperties=64)] = {}
    pod_fields: Annotated[
        dict[str, Annotated[str, doc("A field.", maxLength=128)]],
        doc("Variables with fields of the pod, such as NODE: spec.nodeName.", maxProperties=16),
    ] = {}
    ports: Annotated[tuple[DaemonPort, ...], doc("Ports on which it listens.", maxItems=16)] = ()
    cpu: Annotated[int | str, doc("CPU that is set aside on each node.", maxLength=64)] = "20m"
    memory: Annotated[int | str, doc("Memory that is set aside on each node, and the most it may take.", maxLength=64)] = "32Mi"
    storage: Annotated[
        int | str,
        doc("Most that it may write to the disk of the node beside its folders, its own output included.", maxLength=64),
    ] = "64Mi"
    volumes: Annotated[tuple[DaemonVolume, ...], doc("Its folders.", maxItems=16)] = ()
    health: Annotated[DaemonHealth | None, doc("When a copy counts as ready; by default when it runs.")] = None
    security_context: Annotated[DaemonSecurity, doc("What it may do on its node.")] = DaemonSecurity()


class DaemonToleration(Struct):
    """A taint of nodes that does not keep copies away."""

    key: Annotated[str, doc("Key of the taint; empty with Exists for every taint.", maxLength=317)] = ""
    operator: Annotated[TolerationOperator, doc("Equal compares the value; Exists takes any.")] = "Exists"
    value: Annotated[str, doc("Value of the taint.", maxLength=63)] = ""
    effect: Annotated[TaintEffect, doc("Effect of the taint; empty for every effect.")] = ""


class Sharing(Struct):
    """Why one copy can serve all pods of a node. What cannot be shared must be a sidecar."""

    tenancy: Annotated[
        Tenancy, doc("Shared: it treats the pods of all projects alike. PerProject: it keeps projects apart.")
    ] = "Shared"
    data_path: Annotated[bool, doc("Requests of users' programs pass through it.")] = False
    mode: Annotated[
        SharingMode,
        doc("Daemon: it does all by itself. Dual: a sidecar does what keeps projects apart or is on the data path."),
    ] = "Daemon"
    sidecar: Annotated[str, doc("The PinSidecar of mode Dual.", maxLength=40)] = ""


class DaemonUpdate(Struct):
    """How another version reaches the nodes: zone by zone over all clusters, as many nodes at a time as the account allows."""

    zone_order: Annotated[
        tuple[ZoneName, ...], doc("These zones come first, in this order; then those with the fewest nodes.", maxItems=32)
    ] = ()
    max_unavailable: Annotated[
        int | str,
        doc(
            "How many nodes of all clusters may be without a ready copy for an update: a number, or a percentage of all nodes, "
            "rounded down, and at least one. Nodes that lack one for another reason, and those of a silent cluster, count.",
            maxLength=10,
        ),
    ] = 1
    bake_seconds: Annotated[
        int, doc("For how long all copies of a zone must be healthy before the next one begins.", minimum=0, maximum=604800)
    ] = 10
    progress_deadline_seconds: Annotated[
        int,
        doc(
            "How long a zone may be without one more ready copy before it has failed; waits and its bake time do not count.",
            minimum=1,
            maximum=604800,
        ),
    ] = 600
    on_failure: Annotated[
        OnFailure,
        doc("What happens when a zone fails: Rollback brings the version before back, the last zone first; Hold leaves all."),
    ] = "Rollback"


class PinDaemonSpec(Struct):
    container: Annotated[DaemonContainer, doc("What runs.")]
    description: Annotated[str, doc("What it is for, in a sentence.", maxLength=512)] = ""
    node_selector: Annotated[
        dict[str, Annotated[str, doc("Value.", maxLength=63)]],
        doc("Labels of the nodes that have a copy; empty for all nodes.", maxProperties=16),
    ] = {}
    tolerations: Annotated[tuple[DaemonToleration, ...], doc("Taints that do not keep copies away.", maxItems=32)] = ()
    sharing: Annotated[Sharing, doc("Why one copy can serve all pods of a node.")] = Sharing()
    update: Annotated[DaemonUpdate, doc("How another version reaches the nodes.")] = DaemonUpdate()
    paused: Annotated[bool, doc("Nodes keep the version that they have until this is false again.")] = False
    history_limit: Annotated[int, doc("How many former versions are kept for a rollback.", minimum=1, maximum=MOST_HISTORY)] = 3


class DaemonVersion(Struct):
    """One version: what runs, and on which nodes."""

    revision: Annotated[str, doc("Names the version.")]
    container: Annotated[DaemonContainer, doc("What runs.")]
    node_selector: Annotated[dict[str, str], doc("Labels of the nodes that have a copy.")] = {}
    tolerations: Annotated[tuple[DaemonToleration, ...], doc("Taints that do not keep copies away.")] = ()


class DaemonRollout(Struct):
    """How far another version has come."""

    revision: Annotated[str, doc("Version that is rolled out.")]
    state: Annotated[RolloutState, doc("Progressing, Complete, RollingBack or RolledBack.")] = "Progressing"
    zone_index: Annotated[int, doc("Index in zones, from 0, of the zone that the rollout has come to.")] = 0
    zones: Annotated[tuple[str, ...], doc("The zones in the order in which the rollout comes to them.")] = ()
    since: Annotated[datetime | None, doc("When this zone or state began; absent while it is paused or waits.")] = None
    healthy_since: Annotated[datetime | None, doc("Since when all copies of the zone are healthy.")] = None
    ready: Annotated[
        int, doc("The most copies of the version that the zone had ready: with one more, its deadline begins anew.")
    ] = 0
    failure: Annotated[str, doc("Why it failed, in a sentence.")] = ""


class DaemonMember(Struct):
    """One member's nodes, as last reported."""

    cluster: Annotated[str, doc("Member cluster.")]
    zone: Annotated[str, doc("Its zone.")]
    nodes: Annotated[int, doc("Nodes that should have a copy.")] = 0
    ready: Annotated[int, doc("Of these, nodes with a ready copy.")] = 0
    updated: Annotated[int, doc("Of these, nodes with the wanted version.")] = 0
    known: Annotated[bool, doc("False while the cluster does not answer; the figures are its last.")] = True
    message: Annotated[str, doc("What is wrong there, if anything.")] = ""


class PinDaemonStatus(Struct):
    observed_generation: Annotated[int, doc("The last metadata.generation that was acted on.")] = 0
    revision: Annotated[str, doc("Version that the spec asks for.")] = ""
    stable: Annotated[DaemonVersion | None, doc("The last version that reached all nodes; a rollback returns to it.")] = None
    history: Annotated[tuple[DaemonVersion, ...], doc("Versions that served before it, the newest first.")] = ()
    rollout: Annotated[DaemonRollout | None, doc("How far the version has come.")] = None
    images: Annotated[
        tuple[VersionImage, ...], doc("Images of all versions that nodes may have; the registry keeps these.")
    ] = ()
    nodes: Annotated[int, doc("Nodes that should have a copy, over all clusters.")] = 0
    ready: Annotated[int, doc("Of these, nodes with a ready copy.")] = 0
    updated: Annotated[int, doc("Of these, nodes with the wanted version.")] = 0
    members: Annotated[tuple[DaemonMember, ...], doc("The nodes by member cluster.")] = ()
    message: Annotated[str, doc("What waits or is wrong, and what to do.")] = ""
    conditions: Conditions = ()


class PinDaemon(Object):
    """A program of the platform with one copy per node, updated node by node over all clusters."""

    spec: Annotated[PinDaemonSpec, doc("What runs, on which nodes, and how another version reaches them.")]
    status: Annotated[PinDaemonStatus, doc("Which nodes have which version.")] = PinDaemonStatus()


class PinDaemonShardSpec(Struct):
    """What one member runs of the daemon."""

    origin: Annotated[Origin, doc("The PinDaemon that this comes from.")]
    version: Annotated[DaemonVersion, doc("The version that nodes here are brought to.")]
    max_unavailable: Annotated[
        int, doc("How many nodes here may be without a ready copy for an update; 0 ends no copy that can serve.", minimum=0)
    ] = 0
    proven: Annotated[
        bool, doc("The version has served before, so it also replaces copies that only are not ready, on whichever nodes.")
    ] = False


class PinDaemonShardStatus(Struct):
    observed_generation: Annotated[int, doc("The last metadata.generation that is in force.")] = 0
    observed_max_unavailable: Annotated[
        int, doc("The greatest maxUnavailable that may be in force still: so many nodes may lose their ready copy.")
    ] = 0
    revision: Annotated[str, doc("The version that the figures are about.")] = ""
    nodes: Annotated[int, doc("Nodes that should have a copy.")] = 0
    ready: Annotated[int, doc("Nodes with a ready copy.")] = 0
    updated: Annotated[int, doc("Nodes with a copy of the version.")] = 0
    updated_ready: Annotated[int, doc("Of these, nodes on which it is ready.")] = 0
    updated_unavailable: Annotated[int, doc("Of these, nodes that are ready and on which it is not.")] = 0
    failing: Annotated[int, doc("Nodes on which the version cannot start or has crashed.")] = 0
    not_ready_nodes: Annotated[int, doc("Nodes that should have a copy and are not ready themselves.")] = 0
    message: Annotated[str, doc("Why a copy is not ready.")] = ""


class PinDaemonShard(Object):
    """A PinDaemon's part in one member cluster."""

    spec: Annotated[PinDaemonShardSpec, doc("What should run in this cluster.")]
    status: Annotated[PinDaemonShardStatus, doc("What runs in this cluster.")] = PinDaemonShardStatus()


PINDAEMONS = Resource(GROUP, VERSION, "PinDaemon", "pindaemons", False, PinDaemon)
PINDAEMONSHARDS = Resource(GROUP, VERSION, "PinDaemonShard", "pindaemonshards", False, PinDaemonShard)


def version(spec: PinDaemonSpec) -> DaemonVersion:
    """Returns the version that a spec asks for."""
    parts = DaemonVersion(revision="", container=spec.container, node_selector=spec.node_selector, tolerations=spec.tolerations)
    return msgspec.structs.replace(parts, revision="d1" + json_digest.of(merge_patch.to_json(parts))[:12])


def images(daemon: PinDaemon) -> frozenset[str]:
    """Returns the images that nodes may run, or that a rollback may return to."""
    status = daemon.status
    kept = (each.container.image for each in (*status.history, *((status.stable,) if status.stable else ())))
    return frozenset((daemon.spec.container.image, *kept, *(each.image for each in status.images)))
