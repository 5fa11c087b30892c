"""Measures the cluster's capacity and writes it into ClusterCapacity `local`, in a bounded size.

Events of pods and nodes trigger no measurement, because their heartbeats would ask for a pass over everything many times a
second. The controller makes one pass every few seconds, more rarely the more pods there are, so that it never takes more than
a small part of the processor. The federation itself accounts for what was placed in the meantime (S-035).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pincompute.api.builtin import NAMESPACES, NODES, PODS, Namespace
from pincompute.api.kinds import KINDS
from pincompute.api.labels import LOCAL, MANAGED_BY, PINCOMPUTE, SYSTEM_NAMESPACE
from pincompute.api.member_clusters import CLUSTERCAPACITIES, Capacity, ClusterCapacity, ClusterCapacityStatus
from pincompute.api.meta import Key
from pincompute.domain import capacity_summary
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.plan import Create, Plan, Ref, Replace, plan, status_update
from pincompute.kube.cache_views import Unknown, View, Views

KEY = Key("", LOCAL)
REF = Ref(LOCAL, CLUSTERCAPACITIES, KEY)
PERIOD = 2.0  # seconds between passes in a small cluster
PODS_PER_SECOND = 5_000  # so many pods lengthen the period by a second: 26 s for 120,000, a pass of 0.3 s


@dataclass(frozen=True, slots=True)
class ObservedCapacity:
    """`present` is what was written last, None before the first time; `measured` is None while it is too early for a pass.
    `reported` is when a shard last reported.
    """

    present: ClusterCapacity | None
    measured: Capacity | None
    reported: datetime | None
    wait: float
    now: datetime


def decide(seen: ObservedCapacity) -> Plan:
    if seen.present is None:
        return plan((Create(REF, {"metadata": {"labels": {MANAGED_BY: PINCOMPUTE}}}, "nothing is measured yet"),))
    if seen.measured is None:
        return plan(wake_after=seen.wait, why="was measured a moment ago")
    return plan(_write(seen.present, seen.measured, seen.reported, seen.now), wake_after=seen.wait)


def _write(present: ClusterCapacity, measured: Capacity, reported: datetime | None, now: datetime) -> tuple[Replace, ...]:
    """Returns the write. It also happens when only time went by since a shard reported, because the federation holds
    promises until a measurement counts them.
    """
    last = present.status.measured_at
    if present.status.capacity == measured and last is not None and (reported is None or reported <= last):
        return ()
    status = ClusterCapacityStatus(capacity=measured, measured_at=now)
    return status_update(REF, present.metadata, present.status, status, "nodes or pods changed")


def observe(_key: Key, views: Views, now: datetime) -> ObservedCapacity:
    """Raises Unknown until nodes and pods are known, because an empty cache would look like an empty cluster (S-010)."""
    present: ClusterCapacity | None = _synced(views, CLUSTERCAPACITIES).get(KEY)
    nodes, pods = _synced(views, NODES), tuple(_synced(views, PODS).list())
    period = PERIOD + len(pods) / PODS_PER_SECOND
    last = present.status.measured_at if present is not None else None
    age = (now - last).total_seconds() if last is not None else period
    if 0 <= age < period:
        return ObservedCapacity(present, None, None, period - age, now)
    return ObservedCapacity(present, capacity_summary.measure(nodes.list(), pods), _reported(views), period, now)


def _reported(views: Views) -> datetime | None:
    shards = (shard for kind in KINDS for shard in _synced(views, kind.shard).list())
    return max((at for shard in shards if (at := shard.status.reported_at)), default=None)


def _synced(views: Views, resource: Any) -> View[Any]:
    view = views.view(LOCAL, resource)
    if not view.synced:
        raise Unknown(f"{resource} have not synced")
    return view


def _start(_cluster: str, namespace: Namespace) -> Iterable[Key]:
    """Queues the first measurement: the platform's namespace always exists, so its event starts the controller."""
    return (KEY,) if namespace.metadata.name == SYSTEM_NAMESPACE else ()


def _nothing(_cluster: str, _obj: Any) -> Iterable[Key]:
    return ()


CONTROLLER: Controller[Key, ObservedCapacity] = Controller(
    Card(
        name="operator.capacity",
        promise="ClusterCapacity `local` tells how much room the cluster has, and in which pieces.",
        key="the ClusterCapacity `local`",
        reads=(
            ReadAccess("local", CLUSTERCAPACITIES, own_key),
            ReadAccess("local", NAMESPACES, _start),
            ReadAccess("local", NODES, _nothing),
            ReadAccess("local", PODS, _nothing),
            *(ReadAccess("local", kind.shard, _nothing) for kind in KINDS),
        ),
        writes=(WriteAccess("local", CLUSTERCAPACITIES, ("create", "status")),),
    ),
    observe,
    decide,
)
