"""Says why a workload's replicas are not ready, over all zones together, and whether waiting helps.

A workload is **stalled** when it cannot become what it should be before somebody changes it or what it needs: a replica of the
wanted revision has a final cause, an API server refuses its pods, a secret that it names does not exist, no cluster matches or
no node is large enough, the room or the registry that it needs has not come for a while, or a step of its update has taken too
long. `pin deploy`, programs and `kubectl wait` read the same condition, `Stalled`; `Stalled` is also the phase, unless replicas
that ran are lost. Nothing stops trying: when the cause goes, the workload goes on, and the
condition becomes False.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from pincompute.api import conditions, resource_requests
from pincompute.api.conditions import Condition, ConditionStatus
from pincompute.api.workloads import UNDOING, UnreadyCause
from pincompute.domain import replica_fit, zone_text
from pincompute.domain.free_room import INSUFFICIENT, UPDATE_SCHEDULED
from pincompute.federation.scheduling import demand
from pincompute.federation.scheduling.placement import TOO_LARGE
from pincompute.federation.workload import setting_readiness
from pincompute.federation.workload.member_shards import MemberShard

if TYPE_CHECKING:
    from pincompute.api.workloads import RolloutStatus
    from pincompute.federation.workload.rollout import Rollout
    from pincompute.federation.workload.workload_model import Workload

STALLED = "Stalled"
LATE = "ProgressDeadlineExceeded"  # the reason of a Deployment whose update takes too long
ROOM_PATIENCE = timedelta(seconds=30)  # in which replicas that end give back their room
MOST_NAMED = 2  # causes that a message names


@dataclass(frozen=True, slots=True)
class ZonedCause:
    """A cause, and the zones that have it."""

    cause: UnreadyCause
    zones: frozenset[str]


@dataclass(frozen=True, slots=True)
class Stall:
    """Why waiting does not help: one word and a sentence. `wake_after`: seconds until time alone makes it so."""

    reason: str = ""
    message: str = ""
    wake_after: float | None = None


NOT_STALLED = Stall()


def causes(workload: Workload, sites: Iterable[MemberShard]) -> list[ZonedCause]:
    """Returns the causes that the members report, the wanted revision's first, then the final ones, then those of most
    replicas.
    """
    found: dict[UnreadyCause, list[tuple[UnreadyCause, str]]] = {}
    for site in sites:
        for cause in _reported(site):
            alike = UnreadyCause(reason=cause.reason, message=cause.message, revision=cause.revision)
            found.setdefault(alike, []).append((cause, site.member.zone))
    told = [_sum(those) for those in found.values()]
    target = workload.rendered.revision
    return sorted(
        told, key=lambda t: (t.cause.revision not in ("", target), not t.cause.final, -t.cause.replicas, t.cause.message)
    )


def _sum(those: list[tuple[UnreadyCause, str]]) -> ZonedCause:
    final, count = any(cause.final for cause, _ in those), sum(cause.replicas for cause, _ in those)
    lasting = any(cause.lasting for cause, _ in those)
    cause = msgspec.structs.replace(those[0][0], final=final, lasting=lasting, replicas=count)
    return ZonedCause(cause, frozenset(zone for _, zone in those))


def _reported(site: MemberShard) -> tuple[UnreadyCause, ...]:
    """Returns what the member reports; shards of other packages' kinds may report no causes."""
    return getattr(site.shard.status, "causes", ()) if site.shard is not None and site.known else ()


def message(workload: Workload, sites: tuple[MemberShard, ...], made: Rollout | None) -> str:
    """Returns how many replicas are ready, and why the others are not; empty when no member reports a cause."""
    found = causes(workload, sites)
    if made is not None and made.lacks_room:
        return f"{_figures(workload, sites)}: {_no_place(workload, sites)}"
    if not found:
        return ""
    everywhere = {site.member.zone for site in sites if site.replicas}
    told = [_told(one, everywhere) for one in found[:MOST_NAMED]]
    more = f"; and {len(found) - MOST_NAMED} more causes" if len(found) > MOST_NAMED else ""
    return f"{_figures(workload, sites)}: {'; '.join(told)}{more}"


