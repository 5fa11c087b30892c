"""Parses the workload or replica that a command names: `hello`, `hello/3` (a replica), `unit/notebook`."""

from __future__ import annotations

from dataclasses import dataclass

from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.generated.kinds import KINDS, Kind, Workload

USUAL = KINDS["apps"]  # what a name means that says no kind
PREFIXES = {kind.word: kind for kind in KINDS.values()}


@dataclass(frozen=True, slots=True)
class WorkloadTarget:
    """`replica` is a number as `pin status` shows it, a name, or empty."""

    kind: Kind
    name: str
    replica: str = ""

    def __str__(self) -> str:
        return f"{self.kind.word} {self.name}"

    @property
    def title(self) -> str:
        """The kind's name, as in a file."""
        return self.kind.name

    @property
    def typed(self) -> str:
        """As a user types it."""
        return self.name if self.kind is USUAL else f"{self.kind.word}/{self.name}"


def kind_of(workload: Workload) -> Kind:
    return next(kind for kind in KINDS.values() if isinstance(workload, kind.model))


def typed(workload: Workload) -> str:
    return WorkloadTarget(kind_of(workload), workload.name).typed


def whole(text: str) -> WorkloadTarget:
    """Parses the target of a command that never acts on a single replica."""
    found = parse(text)
    if found.replica:
        remedy = f"name {text.rpartition('/')[0]} itself, or `pin restart {text}` to replace one replica"
        raise CommandError(f"{text!r} is a replica, and this is about all of {found}", remedy=remedy, code=USAGE)
    return found


def parse(text: str) -> WorkloadTarget:
    parts = text.split("/")
    kind = PREFIXES[parts.pop(0)] if len(parts) > 1 and parts[0] in PREFIXES else USUAL
    if not all(parts) or len(parts) > 2:
        raise CommandError(f"{text!r} names nothing", remedy="write NAME, NAME/REPLICA or unit/NAME", code=USAGE)
    return WorkloadTarget(kind, *parts)
