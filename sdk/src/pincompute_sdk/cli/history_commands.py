"""`pin history`, `events`, `timeline` and `explain`, also for workloads that no longer exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from pincompute_sdk.cli import last_lines, options, rollback_hint, target
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Where
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.output.terminal import Styled
from pincompute_sdk.cli.target import WorkloadTarget
from pincompute_sdk.core.errors import NotFoundError, PinError
from pincompute_sdk.generated.models import (
    AccessRecord,
    DecisionRecord,
    EventRecord,
    ExitRecord,
    Explanation,
    OperationRecord,
    Records,
    RevisionRecord,
    StateRecord,
    Timeline,
    TimelineEntry,
)

if TYPE_CHECKING:
    from pincompute_sdk.client import Client
    from pincompute_sdk.generated.kinds import WorkloadsResource

QUIET = ("Running", "Stopped", "Succeeded", "Deleted")  # states in which nothing has to be explained by what was written
AnyRecord: TypeAlias = RevisionRecord | DecisionRecord | StateRecord | ExitRecord | EventRecord | OperationRecord | AccessRecord


def _kind(record: AnyRecord) -> str:
    return str(type(record).__struct_config__.tag)


def _author(record: object) -> str:
    return record.author if isinstance(record, OperationRecord | RevisionRecord | AccessRecord) else ""


def _sentence(record: AnyRecord) -> str:
    match record:
        case RevisionRecord():
            return f"revision {record.revision}"
        case DecisionRecord():
            where = ", ".join(f"{row.replicas} in {row.zone}" for row in record.scheduling.placement)
            unplaced = f", {record.scheduling.unplaced} without a place" if record.scheduling.unplaced else ""
            return f"placed: {where or 'nowhere'}{unplaced}"
        case StateRecord():
            return f"{record.before} → {record.after}" if record.before else record.after
        case ExitRecord():
            why = f": {record.reason}" if record.reason else ""
            return f"{record.container} of {record.pod} ended with {record.code}{why}"
        case EventRecord():
            times = f" ({record.count}x)" if record.count > 1 else ""
            return f"{record.reason}: {record.message}{times}"
        case OperationRecord() | AccessRecord():
            return " ".join(
                part for part in (record.verb, record.detail, f"({record.reason})" if record.reason else "") if part
            )


HAPPENED: ResourceView[TimelineEntry] = ResourceView(
    kind="entry",
    columns=(
        TableColumn("age", lambda e: age(e.at)),
        TableColumn("when", lambda e: f"{e.at:%Y-%m-%d %H:%M:%S}", wide=True),
        TableColumn("what", lambda e: e.type),
        TableColumn("name", lambda e: e.name, wide=True),
        TableColumn("zone", lambda e: e.zone),
        TableColumn("last", lambda e: age(e.until) if e.until else ""),
        TableColumn("details", lambda e: e.sentence, long=True),
    ),
    name=lambda e: e.name,
    nothing="nothing is recorded",
)
HISTORY: ResourceView[AnyRecord] = ResourceView(
    kind="record",
    columns=(
        TableColumn("age", lambda r: age(r.at)),
        TableColumn("when", lambda r: f"{r.at:%Y-%m-%d %H:%M:%S}", wide=True),
        TableColumn("what", _kind),
        TableColumn("name", lambda r: r.name, wide=True),
        TableColumn("zone", lambda r: r.zone),
        TableColumn("who", _author),
        TableColumn("details", _sentence, long=True),
    ),
    name=lambda r: r.name,
    nothing="nothing is recorded",
)
CHANGED: ResourceView[TimelineEntry] = ResourceView(
    kind="entry",
    columns=(
        TableColumn("age", lambda e: age(e.at)),
        TableColumn("when", lambda e: f"{e.at:%Y-%m-%d %H:%M:%S}", wide=True),
        TableColumn("what", lambda e: e.type),
        TableColumn("name", lambda e: e.name, wide=True),
        TableColumn("revision", lambda e: e.revision),
        TableColumn("details", lambda e: e.sentence, long=True),
    ),
    name=lambda e: e.name,
    nothing="nothing is recorded",
)
STORY: ResourceView[TimelineEntry] = ResourceView(
    kind="entry",
    columns=(
        TableColumn("when", lambda e: f"{e.at:%m-%d %H:%M:%S}"),
        TableColumn("name", lambda e: e.name, wide=True),
        TableColumn("what", lambda e: e.type, wide=True),
        TableColumn("details", lambda e: e.sentence, long=True),
    ),
    name=lambda e: e.name,
    nothing="nothing is recorded",
)
EXPLANATION: ResourceView[Explanation] = ResourceView(
    kind="app",
    columns=(),
    name=lambda e: e.name,
    nothing="all workloads run; `pin explain NAME` says why there",
)
Named = Annotated[str, Parameter(help="An app, or unit/NAME. Default: all of the project.")]
CHANGES = "revision,decision,operation"  # what somebody wanted, and where the platform placed it
HAPPENINGS = "event,exit,state,access"  # what followed from it, and who looked inside
UNRECORDED = "no record says by whom"
MOST = 1000  # records of one answer
EARLIER = "there are earlier entries; the SDK reads them page by page"
MISSING = "warning: history cannot be read now; only the revisions that are kept without it are shown"
Limit = Annotated[int, Parameter(name=["--limit", "-n"], help="At most this many, newest first.", show_default=True)]
Since = Annotated[str, Parameter(help="Only entries since: 15m, 2h, 3d ago, or a time.")]


def history(
    name: Named = "", /, *, limit: Limit = 50, since: Since = "", output: OutputOption = "table", where: Where = ANYWHERE
) -> None:
    """Every revision and change, and who made it; without a name, of the whole project, deleted apps included."""
    _show(name, CHANGES, CHANGED, limit=limit, since=since, output=output, where=where)


def events(
    name: Named = "", /, *, limit: Limit = 50, since: Since = "", output: OutputOption = "table", where: Where = ANYWHERE
) -> None:
    """What happened to it: states, ends of containers, events and who opened shells, each thing once with its count."""
    _show(name, HAPPENINGS, HAPPENED, limit=limit, since=since, output=output, where=where)


def _show(
    name: str, types: str, view: ResourceView[TimelineEntry], *, limit: int, since: str, output: str, where: Where
) -> None:
    """Sentences for people, and records for programs. A table without a name says whose each line is."""
    formats.check(output)
    wanted = target.whole(name) if name else None
    with options.client(where) as pin:
        if output in ("table", "wide"):
            page = _timeline(pin, wanted, limit=limit, since=since, type_=types)
            ends = _unrecorded_ends(pin, wanted, page, since) if types == CHANGES else ()
            entries = sorted((*ends, *page.items), key=lambda entry: entry.at, reverse=True) if ends else page.items
            formats.many(view, entries[:limit], output if name else "wide")
            _warn(page, limit, more=len(entries) > limit)
            return
        records = _records(pin, wanted, limit=limit, since=since, type_=types)
    formats.many(HISTORY, records.items, output)
    if records.missing:
        terminal.err(MISSING)


def _unrecorded_ends(pin: Client, wanted: WorkloadTarget | None, page: Timeline, since: str) -> tuple[TimelineEntry, ...]:
    """The ends of workloads that were deleted past the gateway, of which no operation tells, as far back as the page goes."""
    if page.missing:
        return ()
    found = _timeline(pin, wanted, limit=MOST, since=since, type_="state,operation").items
    oldest = page.items[-1].at if page.cursor and page.items else None
    return tuple(each for each in found if UNRECORDED in each.sentence and (oldest is None or each.at >= oldest))


def _records(pin: Client, wanted: WorkloadTarget | None, *, limit: int, since: str, type_: str) -> Records:
    project = options.project(pin.context)
    if wanted is None:
        return pin.history.list(project, limit=limit, since=since, type_=type_)
    with target.explained(pin, project, wanted):
        return options.workloads(pin, wanted.kind).history(project, wanted.name, limit=limit, since=since, type_=type_)


def _timeline(pin: Client, wanted: WorkloadTarget | None, *, limit: int, since: str, type_: str | None = None) -> Timeline:
    project = options.project(pin.context)
    if wanted is None:
        return pin.timeline.list(project, limit=limit, since=since, type_=type_)
    with target.explained(pin, project, wanted):
        return options.workloads(pin, wanted.kind).timeline(project, wanted.name, limit=limit, since=since, type_=type_)


def _warn(page: Timeline, limit: int, *, more: bool = False) -> None:
    if page.missing:
        terminal.err(MISSING)
    if page.cursor or more:
        terminal.err(f"earlier entries: -n {min(MOST, limit * 4)}" if limit < MOST else EARLIER)


def timeline(
    name: Named = "", /, *, limit: Limit = 50, since: Since = "", output: OutputOption = "table", where: Where = ANYWHERE
) -> None:
    """What happened to it, in order, in sentences; without a name, in the project."""
    formats.check(output)
    wanted = target.whole(name) if name else None
    with options.client(where) as pin:
        page = _timeline(pin, wanted, limit=limit, since=since)
    formats.many(STORY, page.items[::-1], output)
    if output in ("table", "wide"):
        _warn(page, limit)


def explain(name: Named = "", /, *, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Why it runs where it runs, or why it does not run yet; without a name, of all that do not run as they should."""
    formats.check(output)
    wanted = target.whole(name) if name else None
    with options.client(where) as pin:
        project = options.project(pin.context)
        if wanted:
            with target.explained(pin, project, wanted):
                them = options.workloads(pin, wanted.kind)
                found = (them.explain(project, wanted.name),)
                more = _last_lines(them, project, found[0]) if output in ("table", "wide") else ()
        else:
            found, more = pin.explain.list(project).items, ()
    if output not in ("table", "wide"):
        if wanted:
            formats.one(EXPLANATION, found[0], output)
        else:
            formats.many(EXPLANATION, found, output)
        return
    for explanation in found:
        if not name:
            terminal.out(Styled(explanation.name, "bold"))
        for sentence in explanation.sentences:
            terminal.out(sentence)
    for line in (*more, *(way for each in found if (way := rollback_hint.sentence(each)))):
        terminal.out(line)
    if not found:
        terminal.err(f"{EXPLANATION.nothing}")


def _last_lines(them: WorkloadsResource, project: str, of: Explanation) -> tuple[str, ...]:
    """What a container wrote last whose end is a reason why the workload does not run."""
    if of.state in QUIET:
        return ()
    try:
        return last_lines.of(them, them.get(project, of.name))
    except NotFoundError:
        return ()  # it was deleted in this moment
    except PinError as error:
        return (f"what {of.name} wrote last cannot be read now: {error}",)
