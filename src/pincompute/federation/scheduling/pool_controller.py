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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from pincompute.api.kinds import KINDS
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS
from pincompute.api.meta import Object
from pincompute.api.resource_requests import NOTHING, Requests, plus
from pincompute.api.sidecars import PINSIDECARS, PinSidecar
from pincompute.api.workloads import CountedSidecar, Scheduling
from pincompute.domain import sidecar_requests
from pincompute.engine.controller import Card, Controller, ObserveContext, ReadAccess, WriteAccess
from pincompute.engine.plan import Failed, Plan, Ref, Replace
from pincompute.federation.controller_keys import PoolKey
from pincompute.federation.member import member_state
from pincompute.federation.member.member_state import MemberState
from pincompute.federation.scheduling import feasibility, placement_status, reservations, scheduling_queue, zone_balance
from pincompute.federation.scheduling.demand import Demand, demand, with_sidecars
from pincompute.federation.scheduling.placement import place
from pincompute.federation.scheduling.scheduling_queue import Filing
from pincompute.federation.workload import workload_model
from pincompute.federation.workload.workload_model import Workload, WorkloadObject
from pincompute.federation.workload.workload_status import before_reports
from pincompute.kube.cache_views import View

_Region: TypeAlias = tuple[tuple[MemberState, ...], tuple[PinSidecar, ...]]
"""The members, and the sidecars of the platform."""

BATCH = 32  # decisions written at the same time: enough to keep an API server busy, and some 15 ms of CPU


@dataclass(frozen=True, slots=True)
class ObservedPool:
    """`waiting` may need a decision, first in the queue first. `promised` is capacity by cluster. `more`: others wait
    behind. `cooling`: seconds until the first of those whose replicas may not move yet needs one.
    """

    now: datetime
    waiting: tuple[Workload, ...]
    members: tuple[MemberState, ...]
    promised: Mapping[str, Requests]
    failed: tuple[Failed, ...] = ()
    more: bool = False
    sidecars: tuple[PinSidecar, ...] = ()
    cooling: float | None = None


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
        wake_after=0.0 if observed.more and writes else observed.cooling,
        independent=True,
        failed=tuple(failed),
    )


def _decided(workload: Workload, observed: ObservedPool, promised: dict[str, Requests]) -> tuple[Replace, ...]:
    if workload.rendered.problem:
        return workload_model.with_status(
            workload, placement_status.refused(workload, observed.now), "its template cannot be used"
        )
    decision = place(workload, observed.members, promised, observed.sidecars, now=observed.now)
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
            promised[row.cluster] = plus(promised.get(row.cluster, NOTHING), workload.requests_with(decision), more)


def observe(key: PoolKey, context: ObserveContext, now: datetime) -> ObservedPool:
    known = member_state.measured(context)
    views = tuple(context.view(HOST, kind.workload) for kind in KINDS)
    promised = _Promised(views, known)
    injected = tuple(context.view(HOST, PINSIDECARS).list())
    waiting: list[Workload] = []
    failed: list[Failed] = []
    cooling = _Cooling(now)
    for obj in _queued(key.name, views, (known, injected), promised, cooling):
        ref = Ref(HOST, scheduling_queue.kind_of(obj).workload, obj.key)
        if context.resting(ref, obj.metadata.resource_version):
            continue
        if len(waiting) >= BATCH:
            return ObservedPool(now, tuple(waiting), known, promised.all(), tuple(failed), more=True, sidecars=injected)
        try:
            waiting.append(scheduling_queue.read(obj))
        except Exception as bug:  # noqa: BLE001 - one that cannot be read must not stop the others
            failed.append(Failed(ref, obj.metadata.resource_version, bug))
    sums: Mapping[str, Requests] = promised.all() if waiting else {}
    return ObservedPool(now, tuple(waiting), known, sums, tuple(failed), sidecars=injected, cooling=cooling.shortest)


@dataclass(slots=True)
class _Cooling:
    """Holds back workloads whose replicas have moved lately, and knows when the first of them may be decided."""

    now: datetime
    shortest: float | None = None

    def over(self, found: Iterable[WorkloadObject]) -> list[WorkloadObject]:
        waits = [(zone_balance.cools_for(obj.status.scheduling, self.now), obj) for obj in found]
        left = [wait for wait, _ in waits if wait]
        self.shortest = min((*left, *(() if self.shortest is None else (self.shortest,))), default=None)
        return [obj for wait, obj in waits if not wait]


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
    pool: str,
    views: tuple[View[Any], ...],
    region: _Region,
    promised: _Promised,
    cooling: _Cooling,
) -> Iterator[WorkloadObject]:
    """Yields the workloads that may need a decision now, each once, in the order of the queue."""
    known, _ = region
    by_name = {m.name: m for m in known}
    classes: dict[_Class, tuple[bool, str]] = {}
    lines: list[Iterable[WorkloadObject]] = []
    for view in views:
        for value in view.values(scheduling_queue.QUEUE):
            filing = scheduling_queue.filing(value)
            if filing.pool != pool:
                continue
            found = partial(view.by, scheduling_queue.QUEUE, value)
            if filing.why == scheduling_queue.EVERYWHERE:
                lines.append(obj for obj in view.by(scheduling_queue.QUEUE, value) if _lacks_a_share(obj, known))
            elif filing.why == scheduling_queue.NO_ROOM:
                lines.append(_in_line_again(found, filing, region, promised, classes))
            elif filing.why == scheduling_queue.BEHIND:
                lines.append(cooling.over(_with_room(found, filing, region, promised)))
            elif _needs_decision(filing, by_name):
                lines.append(found())
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


