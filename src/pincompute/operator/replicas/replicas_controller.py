"""Brings a shard's pods to the shard's mix of revisions within its budget.

There is one controller per kind of shard, keyed by the shard, because the shard owns its part of the workload's disruption
account. Where running pods can take the change, it updates them in place, once their nodes have the images and they are out of
traffic. A plan that creates or removes pods first confirms that the shard and the set of its pods are those that the plan was
decided from: by the cache where it is known to be fresh enough, else by the API server. So a cache that is ten minutes old
never causes a pod too many (S-345, F5).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from pincompute.api import template_hash
from pincompute.api.builtin import (
    NAMESPACES,
    NODES,
    PODDISRUPTIONBUDGETS,
    PODS,
    ContainerStatus,
    Namespace,
    Node,
    Pod,
    PodDisruptionBudget,
)
from pincompute.api.kinds import KINDS, Kinds
from pincompute.api.labels import IMAGE_PULL_SHARD_UID, LOCAL, SHAPE, SHARD_UID, WORKLOAD
from pincompute.api.labels import REVISION as REVISION_LABEL
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.api.projects import RESTRICTED, PodSecurityLevel
from pincompute.api.shards import DisruptionRequests, Shard, Share
from pincompute.api.sidecars import PINSIDECARSHARDS, PinSidecarShard, named_by
from pincompute.api.workloads import Ended
from pincompute.domain import (
    container_restart,
    in_place_update,
    pod_resize,
    pod_security_defaults,
    project_namespace,
    restart_requests,
    rolling_update,
    scheduling_verdict,
    shard_pods,
    sidecar_injection,
    traffic_gate,
    unready_reason,
)
from pincompute.domain.container_restart import Impossible
from pincompute.domain.image_pull import ImagePull
from pincompute.domain.rolling_update import MemberBudget, PodActions, ReplicaState, WantedRevision
from pincompute.domain.sidecar_injection import Chosen
from pincompute.domain.unready_reason import UnreadyPods
from pincompute.engine.api_refusals import ApiRefusals
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.plan import Action, Confirm, ConfirmSet, Create, Delete, Evict, Patch, Plan, Ref, Replace, Stage, plan
from pincompute.kube.cache_views import Unknown, View, Views
from pincompute.operator import image_pulls
from pincompute.operator.image_pulls import ImageChange, ImagePulls, PullOwner
from pincompute.operator.replicas import (
    pod_disruption_budget,
    replica_traffic,
    run_to_completion,
    shard_deletion,
    shard_status,
)
from pincompute.operator.replicas.replica_traffic import Traffic

FIRST_BATCH = 8  # creates in the first stage; what refuses one refuses all, so the batches double (slow start)
LARGEST_BATCH = 500
RETRY_AFTER = 10.0  # seconds from the creation of a pod to that of its replacement at the earliest
NAME_TAKEN = 5.0  # seconds until the next reconciliation while something else has the name a pod needs
REMEMBERED = 50_000  # shards whose shapes are kept; those of the oldest are worked out anew when they are needed
BY_SHARD = "shard-uid"  # index over pods
BY_PULLS = "image-pulls"  # index over pods that only pull images, by shard
BY_NODE = "node"  # index over pods of shards
BY_SIDECAR = "sidecar"  # index over shards


def _mark(namespace: str, uid: str) -> str:
    """Under what the pods of a shard are filed: a label in another project claims nothing."""
    return f"{namespace}/{uid}"


def _sidecars_named(shard: Shard) -> Iterable[str]:
    return {name for share in shard.spec.mix for name in named_by(share.template)}


INDEXES: Mapping[Resource[Any], Mapping[str, Callable[[Any], Iterable[str]]]] = {
    PODS: {
        BY_SHARD: lambda pod: [_mark(pod.metadata.namespace, uid)] if (uid := pod.metadata.labels.get(SHARD_UID)) else [],
        BY_PULLS: lambda pod: (
            [_mark(pod.metadata.namespace, uid)] if (uid := pod.metadata.labels.get(IMAGE_PULL_SHARD_UID)) else []
        ),
        BY_NODE: lambda pod: [pod.spec.node_name] if pod.spec.node_name and SHARD_UID in pod.metadata.labels else [],
    },
    **{kind.shard: {BY_SIDECAR: _sidecars_named} for kind in KINDS},
}


@dataclass(frozen=True, slots=True)
class ObservedShard:
    """`pods` are the shard's own, `marked` the uids of all that carry its label, also of such as somebody else made.

    `budget` is the shard's PodDisruptionBudget. `taken` are names for its pods that other pods have; `draining` nodes that take
    no new pods; `refused` is why the API server did not take a pod of a wanted revision at the last attempt. `in_project`: the
    namespace is a project's; `level` is its Pod Security. `sidecars` are those that the member knows, `allocatable` is what the
    nodes of its pods have for all pods together. `pulls` are pods that pull images for the shard's own.
    """

    resource: Resource[Any]
    shard: Shard
    pods: tuple[Pod, ...]
    marked: frozenset[str]
    taken: frozenset[str]
    draining: frozenset[str]
    now: datetime
    budget: PodDisruptionBudget | None = None
    refused: str = ""
    in_project: bool = True
    level: PodSecurityLevel = RESTRICTED
    sidecars: tuple[PinSidecarShard, ...] = ()
    allocatable: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    pulls: tuple[Pod, ...] = ()

    @property
    def ref(self) -> Ref:
        return Ref(LOCAL, self.resource, self.shard.key)


@dataclass(frozen=True, slots=True)
class _Census:
    """The shard's pods sorted out: replicas to reckon with, ended ones that can go, and when time alone changes that.

    `done` are the revisions of units that ran to their end: nothing of them is made again. `kept` says of replicas that keep
    their revision how many there are for each reason.
    """

    replicas: tuple[ReplicaState, ...]
    ended: tuple[Pod, ...]
    done: frozenset[str]
    final: Ended | None
    wake_after: float | None
    kept: Mapping[str, int] = field(default_factory=dict[str, int])


def decide(seen: ObservedShard) -> Plan:
    if seen.shard.deleting:
        return shard_deletion.decide(seen.ref, seen.shard, seen.pods, seen.marked, in_project=seen.in_project)
    census = _census(seen)
    mix = _mix(seen, census)
    pulls = _pulls(seen, mix, census.replicas)
    actions = _actions(seen, mix, census.replicas, pulls)
    if not seen.in_project:
        return _left_alone(seen, mix, census, actions)
    creates = _creates(seen, actions, mix)
    changes, resizes = [*_updates(seen, actions), *_restarts(seen, actions)], _resizes(seen, actions, pulls)
    traffic = Traffic(seen.pods, seen.shard.spec.connection_drain_seconds, seen.now)
    back = traffic.back((*changes, *resizes), actions.delete)
    touched = (*traffic.due(changes), *back, *_ends(seen, actions, census))
    prepared = (*traffic.due(resizes), *pulls.create, *pulls.delete)
    blocked = len(actions.create) - len(creates)
    count = shard_status.count(mix, census.replicas)
    refused = seen.refused or _lacking(seen, actions)
    status = _report(seen, count, census, _Obstacles(_requests(actions, census.replicas), refused, pulls.failing))
    drained = traffic.wake_after((*changes, *resizes))
    wake = shard_status.earliest(
        census.wake_after, status.wake_after, drained, pulls.wake_after, NAME_TAKEN if blocked else None
    )
    first, *more = _batches(creates)
    ends = any(isinstance(a, Delete | Evict) for a in touched)
    kept = pod_disruption_budget.decide(seen.shard, seen.resource, seen.budget, count, busy=bool(creates))
    changed = bool(touched or prepared) or any(
        isinstance(write, Replace) for write in kept
    )  # a budget where there was none does no harm
    guard = _guard(seen, moved=bool(creates) or ends, ends=ends, touched=changed)
    last = (prepared,) if prepared else ()  # a refusal of these holds up nothing else
    return plan(guard, kept, (*first, *touched, *status.write), *more, *last, wake_after=wake)


def _lacking(seen: ObservedShard, actions: PodActions) -> str:
    """Returns why no pod of a wanted revision is made, if its template names a sidecar that it cannot have here."""
    wanted = (share for share in seen.shard.spec.mix if share.revision in actions.create)
    return next((why for share in wanted if (why := _sidecars(seen, share).missing)), "")


def _left_alone(seen: ObservedShard, mix: list[WantedRevision], census: _Census, actions: PodActions) -> Plan:
    """Reports the shard's status, and nothing else: in a namespace that is no project's, pods and budgets stay as they are."""
    refused = unready_reason.NO_PROJECT if actions.create else ""
    obstacles = _Obstacles(_requests(PodActions(), census.replicas), refused)
    status = _report(seen, shard_status.count(mix, census.replicas), census, obstacles)
    return plan(status.write, wake_after=shard_status.earliest(census.wake_after, status.wake_after))


@dataclass(frozen=True, slots=True)
class _Obstacles:
    """What keeps the shard from its mix: `requests` that wait, why more pods are `refused`, and pods that cannot pull."""

    requests: DisruptionRequests
    refused: str = ""
    failing_pulls: tuple[Pod, ...] = ()


def _report(
    seen: ObservedShard, count: shard_status.Count, census: _Census, obstacles: _Obstacles
) -> shard_status.ShardStatusUpdate:
    failing = obstacles.failing_pulls
    unready = {replica.name for replica in census.replicas if not replica.ready} | {pod.metadata.name for pod in failing}
    templates = {share.revision: share.template for share in seen.shard.spec.mix}
    found = unready_reason.find(UnreadyPods((*seen.pods, *failing), unready, templates), seen.now, obstacles.refused)
    kept = unready_reason.blocked_updates(census.kept)
    resizing = unready_reason.resizes(seen.pods, replaces=seen.shard.spec.in_place != "Require")
    troubles = [*found, *resizing, *kept] if unready else [*resizing, *kept, *found]
    told = shard_status.ReplicaCounts(count, obstacles.requests, troubles, census.final)
    return shard_status.decide(seen.ref, seen.shard, told, seen.now, since=_last_made(seen))


def _mix(seen: ObservedShard, census: _Census) -> list[WantedRevision]:
    """Returns the mix without revisions that ran to their end."""
    shapes = _shapes_of(seen.shard, seen.level)
    shares = (share for share in seen.shard.spec.mix if share.revision not in census.done)
    return [WantedRevision(share.revision, shapes[share.revision], share.replicas) for share in shares]


def _pulls(seen: ObservedShard, mix: list[WantedRevision], replicas: tuple[ReplicaState, ...]) -> ImagePulls:
    """Returns what the nodes of the replicas that change in place pull first, those whose images wait for a resize included.

    The images come for all replicas that the mix changes, and not only for those that the budget allows to change now, so that
    an update waits for a registry once and not in each batch.
    """
    spec = seen.shard.spec
    pods = {pod.metadata.name: pod for pod in seen.pods}
    changes = [] if spec.paused or spec.in_place == "Never" else rolling_update.in_place_changes(mix, replicas)
    changes += [(r, r.revision) for r in replicas if r.updating and pod_resize.held_images(pods[r.name])]
    if not changes and not seen.pulls:
        return ImagePulls()
    shares = {share.revision: share for share in spec.mix}
    serving = {r.name for r in replicas if r.ready or _can_serve(pods[r.name], seen.now)}
    waiting = [
        _image_change(seen, pods[r.name], shares[revision])
        for r, revision in changes
        if r.name in serving and revision in shares
    ]
    have = {
        (seen.shard.metadata.namespace, pods[r.name].spec.node_name, r.revision) for r in replicas if r.ready and not r.updating
    }
    owner = PullOwner(seen.resource, seen.shard, shard_pods.name_stem(seen.shard))
    return image_pulls.decide(owner, waiting, have, seen.pulls, seen.now)


def _image_change(seen: ObservedShard, pod: Pod, share: Share) -> ImageChange:
    pull = ImagePull(pod.spec.node_name, share.revision, in_place_update.changed_images(pod, share.template))
    return ImageChange(pod.metadata.name, pull, share.template, pod.metadata.namespace, seen.level)


def _can_serve(pod: Pod, now: datetime) -> bool:
    return traffic_gate.is_gated(pod) and replica_traffic.can_serve(pod, now)


def _actions(
    seen: ObservedShard, mix: list[WantedRevision], replicas: tuple[ReplicaState, ...], pulls: ImagePulls
) -> PodActions:
    spec = seen.shard.spec
    if spec.paused:
        return rolling_update.kept(mix, replicas)
    budget = MemberBudget(spec.budget.unavailable, spec.budget.updating, in_place=spec.in_place != "Never")
    return rolling_update.actions(mix, replicas, budget, pulls.awaiting_image)


def _requests(actions: PodActions, replicas: tuple[ReplicaState, ...]) -> DisruptionRequests:
    return DisruptionRequests(
        drains=sum(replica.draining for replica in replicas), evictions=actions.evictions, updates=actions.updates
    )


def _census(seen: ObservedShard) -> _Census:
    """An ended pod is replaced no sooner than a while after it was made; until then it stands in for a replica."""
    replicas: list[ReplicaState] = []
    ended: list[Pod] = []
    waits: list[float] = []
    obstacles: list[str] = []
    wanted = {share.revision for share in seen.shard.spec.mix}
    shapes = _former_shapes(seen)
    final = run_to_completion.find(seen.resource, seen.shard, seen.pods, seen.now)
    for pod in seen.pods:
        if pod.deleting:
            continue
        age = _age(pod, seen.now)
        if not shard_pods.is_finished(pod):
            obstacle = _obstacle(pod, seen)
            replica, wait = _replica(pod, seen, shapes, obstacle)
            replicas.append(replica)
            obstacles += [obstacle] if replica.waits else []
            waits += [wait] if wait else []
        elif final is not None and _revision(pod) == final.revision and final.revision in wanted:
            continue  # it ran to its end, and stays to be looked at
        elif age < RETRY_AFTER:
            replicas.append(ReplicaState(pod.metadata.name, _revision(pod), "", ready=False, available=False))
            waits.append(RETRY_AFTER - age)
        else:
            ended.append(pod)
    done = frozenset({final.revision} if final is not None else ())
    return _Census(tuple(replicas), tuple(ended), done, final, min(waits, default=None), Counter(obstacles))


def _replica(pod: Pod, seen: ObservedShard, shapes: Mapping[str, str], obstacle: str) -> tuple[ReplicaState, float]:
    """And the seconds until time alone changes it: a ready pod has been so for long enough, or a resize has failed.

    A pod that is being resized serves on, unless a container restarts for it, but is not available before that is done.
    """
    resizing = pod_resize.is_pending(pod)
    updating = resizing or in_place_update.is_pending(pod) or sidecar_injection.is_pending(pod, seen.now)
    since = None if replica_traffic.is_restarting(pod, seen.now) else shard_pods.ready_since(pod)
    wait = unready_reason.steady_after(pod, seen.now) if since is not None else 0.0
    if wait:
        since = None
    elif since is not None:
        wait = max(0.0, seen.shard.spec.min_ready_seconds - (seen.now - since).total_seconds())
    created = pod.metadata.creation_timestamp
    asked = restart_requests.waiting(pod)
    other_pod = any(not request.container for request in asked) or sidecar_injection.must_be_replaced(pod, seen.sidecars)
    failed = pod_resize.fails_after(pod, seen.now) if seen.shard.spec.in_place != "Require" else None
    replica = ReplicaState(
        name=pod.metadata.name,
        revision=_revision(pod),
        shape="" if obstacle else shapes.get(_revision(pod)) or pod.metadata.annotations.get(SHAPE, ""),
        ordinal=shard_pods.ordinal(pod),
        created=created.timestamp() if created else 0.0,
        ready=since is not None,
        available=since is not None and not wait and not resizing,
        updating=updating,
        draining=pod.spec.node_name in seen.draining,
        unschedulable=_needs_room(pod),
        replace=other_pod or failed == 0,
        waits=bool(obstacle) and seen.shard.spec.in_place == "Require",
        restart=not other_pod and bool(asked or sidecar_injection.asked(pod)),
        restarts=sum(status.restart_count for status in pod.status.container_statuses),
    )
    return replica, min((s for s in (wait, failed) if s), default=0.0)


def _obstacle(pod: Pod, seen: ObservedShard) -> str:
    """Returns why the pod cannot take another revision in place, though its shape may be the same; empty where it can.

    A container would have to restart alone, and the pod's node tells no digest of its image; or it would get other amounts of
    CPU and memory, and its node cannot give them.
    """
    digest_unknown = any(status.container_id and "@" not in status.image_id for status in _statuses(pod))
    allocatable = seen.allocatable.get(pod.spec.node_name, {})
    for share in seen.shard.spec.mix:
        if not share.replicas or share.revision == _revision(pod):
            continue
        carried = shard_pods.metadata(seen.resource, seen.shard, share, "", shard_pods.ordinal(pod))
        if digest_unknown and not in_place_update.is_possible(pod, share.template, carried):
            return unready_reason.DIGEST_UNKNOWN
        if obstacle := pod_resize.obstacle(pod, _resources_of(seen)[share.revision], allocatable):
            return obstacle
    return ""


def _statuses(pod: Pod) -> tuple[ContainerStatus, ...]:
    return (*pod.status.container_statuses, *pod.status.init_container_statuses)


def _needs_room(pod: Pod) -> bool:
    verdict = scheduling_verdict.of(pod) if not pod.spec.node_name else None
    return verdict is not None and verdict.needs_room


def _former_shapes(seen: ObservedShard) -> dict[str, str]:
    """Of revisions that a former version of this program named: their pods carry shapes that this version would not name so."""
    former = {share.revision for share in seen.shard.spec.mix if not template_hash.is_named_by_this_version(share.revision)}
    return {name: shape for name, shape in _shapes_of(seen.shard, seen.level).items() if name in former} if former else {}


@dataclass(frozen=True, slots=True)
class _Shapes:
    """The shapes of a mix at a level of Pod Security, and the amounts of its containers, by revision."""

    mix: tuple[Share, ...]
    level: PodSecurityLevel
    by_revision: dict[str, str]
    amounts: dict[str, pod_resize.ResourcesByContainer]

    def are_of(self, mix: tuple[Share, ...], level: PodSecurityLevel) -> bool:
        return self.level == level and (self.mix is mix or self.mix == mix)


_shapes: dict[str, _Shapes] = {}  # by uid of the shard


def _resources_of(seen: ObservedShard) -> dict[str, pod_resize.ResourcesByContainer]:
    """Returns what containers of each revision are to have of CPU and memory."""
    return _made_of(seen.shard, seen.level).amounts


def _shapes_of(shard: Shard, level: PodSecurityLevel) -> dict[str, str]:
    return _made_of(shard, level).by_revision


def _made_of(shard: Shard, level: PodSecurityLevel) -> _Shapes:
    """The shape of each revision's pods, worked out once for as long as the mix and the level stay the same.

    It contains what the level of Pod Security fills in: the API server would refuse another image in a pod without it.
    """
    uid, mix = shard.metadata.uid, shard.spec.mix
    known = _shapes.get(uid)
    if known is not None and known.are_of(mix, level):
        return known
    _shapes.pop(uid, None)
    if len(_shapes) >= REMEMBERED:
        del _shapes[next(iter(_shapes))]
    made = {share.revision: template_hash.shape(pod_security_defaults.filled(share.template, level)) for share in mix}
    amounts = {share.revision: pod_resize.template_resources(share.template) for share in mix}
    _shapes[uid] = _Shapes(mix, level, made, amounts)
    return _shapes[uid]


def _revision(pod: Pod) -> str:
    return pod.metadata.labels.get(REVISION_LABEL, "")


def _last_made(seen: ObservedShard) -> datetime | None:
    """When the shard's youngest pod was made; None before the first."""
    return max((made for pod in seen.pods if (made := pod.metadata.creation_timestamp)), default=None)


