"""Sends a CloudEvent to the endpoint that an administrator has named when a rollout enters another stage.

A rollout is started, awaits an approval, has failed, is rolled back, or is completed. The status keeps the last stage whose
event the endpoint has taken (`status.rollout.notified`), so that a restart loses no notification: the platform repeats an
event, with the same id, until the endpoint takes it. It does not tell of a stage that has passed before that, except that a
rollout has failed: it may be undone at once, and that is told afterwards. Of the end of a rollout it tells for an hour, so that
an endpoint named later does not hear of what ended long before.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

import msgspec

from pincompute.api.meta import GROUP
from pincompute.api.workloads import TERMINAL_STATES, RolloutStatus
from pincompute.engine.external_inputs import EventDelivery, ExternalInput
from pincompute.federation.workload.workload_model import Workload
from pincompute.kube.cache_views import Unknown, Views

RolloutEventType: TypeAlias = Literal["started", "awaitingapproval", "failed", "rolledback", "completed"]

INPUT = ExternalInput(
    EventDelivery,
    "delivery of the event of a rollout to the notification endpoint",
    period=30.0,
    deadline=10.0,
    stale_after=120.0,
)
TYPE = f"{'.'.join(reversed(GROUP.split('.')))}.rollout"  # CloudEvents asks for a reversed DNS name
TOLD_FOR = timedelta(hours=1)  # after its end


def observe(workload: Workload, views: Views, now: datetime) -> str:
    """Returns the stage of which the endpoint has been told and the status does not know; empty when there is none."""
    record = workload.status.rollout
    if record is None or not (due := _due(record, now)):
        return ""
    try:
        return due if views.answer(event(workload, record)) else ""
    except Unknown:
        return ""


def told_for(workload: Workload, now: datetime) -> float | None:
    """Returns for how many seconds the end of the rollout is still told; None where it has been told or is told no more. Then
    the workload has to be reconciled, so that the engine ceases to ask.
    """
    record = workload.status.rollout
    if record is None or record.since is None or record.state not in TERMINAL_STATES or not _due(record, now):
        return None
    return (record.since + TOLD_FOR - now).total_seconds()


def marked(record: RolloutStatus | None, stored: RolloutStatus | None, notified: str) -> RolloutStatus | None:
    """Returns the record with the stage that has been told. `stored` is the record that was observed; a rollout that has begun
    since then has told nothing.
    """
    if not notified or record is None or stored is None:
        return record
    if (record.revision, record.attempt) != (stored.revision, stored.attempt):
        return record
    return msgspec.structs.replace(record, notified=notified)


def event(workload: Workload, record: RolloutStatus) -> EventDelivery:
    """Returns the event of the present stage. Its id is the same at each attempt to deliver it."""
    obj, due = workload.obj, event_type(record)
    named = f"{obj.metadata.uid}/{record.revision}/{began(record)}/{_mark(record)}"
    at = workload.status.last_update_time or record.since
    content: dict[str, Any] = {
        "specversion": "1.0",
        "id": named,
        "source": f"/projects/{workload.key.namespace}",
        "type": f"{TYPE}.{due}",
        "subject": f"{workload.kind.word}/{workload.key.name}",
        **({"time": at} if at is not None else {}),
        "datacontenttype": "application/json",
        "data": {
            "project": workload.key.namespace,
            "kind": workload.kind.workload.kind,
            "name": workload.key.name,
            "stage": due,
            "revision": record.revision,
            "stableRevision": record.stable,
            "attempt": record.attempt,
            "step": record.step,
            "steps": record.steps,
            "zones": record.zones,
            "message": record.failure,
        },
    }
    return EventDelivery(named, msgspec.json.encode(content))


def event_type(record: RolloutStatus) -> RolloutEventType:
    """Returns which stage of the rollout is to be told. That it has failed comes before that it is undone."""
    match record.state:
        case "Progressing":
            return "failed" if record.failure else "started"
        case "AwaitingApproval":
            return "awaitingapproval"
        case "RollingBack":
            return "failed"
        case "RolledBack":
            return "rolledback" if record.notified.startswith(("failed", "rolledback")) else "failed"
        case "Complete":
            return "completed"


def _due(record: RolloutStatus, now: datetime) -> str:
    """Returns the mark of the stage that is to be told; empty when it has been, or is not worth telling."""
    mark, since = _mark(record), record.since
    if mark == record.notified or since is None:
        return ""
    if record.state in TERMINAL_STATES and now - since >= TOLD_FOR:
        return ""
    return mark if event_type(record) != "started" or not record.notified else ""


def began(record: RolloutStatus) -> str:
    """Returns what tells this attempt from others of the same revision: it may be rolled back and deployed again."""
    return f"{record.began:%Y%m%dT%H%M%SZ}" if record.began is not None else str(record.attempt)


def _mark(record: RolloutStatus) -> str:
    """Returns what tells this stage from others of the same rollout: each step may wait, and each may fail."""
    found = event_type(record)
    return f"{found}/{record.step}" if found in ("awaitingapproval", "failed") else found
