"""Parses arguments with cyclopts, runs the command, and turns errors into messages and exit codes."""

from __future__ import annotations

import os
import warnings
from typing import TextIO

from cyclopts import App, Parameter
from cyclopts.exceptions import CycloptsError

from pincompute_sdk.cli import argument_errors, command_table, error_report, help_pages
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.core.errors import PinError


def run(program: str, arguments: list[str]) -> int:
    warnings.showwarning = _warn
    if arguments[0] == "--version":
        arguments = ["version"]
    if command_table.find(arguments[0]) is None:
        return _unknown(program, arguments[0])
    try:
        result = app(program)(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return error_report.usage(argument_errors.message(error), argument_errors.remedy(program, error))
    except PinError as error:
        return error_report.report(error)
    except BrokenPipeError:
        raise
    except OSError as error:  # calls have errors of their own: this is of a file here
        return error_report.report(_of_file(error))
    return result if isinstance(result, int) else 0


def app(program: str) -> App:
    root = App(
        name=program,
        help_format="plaintext",
        help_formatter=help_pages.HelpPage(),
        suppress_keyboard_interrupt=False,
        version_flags=[],
        default_parameter=Parameter(show_default=False),
        group_parameters="Options",
    )
    for command in command_table.every():
        page = {} if command.group else {"help": command.summary, "help_epilogue": command_table.examples(program, command)}
        root.command(f"{command_table.HERE}.{command.target}", name=command.name, alias=command_table.aliases(command), **page)
    return root


def _unknown(program: str, name: str) -> int:
    return error_report.usage(f"there is no command {name}", argument_errors.unknown_command(program, name))


def _of_file(error: OSError) -> PinError:
    remedy = "check the path, the free space of its disk, and your permissions"
    return error_report.CommandError(
        f"{error.filename or 'a file'} cannot be used", reason=error.strerror or str(error), remedy=remedy
    )


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Warnings for people: one line, without the place in our code."""
    del category, filename, lineno, file, line
    if os.environ.get("PYTHONWARNINGS") != "ignore":
        terminal.err(f"warning: {message}")