def _age(pod: Pod, now: datetime) -> float:
    created = pod.metadata.creation_timestamp
    return (now - created).total_seconds() if created else 0.0


def _guard(seen: ObservedShard, *, moved: bool, ends: bool, touched: bool) -> Stage:
    """Proof that the view is not stale: of the shard before anything, of the whole set before pods come or go.

    Only operators make pods of the shard, so before more are made it is enough to know all that was made under the lease. Pods
    end by anybody's doing, so before more of them end the view must be fresh.
    """
    if not moved and not touched:
        return ()
    metadata = seen.shard.metadata
    shard = Confirm(seen.ref, metadata.uid, metadata.generation)
    if not moved:
        return (shard,)
    whole = ConfirmSet(LOCAL, PODS, metadata.namespace, SHARD_UID, metadata.uid, seen.marked, BY_SHARD, recent=ends)
    return (shard, whole)


def _creates(seen: ObservedShard, actions: PodActions, mix: list[WantedRevision]) -> list[Create]:
    """Pods with the lowest free ordinals; fewer than wanted when a name is not free yet."""
    taken = seen.taken | {pod.metadata.name for pod in seen.pods}
    chosen = {share.revision: _sidecars(seen, share) for share in seen.shard.spec.mix}
    shares = {share.revision: share for share in seen.shard.spec.mix}
    shapes = {wanted.revision: wanted.shape for wanted in mix}
    free = shard_pods.free_names(seen.resource, seen.shard, taken, len(actions.create))
    return [
        _create(seen, _Birth(shares[revision], shapes[revision], chosen[revision]), ordinal, name)
        for revision, (ordinal, name) in zip(actions.create, free, strict=False)
        if not chosen[revision].missing
    ]


