"""What users write: PinApp and PinPod, on the host cluster; the namespace is the project."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pincompute.api.conditions import Condition
from pincompute.api.meta import GROUP, VERSION, Manifest, Object, Resource, Struct

Tier: TypeAlias = Literal["Reserved", "OnDemand", "Preemptible"]
UpdateType: TypeAlias = Literal["InPlaceIfPossible", "Recreate"]


class Placement(Struct):
    """Where a workload may run. Everything empty means: anywhere, balanced over all zones."""

    zones: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    cluster_selector: dict[str, str] = {}


class Update(Struct):
    """How a change of the template reaches running pods."""

    type: UpdateType = "InPlaceIfPossible"
    max_unavailable: int | str = "25%"
    max_surge: int | str = "25%"
    min_ready_seconds: int = 0


class PinAppSpec(Struct):
    template: Manifest
    replicas: int = 1
    tier: Tier = "OnDemand"
    placement: Placement = Placement()
    update: Update = Update()


class PinPodSpec(Struct):
    template: Manifest
    tier: Tier = "OnDemand"
    placement: Placement = Placement()
    update: Update = Update()


class ClusterReplicas(Struct):
    """One line of a placement decision."""

    cluster: str
    zone: str
    replicas: int


class Rejection(Struct):
    """Why a cluster did not get (more of) a workload."""

    cluster: str
    reason: str
    message: str


class Score(Struct):
    """How a candidate cluster was ranked: the parts add up to the total, each part 0 to 100 times its weight."""

    cluster: str
    total: int
    parts: dict[str, int] = {}


class Scheduling(Struct):
    """The last scheduling decision, kept so that it can be explained. `generation` is the one it was made for."""

    generation: int
    revision: str = ""
    placement: tuple[ClusterReplicas, ...] = ()
    unplaced: int = 0
    scores: tuple[Score, ...] = ()
    rejections: tuple[Rejection, ...] = ()


class ClusterStatus(Struct):
    """What one member reports of its shard; `known` is false while the cluster is silent and the figures are its last."""

    cluster: str
    zone: str
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    observed_generation: int = 0
    known: bool = True
    message: str = ""


class WorkloadStatus(Struct):
    """Answers on one screen: is it running, where, which revision, and if not, why not and what to do."""

    observed_generation: int = 0
    phase: str = ""
    replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    updated_replicas: int = 0
    unavailable_replicas: int = 0
    revision: str = ""
    selector: str = ""
    where: str = ""
    message: str = ""
    scheduling: Scheduling | None = None
    clusters: tuple[ClusterStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()


class PinApp(Object):
    """A long-running service: replicas of one pod template, spread over zones."""

    spec: PinAppSpec
    status: WorkloadStatus = WorkloadStatus()


class PinPod(Object):
    """The unit: one pod with per-container update, managed by the platform."""

    spec: PinPodSpec
    status: WorkloadStatus = WorkloadStatus()


PINAPPS = Resource(GROUP, VERSION, "PinApp", "pinapps", True, PinApp)
PINPODS = Resource(GROUP, VERSION, "PinPod", "pinpods", True, PinPod)
