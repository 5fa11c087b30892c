"""Defines the objects that users write on the host cluster: PinApp and PinPod. Their namespace is the project."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pincompute.api.conditions import Conditions
from pincompute.api.meta import GROUP, VERSION, Manifest, Object, Resource, Struct, doc

Tier: TypeAlias = Literal["Reserved", "OnDemand", "Preemptible"]
UpdateSettings: TypeAlias = Literal["NextStart", "Roll"]
InPlace: TypeAlias = Literal["Prefer", "Require", "Never"]
UpdateStrategy: TypeAlias = Literal["Parallel", "ZoneByZone", "Canary", "Recreate"]
OnFailure: TypeAlias = Literal["Hold", "Rollback"]
Approval: TypeAlias = Literal["Never", "FirstStep", "EveryStep"]
MetricFunction: TypeAlias = Literal["Rate", "Ratio", "Average", "Maximum", "Quantile"]
MetricState: TypeAlias = Literal["Holds", "Broken", "Unknown"]
HookMoment: TypeAlias = Literal["BeforeStep", "AfterStep"]
HookState: TypeAlias = Literal["Unknown", "Waiting", "Accepted", "Refused"]
RolloutState: TypeAlias = Literal["Progressing", "AwaitingApproval", "Complete", "RollingBack", "RolledBack"]
UNDOING: tuple[RolloutState, ...] = ("RollingBack", "RolledBack")  # states in which the stable revision is the target
TERMINAL_STATES: tuple[RolloutState, ...] = ("Complete", "RolledBack")  # states that only another rollout ends


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


LabelPattern: TypeAlias = Annotated[str, doc("A regular expression (RE2) that matches the whole value.", maxLength=256)]


class HealthMetric(Struct):
    """A metric in Prometheus, of this project's series only, that has to stay within bounds while a step proves itself."""

    name: Annotated[str, doc("What people call the metric.", minLength=1, maxLength=63)]
    metric: Annotated[
        str,
        doc(
            "Name of the metric. Quantile wants that of a histogram's buckets.",
            pattern="^[a-zA-Z_:][a-zA-Z0-9_:]*$",
            maxLength=200,
        ),
    ]
    function: Annotated[
        MetricFunction,
        doc(
            "Rate is the sum of the rates per second of counters; Ratio the part of that rate which the series of `part` have; "
            "Average and Maximum are those of gauges; Quantile is one of a histogram. Each over all series, within the window."
        ),
    ] = "Rate"
    labels: Annotated[
        dict[str, LabelPattern],
        doc(
            "Only series with these labels. Each value is a regular expression that matches the whole value.", maxProperties=16
        ),
    ] = {}
    part: Annotated[
        dict[str, LabelPattern],
        doc("Ratio: labels of the series whose part is measured, for example `code: 5..`.", maxProperties=16),
    ] = {}
    quantile: Annotated[float, doc("Quantile: which one, from 0 to 1.", minimum=0, maximum=1)] = 0.99
    window_seconds: Annotated[int, doc("Over which time. bakeSeconds must be at least as long.", minimum=15, maximum=3600)] = 60
    min: Annotated[float | None, doc("Its value must be at least this.")] = None
    max: Annotated[float | None, doc("Its value must be at most this.")] = None


class UpdateHook(Struct):
    """An outside service that is asked about each step of an update. Its address is in the federation's settings."""

    name: Annotated[
        str,
        doc(
            "Name of the service, as an administrator has given it in the federation's settings.",
            pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            maxLength=63,
        ),
    ]
    when: Annotated[
        HookMoment,
        doc(
            "BeforeStep: no replica of the step changes before it agrees. AfterStep: the step is complete only when it agrees."
        ),
    ]
    timeout_seconds: Annotated[
        int, doc("How long its verdict may take. A step without a verdict has failed then.", minimum=10, maximum=604800)
    ] = 300


DRAIN_SECONDS = 3  # within which kube-proxy and others follow the endpoints of a Service


