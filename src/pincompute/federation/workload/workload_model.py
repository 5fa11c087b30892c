"""Gives controllers one view of workloads of all kinds, so that each controller is written once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pincompute.api import conditions, resource_requests, template_hash
from pincompute.api.kinds import KINDS, WorkloadKind, WorkloadObject
from pincompute.api.labels import HOST, SHARDS_FINALIZER
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.api.quantity import InvalidQuantityError
from pincompute.api.resource_requests import Requests
from pincompute.api.shards import Shard
from pincompute.api.workloads import ClusterReplicas, Scheduling, Tier, WorkloadStatus
from pincompute.domain import sidecar_requests
from pincompute.domain.disruption_account import Account
from pincompute.domain.free_room import UPDATE_SCHEDULED
from pincompute.engine.plan import Ref, Replace, status_update
from pincompute.federation import kinds
from pincompute.federation.kinds import Behaviour

REMEMBERED = 50_000  # workloads whose rendering is kept; the oldest are rendered anew when they are needed

TIERS: tuple[Tier, ...] = ("Reserved", "OnDemand", "Preemptible")


@dataclass(frozen=True, slots=True)
class Rendered:
    """A template made ready for the members: defaults injected, named, measured. `problem` is why it could not be."""

    template: Manifest
    revision: str
    requests: Requests
    problem: str = ""


_rendered: dict[str, tuple[int, Manifest, Rendered]] = {}  # by uid, with the generation and template it was made from


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload as the decisions need it. `replicas` should run now: none while it is stopped."""

    kind: WorkloadKind
    obj: WorkloadObject
    replicas: int
    rendered: Rendered

    @property
    def key(self) -> Key:
        return self.obj.key

    @property
    def uid(self) -> str:
        return self.obj.metadata.uid

    @property
    def generation(self) -> int:
        return self.obj.metadata.generation

    @property
    def status(self) -> WorkloadStatus:
        return self.obj.status

    @property
    def deleting(self) -> bool:
        return self.obj.deleting

    @property
    def held(self) -> bool:
        """Its deletion waits for the federation to clear the members."""
        return SHARDS_FINALIZER in self.obj.metadata.finalizers

    @property
    def paused(self) -> bool:
        return self.obj.spec.paused

    def account(self, placed: int) -> Account:
        """How many replicas may be missing at a time, counted over the `placed` ones: the others can be neither promised nor
        missed."""
        return self.behaviour.account(self.obj, min(self.replicas, placed))

    @property
    def requests(self) -> Requests:
        """What one replica requests from its node, with the sidecars that the last decision counted."""
        return self.requests_with(self.status.scheduling)

    def requests_with(self, decision: Scheduling | None) -> Requests:
        """Returns what one replica requests from its node, with the sidecars that this decision counts."""
        if decision is None or not decision.sidecars:
            return self.rendered.requests
        return resource_requests.plus(self.rendered.requests, sidecar_requests.of_decision(self.rendered.template, decision))

    @property
    def behaviour(self) -> Behaviour:
        return kinds.of(self.kind)

    @property
    def ref(self) -> Ref:
        return Ref(HOST, self.kind.workload, self.key)


def read(kind: WorkloadKind, obj: WorkloadObject) -> Workload:
    return Workload(kind, obj, _replicas(kind, obj), render(obj))


def _replicas(kind: WorkloadKind, obj: WorkloadObject) -> int:
    """A paused workload stands by its last decision, whatever it asks for since."""
    if obj.spec.paused:
        made = obj.status.scheduling
        return sum(row.replicas for row in made.placement) + made.unplaced if made else 0
    return 0 if obj.spec.stopped else kind.replicas(obj)


def render(obj: WorkloadObject) -> Rendered:
    """The object's template rendered, once per generation."""
    uid, generation, template = obj.metadata.uid, obj.metadata.generation, obj.spec.template
    known = _rendered.get(uid)
    if known is not None and known[0] == generation and (known[1] is template or known[1] == template):
        return known[2]
    _rendered.pop(uid, None)
    if len(_rendered) >= REMEMBERED:
        del _rendered[next(iter(_rendered))]
    made = _render(template)
    _rendered[uid] = (generation, template, made)
    return made


def _render(template: Manifest) -> Rendered:
    try:
        full = template_hash.normalise(template)
        return Rendered(full, template_hash.revision_of_normal_form(full), resource_requests.requests(full))
    except InvalidQuantityError as problem:
        return Rendered({}, "", resource_requests.NOTHING, str(problem))
    except (TypeError, ValueError, AttributeError, KeyError) as problem:
        return Rendered({}, "", resource_requests.NOTHING, f"it is not a pod template: {problem}; correct it")


def members_of(obj: WorkloadObject) -> tuple[str, ...]:
    """Members that a workload is placed in, or was passed over by, or has something in by its own status."""
    made, lines = obj.status.scheduling, obj.status.clusters
    placed = (*(row.cluster for row in made.placement), *made.passed_over) if made is not None else ()
    return tuple(dict.fromkeys((*placed, *(line.cluster for line in lines))))


def placement(obj: WorkloadObject) -> tuple[ClusterReplicas, ...]:
    made = obj.status.scheduling
    return made.placement if made is not None else ()


def place(member: str, namespace: str) -> str:
    """Returns the value under which `BY_PLACE` files the workloads of the namespace that are placed in the member."""
    return f"{member}/{namespace}"


def _places(obj: WorkloadObject) -> tuple[str, ...]:
    return tuple(place(row.cluster, obj.metadata.namespace) for row in placement(obj))


def _lacking_room(obj: WorkloadObject) -> tuple[str, ...]:
    """Returns the members any of which may get the room that the workload's update waits for."""
    if not conditions.is_false(obj.status.conditions, UPDATE_SCHEDULED):
        return ()
    return tuple(row.cluster for row in placement(obj))


BY_MEMBER = "member"  # index over workloads
BY_PLACE = "place"  # likewise
BY_LACKING_ROOM = "lacking room"  # likewise
INDEXES: Mapping[Resource[Any], Mapping[str, Callable[[Any], Iterable[str]]]] = {
    kind.workload: {BY_MEMBER: members_of, BY_PLACE: _places, BY_LACKING_ROOM: _lacking_room} for kind in KINDS
}


def kind_of(resource: Resource[Any]) -> WorkloadKind:
    return next(kind for kind in KINDS if resource in (kind.workload, kind.shard))


def with_status(workload: Workload, status: WorkloadStatus, why: str) -> tuple[Replace, ...]:
    """The one write that makes the workload's status this, pinned to what was read; nothing when nothing changed."""
    return status_update(workload.ref, workload.obj.metadata, workload.status, status, why)


def shard_of(workload: Workload, shard: Shard | None) -> Shard | None:
    """The shard if it is this very workload's; one of a deleted namesake is not (S-009)."""
    return shard if shard is not None and shard.spec.origin.uid == workload.uid else None


def same_name(_cluster: str, obj: Object) -> Iterable[Key]:
    """An event of a shard concerns the workload of its name."""
    return (obj.key,)
