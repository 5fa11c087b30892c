"""Parses the workload or replica that a command names: `hello`, `hello/3` (a replica), `unit/notebook`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pincompute_sdk.cli import near_names, options
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.core.errors import NotFoundError, PinError
from pincompute_sdk.generated.kinds import KINDS, Kind, Workload

LISTED = 500  # workloads among which a name that is written alike is looked for

if TYPE_CHECKING:
    from pincompute_sdk.cli.options import Where
    from pincompute_sdk.client import Client
    from pincompute_sdk.generated.kinds import WorkloadsResource

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


@contextmanager
def opened(wanted: WorkloadTarget, where: Where) -> Generator[tuple[WorkloadsResource, str]]:
    """The calls of the target's kind and its project; within it, a name that nothing has is explained."""
    with options.client(where) as pin:
        project = options.project(pin.context)
        with explained(pin, project, wanted):
            yield options.workloads(pin, wanted.kind), project


@contextmanager
def explained(pin: Client, project: str, wanted: WorkloadTarget) -> Generator[None]:
    """Where nothing has the name now, names what has it or had it."""
    try:
        yield
    except NotFoundError as error:
        if not _exists(pin, project, wanted):
            near = _other_kind(pin, project, wanted) or _deleted(pin, project, wanted) or _near(pin, project, wanted)
            error.remedy = near or "`pin list` shows what there is"
        raise


def _exists(pin: Client, project: str, wanted: WorkloadTarget) -> bool:
    """Whether it is there, so that a part of it is missing."""
    with suppress(PinError):
        getattr(pin, wanted.kind.plural).get(project, wanted.name)
        return True
    return False


def _other_kind(pin: Client, project: str, wanted: WorkloadTarget) -> str:
    for kind in KINDS.values():
        if kind is wanted.kind:
            continue
        with suppress(PinError):
            getattr(pin, kind.plural).get(project, wanted.name)
            return f"there is {WorkloadTarget(kind, wanted.name)}: write {kind.word}/{wanted.name}"
    return ""


def _near(pin: Client, project: str, wanted: WorkloadTarget) -> str:
    """A name that is written alike, among the first of the project."""
    with suppress(PinError):
        listed = getattr(pin, wanted.kind.plural).list(project, limit=LISTED).items
        near = near_names.nearest(wanted.name, (found.name for found in listed))
        return f"did you mean {WorkloadTarget(wanted.kind, near).typed}?" if near else ""
    return ""


def _deleted(pin: Client, project: str, wanted: WorkloadTarget) -> str:
    with suppress(PinError):
        if getattr(pin, wanted.kind.plural).explain(project, wanted.name).state == "Deleted":
            typed = wanted.typed
            return f"it was deleted; `pin explain {typed}` says what is known, `pin history {typed}` keeps the record"
    return ""


def parse(text: str) -> WorkloadTarget:
    parts = text.split("/")
    kind = PREFIXES[parts.pop(0)] if len(parts) > 1 and parts[0] in PREFIXES else USUAL
    if not all(parts) or len(parts) > 2:
        raise CommandError(f"{text!r} names nothing", remedy="write NAME, NAME/REPLICA or unit/NAME", code=USAGE)
    return WorkloadTarget(kind, *parts)
