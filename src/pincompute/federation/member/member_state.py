"""Gathers a member's state for decisions: what the host says of it, and what is known of it right now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pincompute.api import conditions
from pincompute.api.builtin import Taint
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS, Capacity, ClusterCapacity, MemberCluster
from pincompute.api.meta import Key
from pincompute.api.workloads import ClusterStatus
from pincompute.kube.cache_views import Unknown, Views

CAPACITY_KEY = Key("", "local")
READY = "Ready"


@dataclass(frozen=True, slots=True)
class MemberState:
    """What is known of a member. `reachable`: its API server answers now. `ready`: it has done so for long enough.
    `capacity` is None when it was not reported or not asked for; `measured_at` is by the clock of the member's operator.
    `worked_out` caches by name what follows from the rest alone, for as long as nothing of that changes.
    """

    name: str
    zone: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    cost: int
    unschedulable: bool
    leaving: bool
    ready: bool
    reachable: bool
    capacity: Capacity | None
    measured_at: datetime | None = None
    worked_out: dict[str, Any] = field(init=False, default_factory=dict[str, Any], compare=False, repr=False)

    @property
    def open(self) -> bool:
        """Returns whether the member may receive new replicas."""
        return self.reachable and self.ready and not self.leaving and not self.unschedulable

    def counts(self, line: ClusterStatus) -> bool:
        """Returns whether the measured capacity includes the replicas that this line calls ready, since it is measured only
        every few seconds.
        """
        return self.measured_at is not None and line.reported_at is not None and line.reported_at <= self.measured_at


def observe(views: Views) -> tuple[MemberState, ...]:
    """Returns all registered members by name. Raises Unknown while the host's list of them is unknown."""
    return tuple(_known(views, _observed, lambda _name: None))


def measured(views: Views) -> tuple[MemberState, ...]:
    """Returns the same with the room of each, for controllers whose card reads ClusterCapacity."""
    return tuple(_known(views, _measured, lambda name: _reported(name, views)))


def measure(cluster: MemberCluster, views: Views) -> MemberState:
    """Returns one member with its room."""
    name = cluster.metadata.name
    return _member(cluster, _reported(name, views), views.reachable(name))


def _reported(name: str, views: Views) -> ClusterCapacity | None:
    try:
        return views.view(name, CLUSTERCAPACITIES).get(CAPACITY_KEY)
    except Unknown:
        return None


@dataclass(frozen=True, slots=True)
class _MeasuredMember:
    """A member, with the objects that it was made from."""

    cluster: MemberCluster
    reported: ClusterCapacity | None
    reachable: bool
    member: MemberState


_observed: dict[str, _MeasuredMember] = {}
_measured: dict[str, _MeasuredMember] = {}


def _known(
    views: Views, known: dict[str, _MeasuredMember], reported: Callable[[str], ClusterCapacity | None]
) -> Iterator[MemberState]:
    """Returns the member, which is made once for as long as its objects stay the same."""
    clusters = views.view(HOST, MEMBERCLUSTERS).list()
    for cluster in sorted(clusters, key=lambda c: c.metadata.name):
        name = cluster.metadata.name
        report, reachable = reported(name), views.reachable(name)
        last = known.get(name)
        if last is None or last.cluster is not cluster or last.reported is not report or last.reachable is not reachable:
            last = known[name] = _MeasuredMember(cluster, report, reachable, _member(cluster, report, reachable))
        yield last.member


def _member(cluster: MemberCluster, reported: ClusterCapacity | None, reachable: bool) -> MemberState:
    return MemberState(
        name=cluster.metadata.name,
        zone=cluster.spec.zone,
        labels=cluster.metadata.labels,
        taints=cluster.spec.taints,
        cost=cluster.spec.cost,
        unschedulable=cluster.spec.unschedulable,
        leaving=cluster.deleting,
        ready=conditions.is_true(cluster.status.conditions, READY),
        reachable=reachable,
        capacity=reported.status.capacity if reported else None,
        measured_at=reported.status.measured_at if reported else None,
    )