def _sidecars(seen: ObservedShard, share: Share) -> Chosen:
    """Returns the sidecars of a new pod."""
    given = shard_pods.metadata(seen.resource, seen.shard, share, "", 0).labels
    return sidecar_injection.choose(share.template, seen.shard.metadata.namespace, given, seen.sidecars)


@dataclass(frozen=True, slots=True)
class _Birth:
    """What a new pod is made of."""

    share: Share
    shape: str
    sidecars: Chosen


def _create(seen: ObservedShard, birth: _Birth, ordinal: int, name: str) -> Create:
    share, versions = birth.share, birth.sidecars.versions
    carried = shard_pods.metadata(seen.resource, seen.shard, share, birth.shape, ordinal)
    carried.annotations.update(sidecar_injection.annotation(sidecar_injection.born(versions)))
    ref = Ref(LOCAL, PODS, Key(seen.shard.metadata.namespace, name))
    spec = sidecar_injection.inject(share.template["spec"], versions)
    full = msgspec.structs.replace(share, template={**share.template, "spec": spec})
    body = shard_pods.render(seen.resource, seen.shard, full, carried, name, seen.level)
    return Create(ref, body, f"a replica of {share.revision} is missing")


def _updates(seen: ObservedShard, actions: PodActions) -> list[Patch]:
    by_name = {pod.metadata.name: pod for pod in seen.pods}
    shares = {share.revision: share for share in seen.shard.spec.mix}
    return [_update(seen, by_name[name], shares[revision]) for name, revision in actions.update]


