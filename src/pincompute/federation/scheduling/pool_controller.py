"""The scheduler: every workload gets a placement that its pool has room for, in one status write.

The key is the pool and not the workload: a pool is a set of nodes, and the room on them is the constraint. One reconciliation
decides a batch against one sum of promised capacity, whatever the tiers, so two submits of the same moment never use the same
room (S-035). The order is Reserved, then OnDemand, then Preemptible, and first come, first served in each.

A reconciliation costs what changed: which workloads need a decision and what is promised are an index and a sum that the
caches keep (`scheduling_queue`). A workload that no cluster has room for leaves the queue until one of its class could be
placed (S-038). Workloads are independent: one whose write fails, or that cannot be decided at all, backs off and blocks no
other.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pincompute.api.kinds import KINDS
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS
from pincompute.api.meta import Object
from pincompute.api.resource_requests import NOTHING, Requests, plus
from pincompute.api.workloads import Scheduling
from pincompute.engine.controller import Card, Controller, ObserveContext, ReadAccess, WriteAccess
from pincompute.engine.plan import Failed, Plan, Ref, Replace
from pincompute.federation.controller_keys import PoolKey
from pincompute.federation.member import member_state
from pincompute.federation.member.member_state import MemberState
from pincompute.federation.scheduling import feasibility, placement_status, reservations, scheduling_queue
from pincompute.federation.scheduling.demand import Demand, demand
from pincompute.federation.scheduling.placement import place
from pincompute.federation.scheduling.scheduling_queue import Filing
from pincompute.federation.workload import workload_model
from pincompute.federation.workload.workload_model import Workload, WorkloadObject
from pincompute.federation.workload.workload_status import before_reports
from pincompute.kube.cache_views import View

BATCH = 32  # decisions written at the same time: enough to keep an API server busy, and some 15 ms of CPU


@dataclass(frozen=True, slots=True)
class ObservedPool:
    """`waiting` may need a decision, first in the queue first. `promised` is capacity by cluster. `more`: others wait
    behind.
    """

    now: datetime
    waiting: tuple[Workload, ...]
    members: tuple[MemberState, ...]
    promised: Mapping[str, Requests]
    failed: tuple[Failed, ...] = ()
    more: bool = False


def decide(observed: ObservedPool) -> Plan:
    promised, failed = dict(observed.promised), list(observed.failed)
    writes: list[Replace] = []
    for workload in observed.waiting:
        try:
            writes += _decided(workload, observed, promised)
        except Exception as bug:  # noqa: BLE001 - one workload that cannot be decided must not stop the others
            failed.append(Failed(workload.ref, workload.obj.metadata.resource_version, bug))
    return Plan(
        (tuple(writes),) if writes else (),
        wake_after=0.0 if observed.more and writes else None,
        independent=True,
        failed=tuple(failed),
    )


def _decided(workload: Workload, observed: ObservedPool, promised: dict[str, Requests]) -> tuple[Replace, ...]:
    if workload.rendered.problem:
        return workload_model.with_status(
            workload, placement_status.refused(workload, observed.now), "its template cannot be used"
        )
    decision = place(workload, observed.members, promised)
    placed = {row.cluster for row in decision.placement}
    hosts = tuple(member for member in observed.members if member.name in placed)
    status = before_reports(workload, placement_status.status(workload, decision, observed.now), hosts, observed.now)
    writes = workload_model.with_status(workload, status, placement_status.why(decision))
    _promise(promised, workload, decision)
    return writes


def _promise(promised: dict[str, Requests], workload: Workload, decision: Scheduling) -> None:
    """Charges what this decision adds to what the last one had promised already."""
    before = workload.status.scheduling
    had = {row.cluster: row.replicas for row in before.placement} if before else {}
    for row in decision.placement:
        if (more := row.replicas - had.get(row.cluster, 0)) > 0:
            promised[row.cluster] = plus(promised.get(row.cluster, NOTHING), workload.rendered.requests, more)


def observe(key: PoolKey, context: ObserveContext, now: datetime) -> ObservedPool:
    known = member_state.measured(context)
    views = tuple(context.view(HOST, kind.workload) for kind in KINDS)
    promised = _Promised(views, known)
    waiting: list[Workload] = []
    failed: list[Failed] = []
    for obj in _queued(key.name, views, known, promised):
        ref = Ref(HOST, scheduling_queue.kind_of(obj).workload, obj.key)
        if context.resting(ref, obj.metadata.resource_version):
            continue
        if len(waiting) >= BATCH:
            return ObservedPool(now, tuple(waiting), known, promised.all(), tuple(failed), more=True)
        try:
            waiting.append(scheduling_queue.read(obj))
        except Exception as bug:  # noqa: BLE001 - one that cannot be read must not stop the others
            failed.append(Failed(ref, obj.metadata.resource_version, bug))
    return ObservedPool(now, tuple(waiting), known, promised.all() if waiting else {}, tuple(failed))


class _Promised:
    """Promised capacity by cluster, added up on demand."""

    def __init__(self, views: Iterable[View[Any]], known: tuple[MemberState, ...]) -> None:
        self._views = tuple(views)
        self._known = known
        self._found: dict[str, Requests] | None = None

    def all(self) -> Mapping[str, Requests]:
        if self._found is None:
            amounts = ((m.name, self._of(m)) for m in self._known)
            self._found = {name: amount for name, amount in amounts if amount}
        return self._found

    def _of(self, member: MemberState) -> Requests:
        amount, measured = NOTHING, reservations.moment(member.measured_at)
        for view in self._views:
            if more := view.total(reservations.PROMISED, member.name, measured):
                amount = plus(amount, more)
        return amount


def _queued(
    pool: str, views: tuple[View[Any], ...], known: tuple[MemberState, ...], promised: _Promised
) -> Iterator[WorkloadObject]:
    """Yields the workloads that may need a decision now, each once, in the order of the queue."""
    by_name = {m.name: m for m in known}
    classes: dict[str, tuple[bool, str]] = {}
    lines: list[Iterable[WorkloadObject]] = []
    for view in views:
        for value in view.values(scheduling_queue.QUEUE):
            filing = scheduling_queue.filing(value)
            if filing.pool != pool:
                continue
            if filing.why == scheduling_queue.EVERYWHERE:
                lines.append(obj for obj in view.by(scheduling_queue.QUEUE, value) if _lacks_a_share(obj, known))
            elif _needs_decision(filing, by_name) or (
                filing.why == scheduling_queue.NO_ROOM and _shortage_ends(view, value, known, promised, classes)
            ):
                lines.append(view.by(scheduling_queue.QUEUE, value))
    observed: set[str] = set()
    for obj in heapq.merge(*lines, key=scheduling_queue.rank):
        if obj.metadata.uid not in observed:
            observed.add(obj.metadata.uid)
            yield obj


def _needs_decision(filing: Filing, known: Mapping[str, MemberState]) -> bool:
    """Returns whether the workloads filed under this value need a decision, as far as the members show."""
    member = known.get(filing.what)
    match filing.why:
        case scheduling_queue.WAITING:
            return True
        case scheduling_queue.PLACED:
            return member is None or member.leaving
        case scheduling_queue.PASSED_OVER:
            return member is None or member.leaving or feasibility.unavailability(member) is None
        case _:
            return False


def _shortage_ends(
    view: View[Any], value: str, known: tuple[MemberState, ...], promised: _Promised, classes: dict[str, tuple[bool, str]]
) -> bool:
    """Returns whether there is room now, or the reasons that the workloads got no longer hold."""
    shortage = scheduling_queue.shortage_of(scheduling_queue.filing(value).what)
    if str(shortage[:2]) not in classes:
        wants = demand(scheduling_queue.read(next(iter(view.by(scheduling_queue.QUEUE, value)))))
        has_room = feasibility.has_room(known, wants, promised.all(), shortage.least)
        classes[str(shortage[:2])] = has_room, scheduling_queue.reasons((m.name, _rejection_word(m, wants)) for m in known)
    has_room, reasons = classes[str(shortage[:2])]
    return has_room or reasons != shortage.reasons


def _rejection_word(member: MemberState, wants: Demand) -> str:
    """Returns the word for why the member is rejected; empty when it only has no room, or is temporarily unavailable."""
    if out := feasibility.verdict(member, wants).out:
        return out.word
    return "Unschedulable" if member.unschedulable and not feasibility.unavailability(member) else ""


def _lacks_a_share(obj: WorkloadObject, known: tuple[MemberState, ...]) -> bool:
    """Returns whether a cluster that matches and takes work has no share."""
    made, wants = obj.status.scheduling, demand(scheduling_queue.read(obj))
    has = {row.cluster for row in made.placement} if made else set[str]()
    able = (m for m in known if m.name not in has and feasibility.unavailability(m) is None)
    return bool(wants.replicas) and any(feasibility.verdict(m, wants).out is None for m in able)


def _keys_of_event(_cluster: str, obj: WorkloadObject) -> tuple[PoolKey, ...]:
    """Returns the keys that an event concerns. Progress of a placed workload concerns none, because the members' capacity
    shows the room that it frees.
    """
    if obj.deleting:
        return (PoolKey(scheduling_queue.pool_of(obj)),)
    filings = map(scheduling_queue.filing, scheduling_queue.files(obj))
    return tuple(
        {
            PoolKey(f.pool): None
            for f in filings
            if f.why in (scheduling_queue.WAITING, scheduling_queue.NO_ROOM, scheduling_queue.PASSED_OVER)
        }
    )


def _every_pool(_cluster: str, _obj: Object) -> tuple[PoolKey, ...]:
    return (PoolKey(scheduling_queue.POOL),)


CONTROLLER = Controller(
    Card(
        name="federation.scheduling",
        promise="Every workload gets a placement that the pool has room for: by tier, and first come first served in each.",
        key="pool",
        reads=(
            *(ReadAccess("host", kind.workload, _keys_of_event) for kind in KINDS),
            ReadAccess("host", MEMBERCLUSTERS, _every_pool),
            ReadAccess("members", CLUSTERCAPACITIES, _every_pool),
        ),
        writes=tuple(WriteAccess("host", kind.workload, ("status",)) for kind in KINDS),
    ),
    observe,
    decide,
)
