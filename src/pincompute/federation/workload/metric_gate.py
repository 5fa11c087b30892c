"""Judges the metrics of a rollout's health gate (`update.metrics`): within their bounds, beyond them, or unknown.

A metric that is unknown never completes a step (S-122). One that leaves its bounds in the bake time fails the step. Before the
bake time it only holds the step up, because then it may still be about the former revision, which the update perhaps mends.
The platform asks only for rollouts in progress whose step has begun. Those that await an approval take no room of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import msgspec

from pincompute.api.workloads import HealthMetric, MetricState, MetricStatus, RolloutStatus, Update
from pincompute.domain import metric_query
from pincompute.engine.external_inputs import ExternalInput, MetricQuery, NoRoom, Unasked
from pincompute.federation.workload.workload_model import Workload
from pincompute.kube.cache_views import Unknown, Views

INPUT = ExternalInput(MetricQuery, "the metrics of health gates, while their rollouts are in progress")
ASKED = "the platform has just begun to ask for it"
UNBEGUN = "the platform asks for it when the step has begun"
IN_PROGRESS = ("Progressing", "AwaitingApproval")
PACE = timedelta(minutes=1)  # between two values in the status that say the same of their bounds


_Written: TypeAlias = tuple[MetricStatus, timedelta | None]
"""What the status says of a metric, and how long until it says a newer one."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What Prometheus said. `trouble` says why there is no value; `asked` is false until this process has asked once."""

    value: float | None = None
    trouble: str = ""
    asked: bool = True


@dataclass(frozen=True, slots=True)
class MetricGate:
    """The judgement. `pending`: this process has not asked for all metrics yet, so that nothing follows from what it knows.
    `held_back`: how long until a newer value may be written.
    """

    rows: tuple[MetricStatus, ...] = ()
    pending: bool = False
    held_back: timedelta | None = None

    @property
    def holds(self) -> bool:
        return all(row.state == "Holds" for row in self.rows)

    @property
    def broken(self) -> str:
        """Returns which metrics are beyond their bounds, in a sentence; empty when none is known to be."""
        return "; ".join(f"{row.name} is {row.value}, and must be {row.bound}" for row in self.rows if row.state == "Broken")

    @property
    def reason(self) -> str:
        """Returns why the gate does not hold, in a sentence; empty when it does."""
        unknown = (f"{row.name} is unknown: {row.message}" for row in self.rows if row.state == "Unknown")
        return "; ".join(part for part in (self.broken, *unknown) if part)


OPEN = MetricGate()


def observe(workload: Workload, views: Views) -> tuple[Measurement, ...]:
    """Returns a measurement for each metric of the update; none unless a step of a rollout that can be undone has begun."""
    record = workload.status.rollout
    if record is None or not record.stable or record.revision != workload.rendered.revision or workload.paused:
        return ()
    if record.state not in IN_PROGRESS or not record.begun:
        return ()
    awaits_approval = record.state == "AwaitingApproval"
    return tuple(
        _measured(metric, workload.key.namespace, views, awaits_approval) for metric in workload.obj.spec.update.metrics
    )


def _measured(metric: HealthMetric, project: str, views: Views, awaits_approval: bool) -> Measurement:
    try:
        question = MetricQuery(metric_query.promql(metric, project), awaits_approval)
    except metric_query.UnsafeMetricError as unsafe:
        return Measurement(trouble=str(unsafe))
    try:
        return Measurement(views.answer(question))
    except Unknown as unknown:
        begun = isinstance(unknown, Unasked) and not isinstance(unknown, NoRoom)
        trouble = ASKED if begun else str(unknown).removeprefix(f"{question} is unknown: ")
        return Measurement(trouble=trouble, asked=not isinstance(unknown, Unasked))


def judge(workload: Workload, measured: tuple[Measurement, ...], record: RolloutStatus, now: datetime) -> MetricGate:
    """Returns the judgement of the metrics. `record` has the former one. Nothing gates what replaces nothing that served."""
    if not record.stable:
        return OPEN
    found = tuple(_rows(workload, measured, record, now))
    waits = [wait for _, wait in found if wait is not None]
    pending = any(not measurement.asked for measurement in measured)
    return MetricGate(tuple(row for row, _ in found), pending, min(waits, default=None))


def _rows(workload: Workload, measured: tuple[Measurement, ...], record: RolloutStatus, now: datetime) -> Iterator[_Written]:
    before = {row.name: row for row in record.metrics}
    for number, metric in enumerate(workload.obj.spec.update.metrics):
        unasked = Measurement(trouble=ASKED if record.begun else UNBEGUN, asked=False)
        found = measured[number] if number < len(measured) else unasked
        known = before.get(metric.name)
        if known is not None and not found.asked and known.bound == bound(metric):
            yield known, None
        else:
            yield _row(metric, found, known, now)


def _row(metric: HealthMetric, found: Measurement, before: MetricStatus | None, now: datetime) -> _Written:
    value = f"{found.value:.4g}" if found.value is not None else ""
    row = MetricStatus(
        name=metric.name,
        state=_state(metric, found.value),
        value=value,
        bound=bound(metric),
        message=found.trouble,
        since=now,
        at=now,
    )
    if before is None or (before.state, before.bound) != (row.state, row.bound):
        return row, None
    if (before.value, before.message) == (row.value, row.message):
        return before, None
    wait = (before.at or now) + PACE - now
    if before.message == row.message and wait > timedelta():
        return before, wait
    return msgspec.structs.replace(row, since=before.since), None


def _state(metric: HealthMetric, value: float | None) -> MetricState:
    if value is None:
        return "Unknown"
    low = metric.min is not None and not value >= metric.min
    high = metric.max is not None and not value <= metric.max
    return "Broken" if low or high else "Holds"


def waits(record: RolloutStatus, update: Update) -> str:
    """Returns for which unknown metrics the present step waits, since when, and what follows at which time, in a sentence;
    empty when it waits for none. The times are absolute, so that the sentence stays the same.
    """
    if record.state != "Progressing" or not record.begun or record.since is None or record.healthy_since or record.failure:
        return ""
    unknown = [row for row in record.metrics if row.state == "Unknown" and row.message not in (ASKED, UNBEGUN)]
    if not unknown:
        return ""
    rows = ", and ".join(f"{row.name}, unknown since {_clock(row.since)}: {row.message}" for row in unknown)
    end = record.since + timedelta(seconds=update.progress_deadline_seconds)
    follows = "the update is undone" if update.on_failure == "Rollback" else "nothing more changes until it is known"
    metrics = "metric" if len(unknown) == 1 else "metrics"
    return f"the update waits for {metrics} {rows}; if this stays so, the step fails at {_clock(end)} and {follows}"


def _clock(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if at is not None else "its first question"


def bound(metric: HealthMetric) -> str:
    """Returns what the metric must be, in words."""
    low = f"at least {metric.min:g}" if metric.min is not None else ""
    high = f"at most {metric.max:g}" if metric.max is not None else ""
    return " and ".join(part for part in (low, high) if part)
