"""Defines projects: a team's namespace in every cluster, who may do what in it, what its pods may do, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from pincompute.api.conditions import Conditions
from pincompute.api.meta import GROUP, NAME, VERSION, Object, Resource, Struct, doc

PodSecurityLevel: TypeAlias = Literal["restricted", "baseline", "privileged"]
"""A level of the Pod Security Standards, https://kubernetes.io/docs/concepts/security/pod-security-standards"""
RESTRICTED: PodSecurityLevel = "restricted"
POD_SECURITY_VERSION = "v1.36"  # of the standards; pinned, so that an upgrade of a cluster refuses no pod that it took before


class ProjectMember(Struct):
    name: Annotated[
        str,
        doc(
            "User name as authentication gives it; `group:NAME` is everybody in a group, `service:NAME` a service account.",
            minLength=1,
            maxLength=260,
        ),
    ]
    role: Annotated[
        str,
        doc(
            "viewer reads, developer changes workloads, operator also acts on running ones, owner also changes the project; "
            "or the name of a role that the region's gateway defines. A name that is not defined allows nothing.",
            pattern=NAME,
            maxLength=63,
        ),
    ] = "developer"


class PodSecurity(Struct):
    """What the pods of the project may do on their nodes. Only an administrator changes it."""

    level: Annotated[
        PodSecurityLevel,
        doc(
            "restricted; or lowered for this project: to baseline, which allows root, or to privileged, which allows "
            "everything and needs reason, approvedBy and until."
        ),
    ] = RESTRICTED
    reason: Annotated[str, doc("Why the project needs it.", maxLength=1024)] = ""
    approved_by: Annotated[str, doc("Who approved it.", maxLength=260)] = ""
    until: Annotated[
        str,
        doc("When the project is back at restricted, for example 2027-01-31T00:00:00Z. Empty: never.", maxLength=32),
    ] = ""

    @property
    def end(self) -> datetime | None:
        """Returns when a lowered level ends; None when it does not end. What is no time, as a day that is not, has ended."""
        if not self.until:
            return None
        try:
            return datetime.strptime(self.until, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            return datetime.min.replace(tzinfo=UTC)

    def level_at(self, now: datetime) -> PodSecurityLevel:
        """Returns the level that holds now: a lowered level ends by itself."""
        return RESTRICTED if self.end is not None and self.end <= now else self.level


class EgressPort(Struct):
    port: Annotated[int, doc("The port, or the first of a range.", minimum=1, maximum=65535)]
    end_port: Annotated[int | None, doc("Last port of a range.", minimum=1, maximum=65535)] = None
    protocol: Annotated[str, doc("Protocol of the port.", enum=["TCP", "UDP", "SCTP"])] = "TCP"


class ProjectEgress(Struct):
    """Addresses outside the platform that the project's pods may connect to."""

    cidr: Annotated[
        str,
        doc(
            "A range of public addresses, such as 192.88.99.0/24. Private addresses in it stay closed: nodes, API servers and "
            "the metadata service of a cloud have such.",
            maxLength=43,
        ),
    ]
    ports: Annotated[tuple[EgressPort, ...], doc("Every port when empty.", maxItems=50)] = ()


class ProjectNetwork(Struct):
    """What crosses the border of a project. Inside it, pods reach each other."""

    allow_from: Annotated[
        tuple[Annotated[str, doc("Name of a project.", pattern=NAME, maxLength=63)], ...],
        doc(
            "Projects whose pods may connect to this project's pods: those that have these names now.",
            maxItems=100,
            x_kubernetes_list_type="set",
        ),
    ] = ()
    egress: Annotated[tuple[ProjectEgress, ...], doc("Addresses outside the platform.", maxItems=100)] = ()


Amount: TypeAlias = int | str
"""A Kubernetes quantity, such as 20, 500m or 64Gi."""


DEFAULT_LIMITS: Mapping[str, Amount] = {
    "workloads": 2500,
    "pods": 5000,
    "cpu": 2000,
    "memory": "8Ti",
    "storage": "16Ti",
    "defaultContainerStorage": "1Gi",
    "volumes": "16Ti",
    "documents": "64Mi",
    "settings": "64Mi",
    "images": "20Gi",
}
"""The limits of a project that sets none: enough for some thousand replicas, and too little to fill a region by mistake."""


def _limit(description: str, name: str, **schema: Any) -> msgspec.Meta:
    return doc(f"{description} Default: {DEFAULT_LIMITS[name]}.", **schema)


LARGEST_COUNTS: Mapping[str, int] = {"workloads": 1_000_000, "pods": 10_000_000}
"""The largest value of each limit that counts objects. The other limits are quantities."""


class ProjectLimits(Struct):
    """How much the project may ask for, over all clusters together."""

    workloads: Annotated[
        int | None, _limit("Apps and units together.", "workloads", minimum=0, maximum=LARGEST_COUNTS["workloads"])
    ] = None
    pods: Annotated[
        int | None, _limit("Replicas of all workloads that are not stopped.", "pods", minimum=0, maximum=LARGEST_COUNTS["pods"])
    ] = None
    cpu: Annotated[Amount | None, _limit("CPU that these pods request.", "cpu")] = None
    memory: Annotated[Amount | None, _limit("Memory that these pods request.", "memory")] = None
    storage: Annotated[Amount | None, _limit("Ephemeral storage that these pods may write.", "storage")] = None
    default_container_storage: Annotated[
        Amount | None,
        _limit(
            "Ephemeral storage that a container may write whose template says nothing of it, at least 1Mi. It counts as its "
            "storage, and holds for pods that are made from now on.",
            "defaultContainerStorage",
        ),
    ] = None
    volumes: Annotated[Amount | None, _limit("Bytes that volume claims of these pods request.", "volumes")] = None
    documents: Annotated[
        Amount | None, _limit("Bytes of the documents of its apps and units, and of the revisions that are kept.", "documents")
    ] = None
    settings: Annotated[
        Amount | None, _limit("Bytes of all versions that are kept of its secrets and configurations.", "settings")
    ] = None
    images: Annotated[
        Amount | None, _limit("Bytes of its images in the region's registry, parts that images share once.", "images")
    ] = None


class ProjectSpec(Struct):
    description: Annotated[str, doc("What the project is for.", maxLength=1024)] = ""
    members: Annotated[
        tuple[ProjectMember, ...],
        doc("Who may do what.", maxItems=500, x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["name"]),
    ] = ()
    pod_security: Annotated[PodSecurity, doc("What its pods may do on their nodes. Only an administrator changes it.")] = (
        PodSecurity()
    )
    network: Annotated[ProjectNetwork, doc("What its pods may connect to beyond the project, and who to them.")] = (
        ProjectNetwork()
    )
    limits: Annotated[
        ProjectLimits, doc("How much it may ask for. Only an administrator changes it. What is absent has a default.")
    ] = ProjectLimits()


class RemainingNamespace(Struct):
    cluster: Annotated[str, doc("The cluster that still holds something of the project, or may hold it.")]
    zone: Annotated[str, doc("The cluster's zone; empty for the host.")] = ""
    message: Annotated[str, doc("What is left there, or why that is not known.")] = ""


class AllowedProject(Struct):
    name: Annotated[str, doc("A name in spec.network.allowFrom.")]
    uid: Annotated[str, doc("The uid of the project that had this name when it was allowed.")]


class SidecarRoom(Struct):
    """What sidecars of the platform may request together in the pods of a project, rounded up."""

    cpu: Annotated[Amount, doc("CPU.")] = 0
    memory: Annotated[Amount, doc("Memory.")] = 0


class ProjectStatus(Struct):
    observed_generation: Annotated[int, doc("The last metadata.generation that was acted on.")] = 0
    pod_security: Annotated[PodSecurityLevel, doc("The level that holds now; restricted when a lowered one has ended.")] = (
        RESTRICTED
    )
    conditions: Conditions = ()
    allowed_projects: Annotated[
        tuple[AllowedProject, ...],
        doc(
            "The projects that spec.network.allowFrom lets in. A later project of the same name is not let in.",
            x_kubernetes_list_type="map",
            x_kubernetes_list_map_keys=["name"],
        ),
    ] = ()
    quota_basis: Annotated[
        ProjectLimits,
        doc(
            "The amounts from which the quotas of clusters are derived: those of spec.limits, or what an earlier, higher limit "
            "allowed as long as the project uses it, rounded up."
        ),
    ] = ProjectLimits()
    sidecar_room: Annotated[
        SidecarRoom,
        doc("What the quotas of clusters leave, beside the limits, for sidecars in the pods that the project asks for."),
    ] = SidecarRoom()
    allowed_hooks: Annotated[
        tuple[str, ...] | None,
        doc("The hooks that update.hooks of its workloads may name. Absent until the federation has said so."),
    ] = None
    remaining: Annotated[
        tuple[RemainingNamespace, ...], doc("Of a project that is being deleted: where something of it is left.")
    ] = ()


class Project(Object):
    """A project: one namespace of the same name in the host and in every member."""

    spec: Annotated[ProjectSpec, doc("Who works in it.")] = ProjectSpec()
    status: Annotated[ProjectStatus, doc("Whether its namespaces exist everywhere.")] = ProjectStatus()


PROJECTS = Resource(GROUP, VERSION, "Project", "projects", False, Project)
