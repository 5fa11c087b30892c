"""`pin shell` and `pin exec`: a program in a replica, over one WebSocket, with its exit code as ours."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options, remote_terminal, target
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.options import ANYWHERE, Replica, Where
from pincompute_sdk.cli.target import WorkloadTarget
from pincompute_sdk.core.errors import NotFoundError
from pincompute_sdk.core.websocket import Socket

Container = Annotated[str, Parameter(name=["--container", "-c"], help="Default: the first container.")]


def shell(name: Replica, /, *, container: Container = "", where: Where = ANYWHERE) -> int:
    """A shell in a replica; NAME/REPLICA chooses it. `exit` or Ctrl-D ends it."""
    wanted = target.parse(name)
    if not sys.stdin.isatty():
        raise CommandError("a shell needs a terminal", remedy=f"`pin exec {name} -- COMMAND` runs one command", code=USAGE)
    return _run(where, wanted, [("container", container), ("tty", "true")], terminal=True)


def exec_(
    name: Replica,
    /,
    *command: Annotated[str, Parameter(allow_leading_hyphen=True, help="The command, after `--`.")],
    container: Container = "",
    stdin: Annotated[bool, Parameter(name=["--stdin", "-i"], negative="", help="Pass standard input to the command.")] = False,
    tty: Annotated[bool, Parameter(name=["--tty", "-t"], negative="", help="Allocate a terminal.")] = False,
    where: Where = ANYWHERE,
) -> int:
    """Run one command in a replica: `pin exec hello -- ls -l`. Its exit code is passed on."""
    if not command:
        raise CommandError("there is no command", remedy=f"`pin exec {name} -- COMMAND`", code=USAGE)
    query = [("container", container), *(("command", word) for word in command)]
    query += [("tty", "true" if tty else "false")]
    return _run(where, target.parse(name), query, terminal=tty, reading=stdin)


def _run(where: Where, wanted: WorkloadTarget, query: list[tuple[str, str]], *, terminal: bool, reading: bool = False) -> int:
    using = options.async_client(where)
    path = {"project": options.project(using.context), "kind": wanted.kind.plural, "name": wanted.name}
    asked = [(name, value) for name, value in [*query, ("replica", wanted.replica)] if value]
    socket = Socket("/v1/projects/{project}/{kind}/{name}/shell", path, asked)
    try:
        return asyncio.run(remote_terminal.run(using, socket, terminal=terminal, reading=reading or terminal))
    except NotFoundError as error:
        with options.client(where) as pin, target.explained(pin, path["project"], wanted):
            raise error from None
