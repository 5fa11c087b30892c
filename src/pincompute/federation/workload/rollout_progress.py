"""Decides how far a rollout may go now: which revision it brings, and to how many replicas of each member.

A rollout is a sequence of **steps** (`domain/rollout_steps.py`). A step is complete when all of its replicas are available
and its bake time has passed; the bake time begins with the moment in which they are (S-121), and begins anew when one of them
fails or restarts, or a metric of the health gate is not within its bounds (S-122, `metric_gate`). A step **fails** when a
replica of the new revision has a cause that does not go away by itself, when a metric leaves its bounds in the bake time, or
when its deadline passes. Then the rollout holds, or it is undone: the zones go back in reverse order, without bake time, within
the same disruption account (S-125). What is undone stays undone until the template changes, or somebody asks for another
attempt. Between steps a rollout may wait for an approval, and somebody may abort it (`spec.rollout`, S-129). A step begins only
when the hooks agree that are asked before it, and is complete only when those agree that are asked after it (`update_hooks`).

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
from pincompute.api.workloads import (
    TERMINAL_STATES,
    HookMoment,
    RolloutControl,
    RolloutState,
    RolloutStatus,
    Scheduling,
    Update,
)
from pincompute.domain import rollout_steps
from pincompute.domain.rollout_steps import MemberReplicas
from pincompute.federation.workload import metric_gate, stalled_workload, update_hooks
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.metric_gate import Measurement, MetricGate
from pincompute.federation.workload.update_hooks import HookAnswers, StepHooks
from pincompute.federation.workload.workload_model import Rendered, Workload

NOTHING = RolloutControl()


@dataclass(frozen=True, slots=True)
class Progress:
    """`workload` has the template to bring about: that of the spec, or that of the stable revision. `limits`: how many
    replicas of each member may have it now; None where nothing limits them. `stepwise`: the rollout has several steps, or
    is undone. `ends_first`: all replicas of other revisions end before one of it starts. `turned`: the record has to be
    stored before anything follows from it. `unbegun`: the wanted revision may not begin yet, and `workload` has what runs until
    then. `wake_after`: seconds until time alone changes something.
    """

    workload: Workload
    record: RolloutStatus | None = None
    limits: Mapping[str, int] | None = None
    stepwise: bool = False
    ends_first: bool = False
    turned: bool = False
    unbegun: bool = False
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
    hooks: StepHooks = update_hooks.NOBODY

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
    def passed(self) -> int:
        """Returns how many replicas may have the revision by the steps that are complete."""
        return self.totals[min(self.record.step, len(self.totals)) - 1] if self.record.step else 0

    @property
    def limits(self) -> Mapping[str, int]:
        return self._limits(self.total)

    @property
    def limits_before(self) -> Mapping[str, int]:
        """Returns how many replicas of each member may have the revision before the present step begins."""
        return self._limits(self.passed)

    @property
    def step_zones(self) -> tuple[str, ...]:
        """Returns the zones in which the present step changes replicas, in the order of their turns."""
        before, after = self.limits_before, self.limits
        there = {member.zone for member in self.members if after[member.cluster] > before[member.cluster]}
        return tuple(zone for zone in self.record.zones if zone in there)

    def _limits(self, total: int) -> Mapping[str, int]:
        return rollout_steps.limits(total, self.update.strategy, self.members, self.record.zones)

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

    def with_hooks(self, due: HookMoment | None) -> _Rollout:
        """Returns the rollout with the judgement of the step's hooks, some of which are `due` now."""
        hooks, answers = self.update.hooks, self.hooks.answers
        judged = update_hooks.judge(hooks, answers, self.record, due, self.step_zones, self.now)
        return replace(self, hooks=judged).with_record(hooks=judged.rows)


def decide(
    workload: Workload,
    decision: Scheduling,
    sites: tuple[MemberShard, ...],
    kept: Mapping[str, Manifest],
    now: datetime,
    measured: tuple[Measurement, ...] = (),
    hooks: HookAnswers = update_hooks.NO_ANSWERS,
) -> Progress:
    """Returns the progress. `kept` are the templates of superseded revisions, `measured` the metrics of the health gate,
    `hooks` what the hooks say.
    """
    wanted = {row.cluster: row.replicas for row in decision.placement}
    members = tuple(MemberReplicas(s.name, s.member.zone, wanted[s.name]) for s in sites if wanted.get(s.name))
    templates = {**kept, **{share.revision: share.template for site in sites for share in site.mix}}
    record = _record(workload, sites, templates)
    if record is None or not members:
        return Progress(workload, workload.status.rollout if not members else None)
    if workload.paused:
        ends_first = record.state != "Complete" and workload.obj.spec.update.strategy == "Recreate"
        since = record.since if record.state in TERMINAL_STATES else None  # what has ended is not held up
        asked = update_hooks.paused(record.hooks)
        record = msgspec.structs.replace(record, since=since, healthy_since=None, hooks=asked)
        return Progress(workload, record, ends_first=ends_first)
    zones = rollout_steps.zone_order(members, workload.obj.spec.update.zone_order, record.zones)
    began = record.began if record.since is not None else record.began or now
    record = msgspec.structs.replace(record, zones=zones, began=began, since=record.since or now)
    rollout = _Rollout(workload, sites, members, templates, record, now)
    match record.state:
        case "Complete":
            return Progress(workload, record)
        case "Progressing" | "AwaitingApproval":
            gate = metric_gate.judge(workload, measured, record, now)
            judged = replace(rollout, gate=gate, hooks=StepHooks(answers=hooks))
            return _advanced(judged.with_record(metrics=gate.rows))
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
    stored = rollout.record
    rollout = _begun(rollout)
    if rollout.hooks.is_news_to(stored):
        return replace(_continued(rollout, None), turned=True)
    if failure := _failure(rollout):
        return _failed(rollout, failure)
    rollout = rollout.with_record(state="Progressing", failure="")
    while rollout.record.state == "Progressing":
        rollout = _begun(rollout)
        if not rollout.record.begun:
            return _continued(rollout, None)
        rollout = _judged(rollout)
        left = _bake_left(rollout)
        if left is None or left > timedelta() or rollout.gate.pending:
            return _continued(rollout, left if left is not None else _deadline_left(rollout))
        rollout = rollout.with_hooks("AfterStep")
        if not rollout.hooks.agreed("AfterStep"):
            return _continued(rollout, None)
        if _needs_approval(rollout):
            return _continued(rollout.with_record(state="AwaitingApproval"), None)
        rollout = _next_step(rollout)
    return Progress(rollout.workload, rollout.record)


