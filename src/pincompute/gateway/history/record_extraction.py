"""Derives records from an object as it is now and from what is already recorded of it. Pure.

A gateway that was away learns what the objects still show: the present revision and decision, and the last exit of each
container. Times are the objects' own wherever they carry one, because the key of a record must be the same in every gateway.

The author of a change outside the gateway is the one that the host's admission policy wrote into the annotation
`pincompute.io/changed-by`. The annotation names its generation, so an older one never counts for a later change.
"""

from __future__ import annotations

import itertools
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

import msgspec

from pincompute.api import builtin, conditions, labels, template_hash
from pincompute.api.builtin import ContainerStateTerminated, ContainerStatus, Pod
from pincompute.api.kinds import WorkloadObject
from pincompute.api.quantity import InvalidQuantityError
from pincompute.api.revisions import PinRevision
from pincompute.domain import operation_annotation
from pincompute.domain.container_failure import OUT_OF_MEMORY, SIGNALLED
from pincompute.domain.in_place_update import Replaced
from pincompute.gateway.history import exit_reasons
from pincompute.gateway.observed_revision import observed_revision
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
    digest,
)

_CONTAINER = re.compile(r"spec\.(?:initContainers|containers|ephemeralContainers)\{(?P<name>[^}]+)\}")


@dataclass(frozen=True, slots=True)
class RecordOwner:
    """The workload something belongs to."""

    project: str
    workload: str
    name: str
    uid: str
    zone: str = ""


@dataclass(frozen=True, slots=True)
class KnownState:
    """What has been recorded of a workload. `settings` are the versions of its last revision."""

    generation: int = 0
    decision: str = ""
    phase: str = ""
    operation: str = ""
    revision: str = ""
    observed: bool = False
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """When an object was observed. `live`: it changed at that moment; else the gateway found it so when it started.
    `settings`: the versions of secrets and configs that its revision has, each with who put it in use, as far as that is known.
    """

    at: datetime
    live: bool
    settings: Mapping[str, str] = field(default_factory=dict[str, str])


def workload_records(
    kind: str, obj: WorkloadObject, known: KnownState, observation: Observation
) -> tuple[tuple[AnyRecord, ...], KnownState]:
    """The records of what is new in the workload, and its known state afterwards."""
    meta, status = obj.metadata, obj.status
    owner = RecordOwner(meta.namespace, kind, meta.name, meta.uid)
    made, found = status.scheduling, list[AnyRecord]()
    seen = observation.at if observation.live else status.last_update_time or observation.at  # when the status was written
    operations = _operations(owner, obj)
    found += _since(operations, known.operation)
    written = meta.generation > known.generation and not (obj.deleting and known.generation)  # a deletion raises it as well
    named, settings = _name(obj) if written else known.revision, known.settings
    observed = observed_revision(obj)
    if written or (observed not in ("", named) and not obj.deleting):
        rolled = known.observed and not written
        record = _rolled(owner, obj, observation, known) if rolled else _revision(owner, obj, observation, operations)
        found.append(record)
        named, settings = observed or named, record.settings
    decided = digest(made) if made is not None else known.decision
    if made is not None and decided != known.decision:
        found.append(DecisionRecord(**asdict(owner), at=seen, scheduling=made))
    phase = status.phase or known.phase
    if phase != known.phase:
        begun = (record.at for record in found if isinstance(record, RevisionRecord))  # a revision's states come after it
        at = max((status.last_update_time or observation.at, *begun))
        found.append(StateRecord(**asdict(owner), at=at, before=known.phase, after=phase, message=status.message))
    operation = operations[0].key if operations else known.operation
    generation = max(meta.generation, known.generation)
    return tuple(found), KnownState(generation, decided, phase, operation, named, bool(observed), settings)


def revision(kind: str, obj: WorkloadObject, observation: Observation) -> RevisionRecord:
    """The present revision, as the object itself shows it."""
    owner = RecordOwner(obj.metadata.namespace, kind, obj.metadata.name, obj.metadata.uid)
    return _revision(owner, obj, observation, _operations(owner, obj))


