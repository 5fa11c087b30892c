"""`pin status`: is it running, where, which revision, and if not, why not and what to do, on one screen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import free_room, last_lines, options, rollback_hint, status_tree, target
from pincompute_sdk.cli.list_command import view_of
from pincompute_sdk.cli.live_view import Picture
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Where, Workload
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.rollback_hint import WatchedHint
from pincompute_sdk.cli.wait import PACE

if TYPE_CHECKING:
    from pincompute_sdk.cli.target import WorkloadTarget
    from pincompute_sdk.generated.kinds import WorkloadsResource


def status(
    name: Workload,
    /,
    *,
    watch: Annotated[
        bool, Parameter(name=["--watch", "-w"], negative="", help="Redraw while it changes; Ctrl-C ends.")
    ] = False,
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """The tree of an app: zones, replicas, containers."""
    formats.check(output)
    wanted = target.whole(name)
    with options.client(where) as pin:
        project, them = options.project(pin.context), options.workloads(pin, wanted.kind)
        with target.explained(pin, project, wanted):
            _show(them, project, wanted, watch=watch, output=output)


def _show(them: WorkloadsResource, project: str, wanted: WorkloadTarget, *, watch: bool, output: str) -> None:
    if output not in ("table", "wide"):
        formats.one(view_of(wanted.kind), them.get(project, wanted.name), output)
        return
    if not watch:
        app, replicas = them.get(project, wanted.name), them.replicas(project, wanted.name).items
        status_tree.write(status_tree.lines(app, replicas))
        for line in (*free_room.of(them, app), *last_lines.of(them, app, replicas), *rollback_hint.of(them, app)):
            terminal.out(line)
        return
    hint = WatchedHint()
    with Picture() as picture:
        while True:
            picture.draw(look(them, project, wanted.name, hint))
            time.sleep(PACE)


def look(them: WorkloadsResource, project: str, name: str, hint: WatchedHint) -> list[status_tree.TreeLine]:
    """Returns the picture of an app that is watched."""
    app = them.get(project, name)
    return status_tree.lines(app, them.replicas(project, name).items, hint.of(them, app))
