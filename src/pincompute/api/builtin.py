"""Defines slim structs for the built-in Kubernetes kinds that the platform reads."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from pincompute.api.conditions import Condition
from pincompute.api.meta import Object, Resource, Struct, doc


class ContainerStateRunning(Struct):
    started_at: datetime | None = None


class ContainerStateWaiting(Struct):
    reason: str = ""
    message: str = ""


class ContainerStateTerminated(Struct):
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    container_id: str = msgspec.field(default="", name="containerID")


class ContainerState(Struct):
    running: ContainerStateRunning | None = None
    waiting: ContainerStateWaiting | None = None
    terminated: ContainerStateTerminated | None = None


class ReportedResources(Struct):
    """Amounts in effect, which only nodes report that can resize; only whether they are there matters."""


class ContainerStatus(Struct):
    name: str
    image: str = ""
    image_id: str = msgspec.field(default="", name="imageID")
    container_id: str = msgspec.field(default="", name="containerID")
    ready: bool = False
    restart_count: int = 0
    resources: ReportedResources | None = None
    allocated_resources: dict[str, str | int | float] = {}
    state: ContainerState | None = None
    last_state: ContainerState | None = None


class ResourceRequirements(Struct):
    requests: dict[str, str | int | float] = {}
    limits: dict[str, str | int | float] = {}


class Container(Struct):
    name: str
    image: str = ""
    restart_policy: str = ""
    resources: ResourceRequirements = ResourceRequirements()


class ReadinessGate(Struct):
    condition_type: str


class PodSpec(Struct):
    node_name: str = ""
    readiness_gates: tuple[ReadinessGate, ...] = ()
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    resources: ResourceRequirements | None = None  # of the pod as a whole; overrides the containers' sum
    overhead: dict[str, str | int | float] = {}


class PodStatus(Struct):
    phase: str = ""
    observed_generation: int = 0
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Object):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class EmptyDir(Struct):
    medium: str = ""


class PodVolume(Struct):
    """`ephemeral` is a volume claim that lives as long as the pod; only whether it is there matters."""

    name: str
    empty_dir: EmptyDir | None = None
    ephemeral: dict[str, Any] | None = None


class VolumeMount(Struct):
    name: str
    mount_path: str


class ContainerMounts(Struct):
    name: str
    volume_mounts: tuple[VolumeMount, ...] = ()


class PodMountsSpec(Struct):
    volumes: tuple[PodVolume, ...] = ()
    containers: tuple[ContainerMounts, ...] = ()
    init_containers: tuple[ContainerMounts, ...] = ()


class PodMounts(Object):
    """A pod with its volumes, which caches do not hold."""

    spec: PodMountsSpec = PodMountsSpec()


class Taint(Struct):
    key: Annotated[str, doc("Name of the taint.", minLength=1, maxLength=317)]
    effect: Annotated[
        str,
        doc(
            "NoSchedule keeps new work away; NoExecute also moves running work.",
            enum=["NoSchedule", "PreferNoSchedule", "NoExecute"],
        ),
    ]
    value: Annotated[str, doc("Value that a toleration must match.", maxLength=63)] = ""


class NodeSpec(Struct):
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeInfo(Struct):
    kubelet_version: str = ""


class NodeStatus(Struct):
    node_info: NodeInfo = NodeInfo()
    allocatable: dict[str, str] = {}
    conditions: tuple[Condition, ...] = ()


class Node(Object):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class NamespaceStatus(Struct):
    conditions: tuple[Condition, ...] = ()


class Namespace(Object):
    """The conditions say why one that is being deleted still has content."""

    status: NamespaceStatus = NamespaceStatus()


class Secret(Object):
    """It prints without its data: no value gets into a log or an error."""

    data: dict[str, str] = {}
    type: str = ""

    def __repr__(self) -> str:
        return f"Secret({self.key})"


class ConfigMap(Object):
    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}


class RoleBinding(Object):
    """Read whole, to notice every change by somebody else."""

    role_ref: dict[str, Any] = {}
    subjects: list[dict[str, Any]] = []


class NetworkPolicy(Object):
    """Read whole, to notice every change by somebody else."""

    spec: dict[str, Any] = {}


class ResourceQuota(Object):
    """Only its spec is read: its status, the counts, changes with each pod."""

    spec: dict[str, Any] = {}


class LimitRange(Object):
    """Read whole, to notice every change by somebody else."""

    spec: dict[str, Any] = {}


class LabelSelector(Struct):
    match_labels: dict[str, str] = {}


class PodDisruptionBudgetSpec(Struct):
    """Written by us with an absolute number; budgets of others may say more than is read here."""

    min_available: int | str | None = None
    selector: LabelSelector | None = None
    unhealthy_pod_eviction_policy: str = ""


class PodDisruptionBudgetStatus(Struct):
    observed_generation: int = 0
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0


class PodDisruptionBudget(Object):
    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()
    status: PodDisruptionBudgetStatus = PodDisruptionBudgetStatus()


class RollingUpdateDaemonSet(Struct):
    max_unavailable: int | str = 1


class DaemonSetUpdateStrategy(Struct):
    """Without a rolling update, running pods are left alone."""

    rolling_update: RollingUpdateDaemonSet | None = None


class DaemonSetSpec(Struct):
    update_strategy: DaemonSetUpdateStrategy = DaemonSetUpdateStrategy()


class DaemonSetStatus(Struct):
    observed_generation: int = 0
    desired_number_scheduled: int = 0


class DaemonSet(Object):
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


class LeaseSpec(Struct):
    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    lease_transitions: int = 0


class Lease(Object):
    spec: LeaseSpec = LeaseSpec()


class ObjectReference(Struct):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    field_path: str = ""


class EventSeries(Struct):
    count: int = 0
    last_observed_time: datetime | None = None


class EventSource(Struct):
    component: str = ""


class Event(Object):
    """Who writes it decides which of the times and counts are set."""

    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    type: str = ""
    count: int = 0
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    series: EventSeries | None = None
    source: EventSource = EventSource()
    reporting_component: str = ""


PODS = Resource("", "v1", "Pod", "pods", True, Pod)
POD_MOUNTS = Resource("", "v1", "Pod", "pods", True, PodMounts)
NODES = Resource("", "v1", "Node", "nodes", False, Node)
NAMESPACES = Resource("", "v1", "Namespace", "namespaces", False, Namespace)
SECRETS = Resource("", "v1", "Secret", "secrets", True, Secret)
CONFIGMAPS = Resource("", "v1", "ConfigMap", "configmaps", True, ConfigMap)
ROLEBINDINGS = Resource("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", True, RoleBinding)
LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases", True, Lease)
PODDISRUPTIONBUDGETS = Resource("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", True, PodDisruptionBudget)
NETWORKPOLICIES = Resource("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", True, NetworkPolicy)
RESOURCEQUOTAS = Resource("", "v1", "ResourceQuota", "resourcequotas", True, ResourceQuota)
LIMITRANGES = Resource("", "v1", "LimitRange", "limitranges", True, LimitRange)
DAEMONSETS = Resource("apps", "v1", "DaemonSet", "daemonsets", True, DaemonSet)
EVENTS = Resource("", "v1", "Event", "events", True, Event, bookmarks=False)