def _update(seen: ObservedShard, pod: Pod, share: Share) -> Patch:
    metadata, shape = pod.metadata, _shapes_of(seen.shard, seen.level)[share.revision]
    carried = shard_pods.metadata(seen.resource, seen.shard, share, shape, shard_pods.ordinal(pod))
    return Patch(
        Ref(LOCAL, PODS, pod.key),
        in_place_update.patch(pod, share.template, carried),
        metadata.uid,
        metadata.resource_version,
        f"takes {share.revision} in place",
    )


def _resizes(seen: ObservedShard, actions: PodActions, pulls: ImagePulls) -> list[Patch]:
    """Returns the next write of updates in place that have begun and take several. A pod that changes otherwise now waits, and
    one whose revision is wanted no more goes no further towards it.
    """
    if seen.shard.spec.paused:
        return []
    wanted = {share.revision for share in seen.shard.spec.mix if share.replicas}
    busy = {*actions.delete, *actions.restart, *(name for name, _ in actions.update)}
    live = (pod for pod in seen.pods if pod.metadata.name not in busy and shard_pods.is_live(pod))
    pods = (pod for pod in live if _revision(pod) in wanted)
    return [patch for pod in pods if (patch := _resize(pod, pulled=pod.metadata.name not in pulls.awaiting_image)) is not None]