def earlier_revision(kind: str, obj: WorkloadObject, kept: PinRevision, observation: Observation) -> RevisionRecord:
    """An earlier revision that the host keeps. Its generation and its author are not known."""
    meta = obj.metadata
    return RevisionRecord(
        **asdict(RecordOwner(meta.namespace, kind, meta.name, meta.uid)),
        at=kept.metadata.creation_timestamp or observation.at,
        generation=0,
        revision=kept.spec.revision,
        spec={"template": kept.spec.template},
    )


def end_record(kind: str, obj: WorkloadObject, known: KnownState, at: datetime) -> StateRecord:
    """The record that nothing of the workload is left."""
    meta = obj.metadata
    return StateRecord(
        project=meta.namespace, workload=kind, name=meta.name, uid=meta.uid, at=at, before=known.phase, after=GONE
    )


def pod_owner(pod: Pod) -> RecordOwner | None:
    """The workload of a pod; None for a pod of no workload of the platform."""
    has = pod.metadata.labels
    if labels.APP not in has or labels.ORIGIN_UID not in has:
        return None
    kind = has.get(labels.WORKLOAD, "")
    return RecordOwner(pod.metadata.namespace, kind, has[labels.APP], has[labels.ORIGIN_UID], has.get(labels.ZONE, ""))


def exit_records(cluster: str, pod: Pod, owner: RecordOwner) -> Iterator[ExitRecord]:
    """Every exit that the pod still shows: at most two of each container, and its own."""
    for status in pod.status.init_container_statuses:
        yield from (
            e for e in _exits(cluster, pod, owner, status) if e.code
        )  # an init container that succeeded is not recorded
    for status in pod.status.container_statuses:
        yield from _exits(cluster, pod, owner, status)
    if pod.status.phase == "Failed" and pod.status.reason:
        yield ExitRecord(
            **asdict(owner),
            cluster=cluster,
            at=_failed_at(pod),
            pod=pod.metadata.name,
            pod_uid=pod.metadata.uid,
            reason=pod.status.reason,
            message=pod.status.message,
            expected=pod.deleting,
        )


def event_record(cluster: str, event: builtin.Event, owner: RecordOwner) -> EventRecord | None:
    """The record of an event; None for an event without any time."""
    first = event.first_timestamp or event.event_time or event.metadata.creation_timestamp
    if first is None:
        return None
    series = event.series or builtin.EventSeries()
    last = series.last_observed_time or event.last_timestamp or first
    about = event.involved_object
    return EventRecord(
        **asdict(owner),
        cluster=cluster,
        at=first,
        event_uid=event.metadata.uid,
        about=about.kind,
        object=about.name,
        container=_container(about.field_path),
        reason=event.reason,
        message=event.message.strip(),
        warning=event.type == "Warning",
        count=max(series.count, event.count, 1),
        last=max(first, last),
        component=event.source.component or event.reporting_component,
    )


def _container(field_path: str) -> str:
    """The container that a part of a pod names, as `spec.containers{web}` does; empty for any other part."""
    found = _CONTAINER.fullmatch(field_path)
    return found["name"] if found is not None else ""


def _operations(owner: RecordOwner, obj: WorkloadObject) -> tuple[OperationRecord, ...]:
    """The operations noted on the object, newest first. A note claims no generation that another author made."""
    outside, _ = operation_annotation.outside_author(obj)
    return tuple(
        OperationRecord(
            **asdict(owner),
            at=note.at,
            request_id=note.request,
            verb=note.verb,
            author=note.by,
            reason=note.why,
            detail=note.on,
            outcome=DONE,
            generation=note.generation if note.generation <= obj.metadata.generation and note.generation != outside else 0,
        )
        for note in operation_annotation.read(obj)
    )


def _since(operations: Sequence[OperationRecord], known: str) -> list[OperationRecord]:
    """The operations after the known one, oldest first."""
    return list(itertools.takewhile(lambda operation: operation.key != known, operations))[::-1]


def _revision(
    owner: RecordOwner, obj: WorkloadObject, observation: Observation, operations: Sequence[OperationRecord]
) -> RevisionRecord:
    """The record. The platform names a revision by what members get, which may hold versions of secrets and logins."""
    meta, observed = obj.metadata, observed_revision(obj)
    made_by = next((operation for operation in operations if operation.generation == meta.generation), None)
    at = made_by.at if made_by is not None else _changed_at(obj, observation)
    outside, outsider = operation_annotation.outside_author(obj)
    author = outsider if outside == meta.generation else ""
    return RevisionRecord(
        **asdict(owner),
        at=(meta.creation_timestamp or at) if meta.generation == 1 else at,
        generation=meta.generation,
        revision=observed or _name(obj),
        observed=bool(observed),
        spec=msgspec.to_builtins(obj.spec),
        author=made_by.author if made_by is not None else author,
        reason=made_by.reason if made_by is not None else "",
        settings=tuple(observation.settings),
    )


