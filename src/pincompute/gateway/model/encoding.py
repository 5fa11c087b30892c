"""Objects in the simple model as JSON bytes, encoded once a version: a list is a join of what is encoded already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from pincompute.api.meta import Object
from pincompute.gateway.model.kinds import KINDS, Kind

CAPACITY = 50_000  # objects kept; the oldest are encoded anew when they are asked for

_encoder = msgspec.json.Encoder()
_kept: dict[str, tuple[str, bytes]] = {}  # by uid, with the version
_kinds: dict[type[Object], Kind[Any]] = {kind.resource.type: kind for kind in KINDS}


def encoded(obj: Object) -> bytes:
    """The object's simple form."""
    meta = obj.metadata
    known = _kept.get(meta.uid)
    if known is not None and known[0] == meta.resource_version:
        return known[1]
    made = _encoder.encode(_kinds[type(obj)].to_simple(obj))
    if known is None and len(_kept) >= CAPACITY:
        del _kept[next(iter(_kept))]
    _kept[meta.uid] = (meta.resource_version, made)
    return made


def joined(objects: Iterable[Object]) -> bytes:
    """A JSON list of them."""
    return b"[" + b",".join(map(encoded, objects)) + b"]"
