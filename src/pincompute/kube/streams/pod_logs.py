"""Reads lines of one container's log over `pods/log`, each with the time at which its node wrote it."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pincompute.api.builtin import PODS
from pincompute.api.meta import Key
from pincompute.kube.api_client import ApiClient

LONGEST_LINE = 256 * 1024  # bytes; a longer one comes in pieces


@dataclass(frozen=True, slots=True)
class LogOptions:
    """`since` is RFC 3339 and counts in whole seconds, or seconds before now by the node's own clock; empty means all.

    `tail` of -1 is everything; `previous` is the run before this one.
    """

    container: str
    since: str | float = ""
    tail: int = -1
    previous: bool = False
    follow: bool = False


@asynccontextmanager
async def lines(client: ApiClient, pod: Key, options: LogOptions, inactivity: float) -> AsyncGenerator[AsyncIterator[bytes]]:
    """Yields lines; fails after `inactivity` seconds without a byte. Raises a KubeError, also in the middle."""
    path = PODS.path(pod.namespace, pod.name, "log")
    async with client.stream(path, _query(options), inactivity) as pieces:
        yield split(pieces)


async def split(pieces: AsyncIterator[bytes], longest: int = LONGEST_LINE) -> AsyncIterator[bytes]:
    """Yields lines without their ends, however the network cut the bytes; the last one may lack its end."""
    rest = bytearray()
    async for piece in pieces:
        rest += piece
        *whole, tail = rest.split(b"\n")
        for line in whole:
            yield bytes(line)
        while len(tail) > longest:
            yield bytes(tail[:longest])
            tail = tail[longest:]
        rest = bytearray(tail)
    if rest:
        yield bytes(rest)


def _query(options: LogOptions) -> dict[str, str]:
    query = {"container": options.container, "timestamps": "true"}
    if isinstance(options.since, str):
        query |= {"sinceTime": options.since} if options.since else {}
    else:
        query["sinceSeconds"] = str(max(1, math.ceil(options.since)))
    if options.tail >= 0:
        query["tailLines"] = str(options.tail)
    if options.previous:
        query["previous"] = "true"
    if options.follow:
        query["follow"] = "true"
    return query
