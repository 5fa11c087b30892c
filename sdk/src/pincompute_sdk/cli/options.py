"""Defines options that many commands share, and makes the client that they select."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, Token

from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import ACCESS, USAGE
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.core import configuration
from pincompute_sdk.core.configuration import Context

if TYPE_CHECKING:
    from pincompute_sdk.async_client import AsyncClient
    from pincompute_sdk.client import Client
    from pincompute_sdk.generated.kinds import Kind, WorkloadsResource


Workload = Annotated[str, Parameter(help="An app, or unit/NAME.")]
Replica = Annotated[str, Parameter(help="An app, or unit/NAME; NAME/REPLICA chooses a replica.")]
Reason = Annotated[str, Parameter(name=["--reason", "-r"], help="Why; it is kept in the history.")]
Yes = Annotated[bool, Parameter(name=["--yes", "-y"], negative="", help="Do not ask.")]

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?")


def _seconds(_hint: object, tokens: Sequence[Token]) -> float:
    """Parses `90`, `90s`, `10m` or `1h30m`. Raises ValueError."""
    text = tokens[0].value
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise ValueError(f"{text!r} is no duration: write seconds, or 90s, 10m, 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


Seconds = Annotated[float, Parameter(converter=_seconds, metavar="DURATION")]


def _path(_hint: object, tokens: Sequence[Token]) -> Path:
    """Parses a path. An empty one, as of a variable that is not set, would be the current folder. Raises ValueError."""
    if not tokens[0].value:
        raise ValueError("a path is empty: name a file or folder")
    return Path(tokens[0].value)


PATH = Parameter(converter=_path)


@Parameter(name="*", group="Where")
@dataclass(frozen=True, slots=True)
class Where:
    """Where to look: each overrules the stored context."""

    project: Annotated[str, Parameter(name=["--project", "-p"], help="Default: the current project.")] = ""
    context: Annotated[str, Parameter(name="--context", help="Stored context. Default: the current one.")] = ""
    server: Annotated[str, Parameter(name="--server", help="Address of the gateway, https://HOST:PORT.")] = ""
    ca: Annotated[str, Parameter(name="--ca", help="PEM file of the authority that signed the server's certificate.")] = ""


ANYWHERE = Where()


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class WaitOptions:
    """Whether a command follows what it changed until it is done, and for how long."""

    wait: Annotated[bool, Parameter(help="Follow it until it is done.", negative="--detach")] = True
    timeout: Annotated[Seconds, Parameter(help="How long to wait: 90s, 10m, or seconds.", show_default=True)] = 600


WAIT = WaitOptions()
OutputOption = Annotated[
    str,
    Parameter(name=["--output", "-o"], help="table, wide, json, yaml, name, or jsonpath={.status.state}", show_default=True),
]


def context(where: Where) -> Context:
    """The effective context; complains once about a configuration file that others may read."""
    from pincompute_sdk.client import context as effective

    at = configuration.path()
    if configuration.exposed(at):
        terminal.err(f"warning: {at} holds tokens and others may read it: chmod 600 {at}")
    return effective(where.context, server=where.server, project=where.project, ca=where.ca)


def client(where: Where) -> Client:
    from pincompute_sdk.client import Client

    return Client(context(where))


def async_client(where: Where) -> AsyncClient:
    from pincompute_sdk.async_client import AsyncClient

    return AsyncClient(context(where))


def workloads(pin: Client, kind: Kind) -> WorkloadsResource:
    """All kinds have the same calls."""
    return getattr(pin, kind.plural)


def project(using: Context) -> str:
    if not (using.project or using.token):
        reason = f"no login at {using.server} is stored here"
        raise CommandError("you are not logged in", reason=reason, remedy="`pin login`", code=ACCESS)
    if not using.project:
        raise CommandError(
            "no project is named",
            remedy="`pin project use NAME`, or --project NAME; `pin project list` shows yours",
            code=USAGE,
        )
    return using.project
