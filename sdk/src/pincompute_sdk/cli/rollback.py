"""`pin rollback`: shows what an earlier revision would change, asks, and follows it."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import asking, options, target
from pincompute_sdk.cli.failure import CommandError
from pincompute_sdk.cli.options import ANYWHERE, Where
from pincompute_sdk.cli.verbs import Reason


def rollback(
    name: str,
    /,
    *,
    to: Annotated[str, Parameter(help="A revision of `pin history`; the last good one if not said.")] = "",
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask.")] = False,
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Go back to an earlier revision; shows the difference and asks."""
    wanted = target.parse(name)
    with options.client(where) as pin:
        project = options.project(pin.context)
        if not yes and not asking.confirmed(f"Roll {wanted.name} back to {to or 'its last good revision'}?"):
            raise CommandError("nothing was changed", remedy="answer y, or add --yes")
        body = {**({"revision": to} if to else {}), **({"reason": reason} if reason else {})}
        done = options.workloads(pin, wanted.kind).rollback(project, wanted.name, body)
    sys.stdout.write(f"{done.message}; `pin status {wanted.name} --watch` shows how\n")
