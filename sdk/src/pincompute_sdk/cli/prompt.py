"""Asks the user at the terminal. Without a terminal it raises an error and does not wait."""

from __future__ import annotations

import sys

from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.output import terminal


def confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise CommandError("confirmation needed, but there is no terminal", remedy="add --yes", code=USAGE)
    terminal.err(f"{question} [y/N] ", end="")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def text(question: str, default: str) -> str:
    if not sys.stdin.isatty():
        raise CommandError(
            f"{question.lower()} is not known, and there is no terminal to ask", remedy="give it as an option", code=USAGE
        )
    terminal.err(f"{question} [{default}]: ", end="")
    sys.stderr.flush()
    return sys.stdin.readline().strip() or default
