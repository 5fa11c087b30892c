"""Turns records of all types into one ordered timeline, a sentence each. Pure.

Records that say the same become one line: an operation and the revision that it made, the same event of many pods, a state or
decision that two gateways recorded at different moments. What happened before a change of the workload and what happened after
it are never one line, because they have different causes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

import msgspec

from pincompute.api.settings import SETTINGS
from pincompute.api.workloads import Scheduling
from pincompute.domain import zone_text
from pincompute.domain.container_failure import short
from pincompute.gateway.history import event_sentences, exit_reasons, replica_names, revision_changes, startup_checks
from pincompute.store.records import (
    DONE,
    GONE,
    AccessRecord,
    AnyRecord,
    DecisionRecord,
    EventRecord,
    ExitRecord,
    OperationRecord,
    RecordType,
    RevisionRecord,
    StateRecord,
)

PLATFORM = "pincompute-"  # prefix of the field managers of the platform's own programs
NEAR = timedelta(minutes=10)  # the same again within this is the same line
REASONS = 3  # reasons against a placement that are shown
MOST_FILES = 5  # of a config that a sentence names

_CAUSE_FIRST = ("operation", "revision", "decision", "access", "state", "exit", "event")
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
    "approve": "approved a step of the rollout of",
    "abort": "aborted the rollout of",
    "retry": "began anew the rollout of",
}
OUTSIDE = "Kubernetes does not record who"
UNRECORDED = "no record says by whom"
SCALED = f"{{}} was scaled {{}} with `kubectl scale` or by an autoscaler; {OUTSIDE}"
_SETTINGS = {kind.resource.kind: kind.word for kind in SETTINGS}
_INSIDE = {  # also of operations that an earlier version recorded
    ("open", "shells"): "opened a shell or ran a command in",
    ("open", "ports"): "connected to a port of",
    ("get", "files"): "copied files out of",
    ("update", "files"): "copied files into",
}


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One line. `until` and `count` describe repetitions; `warning`: a user may have to act.

    `revision` is the name of a pod template that began to be wanted then.
    """

    at: datetime
    type: RecordType
    sentence: str
    name: str = ""
    uid: str = ""
    zone: str = ""
    cluster: str = ""
    revision: str = ""
    warning: bool = False
    until: datetime | None = None
    count: int = 1


@dataclass(slots=True)
class _NamedContents:
    """The last revision, decision and state of each workload in the lines so far, by uid."""

    revisions: dict[str, RevisionRecord] = field(default_factory=dict[str, RevisionRecord])
    decisions: dict[str, Scheduling] = field(default_factory=dict[str, Scheduling])
    states: dict[str, str] = field(default_factory=dict[str, str])
    outside: frozenset[str] = frozenset()  # deleted, but not through the gateway


def entries(
    records: Iterable[AnyRecord],
    before: Iterable[RevisionRecord] = (),
    changes: Iterable[AnyRecord] = (),
    *,
    with_operations: bool = True,
) -> tuple[TimelineEntry, ...]:
    """All lines, the oldest first. `before` are earlier revisions, with which the first ones are compared. `changes` have no
    line, and separate what happened before them from what happened after them.

    Only `with_operations` is it known that somebody outside the gateway deleted a workload.
    """
    ordered = _in_order(exit_reasons.with_causes(records))
    so_far = _NamedContents({r.uid: r for r in sorted(before, key=lambda r: r.generation)})
    operations = {(o.uid, o.generation): o for o in ordered if isinstance(o, OperationRecord) and o.generation}
    revised = {(r.uid, r.generation) for r in ordered if isinstance(r, RevisionRecord) and not r.rolled}
    so_far.outside = _deleted_outside(ordered) if with_operations else frozenset()
    lines = [line for record in ordered if (line := _line(record, so_far, operations, revised)) is not None]
    return tuple(sorted((*lines, *_repeated(_in_order((*ordered, *changes)))), key=_order))