class Update(Struct):
    """How a change of the template reaches running pods."""

    in_place: Annotated[
        InPlace,
        doc(
            "Whether replicas are changed in place, so that only the changed containers restart: Prefer, where Kubernetes "
            "allows it, else by new pods; Require refuses a change that needs new pods; Never makes new pods for every change."
        ),
    ] = "Prefer"
    max_unavailable: Annotated[
        int | str, doc("How many replicas may be down during an update: a number, or a percentage of replicas, rounded down.")
    ] = "25%"
    max_surge: Annotated[
        int | str, doc("How many replicas may be added during an update: a number, or a percentage of replicas, rounded up.")
    ] = "25%"
    strategy: Annotated[
        UpdateStrategy,
        doc(
            "Which replicas change first: ZoneByZone completes one zone before the next; Canary changes a share in every zone "
            "first; Parallel changes one replica, then all zones together; Recreate ends all replicas before the first new one "
            "starts, so that nothing serves meanwhile."
        ),
    ] = "Parallel"
    zone_order: Annotated[
        tuple[ZoneName, ...],
        doc(
            "ZoneByZone: these zones come first, in this order. The others follow, those with the fewest replicas first.",
            maxItems=32,
        ),
    ] = ()
    steps: Annotated[
        tuple[int | str, ...],
        doc(
            "How many replicas, counted over all zones, have the new revision after each step: numbers, or percentages of "
            "replicas, rounded up. The last step is always all replicas.",
            maxItems=32,
        ),
    ] = ()
    bake_seconds: Annotated[
        int,
        doc("For how long all replicas of a step must be available before the next step begins.", minimum=0, maximum=604800),
    ] = 0
    progress_deadline_seconds: Annotated[
        int,
        doc("How long a step may take, without its bake time. A step that takes longer has failed.", minimum=1, maximum=604800),
    ] = 600
    metrics: Annotated[
        tuple[HealthMetric, ...],
        doc(
            "Metrics that must be within their bounds from the beginning of a step's bake time to its end. An unknown metric "
            "holds the step up; one that leaves its bounds in the bake time fails it.",
            maxItems=4,
        ),
    ] = ()
    hooks: Annotated[
        tuple[UpdateHook, ...],
        doc(
            "Outside services that are asked before or after each step. One that refuses, or gives no verdict in time, fails "
            "the step.",
            maxItems=4,
        ),
    ] = ()
    approval: Annotated[
        Approval,
        doc(
            "After which steps the rollout waits until somebody approves it: Never, FirstStep, EveryStep. The last needs none."
        ),
    ] = "Never"
    on_failure: Annotated[
        OnFailure,
        doc("What happens when a step fails: Hold leaves everything as it is; Rollback returns to the revision before."),
    ] = "Hold"
    settings: Annotated[
        UpdateSettings,
        doc(
            "How a new value of a secret or config reaches running pods: NextStart, when they start next (mounted files "
            "within a minute); Roll, as an update, which a rollback takes back."
        ),
    ] = "NextStart"
    min_ready_seconds: Annotated[
        int, doc("For how long a new pod must be ready before it counts as available.", minimum=0, maximum=86400)
    ] = 0
    connection_drain_seconds: Annotated[
        int,
        doc(
            "For how long a replica that listens on a port is out of traffic before a container of it restarts in place. What "
            "routes requests to it has to follow within this time.",
            minimum=0,
            maximum=300,
        ),
    ] = DRAIN_SECONDS


class RolloutControl(Struct):
    """What somebody has decided about the rollout of one revision. It says nothing about any other."""

    revision: Annotated[str, doc("The revision.", maxLength=64)] = ""
    approved_steps: Annotated[int, doc("So many steps are approved.", minimum=0, maximum=100)] = 0
    aborted: Annotated[bool, doc("The rollout is undone.")] = False
    attempt: Annotated[int, doc("Another number begins the rollout anew after it was undone.", minimum=0)] = 0


class Disruption(Struct):
    """The account of all that disrupts replicas: updates, restarts, drains, removals of members, preemption."""

    max_unavailable: Annotated[
        int | str | None,
        doc(
            "How many replicas may be down at a time, over all clusters and for whatever reason: a number, or a percentage of "
            "replicas, rounded down. By default that of update."
        ),
    ] = None


HistoryLimit: TypeAlias = Annotated[
    int,
    doc(
        "How many superseded revisions are kept, for a rollback. Older ones go when none of their pods is left.",
        minimum=1,
        maximum=50,
    ),
]


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
    history_limit: HistoryLimit = 10
    rollout: Annotated[RolloutControl | None, doc("What somebody has decided about a rollout.")] = None
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
    history_limit: HistoryLimit = 10
    rollout: Annotated[RolloutControl | None, doc("What somebody has decided about a rollout.")] = None
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
    message: Annotated[str, doc("Why not, as the end of a sentence that begins with the cluster or its zone.")]
    zone: Annotated[str, doc("Its zone.")] = ""


class Score(Struct):
    """How a candidate cluster was ranked: the parts add up to the total, each part 0 to 100 times its weight."""

    cluster: Annotated[str, doc("Member cluster.")]
    total: Annotated[int, doc("Sum of the parts; higher is preferred.")]
    parts: Annotated[dict[str, int], doc("What each scorer contributed.")] = {}


class CountedSidecar(Struct):
    """A sidecar of the platform in each replica, and what it requests there."""

    name: Annotated[str, doc("Name of the PinSidecar.")]
    cpu: Annotated[int | str, doc("CPU that it requests.")]
    memory: Annotated[int | str, doc("Memory that it requests.")]


