"""Routes of insight: history, events, timeline and explanation, of a workload that runs or ran, and of a project.

Every workload kind has the same routes, made by one function. A name that was used several times has the history of all that
had it, told apart by `uid`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
from litestar import get
from litestar.di import NamedDependency, Provide
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from pincompute.api.kinds import Kinds, WorkloadKind
from pincompute.gateway.call_context import Call, may
from pincompute.gateway.history import history_parameters
from pincompute.gateway.history.history_service import Explanation, HistoryService
from pincompute.gateway.history.timeline_entry import Entry
from pincompute.store.record_history import RecordFilter
from pincompute.store.records import TYPES, AnyRecord, RecordType

EVENTS: frozenset[RecordType] = frozenset({"event"})
CHANGES: frozenset[RecordType] = frozenset(TYPES) - EVENTS
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
    """The cursor asks for the next page and is empty on the last; `waiting` records are not in the store yet."""

    items: tuple[Entry, ...]
    cursor: str
    waiting: int


class Explanations(msgspec.Struct, frozen=True, rename="camel"):
    """Of all workloads of a project that do not run as they should."""

    items: tuple[Explanation, ...]


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """Which part of history, and in which order."""

    narrowed: RecordFilter
    cursor: str
    limit: int
    oldest_first: bool

    def about(self, kind: str, name: str, default: frozenset[RecordType]) -> RecordFilter:
        """`default`: the types this route shows when none was named; the one for events shows nothing else."""
        types = EVENTS if default == EVENTS else self.narrowed.types or default
        return replace(self.narrowed, workload=kind, name=name, types=types)


def _asked(
    call: NamedDependency[Call],
    project: FromPath[str],
    since: Annotated[
        str, QueryParameter(description="Only what was so at or after this: RFC 3339, or an age as 15m, 2h, 3d.")
    ] = "",
    until: Annotated[str, QueryParameter(description="Only what began at or before this: RFC 3339, or an age.")] = "",
    types: Annotated[str, QueryParameter(name="type", description=f"Only these, by commas: {', '.join(TYPES)}.")] = "",
    text: Annotated[str, QueryParameter(description="Only what contains this, in any case.")] = "",
    uid: Annotated[
        str, QueryParameter(description="Only of the workload with this uid, when a name was used more than once.")
    ] = "",
    limit: Annotated[int, QueryParameter(description="Records of a page, 1 to 1000.")] = 100,
    cursor: Annotated[str, QueryParameter(description="The cursor of the page before.")] = "",
    oldest_first: Annotated[bool, QueryParameter(name="oldestFirst", description="From the oldest to the newest.")] = False,
) -> HistoryQuery:
    narrowed = RecordFilter(
        project,
        uid=uid,
        types=history_parameters.types(types),
        since=history_parameters.moment("since", since, call.at),
        until=history_parameters.moment("until", until, call.at),
        text=history_parameters.text(text),
    )
    return HistoryQuery(narrowed, cursor, history_parameters.limit(limit), oldest_first)


ASKED: Mapping[str, Provide] = {"asked": Provide(_asked, sync_to_thread=False)}


async def _records(insight: HistoryService, wanted: RecordFilter, asked: HistoryQuery) -> Records:
    page, missing = await insight.history(wanted, asked.cursor, asked.limit, oldest_first=asked.oldest_first)
    return Records(page.records, page.cursor, insight.waiting, missing)


async def _timeline(insight: HistoryService, wanted: RecordFilter, asked: HistoryQuery) -> Timeline:
    lines, cursor = await insight.timeline(wanted, asked.cursor, asked.limit, oldest_first=asked.oldest_first)
    return Timeline(lines, cursor, insight.waiting)


def _of_workload(kind: WorkloadKind) -> tuple[HTTPRouteHandler, ...]:
    path, tags = f"/v1/projects/{{project:str}}/{kind.plural}/{{name:str}}", ["insight"]
    about, word = kind.workload.kind, kind.word.capitalize()
    lists, looks = may("history", "list"), may("events", "list")

    @get(f"{path}/history", opt=lists, operation_id=f"get{word}History", tags=tags, dependencies=ASKED)
    async def history(
        name: FromPath[str], insight: NamedDependency[HistoryService], asked: NamedDependency[HistoryQuery]
    ) -> Records:
        """What happened to it: revisions, placements, states, exits and operations, also after its end."""
        return await _records(insight, asked.about(about, name, CHANGES), asked)

    @get(f"{path}/events", opt=looks, operation_id=f"get{word}Events", tags=tags, dependencies=ASKED)
    async def events(
        name: FromPath[str], insight: NamedDependency[HistoryService], asked: NamedDependency[HistoryQuery]
    ) -> Records:
        """Kubernetes events of it and of its pods, each once with its count, longer than Kubernetes keeps them."""
        return await _records(insight, asked.about(about, name, EVENTS), asked)

    @get(f"{path}/timeline", opt=lists, operation_id=f"get{word}Timeline", tags=tags, dependencies=ASKED)
    async def timeline(
        name: FromPath[str], insight: NamedDependency[HistoryService], asked: NamedDependency[HistoryQuery]
    ) -> Timeline:
        """All of it as one story, a sentence each."""
        return await _timeline(insight, asked.about(about, name, ALL), asked)

    @get(f"{path}/explain", opt=may("history", "get"), operation_id=f"explain{word}", tags=tags)
    async def explain(project: FromPath[str], name: FromPath[str], insight: NamedDependency[HistoryService]) -> Explanation:
        """Why it runs where it runs, or why it does not run, and what to do."""
        return await insight.explain(kind, project, name)

    return history, events, timeline, explain


@get(
    "/v1/projects/{project:str}/history",
    opt=may("history", "list"),
    operation_id="getProjectHistory",
    tags=["insight"],
    dependencies=ASKED,
)
async def project_history(insight: NamedDependency[HistoryService], asked: NamedDependency[HistoryQuery]) -> Records:
    """What happened in the project, also to workloads that are gone."""
    return await _records(insight, asked.about("", "", CHANGES), asked)


@get(
    "/v1/projects/{project:str}/events",
    opt=may("events", "list"),
    operation_id="getProjectEvents",
    tags=["insight"],
    dependencies=ASKED,
)
async def project_events(insight: NamedDependency[HistoryService], asked: NamedDependency[HistoryQuery]) -> Records:
    """Kubernetes events of all workloads of the project."""
    return await _records(insight, asked.about("", "", EVENTS), asked)


@get(
    "/v1/projects/{project:str}/timeline",
    opt=may("history", "list"),
    operation_id="getProjectTimeline",
    tags=["insight"],
    dependencies=ASKED,
)
async def project_timeline(insight: NamedDependency[HistoryService], asked: NamedDependency[HistoryQuery]) -> Timeline:
    """The project's story, a sentence each."""
    return await _timeline(insight, asked.about("", "", ALL), asked)


@get("/v1/projects/{project:str}/explain", opt=may("history", "get"), operation_id="explainProject", tags=["insight"])
async def project_explain(project: FromPath[str], insight: NamedDependency[HistoryService]) -> Explanations:
    """Of every workload of the project that does not run as it should: why, and what to do."""
    return Explanations(insight.explain_all(project))


def routes(kinds: Kinds) -> tuple[HTTPRouteHandler, ...]:
    of_workloads = (route for kind in kinds for route in _of_workload(kind))
    return (*of_workloads, project_history, project_events, project_timeline, project_explain)
