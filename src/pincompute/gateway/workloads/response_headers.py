"""Answers of reads and writes: ready JSON with its freshness in headers, and what a request says in its own."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from litestar import Response
from litestar.params import HeaderParameter, QueryParameter

from pincompute.api.meta import Object
from pincompute.gateway.cache_reads import CacheReads, Freshness, ReadVersion
from pincompute.gateway.model import SimpleKind
from pincompute.gateway.model.simple_kind import version

JSON = "application/json"
VERSION = "Pincompute-Version"
AGE = "Pincompute-Age"
PARTIAL = "Pincompute-Partial"
REPEATED = "Idempotency-Replayed"

_MIN_VERSION = "Answer from this state or a later one: an answer's Pincompute-Version."
_LABELS = "Only with this label: key=value, or key; several mean all of them."
_KEY = "The same request under the same key is done once: it may be sent again."
_IF_MATCH = "Only if the object is in this version: its ETag."

MinVersion: TypeAlias = Annotated[str, HeaderParameter(name="Pincompute-Min-Version", description=_MIN_VERSION)]
IfMatch: TypeAlias = Annotated[str, HeaderParameter(name="If-Match", description=_IF_MATCH)]
Cursor: TypeAlias = Annotated[str, QueryParameter(description="The cursor of the page before.")]
DryRun: TypeAlias = Annotated[bool, QueryParameter(name="dryRun", description="Judge it as if it were done, and do nothing.")]
IdempotencyKey: TypeAlias = Annotated[str, HeaderParameter(name="Idempotency-Key", max_length=255, description=_KEY)]
Labels: TypeAlias = Annotated[list[str] | None, QueryParameter(description=_LABELS)]
LastEventId: TypeAlias = Annotated[str, HeaderParameter(name="Last-Event-ID", description="Resume behind this event.")]


def fresh(freshness: Freshness, missing: tuple[str, ...] = ()) -> dict[str, str]:
    """Partial: the host or a member is silent, and what is said of it is its last."""
    partial = [*(() if freshness.reachable else ("host",)), *missing]
    headers = {VERSION: str(freshness.version), AGE: f"{freshness.age:.3f}"}
    return {**headers, PARTIAL: ",".join(partial)} if partial else headers


def read(body: bytes, headers: dict[str, str]) -> Response[bytes]:
    return Response(body, media_type=JSON, headers=headers)


def written(kind: SimpleKind[Any], obj: Object | None, body: bytes, status: int = 200) -> Response[bytes]:
    """With the version that other gateways can be asked for, so that they show the write as well."""
    number = int(obj.metadata.resource_version or 0) if obj is not None else 0
    headers = {VERSION: str(ReadVersion(kind.resource.plural, number)), "ETag": f'"{version(obj)}"'} if obj is not None else {}
    return Response(body, media_type=JSON, status_code=status, headers=headers)


async def caught_up(reads: CacheReads, wanted: str) -> None:
    """Waits for the state that the caller has seen already. Raises Problem."""
    if wanted:
        await reads.at_least(reads.version(wanted))


def expected(if_match: str) -> str:
    """The version of an If-Match header; empty for none and for `*`."""
    return if_match.removeprefix("W/").strip('"') if if_match != "*" else ""
