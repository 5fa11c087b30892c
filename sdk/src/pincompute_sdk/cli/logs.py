"""`pin logs`: of all replicas in all zones, merged by time; the prefix tells the replica, in a colour of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Annotated
from zlib import crc32

from cyclopts import Parameter

from pincompute_sdk.cli import options, target
from pincompute_sdk.cli.failure import CommandError
from pincompute_sdk.cli.options import ANYWHERE, Where
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.core.drivers import Dropped

PALETTE = ("cyan", "green", "yellow", "magenta", "blue")
FOLLOWED = 3600.0 * 24  # seconds between two pieces of a followed stream


def logs(
    name: str,
    /,
    *,
    follow: Annotated[
        bool, Parameter(name=["--follow", "-f"], negative="", help="Go on as lines come, over restarts.")
    ] = False,
    since: Annotated[str, Parameter(help="Only younger than this: 30s, 10m, 2h.")] = "",
    tail: Annotated[
        int | None, Parameter(name=["--tail", "-n"], help="Only so many of the last lines of each replica.")
    ] = None,
    grep: Annotated[str, Parameter(help="Only lines with this text.")] = "",
    container: Annotated[str, Parameter(name=["--container", "-c"], help="Of this container.")] = "",
    previous: Annotated[bool, Parameter(negative="", help="Of the run before the last restart.")] = False,
    where: Where = ANYWHERE,
) -> None:
    """Logs of all replicas, merged by time; NAME/REPLICA for one."""
    wanted = target.parse(name)
    with options.client(where) as pin:
        stream = pin.apps.open_logs(
            options.project(pin.context),
            wanted.name,
            follow=follow or None,
            since=since,
            tail=tail,
            grep=grep,
            container=container,
            replica=wanted.replica,
            previous=previous or None,
            within=FOLLOWED if follow else 60.0,
        )
        try:
            _print(stream)
        finally:
            stream.close()


def _print(pieces: Iterable[bytes]) -> None:
    """Line by line, as they come; a connection that is lost in the middle is an error, not an end."""
    pending = b""
    try:
        for piece in pieces:
            *whole, pending = (pending + piece).split(b"\n")
            for line in whole:
                sys.stdout.write(_line(line.decode("utf-8", "replace")) + "\n")
            sys.stdout.flush()
    except Dropped as error:
        raise CommandError("the logs were cut", reason=str(error), remedy="run it again with --since") from error
    if pending:
        sys.stdout.write(_line(pending.decode("utf-8", "replace")) + "\n")


def _line(text: str) -> str:
    """The prefix in the colour of its replica: the same replica, the same colour."""
    prefix, gap, rest = text.partition(" ")
    if not gap or not terminal.coloured():
        return text
    return f"{terminal.painted(prefix, PALETTE[crc32(prefix.encode()) % len(PALETTE)])} {rest}"