def _resize(pod: Pod, *, pulled: bool) -> Patch | None:
    ref, metadata = Ref(LOCAL, PODS, pod.key), pod.metadata
    if pod_resize.is_unsent(pod):
        body, why = pod_resize.resize_patch(pod), "its containers get the amounts of its revision"
        return Patch(ref, body, metadata.uid, metadata.resource_version, why, "resize")
    if pulled and (images := in_place_update.held_images_patch(pod)):
        return Patch(ref, images, metadata.uid, metadata.resource_version, "takes the images of its revision, after a resize")
    return None


def _restarts(seen: ObservedShard, actions: PodActions) -> list[Patch]:
    by_name = {pod.metadata.name: pod for pod in seen.pods}
    return [_restart(by_name[name], seen.sidecars) for name in actions.restart]


def _restart(pod: Pod, sidecars: tuple[PinSidecarShard, ...]) -> Patch:
    """The request that waits longest is carried out; with it the request goes, whether or not it could be."""
    if not restart_requests.waiting(pod):
        body = sidecar_injection.update(pod, sidecars)
        return Patch(
            Ref(LOCAL, PODS, pod.key), body, pod.metadata.uid, pod.metadata.resource_version, "takes another sidecar's version"
        )
    request = restart_requests.waiting(pod)[0]
    made = container_restart.decide(pod, request.of_container)
    body: Manifest = made if not isinstance(made, Impossible) else {}
    notes = {**body.get("metadata", {}).get("annotations", {}), **restart_requests.without(pod, {request.id})}
    body = {**body, "metadata": {"annotations": notes}}
    why = f"container {request.container} restarts, as {request.by} asked"
    return Patch(Ref(LOCAL, PODS, pod.key), body, pod.metadata.uid, pod.metadata.resource_version, why)


