"""Holds what `pin secret` and `pin config` have in common: `rollback`, `delete`, and the rollout of a new value."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from pincompute_sdk.cli import checked_deletion, near_names, options, progress, target
from pincompute_sdk.cli.checked_deletion import DeletableKind
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.output.human_values import joined
from pincompute_sdk.cli.wait import FollowedChange
from pincompute_sdk.cli.wait_conditions import RolledOut
from pincompute_sdk.core.errors import NotFoundError

if TYPE_CHECKING:
    from pincompute_sdk.cli.options import WaitOptions, Where
    from pincompute_sdk.client import Client
    from pincompute_sdk.generated.kinds import Workload
    from pincompute_sdk.generated.models import Config, Secret
    from pincompute_sdk.generated.synchronous import ConfigsResource, SecretsResource

Word = Literal["secret", "config"]
To = Annotated[int, Parameter(help="The version to use again. Default: the one before.")]


@dataclass(frozen=True, slots=True)
class SettingCalls:
    """The calls about secrets or configs of one project."""

    pin: Client
    project: str
    word: Word

    @property
    def them(self) -> SecretsResource | ConfigsResource:
        return self.pin.secrets if self.word == "secret" else self.pin.configs

    def names(self) -> Iterable[str]:
        return (each.name for each in self.them.list(self.project).items)

    def rolling(self, names: Iterable[str]) -> dict[str, Workload]:
        """The workloads that roll with one of these settings, as they are now, by how users call them."""
        found: dict[str, Workload] = {}
        for name in names:
            with suppress(NotFoundError):
                for user in self.them.get(self.project, name).rolls:
                    word, _, workload = user.partition(" ")
                    found[user] = options.workloads(self.pin, target.PREFIXES[word]).get(self.project, workload)
        return found

    def follow(self, made: Secret | Config, before: Mapping[str, Workload], wait: WaitOptions) -> None:
        """Follows the workloads that roll to the new value, one after another. They roll at the same time."""
        end = time.monotonic() + wait.timeout
        for user in made.rolls if wait.wait else ():
            app = before.get(user)
            if app is None or app.paused or app.stopped or app.status is None:
                continue
            them = options.workloads(self.pin, target.kind_of(app))
            condition = RolledOut(them, former=app.status.revision, later=partial(self._later, made))
            change = FollowedChange("the rollout", f"pin {self.word} rollback {made.name}")
            progress.follow(app, max(1.0, end - time.monotonic()), change, condition)

    def _later(self, made: Secret | Config) -> str:
        """Says that another version than the command's is in use; empty where its own is."""
        now = self.them.get(self.project, made.name)
        if now.version == made.version:
            return ""
        by = f" by {now.author}" if now.author else ""
        return (
            f"{self.word} {made.name} was set again{by} while this command waited: version {now.version} is in use, and "
            f"version {made.version} no more"
        )


def announced(word: Word, made: Secret | Config, content: str = "") -> str:
    """Says which version is in use now, what is in it, and when the workloads get it that use it."""
    own = {each.partition(" at version ")[0] for each in made.fixed}
    later = [user for user in made.used_by if user not in made.rolls and user not in own]
    said = [f"{word} {made.name} is at version {made.version}{content}"]
    said += [f"{', '.join(made.rolls)} {_verb(made.rolls, 'roll')} it out"] if made.rolls else []
    said += [f"{', '.join(later)} {_verb(later, 'get')} it at the next start"] if later else []
    if made.fixed:
        stay = "stays as it is" if len(made.fixed) == 1 else "stay as they are"
        said.append(f"{', '.join(made.fixed)} {stay} since a rollback, until the next `pin deploy`")
    return "; ".join(said)


def _verb(subjects: Sequence[str], verb: str) -> str:
    return f"{verb}s" if len(subjects) == 1 else verb


def delete(word: Word, names: list[str], *, yes: bool, reason: str, where: Where) -> None:
    """Deletes all of them, or nothing where one is not there or is in use."""
    with options.client(where) as pin:
        calls = SettingCalls(pin, options.project(pin.context), word)

        def call(name: str, *, dry_run: bool) -> None:
            calls.them.delete(calls.project, name, dry_run=dry_run or None, reason=reason or None)

        wanted = checked_deletion.checked(DeletableKind(calls.names, call, f"pin {word} list"), names)
        one = len(wanted) == 1
        what = f"{word} {wanted[0]} with all its versions" if one else f"{word}s {joined(wanted)} with all their versions"
        checked_deletion.ask(f"Delete {what}?", yes=yes)
        for name in wanted:
            call(name, dry_run=False)
            terminal.out(f"{word} {name} is deleted")


def roll_back(word: Word, name: str, to: int, *, wait: WaitOptions, reason: str, where: Where) -> None:
    with options.client(where) as pin:
        calls = SettingCalls(pin, options.project(pin.context), word)
        with near_names.explained(name, calls.names, f"pin {word} list"):
            before, version = calls.rolling([name]), calls.them.get(calls.project, name).version
        made = calls.them.rollback(calls.project, name, {"to": to}, reason=reason or None)
        terminal.out(announced(word, made))
        if made.version != version:
            calls.follow(made, before, wait)
