"""`pin config`: the configs of a project, files that containers mount or read as variables."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import help_pages, near_names, options, secret_and_config
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.options import ANYWHERE, WAIT, OutputOption, Reason, WaitOptions, Where, Yes
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.cli.secret_and_config import SettingCalls, To
from pincompute_sdk.core import named_file
from pincompute_sdk.generated.models import Config

app = help_pages.group("config")

CONFIGS: ResourceView[Config] = ResourceView(
    kind="config",
    columns=(
        TableColumn("name", lambda c: c.name),
        TableColumn("version", lambda c: str(c.version)),
        TableColumn("age", lambda c: age(c.set)),
        TableColumn("set by", lambda c: c.author),
        TableColumn("used by", lambda c: ", ".join(c.used_by) or "-", long=True),
        TableColumn("kept", lambda c: " ".join(str(v.number) for v in c.versions), wide=True),
    ),
    name=lambda c: c.name,
    nothing="no configs; `pin config set NAME --file PATH` sets one",
)
_Name = Annotated[str, Parameter(help="One of `pin config list`.")]
_Names = Annotated[list[str], Parameter(help="Some of `pin config list`.")]


@app.command(name="set")
def set_(
    name: Annotated[str, Parameter(help="Its name: lower-case letters, digits and '-'.")],
    /,
    *,
    file: Annotated[list[Path], Parameter(name=["--file", "-f"], help="A file; say it again for more.", negative="")],
    wait: WaitOptions = WAIT,
    reason: Reason = "",
    where: Where = ANYWHERE,
) -> None:
    """Set the files of a config: together they become a new version. Apps that roll with it are followed."""
    files = {path.name: _content(path) for path in file}
    if len(files) < len(file):
        raise CommandError("two files have one name", remedy="rename one of them", code=USAGE)
    with options.client(where) as pin:
        calls = SettingCalls(pin, options.project(pin.context), "config")
        before = calls.rolling([name])
        made = pin.configs.replace(calls.project, name, {"files": files}, reason=reason or None)
        terminal.out(secret_and_config.announced("config", made, f": {', '.join(sorted(files))}"))
        calls.follow(made, before, wait)


def _content(path: Path) -> str:
    try:
        return base64.b64encode(named_file.content(path)).decode()
    except OSError as problem:
        raise CommandError(f"{path} cannot be read: {problem.strerror}", remedy="name another file", code=USAGE) from None


@app.command(name="list", alias="ls")
def list_(*, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """The configs of the project."""
    formats.check(output)
    with options.client(where) as pin:
        formats.many(CONFIGS, pin.configs.list(options.project(pin.context)).items, output)


@app.command
def show(
    name: _Name,
    /,
    *,
    version: Annotated[int, Parameter(help="A version that is kept. Default: the one in use.")] = 0,
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """The files of a config."""
    formats.check(output)
    with options.client(where) as pin:
        calls = SettingCalls(pin, options.project(pin.context), "config")
        with near_names.explained(name, calls.names, "pin config list"):
            found = pin.configs.get(calls.project, name, version=version or None)
    if output not in ("table", "wide"):
        formats.one(CONFIGS, found, output)
        return
    for file, content in sorted((found.files or {}).items()):
        text = base64.b64decode(content).decode(errors="replace")
        terminal.out(f"# {file}")
        terminal.out(text.removesuffix("\n"))


@app.command(alias="rm")
def delete(names: _Names, /, *, yes: Yes = False, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Delete configs with all their versions. One that an app uses is refused."""
    secret_and_config.delete("config", names, yes=yes, reason=reason, where=where)


@app.command
def rollback(name: _Name, /, *, to: To = 0, wait: WaitOptions = WAIT, reason: Reason = "", where: Where = ANYWHERE) -> None:
    """Use an earlier version of a config again, and follow the apps that roll with it."""
    secret_and_config.roll_back("config", name, to, wait=wait, reason=reason, where=where)