def _told(one: ZonedCause, everywhere: set[str]) -> str:
    """Returns the cause, with its zones unless it is so in all."""
    return one.cause.message if one.zones >= everywhere else f"in {zone_text.zones(one.zones)}, {one.cause.message}"


def _figures(workload: Workload, sites: tuple[MemberShard, ...]) -> str:
    shown = [site for site in sites if site.known]
    ready = sum(site.shard.status.ready_replicas for site in shown if site.shard is not None)
    new = sum(row.ready for site in shown if (row := site.figures.get(workload.rendered.revision)) is not None)
    one = workload.replicas == 1
    total = f"{ready} of {workload.replicas} {'replica' if one else 'replicas'} {'is' if one or ready == 1 else 'are'} ready"
    if new == ready:
        return total
    return f"{total}, of the former revision" if not new else f"{total}, {ready - new} of the former revision"


def _no_place(workload: Workload, sites: tuple[MemberShard, ...]) -> str:
    compared = _too_large(workload, sites)
    if compared:
        return f"no node is large enough for a replica of the new revision: {compared}; ask for less"
    asked = resource_requests.sentence(workload.requests)
    return f"no node has room for a replica of the new revision, which asks for {asked}; ask for less, or free some room"


def find(
    workload: Workload,
    sites: tuple[MemberShard, ...],
    made: Rollout | None,
    refused: str,
    now: datetime,
    record: RolloutStatus | None = None,
) -> Stall:
    """Returns why the workload is stalled; a stall without a reason when it is not."""
    if workload.deleting or workload.paused or not workload.replicas or workload.status.ended is not None:
        return NOT_STALLED
    if refused:
        return Stall("Refused", refused)
    if record is not None and record.state in UNDOING:
        return Stall("RolledBack", undone(record)) if record.state == "RolledBack" else NOT_STALLED
    waits = (_update_room(workload, sites, made, now), _unplaced(workload, now), _setting(workload, sites))
    current = [one.cause for one in _current(workload, sites)]
    final = [Stall(cause.reason, cause.message) for cause in current if cause.final]
    lasting = [Stall(cause.reason, cause.message) for cause in current if cause.lasting]  # no update is undone for them
    late = Stall(LATE, record.failure) if record is not None and record.failure else NOT_STALLED
    soon = Stall(wake_after=min((w.wake_after for w in waits if w.wake_after is not None), default=None))
    return next((stall for stall in (*waits, *final, *lasting, late) if stall.reason), soon)


def undone(record: RolloutStatus) -> str:
    """Returns why a rollout was undone, in a sentence, and what to do."""
    failed = f"the update to revision {record.revision} failed: {record.failure}"
    if record.state == "RollingBack":
        return f"{failed}; it is being undone, and all replicas go back to {record.stable}"
    return f"{failed}; it is undone, and {record.stable} serves; correct it and deploy again"


def final_cause(workload: Workload, sites: tuple[MemberShard, ...]) -> str:
    """Returns the first cause that waiting does not mend, of a replica of the wanted revision, with its zones."""
    target = workload.rendered.revision
    found = (one for one in _current(workload, sites) if one.cause.final and one.cause.revision == target)
    return next((f"in {zone_text.zones(one.zones)}, {one.cause.message}" for one in found), "")


def _setting(workload: Workload, sites: tuple[MemberShard, ...]) -> Stall:
    """Returns the stall of replicas that name a secret, config or sidecar which does not come by itself."""
    final = (missing for missing in setting_readiness.waits(workload, sites) if missing.final)
    return next((Stall(missing.reason, missing.message) for missing in final), NOT_STALLED)