def _ends(seen: ObservedShard, actions: PodActions, census: _Census) -> list[Delete | Evict]:
    """What does not serve is deleted; what serves is evicted, so that a drain at the same time is counted (S-159)."""
    by_name = {pod.metadata.name: pod for pod in seen.pods}
    serving = {replica.name for replica in census.replicas if replica.ready}
    return [
        *(_delete(pod, f"ended: {pod.status.reason or pod.status.phase}") for pod in census.ended),
        *(
            _evict(by_name[name]) if name in serving else _delete(by_name[name], "surplus of the mix")
            for name in actions.delete
        ),
    ]


def _delete(pod: Pod, why: str) -> Delete:
    return Delete(Ref(LOCAL, PODS, pod.key), pod.metadata.uid, why, pod.metadata.resource_version)


def _evict(pod: Pod) -> Evict:
    return Evict(Ref(LOCAL, PODS, pod.key), pod.metadata.uid, "surplus of the mix, or replaced by request")


def _batches(actions: list[Create]) -> list[tuple[Action, ...]]:
    """At least one batch, which may be empty."""
    rest, size = iter(actions), FIRST_BATCH
    batches: list[tuple[Action, ...]] = [tuple(islice(rest, size))]
    while batch := tuple(islice(rest, size := min(2 * size, LARGEST_BATCH))):
        batches.append(batch)
    return batches


