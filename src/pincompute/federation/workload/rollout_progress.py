"""Decides how far a rollout may go now: which revision it brings, and to how many replicas of each member.

A rollout is a sequence of **steps** (`domain/rollout_steps.py`). A step is complete when all of its replicas are available
and its bake time has passed; the bake time begins with the moment in which they are (S-121), and begins anew when one of them
fails or restarts, or a metric of the health gate is not within its bounds (S-122, `metric_gate`). A step **fails** when a
replica of the new revision has a cause that does not go away by itself, when a metric leaves its bounds in the bake time, or
when its deadline passes. Then the rollout holds, or it is undone: the zones go back in reverse order, without bake time, within
the same disruption account (S-125). What is undone stays undone until the template changes, or somebody asks for another
attempt. Between steps a rollout may wait for an approval, and somebody may abort it (`spec.rollout`, S-129).

The status keeps the record of it (`status.rollout`), so everything survives a restart. A member that does not answer at its
turn is waited for: silence is neither success nor failure (S-126).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from pincompute.api import resource_requests
from pincompute.api.meta import Manifest
from pincompute.api.shards import RevisionStatus
from pincompute.api.workloads import ENDED, RolloutControl, RolloutState, RolloutStatus, Scheduling, Update
from pincompute.domain import rollout_steps
from pincompute.domain.rollout_steps import MemberReplicas
from pincompute.federation.workload import metric_gate, stalled_workload
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.metric_gate import Measurement, MetricGate
from pincompute.federation.workload.workload_model import Rendered, Workload

NOTHING = RolloutControl()


@dataclass(frozen=True, slots=True)
class Progress:
    """`workload` has the template to bring about: that of the spec, or that of the stable revision. `limits`: how many
    replicas of each member may have it now; None where nothing limits them. `stepwise`: the rollout has several steps, or
    is undone. `ends_first`: all replicas of other revisions end before one of it starts. `turned`: the record has to be
    stored before anything follows from it. `wake_after`: seconds until time alone changes something.
    """

    workload: Workload
    record: RolloutStatus | None = None
    limits: Mapping[str, int] | None = None
    stepwise: bool = False
    ends_first: bool = False
    turned: bool = False
    wake_after: float | None = None


@dataclass(frozen=True, slots=True)
class _Rollout:
    """What the decision depends on. `members` are those that should have replicas in the end."""

    workload: Workload
    sites: tuple[MemberShard, ...]
    members: tuple[MemberReplicas, ...]
    templates: Mapping[str, Manifest]
    record: RolloutStatus
    now: datetime
    gate: MetricGate = metric_gate.OPEN

    @property
    def update(self) -> Update:
        return self.workload.obj.spec.update

    @property
    def ends_first(self) -> bool:
        return self.update.strategy == "Recreate"

    @property
    def stored(self) -> bool:
        """Returns whether the status has a record of this very rollout."""
        before = self.workload.status.rollout
        return before is not None and (before.revision, before.attempt) == (self.record.revision, self.record.attempt)

    @property
    def totals(self) -> tuple[int, ...]:
        """Returns the steps; one where no revision served before, because nothing can be harmed."""
        if not self.record.stable:
            return (sum(member.replicas for member in self.members),)
        return rollout_steps.totals(self.update.strategy, self.update.steps, self.members, self.record.zones)

    @property
    def final(self) -> bool:
        return self.record.step >= len(self.totals) - 1

    @property
    def total(self) -> int:
        """Returns how many replicas may have the revision now."""
        return self.totals[min(self.record.step, len(self.totals) - 1)]

    @property
    def limits(self) -> Mapping[str, int]:
        return rollout_steps.limits(self.total, self.update.strategy, self.members, self.record.zones)

    @property
    def control(self) -> RolloutControl:
        """Returns what somebody has decided about this very revision."""
        return _control(self.workload, self.record.revision)

    @property
    def unreachable(self) -> bool:
        """Returns whether a member that the step needs does not answer."""
        limits, final = self.limits, self.final
        return any(not site.known for site in self.sites if limits.get(site.name) or (final and site.shard))

    def with_record(self, **changes: object) -> _Rollout:
        return replace(self, record=msgspec.structs.replace(self.record, **changes))


def decide(
    workload: Workload,
    decision: Scheduling,
    sites: tuple[MemberShard, ...],
    kept: Mapping[str, Manifest],
    now: datetime,
    measured: tuple[Measurement, ...] = (),
) -> Progress:
    """Returns the progress. `kept` are the templates of superseded revisions, `measured` the metrics of the health gate."""
    wanted = {row.cluster: row.replicas for row in decision.placement}
    members = tuple(MemberReplicas(s.name, s.member.zone, wanted[s.name]) for s in sites if wanted.get(s.name))
    templates = {**kept, **{share.revision: share.template for site in sites for share in site.mix}}
    record = _record(workload, sites, templates)
    if record is None or not members:
        return Progress(workload, workload.status.rollout if not members else None)
    if workload.paused:
        ends_first = record.state != "Complete" and workload.obj.spec.update.strategy == "Recreate"
        since = record.since if record.state in ENDED else None  # what has ended is not held up
        return Progress(workload, msgspec.structs.replace(record, since=since, healthy_since=None), ends_first=ends_first)
    zones = rollout_steps.zone_order(members, workload.obj.spec.update.zone_order, record.zones)
    began = record.began if record.since is not None else record.began or now
    record = msgspec.structs.replace(record, zones=zones, began=began, since=record.since or now)
    rollout = _Rollout(workload, sites, members, templates, record, now)
    match record.state:
        case "Complete":
            return Progress(workload, record)
        case "Progressing" | "AwaitingApproval":
            gate = metric_gate.judge(workload, measured, record, now)
            return _advanced(replace(rollout, gate=gate).with_record(metrics=gate.rows))
        case "RollingBack" | "RolledBack":
            return _undone(rollout)


def _record(workload: Workload, sites: tuple[MemberShard, ...], templates: Mapping[str, Manifest]) -> RolloutStatus | None:
    """Returns the record of the wanted revision: as it is stored, or of a rollout that begins; None before the first change."""
    stored, target = workload.status.rollout, workload.rendered.revision
    if stored is not None and stored.revision == target:
        control = _control(workload, target)
        if control is NOTHING or control.attempt == stored.attempt:
            return stored
        return RolloutStatus(revision=target, stable=stored.stable, attempt=control.attempt)
    if not any(_has_other(workload, site) for site in sites):
        return None
    stable = _stable(workload, stored)
    return RolloutStatus(revision=target, stable=stable if stable in templates and stable != target else "")


def _has_other(workload: Workload, site: MemberShard) -> bool:
    """Returns whether another revision than the target runs there; where that ends first, also whether it is about to run."""
    target = workload.rendered.revision
    asked = site.mix if workload.obj.spec.update.strategy == "Recreate" else ()
    return any(share.revision != target and share.replicas for share in asked) or any(
        row.revision != target and row.replicas for row in site.figures.values()
    )


def _control(workload: Workload, revision: str) -> RolloutControl:
    """Returns what somebody has decided about the revision."""
    control = workload.obj.spec.rollout
    return control if control is not None and control.revision == revision else NOTHING


def _stable(workload: Workload, stored: RolloutStatus | None) -> str:
    """Returns the revision that served last. A rollout in progress has not proved its own: it is the one it began from."""
    if stored is not None and stored.state != "Complete":
        return stored.stable
    return workload.status.revision if workload.status.ready_replicas else ""


def _advanced(rollout: _Rollout) -> Progress:
    """Returns the progress of a rollout that goes on, past all steps that are complete now. The record of one that ends all
    replicas first is stored before they end, since nothing else would tell then what has served.
    """
    if rollout.ends_first and not rollout.stored:
        return replace(_continued(rollout, None), turned=True)
    if rollout.control.aborted and rollout.record.stable in rollout.templates:
        return _rolled_back(rollout, "it was aborted")
    if failure := _failure(rollout):
        return _failed(rollout, failure)
    rollout = rollout.with_record(state="Progressing", failure="")
    while rollout.record.state == "Progressing":
        rollout = _judged(rollout)
        left = _bake_left(rollout)
        if left is None or left > timedelta() or rollout.gate.pending:
            return _continued(rollout, left if left is not None else _deadline_left(rollout))
        if _needs_approval(rollout):
            return _continued(rollout.with_record(state="AwaitingApproval"), None)
        rollout = _next_step(rollout)
    return Progress(rollout.workload, rollout.record)


def _continued(rollout: _Rollout, wait: timedelta | None) -> Progress:
    """Returns the progress within the present step; `wait` is when time alone changes something."""
    record = msgspec.structs.replace(rollout.record, steps=len(rollout.totals), replicas=rollout.total)
    limits = None if rollout.final else rollout.limits
    waits = [left for left in (wait, rollout.gate.held_back) if left is not None and left > timedelta()]
    return Progress(
        rollout.workload,
        record,
        limits,
        stepwise=record.steps > 1,
        ends_first=rollout.ends_first,
        wake_after=min(waits).total_seconds() if waits else None,
    )


def _needs_approval(rollout: _Rollout) -> bool:
    """Returns whether somebody has to approve the step that is complete, and has not."""
    if rollout.final or rollout.control.approved_steps > rollout.record.step:
        return False
    match rollout.update.approval:
        case "Never":
            return False
        case "FirstStep":
            return rollout.record.step == 0
        case "EveryStep":
            return True


def _next_step(rollout: _Rollout) -> _Rollout:
    state: RolloutState = "Complete" if rollout.final else "Progressing"
    return rollout.with_record(step=rollout.record.step + 1, state=state, since=rollout.now, healthy_since=None, restarts=0)


def _judged(rollout: _Rollout) -> _Rollout:
    """Returns the rollout with the moment since which the step has been healthy, which a restart or a loss begins anew."""
    record = rollout.record
    if not _is_healthy(rollout):
        since = rollout.now if record.healthy_since is not None else record.since
        return rollout.with_record(healthy_since=None, since=since)
    restarts = sum(row.restarts for row in _figures(rollout, record.revision))
    if record.healthy_since is None or restarts > record.restarts:
        return rollout.with_record(healthy_since=rollout.now, restarts=restarts)
    return rollout


def _is_healthy(rollout: _Rollout) -> bool:
    """Returns whether all replicas of the step are available and all metrics of the gate are within their bounds; in the last
    step, whether no other replica is left as well.
    """
    if rollout.unreachable or not rollout.gate.holds:
        return False
    target = rollout.record.revision
    there = {site.name: row.available for site in rollout.sites if (row := site.figures.get(target)) is not None}
    if any(there.get(cluster, 0) < limit for cluster, limit in rollout.limits.items()):
        return False
    return not rollout.final or all(
        row.revision == target for site in rollout.sites for row in site.figures.values() if row.replicas
    )


def _figures(rollout: _Rollout, revision: str) -> Iterator[RevisionStatus]:
    return (row for site in rollout.sites if (row := site.figures.get(revision)) is not None)


def _bake_left(rollout: _Rollout) -> timedelta | None:
    """Returns how much of the bake time is left; None while the step is not healthy."""
    since = rollout.record.healthy_since
    bake = timedelta(seconds=rollout.update.bake_seconds if rollout.record.stable else 0)
    return since + bake - rollout.now if since is not None else None


def _deadline_left(rollout: _Rollout) -> timedelta | None:
    """Returns how long the step may still take; None while a member that it needs does not answer, or where it has no end."""
    since = rollout.record.since
    if since is None or rollout.unreachable:
        return None
    return since + timedelta(seconds=rollout.update.progress_deadline_seconds) - rollout.now


def _failure(rollout: _Rollout) -> str:
    """Returns why the step has failed, in a sentence; empty when it has not."""
    if cause := stalled_workload.final_cause(rollout.workload, rollout.sites):
        return cause
    baked = rollout.record.healthy_since is not None or rollout.record.failure
    if baked and (broken := rollout.gate.broken):
        return broken
    left = _deadline_left(rollout)
    if (
        left is None
        or rollout.gate.pending
        or left > timedelta()
        or _is_healthy(rollout)
        or rollout.record.healthy_since is not None
    ):
        return ""
    late = f"a step of the rollout took longer than {rollout.update.progress_deadline_seconds} s"
    return f"{late}; {rollout.gate.reason}" if rollout.gate.reason else late


def _failed(rollout: _Rollout, failure: str) -> Progress:
    if rollout.update.on_failure == "Rollback" and rollout.record.stable in rollout.templates:
        return _rolled_back(rollout, failure)
    return _continued(rollout.with_record(state="Progressing", failure=failure, healthy_since=None), None)


def _rolled_back(rollout: _Rollout, failure: str) -> Progress:
    """Returns the progress of a rollout that is to be undone, which has to be stored before anything follows from it."""
    undone = rollout.with_record(state="RollingBack", since=rollout.now, healthy_since=None, failure=failure)
    return replace(_undone(undone), record=undone.record, turned=True)


def _undone(rollout: _Rollout) -> Progress:
    """Returns the progress of a rollback: the zone whose turn was last goes back first."""
    record = rollout.record
    template = rollout.templates.get(record.stable)
    if template is None:
        return Progress(rollout.workload, record, dict.fromkeys(rollout.limits, 0))
    rendered = Rendered(template, record.stable, resource_requests.requests(template))
    workload = replace(rollout.workload, rendered=rendered)
    failed = {site.name: _held(site, record.revision) for site in rollout.sites}
    zones = {site.member.zone for site in rollout.sites if failed[site.name] or not site.known}
    serving = {site.name: row.available for site in rollout.sites if (row := site.figures.get(record.stable)) is not None}
    back = all(serving.get(member.cluster, 0) >= member.replicas for member in rollout.members)
    if record.state == "RolledBack" or (back and not zones):
        since = record.since if record.state == "RolledBack" else rollout.now
        return Progress(workload, msgspec.structs.replace(record, state="RolledBack", since=since))
    if rollout.ends_first:
        return Progress(workload, record, ends_first=True)
    turn = max((record.zones.index(zone) for zone in zones if zone in record.zones), default=0)
    limits = {
        member.cluster: member.replicas - (failed[member.cluster] if record.zones.index(member.zone) < turn else 0)
        for member in rollout.members
    }
    return Progress(workload, record, limits, stepwise=True)


def _held(site: MemberShard, revision: str) -> int:
    """Returns the replicas of the revision that the member has or should have."""
    row = site.figures.get(revision)
    asked = sum(share.replicas for share in site.mix if share.revision == revision)
    return max(row.replicas if row is not None else 0, asked)
