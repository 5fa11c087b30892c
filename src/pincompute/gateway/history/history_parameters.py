"""What callers ask of history: query parameters, strictly read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import cast, get_args

from pincompute.gateway import problems
from pincompute.gateway.problems import FieldError
from pincompute.store.record_history import LONGEST_PAGE
from pincompute.store.records import RecordType

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_TYPES: tuple[RecordType, ...] = get_args(RecordType)
_LONGEST_TEXT = 200


def moment(field: str, text: str, now: datetime) -> datetime | None:
    """An RFC 3339 time, or a time ago such as `90s`, `15m`, `2h`, `3d`. None when nothing was said. Raises Problem."""
    if not text:
        return None
    try:
        if ago := re.fullmatch(r"(\d{1,6})([smhdw])", text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        expected = "a time such as 2026-11-21T10:00:00Z, or a time ago such as 15m, 2h, 3d"
        raise problems.invalid((FieldError(field, expected, f"{text[:40]!r} is no time"),)) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def types(names: str) -> frozenset[RecordType]:
    """Names with commas between. Raises Problem."""
    named = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in named if name not in _TYPES]
    if unknown:
        raise problems.invalid((FieldError("type", f"some of {', '.join(_TYPES)}", f"{unknown[0][:40]!r} is none of them"),))
    return frozenset(cast("list[RecordType]", named))


def limit(count: int) -> int:
    """Raises Problem."""
    if not 1 <= count <= LONGEST_PAGE:
        raise problems.invalid((FieldError("limit", f"1 to {LONGEST_PAGE}", f"{count} is outside"),))
    return count


def text(words: str) -> str:
    """Raises Problem."""
    if len(words) > _LONGEST_TEXT:
        raise problems.invalid((FieldError("text", f"at most {_LONGEST_TEXT} characters", f"it has {len(words)}"),))
    return words