def controller_for(resource: Resource[Any], refusals: ApiRefusals) -> Controller[Key, ObservedShard]:
    """The controller of one kind of shard."""

    def observe(key: Key, views: Views, now: datetime) -> ObservedShard | None:
        shard: Shard | None = _synced(views, resource).get(key)
        if shard is None:
            return None
        wanted = {share.revision for share in shard.spec.mix if share.replicas}
        return _observe(resource, shard, views, now, refusals.of(card.name, key, wanted))

    def owned(_cluster: str, obj: Object) -> Iterable[Key]:
        owners = obj.metadata.owner_references
        return [Key(obj.metadata.namespace, owner.name) for owner in owners if owner.kind == resource.kind]

    def shard_of(cluster: str, pod: Pod) -> Iterable[Key]:
        has = pod.metadata.labels
        return owned(cluster, pod) if has.get(WORKLOAD) == workload or IMAGE_PULL_SHARD_UID in has else ()

    def on_node(cluster: str, node: Node, views: Views) -> Iterable[Key]:
        """A node that is cordoned, or no longer, concerns the shards that have pods on it."""
        return [k for pod in views.view(LOCAL, PODS).by(BY_NODE, node.metadata.name) for k in shard_of(cluster, pod)]

    def within(_cluster: str, namespace: Namespace, views: Views) -> Iterable[Key]:
        """A namespace that becomes a project's, or has another level of Pod Security, concerns its shards."""
        return [shard.key for shard in _synced(views, resource).list(namespace.metadata.name)]

    def naming(_cluster: str, sidecar: PinSidecarShard, views: Views) -> Iterable[Key]:
        """A sidecar that has just come to the member, or changed, concerns the shards whose pods may wait for it."""
        if sidecar.status.observed_generation >= sidecar.metadata.generation > 0:
            return ()
        return [shard.key for shard in _synced(views, resource).by(BY_SIDECAR, sidecar.metadata.name)]

    workload = shard_pods.workload_kind(resource)
    card = Card(
        name=f"operator.{workload.lower()}-shard",
        promise=f"Every {resource.kind} has the pods of its mix, and says how they are.",
        key=f"the {resource.kind}",
        reads=(
            ReadAccess("local", resource, own_key),
            ReadAccess("local", PODS, shard_of),
            ReadAccess("local", NODES, _nothing, on_node),
            ReadAccess("local", PODDISRUPTIONBUDGETS, owned),
            ReadAccess("local", NAMESPACES, _nothing, within),
            ReadAccess("local", PINSIDECARSHARDS, _nothing, naming),
        ),
        writes=(
            WriteAccess("local", resource, ("patch", "status")),
            WriteAccess("local", PODS, ("create", "patch", "resize", "condition", "delete", "evict")),
            WriteAccess("local", PODDISRUPTIONBUDGETS, ("create", "update")),
        ),
        coalesce=0.05,
        version_of=_revision_of,
    )
    return Controller(card, observe, decide)


