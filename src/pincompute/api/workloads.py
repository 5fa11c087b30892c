"""Defines the objects that users write on the host cluster: PinApp and PinPod. Their namespace is the project."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pincompute.api.conditions import Conditions
from pincompute.api.meta import GROUP, VERSION, Manifest, Object, Resource, Struct, doc

Tier: TypeAlias = Literal["Reserved", "OnDemand", "Preemptible"]
UpdateType: TypeAlias = Literal["InPlaceIfPossible", "Recreate"]


ZoneName: TypeAlias = Annotated[str, doc("A zone.", minLength=1, maxLength=15)]
ClusterName: TypeAlias = Annotated[str, doc("A member cluster.", minLength=1, maxLength=15)]


class Placement(Struct):
    """Where a workload may run. Everything empty means: anywhere, balanced over all zones."""

    zones: Annotated[
        tuple[ZoneName, ...], doc("Only these zones; empty means every zone.", maxItems=32, x_kubernetes_list_type="set")
    ] = ()
    clusters: Annotated[
        tuple[ClusterName, ...],
        doc("Only these member clusters; empty means every one.", maxItems=128, x_kubernetes_list_type="set"),
    ] = ()
    cluster_selector: Annotated[dict[str, str], doc("Only member clusters that carry all these labels.", maxProperties=32)] = {}


class Update(Struct):
    """How a change of the template reaches running pods."""

    type: Annotated[
        UpdateType,
        doc("InPlaceIfPossible restarts only containers whose image changed and keeps the pod; Recreate replaces pods."),
    ] = "InPlaceIfPossible"
    max_unavailable: Annotated[
        int | str, doc("How many replicas may be down during an update: a number, or a percentage of replicas, rounded down.")
    ] = "25%"
    max_surge: Annotated[
        int | str, doc("How many replicas may be added during an update: a number, or a percentage of replicas, rounded up.")
    ] = "25%"
    min_ready_seconds: Annotated[
        int, doc("For how long a new pod must be ready before it counts as available.", minimum=0, maximum=86400)
    ] = 0


class Disruption(Struct):
    """The account of all that disrupts replicas: updates, restarts, drains, removals of members, preemption."""

    max_unavailable: Annotated[
        int | str | None,
        doc(
            "How many replicas may be down at a time, over all clusters and for whatever reason: a number, or a percentage of "
            "replicas, rounded down. By default that of update."
        ),
    ] = None


class PinAppSpec(Struct):
    template: Annotated[
        Manifest,
        doc("The pods to run: a full Kubernetes pod template. Containers without requests get 100m CPU and 128Mi memory."),
    ]
    replicas: Annotated[int, doc("How many pods to run, over all zones.", minimum=0, maximum=100000)] = 1
    tier: Annotated[
        Tier, doc("Reserved has guaranteed capacity, OnDemand shares a pool, Preemptible gives way when others need room.")
    ] = "OnDemand"
    placement: Annotated[Placement, doc("Where pods may run; by default balanced over all zones.")] = Placement()
    update: Annotated[Update, doc("How a change of the template reaches running pods.")] = Update()
    disruption: Annotated[Disruption, doc("How many replicas may be down at a time, whatever the reason.")] = Disruption()
    paused: Annotated[bool, doc("Pods stay as they are, and no change reaches them until this is false again.")] = False
    stopped: Annotated[bool, doc("No pods run until this is false again; replicas keeps how many there will be.")] = False


class PinPodSpec(Struct):
    template: Annotated[
        Manifest,
        doc("The pod to run: a full Kubernetes pod template. Containers without requests get 100m CPU and 128Mi memory."),
    ]
    tier: Annotated[
        Tier, doc("Reserved has guaranteed capacity, OnDemand shares a pool, Preemptible gives way when others need room.")
    ] = "OnDemand"
    placement: Annotated[Placement, doc("Where the pod may run; by default anywhere.")] = Placement()
    update: Annotated[Update, doc("How a change of the template reaches the running pod.")] = Update()
    paused: Annotated[bool, doc("The pod stays as it is, and no change reaches it until this is false again.")] = False
    stopped: Annotated[bool, doc("No pod runs until this is false again.")] = False


class ClusterReplicas(Struct):
    """One line of a placement decision."""

    cluster: Annotated[str, doc("Member cluster.")]
    zone: Annotated[str, doc("Its zone.")]
    replicas: Annotated[int, doc("How many replicas it should run.")]
    added: Annotated[int, doc("So many of them this decision added.")] = 0


class Rejection(Struct):
    """Why a cluster did not get (more of) a workload."""

    cluster: Annotated[str, doc("Member cluster.")]
    reason: Annotated[str, doc("One CamelCase word for programs.")]
    message: Annotated[str, doc("A sentence: why not, and what would change it.")]


class Score(Struct):
    """How a candidate cluster was ranked: the parts add up to the total, each part 0 to 100 times its weight."""

    cluster: Annotated[str, doc("Member cluster.")]
    total: Annotated[int, doc("Sum of the parts; higher is preferred.")]
    parts: Annotated[dict[str, int], doc("What each scorer contributed.")] = {}


class Scheduling(Struct):
    """The last scheduling decision, kept so that it can be explained. `generation` is the one it was made for.

    `passed_over` names clusters that got nothing only because they were silent: the decision is made again when they
    are back.
    """

    generation: Annotated[int, doc("metadata.generation the decision was made for.")]
    demand: Annotated[str, doc("Names what the decision depends on: replicas, requests, placement rules, tier.")] = ""
    revision: Annotated[str, doc("Revision of the template the decision was made for.")] = ""
    placement: Annotated[tuple[ClusterReplicas, ...], doc("How many replicas each member cluster should run.")] = ()
    unplaced: Annotated[int, doc("Replicas that no member cluster has room for.")] = 0
    passed_over: Annotated[tuple[str, ...], doc("Clusters that got nothing only because they were silent.")] = ()
    scores: Annotated[tuple[Score, ...], doc("How the candidate clusters were ranked.")] = ()
    rejections: Annotated[tuple[Rejection, ...], doc("Why the other clusters were not candidates, or got no more.")] = ()


class Ended(Struct):
    """How a unit that runs to its end has ended. It is not run again until its template changes."""

    revision: Annotated[str, doc("Revision that has ended.")]
    phase: Annotated[Literal["Succeeded", "Failed"], doc("Succeeded, or Failed.")]
    reason: Annotated[str, doc("One CamelCase word for programs.")] = ""
    message: Annotated[str, doc("Why it ended, in a sentence.")] = ""
    at: Annotated[datetime | None, doc("When it was seen to have ended.")] = None


class ClusterStatus(Struct):
    """What one member reports of its shard; `known` is false while the cluster is silent and the figures are its last."""

    cluster: Annotated[str, doc("Member cluster.")]
    zone: Annotated[str, doc("Its zone.")]
    replicas: Annotated[int, doc("Pods there.")] = 0
    ready_replicas: Annotated[int, doc("Pods there that are ready.")] = 0
    available_replicas: Annotated[int, doc("Pods there that have been ready for minReadySeconds.")] = 0
    updated_replicas: Annotated[int, doc("Pods there of the current revision.")] = 0
    observed_generation: Annotated[int, doc("metadata.generation that this cluster has acted on.")] = 0
    known: Annotated[bool, doc("False while the cluster is silent; the figures are its last.")] = True
    message: Annotated[str, doc("What is wrong there, if anything.")] = ""
    reported_at: Annotated[datetime | None, doc("When it reported this, by the clock of that cluster's operator.")] = None


class WorkloadStatus(Struct):
    """Answers on one screen: is it running, where, which revision, and if not, why not and what to do."""

    observed_generation: Annotated[int, doc("The last metadata.generation that every cluster has acted on.")] = 0
    phase: Annotated[str, doc("Is it running: one word.")] = ""
    replicas: Annotated[int, doc("Pods that exist.", default=0)] = 0
    ready_replicas: Annotated[int, doc("Pods that are ready.", default=0)] = 0
    available_replicas: Annotated[int, doc("Pods that have been ready for minReadySeconds.")] = 0
    updated_replicas: Annotated[int, doc("Pods of the current revision.")] = 0
    unavailable_replicas: Annotated[int, doc("Pods that are wanted and not available.")] = 0
    revision: Annotated[str, doc("Name of the template's present revision.")] = ""
    without_surge: Annotated[
        str, doc("Revision that is rolled out without surge, because no cluster had room for one replica more.")
    ] = ""
    ended: Annotated[Ended | None, doc("How the unit ended, if it runs to its end and has.")] = None
    selector: Annotated[str, doc("Label selector of the pods, for the scale subresource.")] = ""
    where: Annotated[str, doc("Where it runs, for people: replicas by member cluster.")] = ""
    message: Annotated[str, doc("If it is not running as wanted: why, and what to do.")] = ""
    scheduling: Annotated[Scheduling | None, doc("The last scheduling decision and its reasons.")] = None
    clusters: Annotated[tuple[ClusterStatus, ...], doc("What each member cluster reports.")] = ()
    last_update_time: Annotated[datetime | None, doc("When this status was last changed.")] = None
    conditions: Conditions = ()


class PinApp(Object):
    """A long-running service: replicas of one pod template, spread over zones."""

    spec: Annotated[PinAppSpec, doc("What should run: so many pods of one template, where, and how a change reaches them.")]
    status: Annotated[WorkloadStatus, doc("What runs, where, and why not.")] = WorkloadStatus()


class PinPod(Object):
    """The unit: one pod with per-container update, managed by the platform."""

    spec: Annotated[PinPodSpec, doc("What should run: one pod, where, and how a change reaches it.")]
    status: Annotated[WorkloadStatus, doc("What runs, where, and why not.")] = WorkloadStatus()


PINAPPS = Resource(GROUP, VERSION, "PinApp", "pinapps", True, PinApp)
PINPODS = Resource(GROUP, VERSION, "PinPod", "pinpods", True, PinPod)
