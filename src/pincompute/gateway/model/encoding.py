"""Objects in the simple model as JSON bytes, encoded once a version: a list is a join of what is encoded already."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from pincompute.api.meta import Object
from pincompute.gateway.model.kinds import KINDS, Kind, version

CAPACITY = 50_000  # objects kept; the oldest are encoded anew when they are asked for


class _Kept(NamedTuple):
    """Of one object in one version: its bytes, and the entity tag of what is asked for."""

    resource_version: str
    body: bytes
    tag: str


_encoder = msgspec.json.Encoder()
_kept: dict[str, _Kept] = {}  # by uid
_kinds: dict[type[Object], Kind[Any]] = {kind.resource.type: kind for kind in KINDS}


def encoded(obj: Object) -> bytes:
    """The object's simple form."""
    return _keep(obj).body


def etag(obj: Object) -> str:
    """Of what is asked for; the status moves without it."""
    return _keep(obj).tag


def joined(objects: Iterable[Object]) -> bytes:
    """A JSON list of them."""
    return b"[" + b",".join(map(encoded, objects)) + b"]"


def _keep(obj: Object) -> _Kept:
    meta = obj.metadata
    known = _kept.get(meta.uid)
    if known is not None and known.resource_version == meta.resource_version:
        return known
    body = _encoder.encode(_kinds[type(obj)].to_simple(obj))
    if known is None and len(_kept) >= CAPACITY:
        del _kept[next(iter(_kept))]
    made = _kept[meta.uid] = _Kept(meta.resource_version, body, f'"{version(obj)}"')
    return made
