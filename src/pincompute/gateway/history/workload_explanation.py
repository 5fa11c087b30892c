"""Explains in sentences why a workload runs where it runs, or why it does not run, each with a remedy. Pure.

The decision on the object itself explains the placement. History adds the last change and what keeps failing. A deleted
workload is explained from history alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from pincompute.api.kinds import WorkloadKind, WorkloadObject
from pincompute.api.quantity import InvalidQuantityError
from pincompute.api.workloads import UNDOING
from pincompute.domain import placement_text, zone_text
from pincompute.gateway import problems
from pincompute.gateway.history import exit_reasons, timeline
from pincompute.gateway.model import status_form
from pincompute.gateway.operation import rollback_target
from pincompute.gateway.operation.rollback_target import RollbackRevision
from pincompute.store.records import (
    DONE,
    GONE,
    AnyRecord,
    EventRecord,
    ExitRecord,
    OperationRecord,
    RevisionRecord,
    StateRecord,
)

RECENT = timedelta(hours=1)
SHOWN = 3  # kinds of failure, the latest first
LAST_KNOWN = "Its last known state is shown, and its replicas may still run."
UNREACHABLE = (
    "Users need do nothing; administrators check the API servers there and the way to them "
    "(in an embedded region: `pincompute region status`)."
)

_TOLD_REASONS = ("Failed", "InspectFailed", "FailedMount", "ErrImageNeverPull")
_QUIET_REASONS = ("BackOff", "Unhealthy", "FailedScheduling", "ProbeWarning")
"""Events that say again what exits, probes and the status say better."""


@dataclass(frozen=True, slots=True)
class ExplainedWorkload:
    """`records` are of this workload, the newest last; `unreachable` are those of the members that do not answer now.

    `troubles` are replicas that are not ready, each with what its kubelet last reported. `room` is what the node with the most
    room has left, if it waits for room. `absent` says which files containers mount that are not there.
    """

    kind: WorkloadKind
    obj: WorkloadObject
    records: tuple[AnyRecord, ...]
    members: tuple[str, ...]
    unreachable: tuple[str, ...]
    now: datetime
    troubles: tuple[tuple[str, str], ...] = ()
    room: str = ""
    absent: tuple[str, ...] = ()


def explain_present(subject: ExplainedWorkload) -> Iterator[str]:
    yield from placement_text.sentences(subject.kind, subject.obj, subject.members)
    yield from _approval(subject.kind, subject.obj)
    if subject.room:
        yield f"{subject.room[0].upper()}{subject.room[1:]}."
    yield from subject.absent
    yield from _unreachable(subject)
    yield from _troubles(subject)
    since = max(subject.now - RECENT, _changed_at(subject.records))
    recent = tuple(record for record in exit_reasons.with_causes(subject.records) if record.until >= since)
    yield from _failures(record for record in recent if isinstance(record, ExitRecord))
    told = bool(subject.obj.status.message)
    yield from _warnings((record for record in recent if isinstance(record, EventRecord)), told=told)
    yield from _last_change(subject.records)


def _approval(kind: WorkloadKind, obj: WorkloadObject) -> Iterator[str]:
    """Yields what an update waits for that goes on only when somebody approves it."""
    made = obj.status.rollout
    if made is None or made.state != "AwaitingApproval" or obj.status.observed_generation < obj.metadata.generation:
        return
    name = kind.typed(obj.metadata.name)
    yield (
        f"Step {made.step} of {made.steps} of its update is complete, and the next one waits for an approval: "
        f"`pin rollout approve {name}`, or `pin rollout abort {name}`."
    )


def needs_way_back(obj: WorkloadObject) -> bool:
    """Returns whether its update is stalled and nothing undoes it. A revision that was complete once is not what broke it."""
    rollout = obj.status.rollout
    done = rollout is not None and rollout.state in ("Complete", *UNDOING)
    return not done and bool(status_form.stalled(obj.status, obj.metadata.generation))


def _changed_at(records: tuple[AnyRecord, ...]) -> datetime:
    """Returns since when the workload has its present revision. What failed before may be what the change has mended."""
    revisions = [record for record in records if isinstance(record, RevisionRecord)]
    present = takewhile(lambda record: record.revision == revisions[-1].revision, reversed(revisions))
    return min((record.at for record in present), default=datetime.min.replace(tzinfo=UTC)).replace(microsecond=0)


def way_back(obj: WorkloadObject, known: Sequence[RollbackRevision]) -> RollbackRevision | None:
    """Returns the revision that a rollback chooses; None where the gateway would refuse it."""
    try:
        return rollback_target.former(obj, known, rollback_target.present_names(obj, known))
    except (problems.Problem, InvalidQuantityError):  # the template may be older than the rules for quantities
        return None


def explain_deleted(name: str, records: tuple[AnyRecord, ...]) -> Iterator[str]:
    """Explain a deleted workload; `records` are as in an `ExplainedWorkload`."""
    states = [record for record in records if isinstance(record, StateRecord)]
    end = next((s for s in reversed(states) if s.after == GONE), None)
    last = next((s for s in reversed(states) if s.after not in (GONE, "Deleting")), None)
    yield f"{name} does not run: it was deleted{f' at {_clock(end.at)}' if end else ''}{_by(records)}."
    if last is not None:
        yield f"Before, {timeline.state(last)}."
    yield from _failures(record for record in exit_reasons.with_causes(records) if isinstance(record, ExitRecord))
    yield from _last_change(records)
    yield "To run it again, deploy it again; its revisions are in its history."


def _unreachable(subject: ExplainedWorkload) -> Iterator[str]:
    made = subject.obj.status.scheduling
    unreachable = {row.zone for row in made.placement if row.cluster in subject.unreachable} if made else set[str]()
    for zone in sorted(unreachable):
        yield f"Zone {zone} does not answer now, at least in part. {LAST_KNOWN} {UNREACHABLE}"


def _failures(found: Iterable[ExitRecord]) -> Iterator[str]:
    """One sentence for each way in which it fails."""
    ways: dict[tuple[str, int, str], list[ExitRecord]] = {}
    for record in found:
        if exit_reasons.remedy_of(record):
            ways.setdefault((record.container, record.code, record.reason), []).append(record)
    latest = sorted(ways.values(), key=lambda way: way[-1].at, reverse=True)
    for way in latest[:SHOWN]:
        times = f", {len(way)} times lately" if len(way) > 1 else ""
        yield f"At {_clock(way[-1].at)}{times}: {exit_reasons.sentence(way[-1])}."


def _troubles(subject: ExplainedWorkload) -> Iterator[str]:
    """One sentence for replicas of which the same is reported."""
    same: dict[str, list[str]] = {}
    for replica, said in subject.troubles:
        same.setdefault(said, []).append(replica)
    for said, replicas in same.items():
        yield f"{zone_text.joined(replicas[:SHOWN])}: {said}."


def _warnings(found: Iterable[EventRecord], *, told: bool) -> Iterator[str]:
    """`told`: the status says why it does not run, so events that say the same again are left out."""
    quiet = (*_QUIET_REASONS, *_TOLD_REASONS) if told else _QUIET_REASONS
    telling = [e for e in found if e.warning and e.reason not in quiet]
    for line in timeline.entries(telling)[-SHOWN:]:
        yield f"At {_clock(line.until or line.at)}: {line.sentence}."


def _last_change(records: tuple[AnyRecord, ...]) -> Iterator[str]:
    revisions = [record for record in records if isinstance(record, RevisionRecord)]
    if not revisions:
        return
    last = revisions[-1]
    previous = revisions[-2] if len(revisions) > 1 else None
    of_last = last.uid, last.generation
    made_by = next((o for o in records if isinstance(o, OperationRecord) and (o.uid, o.generation) == of_last), None)
    yield f"Last change, at {_clock(last.at)}: {timeline.revision(last, previous, made_by)}."


def _by(records: tuple[AnyRecord, ...]) -> str:
    deletions = [r for r in records if isinstance(r, OperationRecord) and r.verb == "delete" and r.outcome in ("", DONE)]
    if not deletions:
        return f"; {timeline.UNRECORDED}"
    last = deletions[-1]
    return f" by {last.author}" + (f" ({last.reason})" if last.reason else "")


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
