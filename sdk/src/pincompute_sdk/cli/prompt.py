"""Asks the user at the terminal. Without a terminal it raises an error and does not wait."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.output import terminal


def confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise _unasked(question)
    terminal.err(f"{question} [y/N] ", end="")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _unasked(question: str) -> CommandError:
    return CommandError("confirmation needed, but there is no terminal", reason=question, remedy="add --yes", code=USAGE)


def doubt(doubts: Sequence[str], question: str, remedy: str) -> None:
    """Asks about what is possible and hardly ever meant. Raises CommandError unless the user means it."""
    if not doubts:
        return
    if not sys.stdin.isatty():
        raise CommandError(
            "this may be a mistake, and there is no terminal to ask", reason="; ".join(doubts), remedy=remedy, code=USAGE
        )
    for sentence in doubts:
        terminal.err(sentence)
    if not confirmed(question):
        raise CommandError("nothing was changed", remedy=remedy)


def typed(question: str, word: str) -> bool:
    """Asks for the word itself, where a wrong answer would be worse than a `y` typed too fast."""
    if not sys.stdin.isatty():
        raise _unasked(question)
    terminal.err(f"{question} Type {word} to confirm: ", end="")
    sys.stderr.flush()
    return sys.stdin.readline().strip() == word


def text(question: str, default: str) -> str:
    terminal.err(f"{question} [{default}]: ", end="")
    sys.stderr.flush()
    return sys.stdin.readline().strip() or default
