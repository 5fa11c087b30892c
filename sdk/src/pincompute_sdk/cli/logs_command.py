"""`pin logs`: prints the logs of all replicas in all zones, merged by time. A coloured prefix names the replica."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any
from zlib import crc32

import msgspec
from cyclopts import Parameter

from pincompute_sdk.cli import options, target
from pincompute_sdk.cli.options import ANYWHERE, Replica, Where
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.output.terminal import Styled
from pincompute_sdk.generated.models import LogLine

if TYPE_CHECKING:
    from pincompute_sdk.cli.target import WorkloadTarget
    from pincompute_sdk.generated.kinds import WorkloadsResource
    from pincompute_sdk.generated.models import ReplicaStatus

PALETTE = ("cyan", "green", "yellow", "magenta", "blue")
PATIENCE = 120.0  # seconds between two pieces


def logs(
    name: Replica,
    /,
    *,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], negative="", help="Go on as lines come, over restarts.")
    ] = False,
    since: Annotated[str, Parameter(help="Only younger than this: 30s, 10m, 2h.")] = "",
    tail: Annotated[int | None, Parameter(name=["--tail", "-n"], help="Only so many of the newest lines.")] = None,
    grep: Annotated[str, Parameter(help="Only lines that match this regular expression.")] = "",
    container: Annotated[str, Parameter(name=["--container", "-c"], help="Of this container.")] = "",
    file: Annotated[str, Parameter(help="A file on a volume of the container, instead of its console.")] = "",
    previous: Annotated[bool, Parameter(negative="", help="Of the run before the last restart.")] = False,
    raw: Annotated[bool, Parameter(negative="", help="Print control characters on a terminal, too, as they are.")] = False,
    where: Where = ANYWHERE,
) -> None:
    """Logs of all replicas, merged by time; NAME/REPLICA for one."""
    wanted = target.parse(name)
    with options.client(where) as pin:
        project, them = options.project(pin.context), options.workloads(pin, wanted.kind)
        asked: dict[str, Any] = {"since": since, "tail": tail, "grep": grep, "file": file, "container": container}
        asked["replica"] = wanted.replica
        with target.explained(pin, project, wanted):
            printed = _lines(them, project, wanted, asked, follow=follow, previous=previous, raw=raw)
            if previous and not printed:
                terminal.err(no_earlier_log(them.replicas(project, wanted.name).items, wanted, container))


def no_earlier_log(replicas: Sequence[ReplicaStatus], wanted: WorkloadTarget, container: str) -> str:
    """Says why an earlier run has no lines: there was none, or it wrote nothing."""
    asked = (each for each in replicas if not wanted.replica or each.name == f"{wanted.name}/{wanted.replica}")
    if any(c.restarts for each in asked for c in each.containers if container in ("", c.name)):
        return f"the run of {wanted} before the last restart wrote nothing, or its node has removed its log"
    return f"there is no log of an earlier run: no container of {wanted} that you ask for has restarted"


def _lines(
    them: WorkloadsResource,
    project: str,
    wanted: WorkloadTarget,
    asked: dict[str, Any],
    *,
    follow: bool,
    previous: bool,
    raw: bool,
) -> int:
    """Prints the lines and returns how many there were."""
    if follow:
        for event in them.follow_logs(project, wanted.name, **asked, follow=True):
            _print(msgspec.json.decode(event.data, type=LogLine), raw=raw)
        return 0
    printed = 0
    for line in them.logs(project, wanted.name, **asked, previous=previous or None, within=PATIENCE):
        _print(line, raw=raw)
        printed += 1
    return printed


def _print(line: LogLine, *, raw: bool) -> None:
    """The prefix has the colour of its replica. What is no line of a log is marked.

    A pipe gets a line as the container wrote it; a terminal gets its text and colours, because it obeys everything else.
    """
    if line.mark:
        about = " ".join(part for part in (line.replica, line.container) if part)
        terminal.err(Styled(f"-- {about + ': ' if about else ''}{line.text or line.mark}", "dim"))
        return
    prefix = f"{line.replica} {line.container}"
    text = line.text if raw or not sys.stdout.isatty() else terminal.with_colours(line.text.removesuffix("\r"))
    terminal.out(Styled(prefix, PALETTE[crc32(prefix.encode()) % len(PALETTE)]), " ", end="")
    terminal.verbatim(f"{text}\n")
    sys.stdout.flush()