class Scheduling(Struct):
    """The last scheduling decision, kept so that it can be explained. `generation` is the one it was made for.

    `passed_over` names clusters that got nothing only because they were temporarily unavailable: unreachable, not ready, or
    without known capacity. The decision is made again when they are back. `behind` names clusters that are there and have less
    than an even share, for lack of room or because an update was in progress. `evened_at` is when replicas last moved to such.
    """

    generation: Annotated[int, doc("metadata.generation the decision was made for.")]
    demand: Annotated[
        str,
        doc("Names what the decision depends on: replicas, requests, placement rules, tier, labels that sidecars select by."),
    ] = ""
    revision: Annotated[str, doc("Revision of the template the decision was made for.")] = ""
    placement: Annotated[tuple[ClusterReplicas, ...], doc("How many replicas each member cluster should run.")] = ()
    unplaced: Annotated[int, doc("Replicas that no member cluster has room for.")] = 0
    passed_over: Annotated[
        tuple[str, ...], doc("Clusters that got nothing only because they were temporarily unavailable.")
    ] = ()
    behind: Annotated[
        tuple[str, ...],
        doc("Clusters whose zone has fewer replicas than others. Replicas move there when there is room and no update."),
    ] = ()
    evened_at: Annotated[datetime | None, doc("When replicas last moved between zones to even them out.")] = None
    scores: Annotated[tuple[Score, ...], doc("How the candidate clusters were ranked.")] = ()
    rejections: Annotated[tuple[Rejection, ...], doc("Why the other clusters were not candidates, or got no more.")] = ()
    sidecars: Annotated[
        tuple[CountedSidecar, ...],
        doc("Sidecars of the platform that the decision counted in each replica, with their requests."),
    ] = ()


class EndedContainer(Struct):
    """How one container of a unit has ended."""

    name: Annotated[str, doc("Name of the container.")]
    exit_code: Annotated[int, doc("Its exit code; 128 and the number of a signal when one ended it.")] = 0
    reason: Annotated[str, doc("The kubelet's word, such as Completed, Error or OOMKilled.")] = ""
    message: Annotated[str, doc("What the container wrote to its termination log, its first characters.", maxLength=1024)] = ""
    started_at: Annotated[datetime | None, doc("When its last run began.")] = None
    finished_at: Annotated[datetime | None, doc("When its last run ended.")] = None


class Ended(Struct):
    """How a unit that runs to its end has ended. It is not run again until its template changes."""

    revision: Annotated[str, doc("Revision that has ended.")]
    phase: Annotated[Literal["Succeeded", "Failed"], doc("Succeeded, or Failed.")]
    reason: Annotated[str, doc("One CamelCase word for programs.")] = ""
    message: Annotated[str, doc("Why it ended, in a sentence.")] = ""
    at: Annotated[datetime | None, doc("When the last of its containers ended, or it was seen to have ended.")] = None
    containers: Annotated[tuple[EndedContainer, ...], doc("How each container ended.")] = ()


class UnreadyCause(Struct):
    """Why replicas are not ready, and what to do. Replicas with the same cause are one entry."""

    reason: Annotated[str, doc("One CamelCase word for programs.", maxLength=128)]
    message: Annotated[str, doc("What is wrong and what to do, in a sentence.", maxLength=2048)]
    replicas: Annotated[int, doc("So many replicas have this cause.")] = 1
    revision: Annotated[str, doc("Their revision.")] = ""
    final: Annotated[
        bool, doc("Waiting does not help: they cannot start before somebody changes the workload or what it needs.")
    ] = False
    lasting: Annotated[
        bool, doc("It has been so for a while. They start by themselves when it ends, but nobody knows when that will be.")
    ] = False


class ClusterStatus(Struct):
    """What one member reports of its shard; `known` is false while the cluster is unreachable and the figures are its last."""

    cluster: Annotated[str, doc("Member cluster.")]
    zone: Annotated[str, doc("Its zone.")]
    replicas: Annotated[int, doc("Pods there.")] = 0
    ready_replicas: Annotated[int, doc("Pods there that are ready.")] = 0
    available_replicas: Annotated[int, doc("Pods there that have been ready for minReadySeconds.")] = 0
    updated_replicas: Annotated[int, doc("Pods there of the present revision.")] = 0
    observed_generation: Annotated[int, doc("metadata.generation that this cluster has acted on.")] = 0
    known: Annotated[bool, doc("False while the cluster is unreachable; the figures are its last.")] = True
    message: Annotated[str, doc("What is wrong there, if anything.")] = ""
    reported_at: Annotated[datetime | None, doc("When it reported this, by the clock of that cluster's operator.")] = None


