"""`pin delete`: returns when it is accepted; with --wait it shows what still blocks it (S-259)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import asking, following, options, target, tree
from pincompute_sdk.cli.failure import TIMEOUT, CommandError
from pincompute_sdk.cli.live import Picture
from pincompute_sdk.cli.options import ANYWHERE, Where
from pincompute_sdk.core.errors import NotFoundError

if TYPE_CHECKING:
    from pincompute_sdk.generated.synchronous import AppsResource, UnitsResource


def delete(
    name: str,
    /,
    *,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask.")] = False,
    wait: Annotated[bool, Parameter(negative="", help="Until nothing of it is left.")] = False,
    timeout: Annotated[float, Parameter(help="Seconds to wait.", show_default=True)] = 300,
    where: Where = ANYWHERE,
) -> None:
    """Delete an app; its history stays."""
    wanted = target.parse(name)
    with options.client(where) as pin:
        project = options.project(pin.context)
        if not yes and not asking.confirmed(f"Delete {wanted} of project {project} and all its replicas?"):
            raise CommandError("nothing was deleted", remedy="answer y, or add --yes")
        accepted = options.workloads(pin, wanted.kind).delete(project, wanted.name)
        if not wait:
            sys.stdout.write(f"{accepted.message}; `pin history {wanted.name}` keeps its life\n")
            return
        _follow(options.workloads(pin, wanted.kind), project, wanted.name, timeout)
    sys.stdout.write(f"{wanted} is deleted\n")


def _follow(them: AppsResource | UnitsResource, project: str, name: str, timeout: float) -> None:
    blocks = ""
    try:
        with Picture() as picture:
            for app in following.versions(them, project, name, timeout):
                picture.draw(tree.lines(app, ()))
                blocks = app.status.message if app.status else ""
    except NotFoundError:
        return
    remedy = "it goes on by itself; look again with `pin status`"
    raise CommandError(f"{name} is still there after {timeout:.0f} s", reason=blocks, remedy=remedy, code=TIMEOUT)
