"""Formats values as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

UNITS = ("", "Ki", "Mi", "Gi", "Ti", "Pi")


def age(at: datetime | None, now: datetime | None = None) -> str:
    """3s, 5m, 2h10m, 4d: the two largest units at most."""
    if at is None:
        return ""
    seconds = max(0, int(((now or datetime.now(UTC)) - at).total_seconds()))
    if seconds < 120:
        return f"{seconds}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 120:
        return f"{minutes}m"
    if hours < 48:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{days}d"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def joined(words: list[str] | tuple[str, ...]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def size(count: float) -> str:
    """512 B, 3.4 MiB: the largest unit of which there is at least one."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def cores(milli: int) -> str:
    """250m, 1.5, 12: cores as app.yaml has them."""
    if milli < 1000:
        return f"{milli}m" if milli else "0"
    return f"{milli / 1000:.2f}".rstrip("0").rstrip(".") if milli < 10_000 else f"{milli / 1000:.0f}"


def memory(amount: int) -> str:
    """64Mi, 1.5Gi: bytes as app.yaml has them, in three digits."""
    left, units = float(amount), list(UNITS)
    while left >= 1000 and len(units) > 1:
        left /= 1024
        units.pop(0)
    digits = 0 if units[0] == "" or left >= 100 else 1
    return f"{left:.{digits}f}".removesuffix(".0") + units[0]


def bar(part: float, whole: float, cells: int = 10) -> str:
    """Full when `part` is the whole or more, and never empty while there is some of it."""
    filled = min(cells, round(part * cells / whole)) if whole > 0 else 0
    filled = max(1, filled) if part > 0 else 0
    return "█" * filled + "░" * (cells - filled)
