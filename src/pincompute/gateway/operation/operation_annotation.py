"""The last operations on an object, as they stand on the object itself: each in the same write as what it changed.

So whoever comes later knows of them although the gateway that carried them out died before it could tell anybody. There are
several, because a gateway that comes back may be asked for the next before the history has the one before.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from pincompute.api import labels
from pincompute.api.kinds import WorkloadObject
from pincompute.api.meta import Object, Struct

KEPT = 4


class OperationNote(Struct):
    """What, who, why, when, and by which request; `generation` is the one it made, 0 when it made none.

    `key` is the caller's Idempotency-Key, empty when there was none. The request's id tells no repetition: callers give the
    same one to all that belongs together. `on` names the replica or container it was about, `uid` the pod; both are empty when
    it was about the whole workload.
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
    """Newest first. Empty also when somebody else wrote there in another form."""
    text = obj.metadata.annotations.get(labels.OPERATIONS)
    try:
        return msgspec.json.decode(text, type=tuple[OperationNote, ...]) if text else ()
    except msgspec.MsgspecError:
        return ()


def repeated(obj: Object | WorkloadObject, verb: str, by: str, key: str) -> OperationNote | None:
    """What this caller did under this key before; None when it is new, or has no key."""
    wanted = verb, by, key
    return next((note for note in read(obj) if (note.verb, note.by, note.key) == wanted), None) if key else None


def annotation(newest: OperationNote, before: tuple[OperationNote, ...] = ()) -> dict[str, str]:
    """To be written with the change."""
    return {labels.OPERATIONS: msgspec.json.encode((newest, *before)[:KEPT]).decode()}
