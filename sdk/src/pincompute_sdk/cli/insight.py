"""What was and why: history, events, timeline, explain. Of past workloads as well: history does not need the app to exist."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options, target
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Where
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import View
from pincompute_sdk.cli.output.table import Column
from pincompute_sdk.cli.output.words import age
from pincompute_sdk.generated.models import Record

HISTORY: View[Record] = View(
    kind="record",
    columns=(
        Column("age", lambda r: age(r.at)),
        Column("when", lambda r: f"{r.at:%Y-%m-%d %H:%M:%S}" if r.at else "", wide=True),
        Column("what", lambda r: r.kind),
        Column("name", lambda r: r.name, wide=True),
        Column("revision", lambda r: r.revision),
        Column("who", lambda r: r.author),
        Column("why", lambda r: r.reason),
        Column("message", lambda r: r.message, long=True),
    ),
    name=lambda r: r.name,
    nothing="nothing is recorded",
)
Limit = Annotated[int, Parameter(name=["--limit", "-n"], help="So many at most, newest first.", show_default=True)]


def history(name: str = "", /, *, limit: Limit = 50, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Every change and who made it; without a name, of the whole project, deleted apps included."""
    formats.check(output)
    with options.client(where) as pin:
        project = options.project(pin.context)
        if name:
            found = pin.apps.history(project, target.parse(name).name, limit=limit).items
        else:
            found = pin.history.list(project, limit=limit).items
    _show(found, output if name or output != "table" else "wide")


def events(name: str, /, *, limit: Limit = 50, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """What happened to it lately, each thing once with its count."""
    formats.check(output)
    with options.client(where) as pin:
        _show(pin.apps.events(options.project(pin.context), target.parse(name).name, limit=limit).items, output)


def timeline(name: str, /, *, limit: Limit = 50, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Its life in order, in sentences."""
    formats.check(output)
    with options.client(where) as pin:
        found = pin.apps.timeline(options.project(pin.context), target.parse(name).name, limit=limit).items
    if output not in ("table", "wide"):
        _show(found, output)
        return
    for record in found:
        at = f"{record.at:%m-%d %H:%M:%S}" if record.at else ""
        sys.stdout.write(f"{terminal.painted(at, 'dim')}  {record.message}\n")


def explain(name: str, /, *, output: OutputOption = "table", where: Where = ANYWHERE) -> None:
    """Why it runs where it runs, or why it does not run yet."""
    formats.check(output)
    with options.client(where) as pin:
        found = pin.apps.explain(options.project(pin.context), target.parse(name).name)
    if output in ("table", "wide"):
        sys.stdout.writelines(f"{sentence}\n" for sentence in found.sentences)
    else:
        formats.data(formats.plain(found), output)


def _show(found: Sequence[Record], output: str) -> None:
    formats.many(HISTORY, found, output)
