"""Handles history, events, timeline and explanation, of a workload that runs or ran, and of a project.

Every workload kind has the same routes, made by one function. When several workloads had one name after each other, the routes
show the records of all of them, and `uid` tells them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, TypeAlias, cast, get_args

import msgspec
from litestar import get
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from pincompute.api.kinds import Kinds, WorkloadKind
from pincompute.api.projects import PROJECTS
from pincompute.gateway import parameter_values, problems
from pincompute.gateway.access import Authorizer
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call, may
from pincompute.gateway.history.history_service import Explanation, HistoryService
from pincompute.gateway.history.timeline import TimelineEntry
from pincompute.gateway.problems import FieldError
from pincompute.store.history_table import LONGEST_PAGE, ProjectLifetime, RecordFilter
from pincompute.store.records import TYPES, AnyRecord, RecordType

_TYPES: tuple[RecordType, ...] = get_args(RecordType)
_LONGEST_TEXT = 200


def _parse_types(names: str) -> frozenset[RecordType]:
    """Parse names with commas between them. Raises Problem."""
    named = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in named if name not in _TYPES]
    if unknown:
        raise problems.invalid(FieldError("type", f"some of {', '.join(_TYPES)}", f"{unknown[0][:40]!r} is none of them"))
    return frozenset(cast("list[RecordType]", named))


EVENTS: frozenset[RecordType] = frozenset({"event"})
CHANGES: frozenset[RecordType] = frozenset(TYPES) - EVENTS - {"access"}
ALL: frozenset[RecordType] = frozenset(TYPES)


class Records(msgspec.Struct, frozen=True, rename="camel"):
    """The cursor asks for the next page and is empty on the last; `waiting` records are not in the store yet.

    `missing` says history while the store does not answer: the items are then only the revisions that the host keeps.
    """

    items: tuple[AnyRecord, ...]
    cursor: str
    waiting: int
    missing: tuple[str, ...] = ()


class Timeline(msgspec.Struct, frozen=True, rename="camel"):
    """The cursor asks for the next page and is empty on the last; `waiting` records are not in the store yet.

    `missing` says history while the store does not answer: the items are then only the revisions that the host keeps.
    """

    items: tuple[TimelineEntry, ...]
    cursor: str
    waiting: int
    missing: tuple[str, ...] = ()


class Explanations(msgspec.Struct, frozen=True, rename="camel"):
    """Of all workloads of a project that do not run as they should."""

    items: tuple[Explanation, ...]


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """The part of history that a request asks for, and in which order."""

    narrowed: RecordFilter
    cursor: str
    limit: int
    oldest_first: bool

    def about(self, kind: str, name: str, default: frozenset[RecordType]) -> RecordFilter:
        """The filter of a route, which shows the `default` types unless the caller names others. Events are always alone."""
        types = EVENTS if default == EVENTS else self.narrowed.types or default
        return replace(self.narrowed, workload=kind, name=name, types=types)


def _lifetime(
    call: NamedDependency[Call],
    project: FromPath[str],
    reads: NamedDependency[CacheReads],
    authorizer: NamedDependency[Authorizer],
) -> ProjectLifetime | None:
    """Members see the history of their own project. Former projects of its name are for administrators, who see all."""
    if authorizer.everywhere(call.caller, call.operation):
        return None
    found = reads.get(PROJECTS, "", project)
    meta = found.metadata if found is not None else None
    if meta is None or meta.creation_timestamp is None:
        raise problems.not_found(f"project {project}")
    return ProjectLifetime(meta.uid, meta.creation_timestamp)


def _asked(
    call: NamedDependency[Call],
    project: FromPath[str],
    lifetime: NamedDependency[ProjectLifetime | None],
    since: Annotated[
        str, QueryParameter(description="Only what was so at or after this: RFC 3339, or an age as 15m, 2h, 3d.")
    ] = "",
    until: Annotated[str, QueryParameter(description="Only what began at or before this: RFC 3339, or an age.")] = "",
    types: Annotated[str, QueryParameter(name="type", description=f"Only these, by commas: {', '.join(TYPES)}.")] = "",
    text: Annotated[str, QueryParameter(description="Only what contains this, in any case.")] = "",
    uid: Annotated[
        str, QueryParameter(description="Only of the workload with this uid, when a name was used more than once.")
    ] = "",
    limit: Annotated[int, QueryParameter(description="Records of a page, or lines of a timeline, 1 to 1000.")] = 100,
    cursor: Annotated[str, QueryParameter(description="The cursor of the page before.")] = "",
    oldest_first: Annotated[bool, QueryParameter(name="oldestFirst", description="From the oldest to the newest.")] = False,
) -> HistoryQuery:
    if not 1 <= limit <= LONGEST_PAGE:
        raise problems.invalid(FieldError("limit", f"1 to {LONGEST_PAGE}", f"{limit} is outside"))
    if len(text) > _LONGEST_TEXT:
        raise problems.invalid(FieldError("text", f"at most {_LONGEST_TEXT} characters", f"it has {len(text)}"))
    narrowed = RecordFilter(
        project,
        uid=uid,
        types=_parse_types(types),
        since=parameter_values.moment("since", since, call.at),
        until=parameter_values.moment("until", until, call.at),
        text=text,
        lifetime=lifetime,
    )
    return HistoryQuery(narrowed, cursor, limit, oldest_first)


_Service: TypeAlias = NamedDependency[HistoryService]
_Query: TypeAlias = NamedDependency[HistoryQuery]
PROJECT = "/v1/projects/{project:str}"
TAGS = ["insight"]
LIFETIME: Mapping[str, Provide] = {"lifetime": Provide(_lifetime, sync_to_thread=False)}
ASKED: Mapping[str, Provide] = {**LIFETIME, "asked": Provide(_asked, sync_to_thread=False)}


async def _records(history: HistoryService, wanted: RecordFilter, asked: HistoryQuery) -> Records:
    page, missing = await history.history(wanted, asked.cursor, asked.limit, oldest_first=asked.oldest_first)
    return Records(page.records, page.cursor, history.waiting, missing)


async def _timeline(history: HistoryService, wanted: RecordFilter, asked: HistoryQuery) -> Timeline:
    lines, cursor, missing = await history.timeline(wanted, asked.cursor, asked.limit, oldest_first=asked.oldest_first)
    return Timeline(lines, cursor, history.waiting, missing)


def _of_workload(kind: WorkloadKind) -> tuple[HTTPRouteHandler, ...]:
    path = f"{PROJECT}/{kind.plural}/{{name:str}}"
    about, word = kind.workload.kind, kind.word.capitalize()
    history_list, event_list = may("history", "list"), may("events", "list")

    @get(f"{path}/history", opt=history_list, operation_id=f"get{word}History", tags=TAGS, dependencies=ASKED)
    async def history(name: FromPath[str], history: _Service, asked: _Query) -> Records:
        """What happened to it: revisions, placements, states, exits and operations, also after its end."""
        return await _records(history, asked.about(about, name, CHANGES), asked)

    @get(f"{path}/events", opt=event_list, operation_id=f"get{word}Events", tags=TAGS, dependencies=ASKED)
    async def events(name: FromPath[str], history: _Service, asked: _Query) -> Records:
        """Kubernetes events of it and of its pods, each once with its count, longer than Kubernetes keeps them."""
        return await _records(history, asked.about(about, name, EVENTS), asked)

    @get(f"{path}/timeline", opt=history_list, operation_id=f"get{word}Timeline", tags=TAGS, dependencies=ASKED)
    async def timeline(name: FromPath[str], history: _Service, asked: _Query) -> Timeline:
        """All of it as one story, a sentence each."""
        return await _timeline(history, asked.about(about, name, ALL), asked)

    @get(f"{path}/explain", opt=may("history", "get"), operation_id=f"explain{word}", tags=TAGS, dependencies=LIFETIME)
    async def explain(
        project: FromPath[str], name: FromPath[str], history: _Service, lifetime: NamedDependency[ProjectLifetime | None]
    ) -> Explanation:
        """Why it runs where it runs, or why it does not run, and what to do."""
        return await history.explain(kind, project, name, lifetime)

    return history, events, timeline, explain


@get(f"{PROJECT}/history", opt=may("history", "list"), operation_id="getProjectHistory", tags=TAGS, dependencies=ASKED)
async def project_history(history: _Service, asked: _Query) -> Records:
    """What happened in the project, also to workloads that are gone."""
    return await _records(history, asked.about("", "", CHANGES), asked)


@get(f"{PROJECT}/events", opt=may("events", "list"), operation_id="getProjectEvents", tags=TAGS, dependencies=ASKED)
async def project_events(history: _Service, asked: _Query) -> Records:
    """Kubernetes events of all workloads of the project."""
    return await _records(history, asked.about("", "", EVENTS), asked)


@get(f"{PROJECT}/timeline", opt=may("history", "list"), operation_id="getProjectTimeline", tags=TAGS, dependencies=ASKED)
async def project_timeline(history: _Service, asked: _Query) -> Timeline:
    """The project's story, a sentence each."""
    return await _timeline(history, asked.about("", "", ALL), asked)


@get(f"{PROJECT}/explain", opt=may("history", "get"), operation_id="explainProject", tags=TAGS)
async def project_explain(project: FromPath[str], history: _Service) -> Explanations:
    """Of every workload of the project that does not run as it should: why, and what to do."""
    return Explanations(await history.explain_all(project))


def routes(kinds: Kinds) -> tuple[HTTPRouteHandler, ...]:
    of_workloads = (route for kind in kinds for route in _of_workload(kind))
    return (*of_workloads, project_history, project_events, project_timeline, project_explain)