def _in_order(records: Iterable[AnyRecord]) -> list[AnyRecord]:
    return sorted(records, key=lambda record: (record.at, _CAUSE_FIRST.index(record.type)))


def _order(entry: TimelineEntry) -> tuple[datetime, int, datetime, int]:
    """Kubernetes' times are whole seconds, the gateway's are not. Within a second, causes come before their effects.

    What was asked for comes first, then the decisions about it, then what happened.
    """
    cause = _CAUSE_FIRST.index(entry.type)
    step = (cause > _CAUSE_FIRST.index("revision")) + (cause > _CAUSE_FIRST.index("decision"))
    return entry.at.replace(microsecond=0), step, entry.at, cause


def _deleted_outside(records: Iterable[AnyRecord]) -> frozenset[str]:
    """The uids of workloads that nobody deleted through the gateway, as far as the records reach back before the end."""
    alive, deleted = set[str](), set[str]()
    for record in records:
        match record:
            case OperationRecord(verb="delete") if record.workload not in _SETTINGS:
                deleted |= {record.uid} if record.uid else alive  # without a uid: it may have been any of this name
            case StateRecord() if record.after not in (GONE, "Deleting"):
                alive.add(record.uid)
            case _:
                continue
    return frozenset(alive - deleted)


_Operations: TypeAlias = dict[tuple[str, int], OperationRecord]


def _line(
    record: AnyRecord, so_far: _NamedContents, operations: _Operations, revised: set[tuple[str, int]]
) -> TimelineEntry | None:
    match record:
        case OperationRecord():
            merged = (record.uid, record.generation) in revised
            return None if merged else _entry(record, operation(record), warning=record.outcome not in ("", DONE))
        case RevisionRecord():
            previous = so_far.revisions.get(record.uid)
            so_far.revisions[record.uid] = record
            line = _entry(record, revision(record, previous, operations.get((record.uid, record.generation))))
            changed = previous is None or previous.revision != record.revision
            return msgspec.structs.replace(line, revision=record.revision) if changed else line
        case DecisionRecord():
            previous_decision = so_far.decisions.get(record.uid)
            so_far.decisions[record.uid] = record.scheduling
            text = decision(record, previous_decision)
            return _entry(record, text, warning=record.scheduling.unplaced > 0) if text else None
        case StateRecord():
            if so_far.states.get(record.uid) == record.after:
                return None
            so_far.states[record.uid] = record.after
            by = f"; {UNRECORDED}" if record.uid in so_far.outside else ""
            return _entry(record, state(record, by), warning=record.after in ("Degraded", "Stalled"))
        case AccessRecord():
            return _entry(record, access(record))
        case EventRecord() | ExitRecord():
            return None  # grouped with the repeated ones


def operation(record: OperationRecord) -> str:
    """`alice stopped hello: night`."""
    if record.workload in _SETTINGS:
        return f"{record.author} {_of_setting(record)}{_because(record.reason)}"
    inside = _INSIDE.get((record.verb, record.detail))
    done = inside or _past(record.verb)
    detail = f" ({record.detail})" if record.detail and not inside else ""
    outcome = {"": "; how it ended is not known", DONE: ""}.get(record.outcome, f"; it was refused ({record.outcome})")
    return f"{record.author} {done} {record.name or record.project}{detail}{_because(record.reason)}{outcome}"


def access(record: AccessRecord) -> str:
    """`alice opened a shell or ran a command in hello`."""
    return f"{record.author} {_INSIDE[record.verb, record.detail]} {record.name}{_because(record.reason)}"


def _of_setting(record: OperationRecord) -> str:
    """`set secret db to version 3`, `set config web to version 2 (a.conf set)`."""
    what, version = f"{_SETTINGS[record.workload]} {record.name}", f"to version {record.detail}" if record.detail else ""
    done = {"delete": f"deleted {what}", "rollback": f"rolled {what} back {version}"}
    files = ((record.updated_files, "set"), (record.removed_files, "removed"))
    changes = ", ".join(f"{_files(names)} {word}" for names, word in files if names)
    return done.get(record.verb, f"set {what} {version}").rstrip() + (f" ({changes})" if changes else "")