def _update_room(workload: Workload, sites: tuple[MemberShard, ...], made: Rollout | None, now: datetime) -> Stall:
    """Returns the stall of an update for which no node has room: at once where none is large enough, else after a while."""
    if made is None or not made.lacks_room:
        return NOT_STALLED
    reason = _lack(workload, sites)
    before = conditions.find(workload.status.conditions, UPDATE_SCHEDULED)
    since = before.last_transition_time if before is not None and before.status == "False" else None
    patient = NOT_STALLED if reason == TOO_LARGE else _patient(since, now)
    return patient if patient.wake_after is not None else Stall(reason, _no_place(workload, sites))


def _patient(since: datetime | None, now: datetime) -> Stall:
    """Returns when the patience with a lack of room ends; no stall when it has ended."""
    left = (since or now) + ROOM_PATIENCE - now
    return Stall(wake_after=left.total_seconds()) if left > timedelta() else NOT_STALLED


def _lack(workload: Workload, sites: tuple[MemberShard, ...]) -> str:
    return TOO_LARGE if _too_large(workload, sites) else INSUFFICIENT


def _too_large(workload: Workload, sites: tuple[MemberShard, ...]) -> str:
    """Returns how the request and a node compare; empty when some cluster may have a node that is large enough."""
    capacities = [site.member.capacity for site in sites if site.known]
    compared = [replica_fit.too_large(c.largest, workload.requests) if c is not None else "" for c in capacities]
    return compared[0] if compared and all(compared) else ""


def _current(workload: Workload, sites: tuple[MemberShard, ...]) -> Iterator[ZonedCause]:
    """Yields causes of the wanted revision, with their zones. A member that has not seen the present generation speaks of a
    former one.
    """
    target = workload.rendered.revision
    current = (s for s in sites if s.settled and s.shard and s.shard.spec.origin.generation == workload.generation)
    for one in causes(workload, tuple(current)):
        if one.cause.revision in ("", target):
            yield one


def _unplaced(workload: Workload, now: datetime) -> Stall:
    scheduled = conditions.find(workload.status.conditions, "Scheduled")
    if scheduled is None or scheduled.status != "False":
        return NOT_STALLED
    if workload.rendered.problem:
        return Stall(scheduled.reason, scheduled.message)
    decision = demand.decision(workload)
    if decision is None or decision.passed_over:  # a cluster that is unreachable now may take it
        return NOT_STALLED
    if scheduled.reason != INSUFFICIENT:
        return Stall(scheduled.reason, scheduled.message)
    patient = _patient(scheduled.last_transition_time, now)
    return patient if patient.wake_after is not None else Stall(scheduled.reason, scheduled.message)


def condition(workload: Workload, stall: Stall) -> tuple[Condition, ...]:
    """Returns the condition; none for a workload that never was stalled."""
    before = conditions.find(workload.status.conditions, STALLED)
    if not stall.reason and before is None:
        return ()
    return (
        Condition(
            type=STALLED,
            status="True" if stall.reason else "False",
            observed_generation=workload.generation,
            reason=stall.reason or "MayProceed",
            message=stall.message,
        ),
    )


def room_condition(workload: Workload, sites: tuple[MemberShard, ...], made: Rollout | None) -> tuple[Condition, ...]:
    """Returns the condition UpdateScheduled; none for a workload whose updates always had room. It says since when an update
    waits for room, and files the workload for when a member gets some.
    """
    before = conditions.find(workload.status.conditions, UPDATE_SCHEDULED)
    if made is None or (before is None and not made.lacks_room):
        return ()
    told: tuple[ConditionStatus, str, str] = ("True", "Placed", "")
    if made.lacks_room:
        told = ("False", _lack(workload, sites), _no_place(workload, sites))
    elif made.room_unknown:
        told = ("Unknown", "RoomUnknown", made.blocked)
    status, reason, message = told
    return (
        Condition(
            type=UPDATE_SCHEDULED,
            status=status,
            observed_generation=workload.generation,
            reason=reason,
            message=message,
        ),
    )
