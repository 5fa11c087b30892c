"""Deletes what a user named: the server judges every name first, then the user is asked, and only then something is deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pincompute_sdk.cli import near_names, prompt
from pincompute_sdk.cli.error_report import CommandError


class DeleteCall(Protocol):
    """A call that deletes what has a name. With `dry_run` it only judges, and refuses what is not there or is in use."""

    def __call__(self, name: str, *, dry_run: bool) -> object: ...


@dataclass(frozen=True, slots=True)
class DeletableKind:
    """What a command deletes, such as secrets: the names that there are, and the command that shows them (`listed`)."""

    names: Callable[[], Iterable[str]]
    delete: DeleteCall
    listed: str

    def check(self, name: str) -> None:
        """Raises the server's refusal, or the nearest name where nothing has this one."""
        with near_names.explained(name, self.names, self.listed):
            self.delete(name, dry_run=True)


def checked(kind: DeletableKind, names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once. Raises an error unless all of them are there and may be deleted."""
    wanted = tuple(dict.fromkeys(names))
    for name in wanted:
        kind.check(name)
    return wanted


def ask(question: str, *, yes: bool) -> None:
    """Raises an error unless the user agrees."""
    if not yes and not prompt.confirmed(question):
        raise CommandError("nothing was deleted", remedy="answer y, or add --yes")