def _files(names: Sequence[str]) -> str:
    """`a.conf and b.conf`, and of very many files how many more there are."""
    more = [f"{len(names) - MOST_FILES} more"] if len(names) > MOST_FILES else []
    return zone_text.joined([*names[:MOST_FILES], *more])


def revision(record: RevisionRecord, previous: RevisionRecord | None, made_by: OperationRecord | None) -> str:
    """`alice scaled hello from 3 to 6: load test`."""
    if record.rolled:
        new = record.settings if previous is None else record.settings_since(previous)
        by = f", which {record.author} put in use" if record.author else ""
        return f"{record.name} rolls to {' and '.join(new) or 'another version of its settings'}{by}"
    known = made_by.author if made_by else record.author or _somebody(record.manager)
    author = known or "somebody"
    reason = _because(made_by.reason if made_by else record.reason)
    verb = made_by.verb if made_by else ""
    if not record.generation:
        return f"{record.name} had revision {record.revision}; nothing else is known of it"
    if previous is not None and not previous.generation:
        previous = None  # only its pod template is known
    if record.generation == 1 or previous is None:
        done = "created" if record.generation == 1 else _past(verb or "update")
        contents = ", ".join((revision_changes.contents(record), *record.settings))
        return f"{author} {done} {record.name}: {contents}{reason}"
    found = (*revision_changes.between(previous, record), *record.settings_since(previous))
    if verb == "restart":
        found = tuple(change for change in found if change != revision_changes.RESTARTED)
    if len(found) == 1 and found[0].startswith("replicas ") and verb in ("", "update", "scale"):
        change = found[0].removeprefix("replicas ")
        return f"{author} scaled {record.name} {change}{reason}" if known else SCALED.format(record.name, change)
    if len(found) == 1 and found[0] in revision_changes.SWITCHED and verb in ("", "update"):
        return f"{author} {found[0]} {record.name}{reason}"
    what = f" ({', '.join(found)})" if found else ""
    return f"{author} {_past(verb or 'update')} {record.name}{what}{reason}"


def decision(record: DecisionRecord, previous: Scheduling | None) -> str:
    """`placed 2 in zone a, 2 in zone b`; empty when nothing moved."""
    made = record.scheduling
    parts = list(_moves(made, previous))
    if made.unplaced and (previous is None or previous.unplaced != made.unplaced or parts):
        parts.append(_unplaced(made))
    return f"{record.name}: {', '.join(parts)}" if parts else ""


def state(record: StateRecord, deleted_by: str = "") -> str:
    if record.after == GONE:
        return f"{record.name} was deleted{deleted_by}; nothing of it is left"
    change = f"went from {record.before} to {record.after}" if record.before else f"is {record.after}"
    return f"{record.name} {change}{_because(short(record.message))}"


def _moves(made: Scheduling, previous: Scheduling | None) -> Iterator[str]:
    before, after = _by_zone(previous), _by_zone(made)
    changed = {zone: after[zone] - before[zone] for zone in dict.fromkeys((*before, *after))}
    for verb, sign in (("placed", 1), ("removed", -1)):
        places = [f"{delta * sign} in zone {zone}" for zone, delta in changed.items() if delta * sign > 0]
        if places:
            yield f"{verb} {', '.join(places)}"


def _unplaced(made: Scheduling) -> str:
    told = tuple(zone_text.about(made.rejections))
    reasons = "; ".join(short(sentence) for sentence in told[:REASONS])
    more = f"; and {len(told) - REASONS} more" if len(told) > REASONS else ""
    return f"{made.unplaced} without a place" + (f" ({reasons}{more})" if reasons else "")


def _by_zone(decision: Scheduling | None) -> Counter[str]:
    replicas = Counter[str]()
    for row in decision.placement if decision is not None else ():
        replicas[row.zone or row.cluster] += row.replicas
    return replicas


