"""Parses numbers, durations and times that requests carry as text. Each has bounds, so that no text makes a request fail.

Only ASCII digits count: Python takes other scripts' digits for numbers, and some characters for digits that are no numbers.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from pincompute.gateway import problems
from pincompute.gateway.problems import FieldError

LARGEST = (1 << 63) - 1  # of numbers that API servers count with
LONGEST_SPAN = 3_000_000_000  # seconds, about a hundred years, which API servers can count
LONGEST_TEXT = 64  # characters of a time
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)
_DIGITS = re.compile(r"[0-9]{1,19}")
_SPAN = re.compile(r"(?=.)(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")
_SECONDS = (604_800, 86_400, 3600, 60, 1)


def integer(text: str, least: int, most: int) -> int | None:
    """A number without a sign; None for another text, and for a number out of bounds. `most` has at most 19 digits."""
    if not _DIGITS.fullmatch(text):
        return None
    number = int(text)
    return number if least <= number <= most else None


def span(text: str) -> int | None:
    """Seconds of a duration such as 90s, 1h30m, 2w, or 90, which is in seconds as for every option of `pin`; None for another
    text. What is longer than LONGEST_SPAN is that long.
    """
    found = _SPAN.fullmatch(f"{text}s" if text.isdecimal() else text)
    if found is None:
        return None
    total = 0
    for part, unit in zip(found.groups(), _SECONDS, strict=True):
        digits = (part or "0").lstrip("0") or "0"
        total += LONGEST_SPAN if len(digits) > 10 else int(digits) * unit
    return min(total, LONGEST_SPAN)


def instant(text: str) -> datetime | None:
    """An RFC 3339 time, in UTC where it names no zone; None for another text, and for a time that clocks cannot show."""
    if len(text) > LONGEST_TEXT or not text.isascii():
        return None
    try:
        found = datetime.fromisoformat(text)
        found = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if EARLIEST <= found <= LATEST else None


def moment(field: str, text: str, now: datetime) -> datetime | None:
    """A time, or a time ago; None for an empty text. Raises Problem."""
    if not text:
        return None
    ago = span(text)
    found = instant(text) if ago is None else now - timedelta(seconds=ago)
    if found is None or found < EARLIEST:
        expected = "a time such as 2026-11-21T10:00:00Z, or a time ago such as 15m, 2h, 3d"
        raise problems.invalid(FieldError(field, expected, f"{text[:40]!r} is no time"))
    return found
