"""One line of a timeline."""

from __future__ import annotations

from datetime import datetime

import msgspec

from pincompute.store.records import RecordType

LONGEST = 300  # characters of a message from elsewhere


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One line. `until` and `count` are of what happened more than once; `warning`: somebody may have to do something."""

    at: datetime
    type: RecordType
    sentence: str
    name: str = ""
    uid: str = ""
    zone: str = ""
    cluster: str = ""
    warning: bool = False
    until: datetime | None = None
    count: int = 1


def short(text: str) -> str:
    """One line of bounded length, without the final full stop."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
