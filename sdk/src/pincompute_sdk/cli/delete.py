"""`pin delete`: checks all names before it deletes one, and returns when all are accepted; with --wait it shows what still
blocks them (S-259).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import checked_deletion, options, status_tree, target
from pincompute_sdk.cli import wait as wait_
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import TIMEOUT, USAGE
from pincompute_sdk.cli.live_view import Picture
from pincompute_sdk.cli.options import ANYWHERE, Reason, Seconds, Where, Yes
from pincompute_sdk.cli.output import table, terminal
from pincompute_sdk.cli.output.human_values import count
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.target import WorkloadTarget
from pincompute_sdk.core.errors import NotFoundError

if TYPE_CHECKING:
    from pincompute_sdk.client import Client
    from pincompute_sdk.generated.kinds import Workload, WorkloadsResource


@dataclass(frozen=True, slots=True)
class Deletion:
    """A workload that is to be deleted, as it is now."""

    wanted: WorkloadTarget
    app: Workload

    @property
    def effect(self) -> str:
        if self.app.deleting:
            return "is being deleted already"
        replicas = self.app.status.replicas if self.app.status else 0
        return f"{count(replicas, 'replica')} {'ends' if replicas == 1 else 'end'}" if replicas else "no replica runs"


COLUMNS: tuple[TableColumn[Deletion], ...] = (
    TableColumn("name", lambda d: str(d.wanted)),
    TableColumn("state", lambda d: d.app.status.state if d.app.status else "Pending", state=True),
    TableColumn("zones", lambda d: " ".join(zone.zone for zone in d.app.status.zones) if d.app.status else ""),
    TableColumn("what happens", lambda d: d.effect),
)


def delete(
    *names: Annotated[str, Parameter(help="Apps, or unit/NAME.")],
    yes: Yes = False,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Check all names, show what would happen, and delete nothing.")
    ] = False,
    wait: Annotated[bool, Parameter(negative="", help="Until nothing of them is left.")] = False,
    timeout: Annotated[Seconds, Parameter(help="How long to wait: 90s, 10m, or seconds.", show_default=True)] = 300,
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Delete apps; their history stays. Nothing is deleted unless all of them can be."""
    targets = tuple(dict.fromkeys(target.whole(name) for name in names))
    if not targets:
        raise CommandError("no app is named", remedy="`pin delete NAME…`; `pin list` shows the names", code=USAGE)
    with options.client(where) as pin:
        project = options.project(pin.context)
        found = [_checked(pin, project, wanted) for wanted in targets]
        if dry_run or len(found) > 1:
            table.show(found, COLUMNS, wide=False, nothing="")
        if dry_run:
            terminal.out("checked by the server; nothing was deleted")
            return
        checked_deletion.ask(_question(targets, project), yes=yes)
        for wanted in targets:
            with target.explained(pin, project, wanted):
                accepted = options.workloads(pin, wanted.kind).delete(project, wanted.name, reason=reason or None)
            if not wait:
                terminal.out(f"{accepted.message}; `pin history {wanted.typed}` keeps the record")
        if wait:
            _follow_all(pin, project, targets, timeout)


def _checked(pin: Client, project: str, wanted: WorkloadTarget) -> Deletion:
    """Raises an error unless it is there and may be deleted."""
    with target.explained(pin, project, wanted):
        return Deletion(wanted, options.workloads(pin, wanted.kind).delete(project, wanted.name, dry_run=True).item)


def _question(targets: Sequence[WorkloadTarget], project: str) -> str:
    if len(targets) > 1:
        return f"Delete these {len(targets)} of project {project} and all their replicas?"
    return f"Delete {targets[0]} of project {project} and all its replicas?"


def _follow_all(pin: Client, project: str, targets: Sequence[WorkloadTarget], timeout: float) -> None:
    """They end at the same time, so the time is for all together."""
    end = time.monotonic() + timeout
    for wanted in targets:
        with wait_.interruptible("the deletion", wanted.typed):
            _follow(options.workloads(pin, wanted.kind), project, wanted, max(0.0, end - time.monotonic()), timeout)
        terminal.out(f"{wanted} is deleted")


def _follow(them: WorkloadsResource, project: str, wanted: WorkloadTarget, left: float, timeout: float) -> None:
    blocks = ""
    try:
        with Picture() as picture:
            for app in wait_.versions(them, project, wanted.name, left):
                picture.draw(status_tree.lines(app, ()))
                blocks = app.status.message if app.status else ""
    except NotFoundError:
        return
    remedy = f"the deletion continues; `pin status {wanted.typed}` shows what it waits for"
    raise CommandError(f"{wanted} still exists after {timeout:.0f} s", reason=blocks, remedy=remedy, code=TIMEOUT)
