"""Makes docs/commands.md: every command of `pin` with its options, their defaults and examples, from the program itself."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from inspect import Parameter

from cyclopts import App
from cyclopts.argument import Argument
from pincompute_sdk.cli import command_dispatch, command_table

PAGE = "docs/commands.md"
ROOT = command_dispatch.app("pin")
COMMON = ("--project", "--context", "--server", "--ca")
INTRODUCTION = """# pin: every command

[pin](cli.md) says how commands, names, output and exit codes work. Commands that talk to a server also take these options:

"""
AFTER = "`pin COMMAND --help` shows the same on your terminal."
COLUMNS = "| option | default | meaning |\n| --- | --- | --- |\n"


def page() -> str:
    """The whole page."""
    whoami = ROOT["whoami"]
    common = [row for argument in arguments(whoami) if argument.names[0] in COMMON for row in _rows(argument)]
    parts = [INTRODUCTION + COLUMNS + "\n".join(common), AFTER]
    for title, group in command_table.GROUPS.items():
        parts.append(f"## {title}")
        parts += [part for command in group for part in _command(command)]
    return "\n\n".join(parts) + "\n"


def arguments(app: App) -> list[Argument]:
    """What a command takes."""
    if app.default_command is None:
        return []
    return [argument for argument in app.assemble_argument_collection() if argument.show]


def commands(app: App) -> list[str]:
    """The names of the commands that a command has."""
    return [name for name in app if not name.startswith("-")]


def _command(command: command_table.CommandEntry) -> Iterator[str]:
    app = ROOT[command.name]
    names = ", ".join(f"`{name}`" for name in command_table.aliases(command) if name not in command.summary)
    yield f"### {command.name}\n\n{_sentence(command.summary)}" + (f" Also: {names}." if names else "")
    yield from _options(app)
    for name in commands(app):
        yield f"**{command.name} {name}**: {_sentence(_help(app[name]))}"
        yield from _options(app[name])
    yield "Examples: " + ", ".join(f"`pin {example}`" for example in command.examples)


def _help(app: App) -> str:
    return " ".join(str(app.help).split("\n\n")[0].split())


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _options(app: App) -> Iterator[str]:
    rows = [row for argument in arguments(app) if argument.names[0] not in COMMON for row in _rows(argument)]
    if rows:
        yield COLUMNS + "\n".join(rows)


def _rows(argument: Argument) -> Iterator[str]:
    positional = argument.field_info.is_positional and not argument.field_info.is_keyword
    names = [argument.names[0]] if positional else [name for name in argument.names if name.startswith("-")]
    said = " ".join(str(argument.parameter.help or "").split())
    written = ", ".join(f"`{name}`" for name in sorted(names or argument.names, key=len))
    yield f"| {written} | {_default(argument)} | {said} |".replace("  ", " ")


def _default(argument: Argument) -> str:
    default = argument.field_info.default
    if argument.required:
        return "required"
    if default in (Parameter.empty, None, "", (), False):
        return ""
    if default is True:
        return "yes"
    return f"`{default.value if isinstance(default, Enum) else default}`"
