"""Finds out which program last wrote an object's spec, from the API server's record of field managers.

Caches leave field managers out, so this costs a request.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from pincompute.api.meta import Key, Resource, Struct
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import NotFound

_ACCEPT = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"


class _Touched(Struct):
    """The fields of an entry, whatever they are."""


class _Fields(Struct):
    spec: _Touched | None = msgspec.field(default=None, name="f:spec")


class FieldManagerEntry(Struct):
    """What one program wrote last by one way of writing."""

    manager: str = ""
    subresource: str = ""
    time: datetime | None = None
    fields: _Fields = msgspec.field(default_factory=_Fields, name="fieldsV1")


class _Metadata(Struct):
    generation: int = 0
    managed_fields: tuple[FieldManagerEntry, ...] = ()


class _Partial(Struct):
    metadata: _Metadata


async def of_spec(client: ApiClient, resource: Resource[Any], key: Key, generation: int) -> str:
    """Returns the last writer of the spec, empty when it is unknown or the generation has changed. Raises KubeError."""
    try:
        answer = await client.request("GET", resource.path(key.namespace, key.name), accept=_ACCEPT)
    except NotFound:
        return ""
    found = msgspec.json.decode(answer, type=_Partial).metadata
    return last(found.managed_fields) if found.generation == generation else ""


def last(entries: Iterable[FieldManagerEntry]) -> str:
    """Returns the last writer among the entries; empty after a write of the scale subresource, whose author is not known."""
    wrote = [e for e in entries if e.fields.spec is not None and e.subresource in ("", "scale") and e.time]
    newest = max(wrote, key=_time, default=None)
    return newest.manager if newest is not None and not newest.subresource else ""


def _time(entry: FieldManagerEntry) -> float:
    return entry.time.timestamp() if entry.time else 0.0
