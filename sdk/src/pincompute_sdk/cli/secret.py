"""`pin secret`: secrets of a project in versions. No command shows a value again."""

from __future__ import annotations

import base64
import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import help_pages, options, secret_and_config
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.options import ANYWHERE, WAIT, OutputOption, Reason, WaitOptions, Where, Yes
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.secret_and_config import SettingCalls, To
from pincompute_sdk.core import named_file
from pincompute_sdk.generated.models import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

app = help_pages.group("secret")

SECRETS: ResourceView[Secret] = ResourceView(
    kind="secret",
    columns=(
        TableColumn("name", lambda s: s.name),
        TableColumn("version", lambda s: str(s.version)),
        TableColumn("age", lambda s: age(s.set)),
        TableColumn("set by", lambda s: s.author),
        TableColumn("used by", lambda s: ", ".join(s.used_by) or "-", long=True),
        TableColumn("kept", lambda s: " ".join(str(v.number) for v in s.versions), wide=True),
        TableColumn("registry", lambda s: s.registry, wide=True),
    ),
    name=lambda s: s.name,
    nothing="no secrets; `pin secret set NAME` sets one",
)
_Name = Annotated[str, Parameter(help="One of `pin secret list`.")]
_Names = Annotated[list[str], Parameter(help="Some of `pin secret list`.")]


@app.command(name="set")
def set_(
    names: Annotated[list[str], Parameter(help="NAME, whose value is read from stdin or asked for, or NAME=VALUE.")],
    /,
    *,
    file: Annotated[
        Path | None, options.PATH, Parameter(name=["--file", "-f"], help="Read the value from this file, as it is.")
    ] = None,
    wait: WaitOptions = WAIT,
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Set secrets: each value becomes a new version, and apps that roll with it are followed.

    A value from stdin loses the line break at its end. A value after `=` may stay in the history of your shell.
    """
    with options.client(where) as pin:
        calls, values = SettingCalls(pin, options.project(pin.context), "secret"), list(_values(names, file))
        before = calls.rolling(name for name, _ in values)
        every: list[Secret] = []
        for name, value in values:
            body = {"data": base64.b64encode(value).decode()}
            every.append(pin.secrets.replace(calls.project, name, body, reason=reason or None))
            terminal.out(secret_and_config.announced("secret", every[-1]))
        if any("=" in each for each in names) and sys.stdin.isatty():
            terminal.err("note: the value may stand in the history of your shell; `pin secret set NAME` asks for it instead")
        for made in every:
            calls.follow(made, before, wait)


def _values(names: list[str], file: Path | None) -> Iterator[tuple[str, bytes]]:
    """Yields names with their values. All of them are read before the first is sent."""
    plain = [each for each in names if "=" not in each]
    one_source = file is not None or not sys.stdin.isatty()
    if one_source and (len(plain) > 1 or (file is not None and len(names) > 1)):
        message = "one value is given for several names"
        raise CommandError(message, remedy="set them one by one, or write NAME=VALUE", code=USAGE)
    for each in names:
        name, equals, value = each.partition("=")
        yield name, value.encode() if equals else read_value(name, file)


def read_value(name: str, file: Path | None) -> bytes:
    """Reads the value from the file, or else at the terminal without showing it, or else from stdin."""
    if file is not None:
        try:
            return named_file.content(file)
        except OSError as problem:
            raise CommandError(f"{file} cannot be read: {problem.strerror}", remedy="name another file", code=USAGE) from None
    if sys.stdin.isatty():
        value = getpass.getpass(f"Value of {name}: ").encode()
    else:
        value = sys.stdin.buffer.read().removesuffix(b"\n").removesuffix(b"\r")
    if not value:
        raise CommandError(f"the value of {name} is empty", remedy="check the command whose output it is", code=USAGE)
    return value


@app.command(name="list", alias="ls")
def list_(*, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """The secrets of the project: versions, authors and users, never values."""
    formats.check(output)
    with options.client(where) as pin:
        formats.many(SECRETS, pin.secrets.list(options.project(pin.context)).items, output)


@app.command(alias="rm")
def delete(names: _Names, /, *, yes: Yes = False, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Delete secrets with all their versions. One that an app uses is refused."""
    secret_and_config.delete("secret", names, yes=yes, reason=reason, where=where)


@app.command
def rollback(name: _Name, /, *, to: To = 0, wait: WaitOptions = WAIT, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Use an earlier version of a secret again, and follow the apps that roll with it."""
    secret_and_config.roll_back("secret", name, to, wait=wait, reason=reason, where=where)