def _begun(rollout: _Rollout) -> _Rollout:
    """Returns the rollout with the present step begun, if all hooks agree that are asked before it. The time that its replicas
    have begins then.
    """
    if rollout.record.begun:
        return rollout.with_hooks(None)
    rollout = rollout.with_hooks("BeforeStep")
    if rollout.hooks.missing or not rollout.hooks.agreed("BeforeStep"):
        return rollout
    since = rollout.now if rollout.hooks.rows else rollout.record.since
    return rollout.with_record(begun=True, since=since)


def _continued(rollout: _Rollout, wait: timedelta | None) -> Progress:
    """Returns the progress within the present step; `wait` is when time alone changes something."""
    begun, step = rollout.record.begun, rollout.record.step
    record = msgspec.structs.replace(
        rollout.record, steps=len(rollout.totals), replicas=rollout.total if begun else rollout.passed
    )
    before = rollout.with_record(steps=record.steps, replicas=record.replicas)
    waits = [wait, rollout.gate.held_back, rollout.hooks.left(rollout.now)]
    soonest = min((left for left in waits if left is not None and left > timedelta()), default=None)
    wake_after = soonest.total_seconds() if soonest is not None else None
    if not begun and not step:
        return replace(_unbegun(before), wake_after=wake_after)
    limits = None if begun and rollout.final else rollout.limits if begun else rollout.limits_before
    return Progress(
        rollout.workload,
        record,
        limits,
        stepwise=record.steps > 1,
        ends_first=rollout.ends_first,
        wake_after=wake_after,
    )


def _unbegun(rollout: _Rollout) -> Progress:
    """Returns the progress before the first step: what runs goes on as if nobody had asked for an update. Replicas of an
    update that this one replaces stay as they are, and the stable revision has the others.
    """
    record = rollout.record
    revision = _running_alone(rollout) if rollout.ends_first else record.stable
    template = rollout.templates.get(revision)
    if template is None:
        return Progress(rollout.workload, record, dict.fromkeys(rollout.limits, 0), unbegun=True)
    workload = replace(rollout.workload, rendered=Rendered(template, revision, resource_requests.requests(template)))
    if rollout.ends_first:
        return Progress(workload, record, ends_first=True, unbegun=True)
    others = {site.name: _others(site, revision) for site in rollout.sites}
    limits = {member.cluster: max(0, member.replicas - others[member.cluster]) for member in rollout.members}
    return Progress(workload, record, limits if any(others.values()) else None, stepwise=True, unbegun=True)


def _running_alone(rollout: _Rollout) -> str:
    """Returns the one revision that runs where two never run together; the stable one where none does."""
    asked = (share.revision for site in rollout.sites for share in site.mix if share.replicas)
    return next((name for name in asked if name != rollout.record.revision), rollout.record.stable)


def _others(site: MemberShard, revision: str) -> int:
    """Returns the replicas of other revisions that the member has or should have."""
    running = sum(row.replicas for row in site.figures.values() if row.revision != revision)
    return max(running, sum(share.replicas for share in site.mix if share.revision != revision))


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
    return rollout.with_record(
        step=rollout.record.step + 1, state=state, since=rollout.now, healthy_since=None, restarts=0, begun=False, hooks=()
    )


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
    """Returns how long the step may still take; None while a member that it needs does not answer, before it begins, or where
    it has no end.
    """
    since = rollout.record.since
    if since is None or rollout.unreachable or not rollout.record.begun:
        return None
    return since + timedelta(seconds=rollout.update.progress_deadline_seconds) - rollout.now


def _failure(rollout: _Rollout) -> str:
    """Returns why the step has failed, in a sentence; empty when it has not."""
    if cause := stalled_workload.final_cause(rollout.workload, rollout.sites):
        return cause
    if failure := rollout.hooks.failure(rollout.now, begun=rollout.record.begun):
        return failure
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
    hooks = tuple(row for row in rollout.record.hooks if row.state in update_hooks.VERDICTS)
    undone = rollout.with_record(state="RollingBack", since=rollout.now, healthy_since=None, failure=failure, hooks=hooks)
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
