"""What `pin admin sidecar` and `pin admin daemon` have in common: both read a program of the platform from a file, follow the
rollout of a version and draw its zones.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pincompute_sdk.cli import status_tree
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import FAILURE, TIMEOUT, USAGE
from pincompute_sdk.cli.live_view import Picture
from pincompute_sdk.cli.manifest import manifest_file
from pincompute_sdk.cli.options import WaitOptions
from pincompute_sdk.cli.output import formats, terminal
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import count
from pincompute_sdk.cli.status_tree import TreeLine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pincompute_sdk.client import Client

PACE = 1.0  # seconds between two looks at a rollout
FAILED = ("RolledBack", "Held")
ENDED = ("Complete", "AwaitingApproval", "Paused", *FAILED)  # nothing more happens until somebody, or something, changes


class PlatformProgram(Protocol):
    """A sidecar or daemon, as the gateway answers."""

    name: str
    state: str
    revision: str
    stable: str
    stable_image: str
    message: str


class ProgramZone(Protocol):
    """What of a program is in one zone."""

    zone: str
    updated: int
    ready: int
    unreachable: bool
    message: str


P = TypeVar("P", bound=PlatformProgram)


@dataclass(frozen=True, slots=True)
class ProgramKind(Generic[P]):
    """One kind of programs: `example` is a name for one, `get` asks for it, and `lines` draw it."""

    view: ResourceView[P]
    example: str
    get: Callable[[Client, str], P]
    lines: Callable[[P], Iterable[TreeLine]]

    def read(self, file: Path) -> tuple[str, dict[str, Any]]:
        """Returns the name of the program in the file, and what is written of it."""
        noun, manifest = self.view.kind, manifest_file.load(file)
        given = dict(manifest.data)
        kind, name = given.pop("kind", None), given.pop("name", None)
        if kind != noun.title():
            remedy = f"write `kind: {noun.title()}`"
            raise CommandError(f"{manifest.at('kind')}: this is not a {noun}", remedy=remedy, code=USAGE)
        if not isinstance(name, str) or not name:
            remedy = f"write `name: {self.example}`"
            raise CommandError(f"{manifest.at('name')}: the {noun} has no name", remedy=remedy, code=USAGE)
        return name, given

    def follow(self, pin: Client, made: P, wait: WaitOptions, output: str) -> int:
        """Follows a rollout until it is done. Returns the exit code: that of a failure when the version went back, or holds."""
        end = time.monotonic() + wait.timeout
        found = made
        with Picture() as picture:
            while wait.wait and found.state not in ENDED:
                if time.monotonic() > end:
                    raise self._late(made, wait.timeout)
                time.sleep(PACE)
                found = self.get(pin, made.name)
                if output == "table":
                    picture.draw(list(self.lines(found)))
        self.show(found, output)
        return FAILURE if found.state in FAILED else 0

    def _late(self, made: P, timeout: float) -> CommandError:
        noun = self.view.kind
        remedy = f"the rollout continues; `pin admin {noun} status {made.name}` shows it"
        return CommandError(f"{noun} {made.name} is not done after {timeout:.0f} s", remedy=remedy, code=TIMEOUT)

    def show(self, found: P, output: str) -> None:
        if output not in ("table", "wide"):
            formats.one(self.view, found, output)
            return
        status_tree.write(list(self.lines(found)))


def head(found: PlatformProgram, progress: str, image: str, requests: str) -> Iterator[TreeLine]:
    """Yields the lines above the zones: how far the version has come, what it is and asks for, and the one before."""
    state = (found.state, terminal.style_of(found.state))
    yield TreeLine("", ((found.name, "bold"), ("  ", ""), state, (f"  {progress}", "")))
    yield TreeLine("", ((f"version {found.revision} · {image} · {requests}", "dim"),))
    if found.stable and found.stable != found.revision:
        yield TreeLine("", ((f"before: version {found.stable} · {found.stable_image}", "dim"),))
    if found.message:
        yield TreeLine("", ((found.message, "yellow"),))


def branch(zone: ProgramZone, whole: int, noun: str, *, last: bool, done: bool) -> TreeLine:
    """Returns the line of a zone, which has so many nodes or pods in all."""
    parts = [(f"{zone.zone}  ", "bold"), (status_tree.bar(zone.updated, whole), "green" if done else "yellow")]
    parts.append((f"  {count(whole, noun)}, {zone.updated} updated, {zone.ready} ready", ""))
    if zone.unreachable:
        parts.append(("  does not answer: last known figures", "red"))
    if zone.message:
        parts.append((f"  {zone.message}", "yellow"))
    return TreeLine("└─ " if last else "├─ ", tuple(parts))
