"""What a command is about: `hello`, `hello/3` (a replica), `unit/notebook`, `unit/notebook/…`, all with `-p PROJECT`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pincompute_sdk.cli.failure import USAGE, CommandError

Kind = Literal["apps", "units"]
PREFIXES: dict[str, Kind] = {"app": "apps", "unit": "units"}


@dataclass(frozen=True, slots=True)
class Target:
    """`replica` is a number as `pin status` shows it, a name, or empty."""

    kind: Kind
    name: str
    replica: str = ""

    def __str__(self) -> str:
        return f"{self.kind.removesuffix('s')} {self.name}"


def parse(text: str) -> Target:
    parts = text.split("/")
    kind: Kind = PREFIXES[parts.pop(0)] if len(parts) > 1 and parts[0] in PREFIXES else "apps"
    if not parts[0] or len(parts) > 2:
        raise CommandError(f"{text!r} names nothing", remedy="write NAME, NAME/REPLICA or unit/NAME", code=USAGE)
    return Target(kind, *parts)
