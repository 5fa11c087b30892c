"""`pin rollback`: shows the revision and its changes, asks for confirmation, rolls back, and follows it until it is done."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import plan_view, progress, prompt, target
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.options import ANYWHERE, WAIT, Reason, WaitOptions, Where, Workload, Yes
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.wait import FollowedChange
from pincompute_sdk.cli.wait_conditions import Settled


def rollback(
    name: Workload,
    /,
    *,
    to: Annotated[
        str, Parameter(help="A number or revision of `pin rollout history`. Default: the last one that ran well.")
    ] = "",
    force: Annotated[bool, Parameter(negative="", help="Also to a revision that has failed.")] = False,
    dry_run: Annotated[bool, Parameter(negative="", help="Only show what would change.")] = False,
    yes: Yes = False,
    wait: WaitOptions = WAIT,
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Go back to an earlier revision; shows the difference, asks, and follows it."""
    wanted = target.whole(name)
    with target.opened(wanted, where) as (them, project):
        planned = them.rollback(project, wanted.name, {"revision": to, "force": force}, dry_run=True)
        if not planned.changed:
            terminal.out(f"{planned.message}")
            return
        plan_view.change(f"{wanted.title} {project}/{wanted.name}", planned.changes, planned.message)
        if dry_run:
            return
        if not yes and not prompt.confirmed(f"Roll {wanted} back to revision {planned.revision}?"):
            raise CommandError("nothing was changed", remedy="answer y, or add --yes")
        done = them.rollback(project, wanted.name, {"revision": planned.revision, "force": force, "reason": reason})
        if wait.wait:
            progress.follow(them.get(project, wanted.name), wait.timeout, FollowedChange("the rollback"), Settled(them))
        else:
            terminal.out(progress.watched(done.message, wanted.typed))