def _entry(record: AnyRecord, sentence: str, *, warning: bool = False) -> TimelineEntry:
    return TimelineEntry(
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
    """The author of a change outside the gateway, by the program; kubectl includes its command."""
    if manager.startswith(PLATFORM):
        return f"the platform ({manager})"
    tool, dash, _ = manager.partition("-")
    if tool == "kubectl" and dash:
        return f"somebody with kubectl ({manager})"
    return f"somebody with {manager}" if manager else ""


def _past(verb: str) -> str:
    return _PAST.get(verb, f"did {verb} on")


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


@dataclass(slots=True)
class _RepeatedEvents:
    """The same event or exit, perhaps of many objects."""

    first: EventRecord | ExitRecord
    until: datetime
    count: int
    objects: set[str]


def _repeated(records: Iterable[AnyRecord]) -> Iterator[TimelineEntry]:
    """Lines of repeated events and exits, the oldest first. A repetition after a longer time or after a change of the workload
    is a line of its own.
    """
    open_groups: dict[Hashable, _RepeatedEvents] = {}
    closed: list[_RepeatedEvents] = []
    changed = Counter[Hashable]()
    for record in records:
        if _is_change(record):
            changed[_workload(record)] += 1
        if not isinstance(record, EventRecord | ExitRecord):
            continue
        if isinstance(record, EventRecord) and record.reason == startup_checks.CRASHED:
            continue  # the crash is a line of its own
        named, count = _object_name(record), record.count if isinstance(record, EventRecord) else 1
        kind = changed[_workload(record)], _likeness(record)
        group = open_groups.get(kind)
        if group is None or record.at - group.until > NEAR:
            closed += (group,) if group else ()
            open_groups[kind] = _RepeatedEvents(record, record.until, count, {named})
            continue
        group.until = max(group.until, record.until)
        group.count += count
        group.objects.add(named)
    yield from (_group_entry(group) for group in (*closed, *open_groups.values()))


def _is_change(record: AnyRecord) -> bool:
    """Whether what happens after it has another cause than what happened before."""
    return isinstance(record, RevisionRecord) or (isinstance(record, OperationRecord) and record.verb == "restart")


def _workload(record: AnyRecord) -> Hashable:
    """A record of an operation may lack the uid."""
    return record.project, record.workload, record.name


def _likeness(record: EventRecord | ExitRecord) -> Hashable:
    """What two records have in common that a reader takes for the same."""
    if isinstance(record, ExitRecord):
        return record.uid, record.name, record.container, record.code, record.reason, record.expected
    return record.uid, record.name, record.about, record.reason, _pattern(record)


def _pattern(event: EventRecord) -> str:
    """The message without what differs from pod to pod: names, and numbers such as durations."""
    return "".join(c for c in event.message.replace(event.object, "") if not c.isdigit()) if event.object else event.message


def _object_name(record: EventRecord | ExitRecord) -> str:
    return record.object if isinstance(record, EventRecord) else record.pod


def _group_entry(group: _RepeatedEvents) -> TimelineEntry:
    first, alone = group.first, len(group.objects) == 1
    return TimelineEntry(
        at=first.at,
        type=first.type,
        sentence=_event_sentence(first, group)
        if isinstance(first, EventRecord)
        else exit_reasons.sentence(first, len(group.objects), group.count),
        name=first.name,
        uid=first.uid,
        zone=first.zone if alone else "",
        cluster=first.cluster if alone else "",
        warning=first.warning if isinstance(first, EventRecord) else bool(exit_reasons.remedy_of(first)),
        until=group.until if group.until > first.at else None,
        count=group.count,
    )


def _event_sentence(first: EventRecord, group: _RepeatedEvents) -> str:
    many = len(group.objects)
    who = first.name if first.about != replica_names.POD else f"{many} replicas" if many > 1 else first.object
    times = f" ({group.count} times)" if group.count > many else ""
    return f"{who}: {event_sentences.sentence(first)}{times}"
