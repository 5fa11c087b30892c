"""`pin delete`: returns when it is accepted; with --wait it shows what still blocks it (S-259)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options, prompt, status_tree, target
from pincompute_sdk.cli import wait as wait_
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import TIMEOUT
from pincompute_sdk.cli.live_view import Picture
from pincompute_sdk.cli.options import ANYWHERE, Reason, Seconds, Where, Workload, Yes
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.target import WorkloadTarget
from pincompute_sdk.core.errors import NotFoundError

if TYPE_CHECKING:
    from pincompute_sdk.generated.synchronous import AppsResource, UnitsResource


def delete(
    name: Workload,
    /,
    *,
    yes: Yes = False,
    wait: Annotated[bool, Parameter(negative="", help="Until nothing of it is left.")] = False,
    timeout: Annotated[Seconds, Parameter(help="How long to wait: 90s, 10m, or seconds.", show_default=True)] = 300,
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Delete an app; its history stays."""
    wanted = target.whole(name)
    with options.client(where) as pin:
        project = options.project(pin.context)
        if not yes and not prompt.confirmed(f"Delete {wanted} of project {project} and all its replicas?"):
            raise CommandError("nothing was deleted", remedy="answer y, or add --yes")
        with target.explained(pin, project, wanted):
            accepted = options.workloads(pin, wanted.kind).delete(project, wanted.name, reason=reason or None)
        if not wait:
            terminal.out(f"{accepted.message}; `pin history {wanted.typed}` keeps the record")
            return
        with wait_.interruptible("the deletion", wanted.typed):
            _follow(options.workloads(pin, wanted.kind), project, wanted, timeout)
    terminal.out(f"{wanted} is deleted")


def _follow(them: AppsResource | UnitsResource, project: str, wanted: WorkloadTarget, timeout: float) -> None:
    blocks = ""
    try:
        with Picture() as picture:
            for app in wait_.versions(them, project, wanted.name, timeout):
                picture.draw(status_tree.lines(app, ()))
                blocks = app.status.message if app.status else ""
    except NotFoundError:
        return
    remedy = f"the deletion continues; `pin status {wanted.typed}` shows what it waits for"
    raise CommandError(f"{wanted} still exists after {timeout:.0f} s", reason=blocks, remedy=remedy, code=TIMEOUT)