def _revision_of(action: Action) -> str:
    """Returns the revision of the pod that an action creates; empty for any other action."""
    if not isinstance(action, Create):
        return ""
    return action.body["metadata"].get("labels", {}).get(REVISION_LABEL, "")


def _nothing(_cluster: str, _obj: Any) -> Iterable[Key]:
    return ()


def _observe(resource: Resource[Any], shard: Shard, views: Views, now: datetime, refused: str) -> ObservedShard:
    """Raises Unknown until pods, nodes, budgets and namespaces are known: an empty cache would double every pod (S-010)."""
    view, nodes = _synced(views, PODS), _synced(views, NODES)
    uid = shard.metadata.uid
    marked: tuple[Pod, ...] = tuple(view.by(BY_SHARD, _mark(shard.metadata.namespace, uid)))
    own = tuple(sorted((p for p in marked if shard_pods.belongs_to(p, uid)), key=lambda p: p.metadata.name))
    namespace: Namespace | None = _synced(views, NAMESPACES).get(Key("", shard.metadata.namespace))
    on = {pod.spec.node_name for pod in own if pod.spec.node_name}
    there: dict[str, Node] = {name: node for name in on if (node := nodes.get(Key("", name))) is not None}
    in_project = project_namespace.is_project(namespace)
    return ObservedShard(
        resource=resource,
        shard=shard,
        pods=own,
        marked=frozenset(pod.metadata.uid for pod in marked),
        taken=_taken(resource, shard, own, view),
        draining=frozenset(name for name, node in there.items() if node.spec.unschedulable),
        now=now,
        budget=_synced(views, PODDISRUPTIONBUDGETS).get(pod_disruption_budget.key(shard, resource)),
        refused=refused,
        level=pod_security_defaults.namespace_level(namespace.metadata.labels if namespace is not None else {}),
        in_project=in_project,
        pulls=tuple(p for p in view.by(BY_PULLS, _mark(shard.metadata.namespace, uid)) if shard_pods.belongs_to(p, uid)),
        sidecars=tuple(sorted(_synced(views, PINSIDECARSHARDS).list(), key=lambda each: each.metadata.name)),
        allocatable={name: node.status.allocatable for name, node in there.items()},
    )


def _taken(resource: Resource[Any], shard: Shard, own: tuple[Pod, ...], view: View[Pod]) -> frozenset[str]:
    """Names that pods of others have, among the first that could be needed."""
    mine = {pod.metadata.name for pod in own}
    reach = len(own) + 2 * sum(share.replicas for share in shard.spec.mix)
    candidates = (name for _, name in islice(shard_pods.names(resource, shard), reach))
    namespace = shard.metadata.namespace
    return frozenset(name for name in candidates if name not in mine and view.get(Key(namespace, name)) is not None)


def _synced(views: Views, resource: Resource[Any]) -> View[Any]:
    view = views.view(LOCAL, resource)
    if not view.synced:
        raise Unknown(f"{resource} have not synced")
    return view


def controllers(refusals: ApiRefusals, kinds: Kinds = KINDS) -> tuple[Controller[Key, ObservedShard], ...]:
    """Of every kind of shard. The engine has to tell `refusals` about troubles."""
    return tuple(controller_for(kind.shard, refusals) for kind in kinds)


CONTROLLERS = controllers(ApiRefusals())
