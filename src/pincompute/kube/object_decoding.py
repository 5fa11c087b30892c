"""Decodes an API server's JSON into slim objects, with one compiled decoder per type.

It decodes watch events in two steps, the type first: ERROR carries a Status and BOOKMARK almost nothing, and the decoder of
the kind must get neither.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Generic, TypeVar

import msgspec

from pincompute.api.meta import Object

T = TypeVar("T", bound=Object)


class ListMeta(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The metadata of a list; `token` asks for the next page and is empty on the last."""

    resource_version: str = ""
    token: str = msgspec.field(default="", name="continue")


class ObjectPage(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One page of a list. The API server writes an empty list as null."""

    metadata: ListMeta
    items: list[T] | None = None


class RawPage(msgspec.Struct, frozen=True):
    """A page whose objects are decoded one by one, so that one that cannot be decoded does not hide the others."""

    metadata: ListMeta
    items: list[msgspec.Raw] | None = None


class WatchEvent(msgspec.Struct, frozen=True, gc=False):
    type: str
    object: msgspec.Raw


class _BookmarkMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str


class Bookmark(msgspec.Struct, frozen=True):
    metadata: _BookmarkMeta


def object_decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return _decoder(kind)


def page_decoder(kind: type[T]) -> msgspec.json.Decoder[ObjectPage[T]]:
    return _decoder(ObjectPage[kind])


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


raw_page = msgspec.json.Decoder(RawPage)
watch_event = msgspec.json.Decoder(WatchEvent)
bookmark = msgspec.json.Decoder(Bookmark)
metadata_only = msgspec.json.Decoder(Object)

_TYPE = b'{"type":"'
_OBJECT = b'","object":'


def event_parts(line: bytes) -> tuple[str, memoryview]:
    """Returns type and object of an event as API servers write it, without a pass over the object; raises MsgspecError.

    The object may have bytes behind it when the server writes more members than these two; use `event_parts_slow` then.
    """
    end = line.find(b'"', len(_TYPE), 32)
    if not line.startswith(_TYPE) or line[end : end + len(_OBJECT)] != _OBJECT:
        return event_parts_slow(line)
    return line[len(_TYPE) : end].decode(), memoryview(line)[end + len(_OBJECT) : len(line.rstrip()) - 1]


def event_parts_slow(line: bytes) -> tuple[str, memoryview]:
    event = watch_event.decode(line)
    return event.type, memoryview(event.object)
