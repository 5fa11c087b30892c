"""`pin list`: lists the apps of one or all projects, and warns about zones that did not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from pincompute_sdk.cli import list_watch, options, status_tree
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Where
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.target import USUAL
from pincompute_sdk.core.events import ServerEvent
from pincompute_sdk.generated.kinds import KINDS, Kind, Workload

APPS: ResourceView[Workload] = ResourceView(
    kind="app",
    columns=(
        TableColumn("name", lambda app: app.name),
        TableColumn("project", lambda app: app.project, wide=True),
        TableColumn("state", lambda app: app.status.state if app.status else "", state=True),
        TableColumn("ready", lambda app: f"{app.status.ready if app.status else 0}/{status_tree.wanted(app)}"),
        TableColumn("tier", lambda app: app.tier, wide=True),
        TableColumn("zones", lambda app: ",".join(zone.zone for zone in app.status.zones) if app.status else ""),
        TableColumn("revision", lambda app: app.status.revision if app.status else "", wide=True),
        TableColumn("age", lambda app: age(app.created)),
        TableColumn("message", lambda app: app.status.message if app.status else "", long=True),
    ),
    name=lambda app: app.name,
    nothing="no apps; `pin init` and `pin deploy` create one",
)

if TYPE_CHECKING:
    from pincompute_sdk.generated.kinds import WorkloadsResource
PAGE = 500


def view_of(kind: Kind, *, filtered: bool = False) -> ResourceView[Workload]:
    """Returns the table. Where only some are asked for and none is found, there may be others."""
    view = APPS if kind is USUAL else replace(APPS, kind=kind.word, nothing=f"no {kind.plural}")
    return replace(view, nothing=f"no {kind.plural} match; leave the filters out to see all") if filtered else view


def _is_filtered(asked: dict[str, Any]) -> bool:
    return any(asked[name] for name in ("tier", "zone", "state", "label", "text"))


def list_(
    *,
    units: Annotated[bool, Parameter(negative="", help="Units instead of apps.")] = False,
    kind: Annotated[str, Parameter(help=f"Of this kind: {', '.join(KINDS)}.")] = "",
    everywhere: Annotated[
        bool, Parameter(name=["--all-projects", "-A"], negative="", help="Of all projects you may see.")
    ] = False,
    tier: Annotated[str, Parameter(help="Only of this tier.")] = "",
    zone: Annotated[str, Parameter(help="Only what runs in this zone.")] = "",
    state: Annotated[str, Parameter(help="Only in this state, for example Running.")] = "",
    label: Annotated[str, Parameter(name=["--label", "-l"], help="Only with these labels: key=value,…")] = "",
    text: Annotated[str, Parameter(help="Only with this text in name, image or labels.")] = "",
    sort: Annotated[str, Parameter(help="Sort by this field; -field reverses the order.")] = "",
    watch: Annotated[
        bool, Parameter(name=["--watch", "-w"], negative="", help="Redraw while it changes; Ctrl-C ends.")
    ] = False,
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """Apps of a project, or of all of yours."""
    formats.check(output)
    chosen = _kind(kind or ("units" if units else USUAL.plural))
    shown = "wide" if everywhere and output == "table" else output
    with options.client(where) as pin:
        project = "" if everywhere else options.project(pin.context)
        asked: dict[str, Any] = {"tier": tier, "zone": zone, "state": state, "label": label, "text": text, "sort": sort}
        if watch:
            _watch(options.workloads(pin, chosen), chosen, project, asked, shown)
            return
        found, unreachable = list[Workload](), set[str]()
        for page in _pages(options.workloads(pin, chosen), project, {**asked, "limit": PAGE}):
            found += page.items
            unreachable.update(page.unreachable)
    formats.many(view_of(chosen, filtered=_is_filtered(asked)), found, shown)
    warn_of(unreachable)


def _watch(them: WorkloadsResource, kind: Kind, project: str, asked: dict[str, Any], output: str) -> None:
    """Raises CommandError for an output that is no table."""
    if output not in ("table", "wide"):
        remedy = "leave out -o, or use `watch` of the SDK, which yields every change as data"
        raise CommandError(f"--watch shows a table, not {output}", remedy=remedy, code=USAGE)
    sort = str(asked["sort"])

    def events() -> Iterator[ServerEvent]:
        return them.watch(project, **asked) if project else them.watch_all(**asked)

    watched = list_watch.WatchedList(kind.model, _order(sort.removeprefix("-")), descending=sort.startswith("-"))
    list_watch.follow(events, watched, view_of(kind, filtered=_is_filtered(asked)), wide=output == "wide")


def _order(sort: str) -> Callable[[Workload], Any]:
    """The order of `pin list`; the stream of changes has none."""
    by: dict[str, Callable[[Workload], Any]] = {
        "created": lambda app: app.created or datetime.min.replace(tzinfo=UTC),
        "state": lambda app: app.status.state if app.status else "",
        "ready": lambda app: app.status.ready if app.status else 0,
    }
    chosen = by.get(sort, lambda _: "")
    return lambda app: (chosen(app), app.project, app.name)


def _kind(text: str) -> Kind:
    """The kind with this singular or plural."""
    found = next((kind for kind in KINDS.values() if text.lower() in (kind.word, kind.plural)), None)
    if found is None:
        raise CommandError(f"there is no kind {text}", remedy=f"--kind is one of {', '.join(KINDS)}", code=USAGE)
    return found


def _pages(them: WorkloadsResource, project: str, asked: dict[str, Any]) -> Iterator[Any]:
    cursor: str | None = None
    while True:
        page = them.list(project, **asked, cursor=cursor) if project else them.list_all(**asked, cursor=cursor)
        yield page
        cursor = page.cursor
        if not cursor:
            return


def warn_of(unreachable: Iterable[str]) -> None:
    """Warns that an answer is partial."""
    for zone in sorted(unreachable):
        terminal.err(f"warning: zone {zone} does not answer, at least in part; what is shown of it may be old or missing")
