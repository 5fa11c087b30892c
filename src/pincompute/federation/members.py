"""Member clusters as the decisions see them: what the host says of them and what is known of them right now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pincompute.api import conditions
from pincompute.api.clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS, Capacity, MemberCluster
from pincompute.api.core import Taint
from pincompute.api.labels import HOST
from pincompute.api.meta import Key
from pincompute.api.workloads import ClusterStatus
from pincompute.kube.views import Unknown, Views

CAPACITY_KEY = Key("", "local")
READY = "Ready"


@dataclass(frozen=True, slots=True)
class Member:
    """`reachable`: its API server answers now. `ready`: it has done so for long enough. `capacity` None: not reported, or not
    asked for; `measured_at` is by the clock of the member's operator."""

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

    @property
    def open(self) -> bool:
        """It may receive new replicas."""
        return self.reachable and self.ready and not self.leaving and not self.unschedulable

    def counts(self, line: ClusterStatus) -> bool:
        """Whether the replicas that this line calls ready are in the measured capacity: it is measured every few seconds."""
        return self.measured_at is not None and line.reported_at is not None and line.reported_at <= self.measured_at


def observe(views: Views) -> tuple[Member, ...]:
    """All registered members, by name. Raises Unknown while the host's list of them is not known."""
    clusters = views.view(HOST, MEMBERCLUSTERS).list()
    return tuple(_member(cluster, views) for cluster in sorted(clusters, key=lambda c: c.metadata.name))


def measured(views: Views) -> tuple[Member, ...]:
    """The same with the room each has, for controllers whose card reads ClusterCapacity."""
    return tuple(_measured(member, views) for member in observe(views))


def measure(cluster: MemberCluster, views: Views) -> Member:
    """One member with the room it has."""
    return _measured(_member(cluster, views), views)


def _member(cluster: MemberCluster, views: Views) -> Member:
    name = cluster.metadata.name
    return Member(
        name=name,
        zone=cluster.spec.zone,
        labels=cluster.metadata.labels,
        taints=cluster.spec.taints,
        cost=cluster.spec.cost,
        unschedulable=cluster.spec.unschedulable,
        leaving=cluster.deleting,
        ready=conditions.is_true(cluster.status.conditions, READY),
        reachable=views.reachable(name),
        capacity=None,
    )


def _measured(member: Member, views: Views) -> Member:
    try:
        reported = views.view(member.name, CLUSTERCAPACITIES).get(CAPACITY_KEY)
    except Unknown:
        return member
    return replace(member, capacity=reported.status.capacity, measured_at=reported.status.measured_at) if reported else member
