"""`pin rollback`: shows the revision and its changes, asks for confirmation, and rolls back."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options, plan_view, prompt, target
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.options import ANYWHERE, Reason, Where, Workload, Yes
from pincompute_sdk.cli.output import terminal


def rollback(
    name: Workload,
    /,
    *,
    to: Annotated[
        str, Parameter(help="A revision of `pin history`, or the beginning of one. Default: the last one that ran well.")
    ] = "",
    dry_run: Annotated[bool, Parameter(negative="", help="Only show what would change.")] = False,
    yes: Yes = False,
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Go back to an earlier revision; shows the difference and asks."""
    wanted = target.whole(name)
    with options.client(where) as pin:
        project, them = options.project(pin.context), options.workloads(pin, wanted.kind)
        with target.explained(pin, project, wanted):
            planned = them.rollback(project, wanted.name, {"revision": to}, dry_run=True)
        if not planned.changed:
            terminal.out(f"{planned.message}")
            return
        plan_view.change(f"{wanted.title} {project}/{wanted.name}", planned.changes, planned.message)
        if dry_run:
            return
        if not yes and not prompt.confirmed(f"Roll {wanted} back to revision {planned.revision}?"):
            raise CommandError("nothing was changed", remedy="answer y, or add --yes")
        done = them.rollback(project, wanted.name, {"revision": planned.revision, "reason": reason})
    terminal.out(f"{done.message}; `pin status {wanted.typed} --watch` shows the progress")
