"""Reads and writes the annotation that notes the last operations on an object, each in the same write as its change.

Whoever comes later knows of them, even if the gateway that carried them out died at once. The annotation holds several, because
a gateway that starts again may get the next operation before history has the one before.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from pincompute.api import labels
from pincompute.api.kinds import WorkloadObject
from pincompute.api.meta import Object, Struct

KEPT = 4
LONGEST_GENERATION = 19  # digits


class OperationNote(Struct):
    """What was done, by whom, why, when, and by which request. `generation` is the one that it made, 0 for none.

    `key` is the caller's Idempotency-Key, or empty. The request's id identifies no repetition, because callers use one id for
    several requests. `on` names the replica or container, `uid` the pod; both are empty for the whole workload.
    """

    verb: str
    by: str
    why: str
    at: datetime
    request: str
    key: str = ""
    generation: int = 0
    on: str = ""
    uid: str = ""


def read(obj: Object | WorkloadObject) -> tuple[OperationNote, ...]:
    """The notes on an object, newest first; none when the annotation has another form."""
    text = obj.metadata.annotations.get(labels.OPERATIONS)
    try:
        return msgspec.json.decode(text, type=tuple[OperationNote, ...]) if text else ()
    except (msgspec.MsgspecError, RecursionError):  # somebody else wrote it, before the API server kept them from it
        return ()


def outside_author(obj: Object | WorkloadObject) -> tuple[int, str]:
    """The last generation that was written outside the platform, and its author; 0 and empty when there is none."""
    generation, _, name = obj.metadata.annotations.get(labels.CHANGED_BY, "").partition(" ")
    usable = generation.isdecimal() and len(generation) <= LONGEST_GENERATION
    return (int(generation), name) if usable else (0, "")


def author(obj: Object | WorkloadObject) -> str:
    """Who wrote the present spec. Empty when nothing says so, as after `kubectl scale`, which Kubernetes does not record."""
    present = obj.metadata.generation
    generation, name = outside_author(obj)
    if generation == present:
        return name
    return next((note.by for note in read(obj) if note.generation == present), "")


def repeated(obj: Object | WorkloadObject, verb: str, by: str, key: str) -> OperationNote | None:
    """The note of what this caller did under this key before; None when it is new or has no key."""
    wanted = verb, by, key
    return next((note for note in read(obj) if (note.verb, note.by, note.key) == wanted), None) if key else None


def annotation(newest: OperationNote, before: tuple[OperationNote, ...] = ()) -> dict[str, str]:
    """The annotation to write with the change."""
    return {labels.OPERATIONS: msgspec.json.encode((newest, *before)[:KEPT]).decode()}