class _Class(NamedTuple):
    """Workloads that lack the same: `alike` and `least` as in a Shortage, with the same sidecars now."""

    alike: str
    least: int
    sidecars: tuple[CountedSidecar, ...] = ()


def _with_room(
    found: Callable[[], Iterable[WorkloadObject]], filing: Filing, region: _Region, promised: _Promised
) -> Iterable[WorkloadObject]:
    """Returns those of the workloads filed together for which the cluster that is behind has room now; all when it leaves."""
    known, injected = region
    behind = [m for m in known if m.name == filing.what.partition(" ")[0]]
    if not behind or behind[0].leaving:
        return found()

    def fits(obj: WorkloadObject) -> bool:
        workload = scheduling_queue.read(obj)
        wants = with_sidecars(demand(workload), workload, _sidecars_now(workload, injected))
        return feasibility.has_room(behind, wants, promised.all(), 1)

    return _those(found, injected, fits)


def _in_line_again(
    found: Callable[[], Iterable[WorkloadObject]],
    filing: Filing,
    region: _Region,
    promised: _Promised,
    classes: dict[_Class, tuple[bool, str]],
) -> Iterable[WorkloadObject]:
    """Returns those of the workloads filed together for which there is room now, or whose reasons no longer hold."""
    known, injected = region
    shortage = scheduling_queue.shortage_of(filing.what)

    def ends(obj: WorkloadObject) -> bool:
        workload = scheduling_queue.read(obj)
        found_class = _Class(shortage.alike, shortage.least, _sidecars_now(workload, injected))
        if found_class not in classes:
            wants = with_sidecars(demand(workload), workload, found_class.sidecars)
            has_room = feasibility.has_room(known, wants, promised.all(), shortage.least)
            classes[found_class] = has_room, scheduling_queue.reasons((m.name, _rejection_word(m, wants)) for m in known)
        has_room, reasons = classes[found_class]
        return has_room or reasons != shortage.reasons

    return _those(found, injected, ends)


def _those(
    found: Callable[[], Iterable[WorkloadObject]], injected: tuple[PinSidecar, ...], holds: Callable[[WorkloadObject], bool]
) -> Iterable[WorkloadObject]:
    """Returns those of the workloads filed together of which it holds. The first one stands for all, unless a sidecar looks at
    what differs between them.
    """
    if any(sidecar_requests.may_select_by_name(each) for each in injected):
        return filter(holds, found())
    return found() if holds(next(iter(found()))) else ()


def _sidecars_now(workload: Workload, injected: tuple[PinSidecar, ...]) -> tuple[CountedSidecar, ...]:
    """Returns the sidecars of a workload of which the last decision counted some. Of the others some may have become selected,
    which their next decision finds.
    """
    made = workload.status.scheduling
    return sidecar_requests.counted(workload.kind, workload.obj, injected) if made is not None and made.sidecars else ()


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


_MOVED_BY_EVENTS = (
    scheduling_queue.WAITING,
    scheduling_queue.NO_ROOM,
    scheduling_queue.PASSED_OVER,
    scheduling_queue.BEHIND,
)


def _keys_of_event(_cluster: str, obj: WorkloadObject) -> tuple[PoolKey, ...]:
    """Returns the keys that an event concerns. Progress of a placed workload concerns none, because the members' capacity
    shows the room that it frees.
    """
    if obj.deleting:
        return (PoolKey(scheduling_queue.pool_of(obj)),)
    filings = map(scheduling_queue.filing, scheduling_queue.files(obj))
    return tuple({PoolKey(f.pool): None for f in filings if f.why in _MOVED_BY_EVENTS})


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
            ReadAccess("host", PINSIDECARS, _every_pool, part=sidecar_requests.basis),
            ReadAccess("members", CLUSTERCAPACITIES, _every_pool),
        ),
        writes=tuple(WriteAccess("host", kind.workload, ("status",)) for kind in KINDS),
    ),
    observe,
    decide,
)
