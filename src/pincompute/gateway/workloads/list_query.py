"""Filters and sorts lists of objects and divides them into stable pages.

A cursor names the last object of a page and not a number of objects, so objects that come and go between two pages neither
repeat nor hide others (S-252).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import msgspec

from pincompute.api.meta import Object
from pincompute.api.projects import Project
from pincompute.api.workloads import Tier
from pincompute.gateway import problems
from pincompute.gateway.model import status_form
from pincompute.gateway.problems import FieldError

LONGEST_PAGE = 1000
USUAL_PAGE = 1000

SortKey: TypeAlias = tuple[Any, ...]

_NEVER = datetime.min.replace(tzinfo=UTC)


def _state(obj: Any) -> str:
    return obj.status.phase or status_form.PENDING


_SORTS: dict[str, Callable[[Any], str | int]] = {
    "name": lambda obj: obj.metadata.name,
    "created": lambda obj: (obj.metadata.creation_timestamp or _NEVER).isoformat(),
    "state": _state,
    "ready": lambda obj: obj.status.ready_replicas,
}
OfTier: TypeAlias = Literal["", Tier]
Sort: TypeAlias = Literal["", "name", "created", "state", "ready", "-name", "-created", "-state", "-ready"]


@dataclass(frozen=True, slots=True)
class ListQuery:
    """Filters, order and page length. Empty fields select all objects, by project and name."""

    tier: str = ""
    zone: str = ""
    state: str = ""
    labels: tuple[tuple[str, str | None], ...] = ()
    text: str = ""
    sort: str = ""
    limit: int = USUAL_PAGE

    def matches(self, obj: Any) -> bool:
        return (
            (not self.tier or obj.spec.tier == self.tier)
            and (not self.state or _state(obj).lower() == self.state.lower())
            and (not self.zone or self.zone in _zones(obj))
            and all(_has(obj, key, value) for key, value in self.labels)
            and (not self.text or _mentions(obj, self.text.lower()))
        )

    @property
    def everything(self) -> bool:
        return not (self.tier or self.zone or self.state or self.labels or self.text)

    @property
    def digest(self) -> str:
        """Names the query without the page length: a cursor is valid for the query it came from."""
        said = (self.tier, self.zone, self.state, self.labels, self.text, self.sort)
        return hashlib.blake2s(msgspec.json.encode(said), digest_size=6).hexdigest()


@dataclass(frozen=True, slots=True)
class ListPage:
    """`cursor` leads to the next page; it is empty on the last."""

    objects: tuple[Object, ...] = ()
    cursor: str = ""


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    query: str
    sorted_by: tuple[str | int, ...] = field(default=())


def labels(selectors: Iterable[str]) -> tuple[tuple[str, str | None], ...]:
    """`key=value`, or `key` for whatever value. Raises Problem."""
    found: list[tuple[str, str | None]] = []
    for selector in selectors:
        for each in selector.split(","):
            key, equals, value = each.strip().partition("=")
            if not key:
                example = "write for example team=web, or team for whatever value"
                raise problems.invalid(FieldError("label", "key=value", f"{selector!r} is not a label: {example}"))
            found.append((key, value.removeprefix("=") if equals else None))
    return tuple(found)


def page(objects: Iterable[Object], query: ListQuery, cursor: str) -> ListPage:
    """Raises Problem for a cursor of another query."""
    after = _decode(cursor, query) if cursor else None
    key, backwards = _key(query.sort)
    found = sorted((obj for obj in objects if query.everything or query.matches(obj)), key=key, reverse=backwards)
    if after is not None:
        found = [obj for obj in found if (key(obj) < after if backwards else key(obj) > after)]
    shown = tuple(found[: query.limit])
    more = len(found) > len(shown)
    return ListPage(shown, _encode(query, key(shown[-1])) if more else "")


def _key(sort: str) -> tuple[Callable[[Object], SortKey], bool]:
    """The sort key of a query. Project and name at its end make it unique."""
    first = _SORTS.get(sort.removeprefix("-"))

    def key(obj: Object) -> SortKey:
        meta = obj.metadata
        return (*((first(obj),) if first else ()), meta.namespace, meta.name)

    return key, sort.startswith("-")


def _encode(query: ListQuery, key: SortKey) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(_Cursor(query.digest, key))).decode().rstrip("=")


def _decode(cursor: str, query: ListQuery) -> SortKey:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found = msgspec.json.decode(raw, type=_Cursor)
    except (ValueError, RecursionError):
        found = _Cursor("")
    wanted = tuple(str if isinstance(part, str) else int for part in _kinds(query.sort))
    if found.query != query.digest or tuple(map(type, found.sorted_by)) != wanted:
        raise problems.malformed(
            "cursor: it is not one of this list",
            "send the cursor of the last answer with the same filters, or none to start again",
        )
    return found.sorted_by


def _kinds(sort: str) -> tuple[str | int, ...]:
    first: tuple[str | int, ...] = () if not sort else (0,) if sort.endswith("ready") else ("",)
    return (*first, "", "")


def _zones(obj: Any) -> set[str]:
    """Where it runs or is to run, and where it is asked to."""
    decided = obj.status.scheduling
    placed = {row.zone for row in decided.placement} if decided else set[str]()
    return placed | {line.zone for line in obj.status.clusters if line.replicas} | set(obj.spec.placement.zones)


def _has(obj: Object, key: str, value: str | None) -> bool:
    found = obj.metadata.labels.get(key)
    return found is not None and value in (None, found)


def _mentions(obj: Any, text: str) -> bool:
    """Tells whether the text stands in its name, project, labels, images, or in what is said of it."""
    meta = obj.metadata
    words = (meta.name, meta.namespace, *meta.labels.values(), *_said(obj))
    return any(text in word.lower() for word in words)


def _said(obj: Any) -> Iterable[str]:
    if isinstance(obj, Project):
        yield obj.spec.description
        return
    yield obj.status.message
    spec: dict[str, Any] = obj.spec.template.get("spec") or {}
    for where in ("containers", "initContainers"):
        yield from (str(container.get("image", "")) for container in spec.get(where) or ())
