"""Defines shards: what one member cluster must run. Federation writes them, the member's operator reads them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pincompute.api.conditions import Conditions
from pincompute.api.meta import GROUP, VERSION, Manifest, Object, Resource, Struct, doc
from pincompute.api.workloads import DRAIN_SECONDS, Ended, InPlace, Tier, UnreadyCause


class Origin(Struct):
    """The host object a shard comes from; `generation` is the one the shard was rendered from."""

    uid: Annotated[str, doc("metadata.uid of the host object.")]
    generation: Annotated[int, doc("Its metadata.generation when this shard was rendered.")]


class Share(Struct):
    """So many replicas of one revision."""

    revision: Annotated[str, doc("Names the template.")]
    template: Annotated[Manifest, doc("Pod template with defaults filled in; validated on the host.")]
    replicas: Annotated[int, doc("Pods of this revision.", minimum=0)]


class ShardBudget(Struct):
    """This member's part of the workload's one disruption account, in absolute numbers (domain/disruption_account.py).

    The operator never lets fewer than `replicas of the mix - unavailable - updating` be available by its own doing. The
    member's PodDisruptionBudget keeps `replicas of the mix - unavailable`.
    """

    unavailable: Annotated[int, doc("Replicas that may be evicted, and so be missing, at a time.", minimum=0)] = 0
    updating: Annotated[int, doc("Replicas whose containers may be restarted in place at a time.", minimum=0)] = 0
    surge: Annotated[int, doc("So many replicas of the mix are there only for the time of a disruption.", minimum=0)] = 0


class ShardSpec(Struct):
    """The mix of revisions that should run here. A rollout, a rollback and a scale are only a new mix."""

    origin: Annotated[Origin, doc("The host object this comes from.")]
    cluster: Annotated[str, doc("The member cluster this is for.")]
    zone: Annotated[str, doc("Its zone.")]
    mix: Annotated[tuple[Share, ...], doc("How many replicas of which revision.", maxItems=16)]
    tier: Annotated[Tier, doc("Tier of the workload.")] = "OnDemand"
    in_place: Annotated[InPlace, doc("Whether pods are changed in place where that is possible.")] = "Prefer"
    min_ready_seconds: Annotated[int, doc("For how long a pod must be ready before it counts as available.")] = 0
    connection_drain_seconds: Annotated[int, doc("For how long a pod is out of traffic before a container restarts.")] = (
        DRAIN_SECONDS
    )
    budget: Annotated[ShardBudget, doc("How many replicas may be disrupted here at a time.")] = ShardBudget()
    paused: Annotated[bool, doc("Pods stay at the revisions they have; only missing ones are made.")] = False


class RevisionStatus(Struct):
    """The pods of one revision in one member."""

    revision: Annotated[str, doc("Names the template.")]
    replicas: Annotated[int, doc("Pods of it.")] = 0
    ready: Annotated[int, doc("Pods of it that are ready.")] = 0
    available: Annotated[int, doc("Pods of it that have been ready for minReadySeconds.")] = 0
    restarts: Annotated[int, doc("Restarts of their containers, added up.")] = 0


class DisruptionRequests(Struct):
    """Replicas that wait to be disrupted. The federation answers with a budget; until then they are left alone."""

    drains: Annotated[int, doc("Replicas on nodes that are cordoned.")] = 0
    evictions: Annotated[int, doc("Replicas that are to be replaced by others: another revision, a restart by request.")] = 0
    updates: Annotated[int, doc("Replicas in which containers are to be restarted in place.")] = 0


class ShardStatus(Struct):
    """`observed_generation` is the shard's own; `origin_generation` the host object's it was rendered from (S-020)."""

    observed_generation: Annotated[int, doc("The last metadata.generation of the shard that was acted on.")] = 0
    origin_generation: Annotated[int, doc("Generation of the host object that was acted on.")] = 0
    replicas: Annotated[int, doc("Pods here.")] = 0
    ready_replicas: Annotated[int, doc("Pods here that are ready.")] = 0
    available_replicas: Annotated[int, doc("Pods here that have been ready for minReadySeconds.")] = 0
    updated_replicas: Annotated[int, doc("Pods here of the newest revision in the mix.")] = 0
    revisions: Annotated[tuple[RevisionStatus, ...], doc("The pods here by revision.", maxItems=32)] = ()
    guaranteed: Annotated[
        int, doc("Fewer replicas are not made available by the operator's own doing: of the mix less the budget it acted on.")
    ] = 0
    disruption_requests: Annotated[DisruptionRequests, doc("Replicas here that wait to be disrupted.")] = DisruptionRequests()
    ended: Annotated[Ended | None, doc("How the unit ended, if it runs to its end and has.")] = None
    unschedulable: Annotated[int, doc("Pods here that no node takes.")] = 0
    causes: Annotated[
        tuple[UnreadyCause, ...], doc("Why replicas here are not ready, the most telling first.", maxItems=4)
    ] = ()
    message: Annotated[str, doc("What is wrong here, if anything.")] = ""
    reported_at: Annotated[
        datetime | None, doc("When these figures last changed, by the clock of this cluster's operator.")
    ] = None
    conditions: Conditions = ()


class Shard(Object):
    spec: Annotated[ShardSpec, doc("What should run in this cluster.")]
    status: Annotated[ShardStatus, doc("What runs in this cluster.")] = ShardStatus()


class PinAppShard(Shard):
    """A PinApp's part in one member cluster."""


class PinPodShard(Shard):
    """A standalone PinPod in the member cluster that was chosen for it."""


PINAPPSHARDS = Resource(GROUP, VERSION, "PinAppShard", "pinappshards", True, PinAppShard)
PINPODSHARDS = Resource(GROUP, VERSION, "PinPodShard", "pinpodshards", True, PinPodShard)