class MetricStatus(Struct):
    """Whether a metric of a rollout's health gate is within its bounds."""

    name: Annotated[str, doc("What people call the metric.")]
    state: Annotated[MetricState, doc("Holds, Broken or Unknown.")] = "Unknown"
    value: Annotated[str, doc("The value of the metric; empty while it is unknown.")] = ""
    bound: Annotated[str, doc("What it must be.")] = ""
    message: Annotated[str, doc("Why it is unknown, in a sentence.")] = ""
    since: Annotated[datetime | None, doc("Since when it has been so.")] = None
    at: Annotated[datetime | None, doc("When this value was written. A new one is written once a minute at most.")] = None


class HookStatus(Struct):
    """What a hook says about the present step of a rollout."""

    name: Annotated[str, doc("Name of the hook.")]
    when: Annotated[HookMoment, doc("BeforeStep or AfterStep.")]
    state: Annotated[HookState, doc("Unknown, Waiting, Accepted or Refused. The last two are verdicts, and stay.")] = "Unknown"
    message: Annotated[str, doc("What it says, or why its verdict is unknown.")] = ""
    zones: Annotated[tuple[str, ...], doc("The zones in which the step changes replicas.")] = ()
    since: Annotated[
        datetime | None,
        doc("Since when it has been asked; absent while the workload is paused or the platform has no room to ask."),
    ] = None
    at: Annotated[datetime | None, doc("When this was written. Another message is written once a minute at most.")] = None


class RolloutStatus(Struct):
    """How far the rollout of a revision has come. `stable` is the revision that a rollback returns to."""

    revision: Annotated[str, doc("Revision that is rolled out.")]
    stable: Annotated[str, doc("Revision that served before; a rollback returns to it. Empty when none did.")] = ""
    state: Annotated[RolloutState, doc("Progressing, AwaitingApproval, Complete, RollingBack or RolledBack.")] = "Progressing"
    attempt: Annotated[int, doc("The attempt, as `spec.rollout` counts them.")] = 0
    step: Annotated[int, doc("Steps that are complete.")] = 0
    steps: Annotated[int, doc("Steps in all.")] = 1
    replicas: Annotated[int, doc("How many replicas, over all zones, may have the revision now.")] = 0
    zones: Annotated[tuple[str, ...], doc("The zones in the order of their turns.")] = ()
    began: Annotated[datetime | None, doc("When this attempt began.")] = None
    since: Annotated[datetime | None, doc("When the present step or state began; absent while the workload is paused.")] = None
    healthy_since: Annotated[datetime | None, doc("Since when all replicas of the step have been available.")] = None
    restarts: Annotated[int, doc("Restarts of its containers when the bake time began.")] = 0
    failure: Annotated[str, doc("Why it failed, in a sentence.")] = ""
    metrics: Annotated[tuple[MetricStatus, ...], doc("The metrics of the health gate.")] = ()
    begun: Annotated[bool, doc("The present step has begun: no hook of BeforeStep holds it back.")] = False
    hooks: Annotated[tuple[HookStatus, ...], doc("The hooks that have been asked about the present step.")] = ()
    notified: Annotated[str, doc("The last stage of which the notification endpoint was told; empty when there is none.")] = ""


class RevisionNote(Struct):
    """What somebody noted about a revision."""

    revision: Annotated[str, doc("Revision of the template that was asked for.")]
    note: Annotated[str, doc("One line of text.", maxLength=512)]


class WorkloadStatus(Struct):
    """Answers on one screen: is it running, where, which revision, and if not, why not and what to do."""

    observed_generation: Annotated[int, doc("The last metadata.generation that every cluster has acted on.")] = 0
    phase: Annotated[
        str,
        doc(
            "Is it running, in one word: Pending, Progressing, Stalled (waiting does not help), Running, Degraded (replicas "
            "are lost), Paused, Stopped, RolledBack, Succeeded, Failed or Deleting."
        ),
    ] = ""
    replicas: Annotated[int, doc("Pods that exist.", default=0)] = 0
    ready_replicas: Annotated[int, doc("Pods that are ready.", default=0)] = 0
    available_replicas: Annotated[int, doc("Pods that have been ready for minReadySeconds.")] = 0
    updated_replicas: Annotated[int, doc("Pods of the present revision.")] = 0
    unavailable_replicas: Annotated[int, doc("Pods that are wanted and not available.")] = 0
    peak_ready_replicas: Annotated[
        int, doc("The most pods that were ready at once, of those wanted now. Fewer than these are a loss.")
    ] = 0
    revision: Annotated[str, doc("Name of the template's present revision.")] = ""
    without_surge: Annotated[
        str, doc("Revision that is rolled out without surge, because no cluster had room for one replica more.")
    ] = ""
    rollout: Annotated[RolloutStatus | None, doc("The last change of the template, and how far it has come.")] = None
    note: Annotated[RevisionNote | None, doc("The annotation kubernetes.io/change-cause of the revision asked for last.")] = (
        None
    )
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
