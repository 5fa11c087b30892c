"""Reports an error: sentences on stderr for people, and a stable exit code for scripts."""

from __future__ import annotations

from collections.abc import Mapping

from pincompute_sdk.cli.exit_codes import ACCESS, CONFLICT, FAILURE, NOT_FOUND, TIMEOUT, USAGE
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.output.terminal import Styled
from pincompute_sdk.core import errors

CODES: Mapping[type[errors.PinError], int] = {
    errors.NotFoundError: NOT_FOUND,
    errors.UnauthenticatedError: ACCESS,
    errors.ForbiddenError: ACCESS,
    errors.ClockError: ACCESS,
    errors.ConflictError: CONFLICT,
    errors.DeadlineError: TIMEOUT,
    errors.InvalidError: USAGE,
    errors.ConfigurationError: USAGE,
}


class CommandError(errors.PinError):
    """A command cannot do what was asked; carries its exit code."""

    def __init__(self, message: str, *, reason: str = "", remedy: str = "", code: int = FAILURE) -> None:
        super().__init__(message, reason=reason, remedy=remedy)
        self.exit_code = code


def code(error: errors.PinError) -> int:
    if isinstance(error, CommandError):
        return error.exit_code
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), FAILURE)


def report(error: errors.PinError) -> int:
    """Says what happened, why, and what to do; returns the exit code."""
    _line("error", error.message, style="bold red")
    fields = error.fields if isinstance(error, errors.Problem) else ()
    for field in fields:
        _line(f"  {field.field}" if field.field else "  input", field.sentence)
    if error.reason and not fields:
        _line("  reason", error.reason)
    if error.remedy and not any(error.remedy in field.message for field in fields):
        _line("  remedy", error.remedy)
    if error.request_id:
        _line("  request", error.request_id)
    return code(error)


def usage(message: str, hint: str) -> int:
    _line("error", message, style="bold red")
    _line("  remedy", hint)
    return USAGE


def _line(label: str, text: str, style: str = "") -> None:
    """A message of several lines is indented, so that none of them looks like a line of this report."""
    terminal.err(Styled(f"{label}:", style or "cyan"), " ", text.replace("\n", "\n    "))