def _rolled(owner: RecordOwner, obj: WorkloadObject, observation: Observation, known: KnownState) -> RevisionRecord:
    """The record of a revision that another version of a setting made. Its author is who put that version in use."""
    authors = (author for version, author in observation.settings.items() if author and version not in known.settings)
    return RevisionRecord(
        **asdict(owner),
        at=observation.at,
        generation=obj.metadata.generation,
        revision=obj.status.revision,
        spec=msgspec.to_builtins(obj.spec),
        author=" and ".join(dict.fromkeys(authors)),
        settings=tuple(observation.settings),
        observed=True,
        rolled=True,
    )


def _name(obj: WorkloadObject) -> str:
    try:
        return template_hash.revision(obj.spec.template)
    except InvalidQuantityError:
        return ""  # it cannot run; its status says why


def _changed_at(obj: WorkloadObject, observation: Observation) -> datetime:
    """When the spec changed: now for a live change, else the status's time if that is of this generation."""
    status = obj.status
    made, generation = status.scheduling, obj.metadata.generation
    answered = made is not None and generation in (made.generation, status.observed_generation)
    if observation.live or not answered or status.last_update_time is None:
        return observation.at
    return status.last_update_time


def _exits(cluster: str, pod: Pod, owner: RecordOwner, status: ContainerStatus) -> Iterator[ExitRecord]:
    past = status.last_state.terminated if status.last_state else None
    present = status.state.terminated if status.state else None
    if past is not None:
        yield _exit(cluster, pod, owner, status, past)
    if present is not None and present != past:
        yield _exit(cluster, pod, owner, status, present)


def _exit(cluster: str, pod: Pod, owner: RecordOwner, status: ContainerStatus, ended: ContainerStateTerminated) -> ExitRecord:
    return ExitRecord(
        **asdict(owner),
        cluster=cluster,
        at=ended.finished_at or pod.status.start_time or _created(pod),
        pod=pod.metadata.name,
        pod_uid=pod.metadata.uid,
        container=status.name,
        code=ended.exit_code,
        reason=exit_reasons.GRACE_EXCEEDED if _outlived_its_grace(pod, ended) else ended.reason,
        message=ended.message.strip(),
        restarts=status.restart_count,
        memory_limit=_memory_limit(pod, status.name),
        expected=pod.deleting or _replaced_in_place(pod, status.name, ended),
    )


def _outlived_its_grace(pod: Pod, ended: ContainerStateTerminated) -> bool:
    """Whether the container still ran when the time was over that its deleted pod had to end, and was killed."""
    deadline, end = pod.metadata.deletion_timestamp, ended.finished_at
    killed = ended.exit_code == SIGNALLED + signal.SIGKILL and ended.reason != OUT_OF_MEMORY
    return killed and deadline is not None and end is not None and end >= deadline


def _replaced_in_place(pod: Pod, container: str, ended: ContainerStateTerminated) -> bool:
    """Whether an update in place ended the container: the pod notes the id of the container that the update replaces."""
    note = pod.metadata.annotations.get(labels.IN_PLACE, "")
    if not note or not ended.container_id:
        return False
    replaced = msgspec.json.decode(note, type=dict[str, Replaced]).get(container)
    return replaced is not None and replaced.id == ended.container_id


def _memory_limit(pod: Pod, container: str) -> str:
    every = (*pod.spec.containers, *pod.spec.init_containers)
    return next((str(c.resources.limits.get("memory", "")) for c in every if c.name == container), "")


def _failed_at(pod: Pod) -> datetime:
    ready = conditions.find(pod.status.conditions, "Ready")
    return (ready.last_transition_time if ready else None) or pod.status.start_time or _created(pod)


def _created(pod: Pod) -> datetime:
    """Every stored object has a creation time."""
    if pod.metadata.creation_timestamp is None:
        raise ValueError(f"pod {pod.key} has no creation time")
    return pod.metadata.creation_timestamp
