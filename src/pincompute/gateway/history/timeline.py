"""Records of all kinds as one ordered story, a sentence each. Pure.

What several records say is told once: an operation and the revision it made, the same event of many pods, a state or decision
that two gateways recorded at different moments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from pincompute.api.workloads import Scheduling
from pincompute.gateway.history import event_grouping, revision_changes
from pincompute.gateway.history.timeline_entry import Entry, short
from pincompute.store.records import (
    DONE,
    GONE,
    AnyRecord,
    DecisionRecord,
    EventRecord,
    ExitRecord,
    OperationRecord,
    RevisionRecord,
    StateRecord,
)

PLATFORM = "pincompute-"  # what the field managers of our own programs begin with
REASONS = 3  # clusters whose refusal is told

_CAUSE_FIRST = ("operation", "revision", "decision", "state", "exit", "event")
_PAST = {
    "create": "created",
    "update": "changed",
    "delete": "deleted",
    "pause": "paused",
    "resume": "resumed",
    "stop": "stopped",
    "start": "started",
    "restart": "restarted",
    "scale": "scaled",
    "rollback": "rolled back",
}
_INSIDE = {
    ("open", "shells"): "opened a shell or ran a command in",
    ("get", "files"): "copied files out of",
    ("update", "files"): "copied files into",
}


@dataclass(slots=True)
class _NamedContents:
    """What the story has said of each workload so far, by uid."""

    revisions: dict[str, RevisionRecord] = field(default_factory=dict[str, RevisionRecord])
    decisions: dict[str, Scheduling] = field(default_factory=dict[str, Scheduling])
    states: dict[str, str] = field(default_factory=dict[str, str])


def entries(records: Iterable[AnyRecord], before: Iterable[RevisionRecord] = ()) -> tuple[Entry, ...]:
    """The oldest first. `before` are earlier revisions, to tell what the first ones changed."""
    ordered = sorted(records, key=lambda record: (record.at, _CAUSE_FIRST.index(record.type)))
    told = _NamedContents({r.uid: r for r in sorted(before, key=lambda r: r.generation)})
    operations = {(o.uid, o.generation): o for o in ordered if isinstance(o, OperationRecord) and o.generation}
    revised = {(r.uid, r.generation) for r in ordered if isinstance(r, RevisionRecord)}
    lines = [line for record in ordered if (line := _line(record, told, operations, revised)) is not None]
    repeated = event_grouping.entries(record for record in ordered if isinstance(record, (EventRecord, ExitRecord)))
    return tuple(sorted((*lines, *repeated), key=_order))


def _order(entry: Entry) -> tuple[datetime, bool, datetime, int]:
    """Kubernetes counts whole seconds, we do not: within a second what was wanted comes before what came of it."""
    cause = _CAUSE_FIRST.index(entry.type)
    return entry.at.replace(microsecond=0), cause > _CAUSE_FIRST.index("decision"), entry.at, cause


_Operations: TypeAlias = dict[tuple[str, int], OperationRecord]


def _line(record: AnyRecord, told: _NamedContents, operations: _Operations, revised: set[tuple[str, int]]) -> Entry | None:
    match record:
        case OperationRecord():
            merged = (record.uid, record.generation) in revised
            return None if merged else _entry(record, operation(record), warning=record.outcome not in ("", DONE))
        case RevisionRecord():
            previous = told.revisions.get(record.uid)
            told.revisions[record.uid] = record
            return _entry(record, revision(record, previous, operations.get((record.uid, record.generation))))
        case DecisionRecord():
            previous_decision = told.decisions.get(record.uid)
            told.decisions[record.uid] = record.scheduling
            text = decision(record, previous_decision)
            return _entry(record, text, warning=record.scheduling.unplaced > 0) if text else None
        case StateRecord():
            if told.states.get(record.uid) == record.after:
                return None
            told.states[record.uid] = record.after
            return _entry(record, state(record), warning=record.after == "Degraded")
        case EventRecord() | ExitRecord():
            return None  # told in groups


def operation(record: OperationRecord) -> str:
    """`alice stopped hello: night`."""
    inside = _INSIDE.get((record.verb, record.detail))
    done = inside or _past(record.verb)
    detail = f" ({record.detail})" if record.detail and not inside else ""
    outcome = {"": "; how it ended is not known", DONE: ""}.get(record.outcome, f"; it was refused ({record.outcome})")
    return f"{record.author} {done} {record.name or record.project}{detail}{_because(record.reason)}{outcome}"


def revision(record: RevisionRecord, previous: RevisionRecord | None, made_by: OperationRecord | None) -> str:
    """`alice scaled hello from 3 to 6: load test`."""
    author = made_by.author if made_by else record.author or _somebody(record.manager)
    reason = _because(made_by.reason if made_by else record.reason)
    if record.generation == 1:
        return f"{author} created {record.name}: {revision_changes.contents(record)}{reason}"
    if previous is None:
        verb = _past(made_by.verb if made_by else "update")
        return f"{author} {verb} {record.name}: {revision_changes.contents(record)}{reason}"
    found = revision_changes.between(previous, record)
    verb = made_by.verb if made_by else ""
    if len(found) == 1 and found[0].startswith("replicas ") and verb in ("", "update", "scale"):
        return f"{author} scaled {record.name} {found[0].removeprefix('replicas ')}{reason}"
    what = f" ({', '.join(found)})" if found else ""
    return f"{author} {_past(verb or 'update')} {record.name}{what}{reason}"


def decision(record: DecisionRecord, previous: Scheduling | None) -> str:
    """`placed 2 in zone a (a1), 2 in zone b (b1)`; empty when nothing moved."""
    made = record.scheduling
    parts = list(_moves(made, previous))
    if made.unplaced and (previous is None or previous.unplaced != made.unplaced or parts):
        parts.append(_unplaced(made))
    return f"{record.name}: {', '.join(parts)}" if parts else ""


def state(record: StateRecord) -> str:
    if record.after == GONE:
        return f"{record.name} was deleted; nothing of it is left"
    change = f"went from {record.before} to {record.after}" if record.before else f"is {record.after}"
    return f"{record.name} {change}{_because(short(record.message))}"


def _moves(made: Scheduling, previous: Scheduling | None) -> Iterator[str]:
    zones = {row.cluster: row.zone for row in (*(previous.placement if previous else ()), *made.placement)}
    before = {row.cluster: row.replicas for row in previous.placement} if previous else dict[str, int]()
    after = {row.cluster: row.replicas for row in made.placement}
    changed = {cluster: after.get(cluster, 0) - before.get(cluster, 0) for cluster in zones}
    for verb, sign in (("placed", 1), ("removed", -1)):
        places = [f"{delta * sign} in {_place(zones[name], name)}" for name, delta in changed.items() if delta * sign > 0]
        if places:
            yield f"{verb} {', '.join(places)}"


def _unplaced(made: Scheduling) -> str:
    reasons = "; ".join(short(f"{r.cluster}: {r.message}") for r in made.rejections[:REASONS])
    more = f"; and {len(made.rejections) - REASONS} clusters more" if len(made.rejections) > REASONS else ""
    return f"{made.unplaced} without a place" + (f" ({reasons}{more})" if reasons else "")


def _place(zone: str, cluster: str) -> str:
    return f"zone {zone} ({cluster})" if zone else cluster


def _entry(record: AnyRecord, sentence: str, *, warning: bool = False) -> Entry:
    return Entry(
        at=record.at,
        type=record.type,
        sentence=sentence,
        name=record.name,
        uid=record.uid,
        zone=record.zone,
        cluster=record.cluster,
        warning=warning,
    )


def _somebody(manager: str) -> str:
    """Who wrote past the gateway is known only by their program; kubectl tells its command as well."""
    if manager.startswith(PLATFORM):
        return f"the platform ({manager})"
    tool, dash, _ = manager.partition("-")
    if tool == "kubectl" and dash:
        return f"somebody with kubectl ({manager})"
    return f"somebody with {manager}" if manager else "somebody"


def _past(verb: str) -> str:
    return _PAST.get(verb, f"did {verb} on")


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
