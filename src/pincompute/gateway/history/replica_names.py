"""Gives records the names that users give to replicas, `web/3`, instead of the names of pods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from pincompute.gateway.operation.replica_lookup import ReplicaName
from pincompute.store.records import AnyRecord, EventRecord, ExitRecord

FORMER = "a former replica"
POD = "Pod"


def with_names(records: Iterable[AnyRecord], names: Mapping[str, ReplicaName]) -> tuple[AnyRecord, ...]:
    """Returns the records in their order; `names` are the replicas by the names of their pods."""
    return tuple(_named(record, names) for record in records)


def _named(record: AnyRecord, names: Mapping[str, ReplicaName]) -> AnyRecord:
    if isinstance(record, ExitRecord):
        return replace(record, pod=_name(record, names.get(record.pod)))
    if not isinstance(record, EventRecord) or record.about != POD:
        return record
    name = _name(record, names.get(record.object))
    text = record.message.replace(f"{record.project}/{record.object}", name).replace(record.object, name)
    return replace(record, object=name, message=text)


def _name(record: EventRecord | ExitRecord, found: ReplicaName | None) -> str:
    if found is None or (found.since is not None and record.until < found.since):
        return FORMER
    return found.text
