"""Reads the reason header, which says why a caller does something. Audit record and history of a workload keep it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote_to_bytes

from pincompute.gateway import problems
from pincompute.gateway.problems import FieldError, Problem

HEADER = "Pincompute-Reason"
LONGEST = 500  # characters
LONGEST_ENCODED = 12 * LONGEST  # characters: UTF-8 has at most 4 bytes for one, and a percent sign makes 3 of each
PATTERN = r"^([ !-$&-~]|%[0-9A-Fa-f]{2})*$"  # what a header may hold of ASCII, and the rest percent-encoded
DESCRIPTION = f"Why, in at most {LONGEST} characters; it is kept with the record. On the wire it is percent-encoded UTF-8."

NOT_ONE_LINE = ("one line of text", "has control characters")

_NAME = HEADER.lower().encode()
_PATTERN = re.compile(PATTERN)


def read(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Reads the reason of a request; empty when it says none. Raises Problem."""
    said = next((value for name, value in headers if name == _NAME), b"").decode("latin-1")
    if not _PATTERN.fullmatch(said):
        raise _invalid("percent-encoded UTF-8, a percent sign itself as %25", "is not percent-encoded")
    try:
        reason = unquote_to_bytes(said).decode()
    except UnicodeDecodeError:
        raise _invalid("percent-encoded UTF-8", "is not UTF-8 once it is decoded") from None
    if len(reason) > LONGEST:
        raise _invalid(f"at most {LONGEST} characters", f"has {len(reason)} characters")
    if not is_one_line(reason):
        raise _invalid(*NOT_ONE_LINE)
    return reason.strip()


def is_one_line(reason: str) -> bool:
    """Returns whether a reason has no control characters: it stands in lines of tables and logs."""
    return not any(unicodedata.category(character) == "Cc" for character in reason)


def _invalid(expected: str, message: str) -> Problem:
    return problems.invalid(FieldError(HEADER, expected, f"{message}: {expected} is expected"))
