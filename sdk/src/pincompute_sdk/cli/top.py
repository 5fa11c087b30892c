"""`pin top`: CPU and memory by app, replica, container and zone, beside requests and limits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Parameter

from pincompute_sdk.cli import live_view, options, target
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import NOT_FOUND, USAGE
from pincompute_sdk.cli.live_view import Picture
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Where
from pincompute_sdk.cli.output import formats, table, terminal
from pincompute_sdk.cli.output.human_values import bar, cores, count, memory
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.status_tree import TreeLine
from pincompute_sdk.cli.target import WorkloadTarget
from pincompute_sdk.generated.models import ProjectUsage, ResourceUsage, UnknownFigures, WorkloadFigures, WorkloadUsage

if TYPE_CHECKING:
    from pincompute_sdk.client import Client

Usage: TypeAlias = ProjectUsage | WorkloadUsage
PATIENCE = 25.0  # seconds for the second reading of nodes whose measuring has just begun
PACE = 1.0  # seconds between two looks meanwhile
PERIOD = 5.0  # seconds between two pictures of --watch; nodes are read every 15 s
FULL = 0.9  # part of a limit from which on a figure is red


@dataclass(frozen=True, slots=True)
class UsageRow:
    """One line. `note` says what the figures lack."""

    name: str
    zone: str
    cpu: ResourceUsage
    memory: ResourceUsage
    replicas: str = ""
    note: str = ""


def top(
    name: Annotated[str, Parameter(help="An app, NAME/REPLICA, or unit/NAME. Default: all of the project.")] = "",
    /,
    *,
    zones: Annotated[bool, Parameter(negative="", help="By zone.")] = False,
    watch: Annotated[
        bool, Parameter(name=["--watch", "-w"], negative="", help="Redraw every few seconds; Ctrl-C ends.")
    ] = False,
    now: Annotated[
        bool, Parameter(negative="", help="Do not wait for the second reading if measuring has just begun.")
    ] = False,
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """CPU and memory that are used now, beside requests and limits."""
    formats.check(output)
    wanted = target.parse(name) if name else None
    if wanted and wanted.replica and zones:
        raise CommandError(
            f"{name} is in one zone", remedy=f"`pin top {wanted.typed} --zones`, or leave out --zones", code=USAGE
        )
    if watch and output not in ("table", "wide"):
        raise CommandError(f"--watch shows a table, not {output}", remedy="leave out -o or --watch", code=USAGE)
    with options.client(where) as pin:
        project = options.project(pin.context)
        shown = UsageTable(wanted, zones=zones, wide=output == "wide")
        if watch:
            _watch(lambda: _look(pin, project, wanted), shown)
        usage = _look(pin, project, wanted) if now else _settled(pin, project, wanted)
    if output in ("table", "wide"):
        shown.write(usage)
    elif output == "name":
        rows = usage.items if isinstance(usage, ProjectUsage) else (usage.total,)
        for row in rows:
            terminal.out(f"{row.kind}/{row.name}")
    else:
        formats.data(formats.plain(usage), output)


def _look(pin: Client, project: str, wanted: WorkloadTarget | None) -> Usage:
    """Raises CommandError for a replica that there is not."""
    if wanted is None:
        return pin.usage.list(project)
    with target.explained(pin, project, wanted):
        found = options.workloads(pin, wanted.kind).usage(project, wanted.name)
    if not wanted.replica:
        return found
    chosen = tuple(each for each in found.replicas if each.name == f"{wanted.name}/{wanted.replica}")
    if not chosen:
        known = ", ".join(each.name for each in found.replicas[:10]) or "none now"
        raise CommandError(f"there is no replica {wanted.name}/{wanted.replica}", remedy=f"there is {known}", code=NOT_FOUND)
    return WorkloadUsage(total=found.total, replicas=chosen, missing=found.missing, starting=found.starting)


def _settled(pin: Client, project: str, wanted: WorkloadTarget | None) -> Usage:
    """CPU is a rate over two readings, and nodes are read only while somebody asks: the first who asks waits for the second."""
    usage, end = _look(pin, project, wanted), time.monotonic() + PATIENCE
    if usage.starting and terminal.interactive(sys.stderr):
        terminal.err("nobody has asked for a while: nodes are read twice for the CPU, which takes some seconds …")
    while usage.starting and time.monotonic() < end:
        time.sleep(PACE)
        usage = _look(pin, project, wanted)
    return usage


def _watch(look: Callable[[], Usage], shown: UsageTable) -> None:
    """Until Ctrl-C."""
    with Picture() as picture:
        while True:
            usage = look()
            if picture.moving:
                rows = shown.rows(usage)
                notes = [TreeLine("", ((note, "yellow"),)) for note in _notes(usage)]
                picture.draw([*live_view.table_lines(rows, shown.columns(rows), shown.nothing), *notes])
            else:
                shown.write(usage)
                sys.stdout.flush()
            time.sleep(PERIOD)


@dataclass(frozen=True, slots=True)
class UsageTable:
    """What of the figures is shown: `wanted` is one workload or replica."""

    wanted: WorkloadTarget | None
    zones: bool
    wide: bool

    @property
    def nothing(self) -> str:
        return f"{self.wanted} has no replica now" if self.wanted else "nothing runs in this project"

    def columns(self, rows: Sequence[UsageRow]) -> Sequence[TableColumn[UsageRow]]:
        """Those that these rows fill."""
        summed = not self.wanted or self.zones
        replicas: TableColumn[UsageRow] = TableColumn("replicas", lambda row: row.replicas)
        zone: TableColumn[UsageRow] = TableColumn("zone", lambda row: row.zone)
        note: TableColumn[UsageRow] = TableColumn("note", lambda row: row.note, long=True)
        return (
            TableColumn("name", lambda row: row.name),
            *([zone] if self.wanted or self.zones else []),
            *([replicas] if summed else []),
            TableColumn("cpu", lambda row: _used(row.cpu, cores), style=lambda row: _style(row.cpu)),
            TableColumn("request", lambda row: _amount(row.cpu.requested, cores)),
            TableColumn("limit", lambda row: _amount(row.cpu.limit, cores)),
            TableColumn("memory", lambda row: _used(row.memory, memory), style=lambda row: _style(row.memory)),
            TableColumn("request", lambda row: _amount(row.memory.requested, memory)),
            TableColumn("limit", lambda row: _amount(row.memory.limit, memory)),
            *([note] if any(row.note for row in rows) else []),
        )

    def rows(self, usage: Usage) -> list[UsageRow]:
        if isinstance(usage, ProjectUsage):
            return [row for each in usage.items for row in self._of_workload(each)]
        if self.zones:
            return list(self._of_workload(usage.total))
        return list(self._of_replicas(usage))

    def write(self, usage: Usage) -> None:
        rows = self.rows(usage)
        table.show(rows, self.columns(rows), wide=self.wide, nothing=self.nothing)
        for note in _notes(usage):
            terminal.err(f"warning: {note}")

    def _of_workload(self, each: WorkloadFigures) -> Iterator[UsageRow]:
        name = each.name if each.kind == target.USUAL.word else f"{each.kind}/{each.name}"
        parts = [(zone.zone, zone) for zone in each.zones] if self.zones else [("", each)]
        for zone, part in parts:
            lacking = f"usage of {part.replicas - part.known} unknown" if part.known < part.replicas else ""
            yield UsageRow(name, zone, part.cpu, part.memory, str(part.replicas), lacking)

    def _of_replicas(self, usage: WorkloadUsage) -> Iterator[UsageRow]:
        for replica in usage.replicas:
            yield UsageRow(replica.name, replica.zone, replica.cpu, replica.memory, "", replica.reason)
            if len(replica.containers) > 1 or (self.wanted and self.wanted.replica):
                for each in replica.containers:
                    yield UsageRow(f"└ {each.name}", "", each.cpu, each.memory)


def _notes(usage: Usage) -> list[str]:
    """One for each reason in each cluster."""
    found: dict[tuple[str, str, str], list[UnknownFigures]] = {}
    for each in usage.missing:
        found.setdefault((each.zone, each.cluster, each.reason), []).append(each)
    return [_note(alike) for alike in found.values()]


def _note(alike: Sequence[UnknownFigures]) -> str:
    first, replicas = alike[0], sum(each.replicas for each in alike)
    nodes = f"node {first.node}" if len(alike) == 1 else f"{len(alike)} nodes, such as {first.node}"
    place = f"{nodes}: " if first.node else ""
    return f"zone {first.zone}: the usage of {count(replicas, 'replica')} is unknown: {place}{first.reason}"


def _used(use: ResourceUsage, shown: Callable[[int], str]) -> str:
    """Shows what is used, with a bar of the limit, or of the request where there is no limit."""
    if use.used is None:
        return "unknown"
    whole = use.limit or use.requested
    return f"{bar(use.used, whole)} {shown(use.used)}" if whole else shown(use.used)


def _amount(amount: int | None, shown: Callable[[int], str]) -> str:
    return shown(amount) if amount else ""


def _style(use: ResourceUsage) -> str:
    """Red near the limit, yellow beyond the request."""
    if use.used is None:
        return "dim"
    if use.limit and use.used >= FULL * use.limit:
        return "red"
    return "yellow" if use.requested and use.used > use.requested else "green"
