"""Every row of LIBRARIES.md 1.4 and then some: whatever the server and the network do, the cache ends equal to the truth,
sees each deletion, and asks a bounded number of times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from aiohttp import web
from fast_informer import eventually, shown, watching
from hostile_server import HostileServer, ReceivedRequest, event, status

from pincompute.api.builtin import Pod

Fault = Callable[[HostileServer], Awaitable[None]]


def change(server: HostileServer) -> None:
    """What happens in the cluster while the client does not see it."""
    server.delete("pod-000")
    server.put("new-pod")
    server.put("pod-001", nodeName="moved")


async def seen_watch(server: HostileServer) -> None:
    await eventually(lambda: server.streams)


async def clean_end(server: HostileServer) -> None:
    server.mute()
    change(server)
    server.end()


async def gone_in_stream(server: HostileServer) -> None:
    server.mute()
    change(server)
    server.compact()
    server.end()


async def gone_as_status(server: HostileServer) -> None:
    server.gone_as_status = True
    await gone_in_stream(server)


def shedding(code: int, times: int) -> Fault:
    async def fault(server: HostileServer) -> None:
        left = iter(range(times))

        def answer(_seen: ReceivedRequest) -> web.Response | None:
            return status(code, "", "overloaded", **{"Retry-After": "0"}) if next(left, None) is not None else None

        server.answer = answer
        await clean_end(server)

    return fault


async def reset_mid_line(server: HostileServer) -> None:
    server.mute()
    change(server)
    server.reset(event("ADDED", server.objects["pod-001"])[:40])


async def ended_mid_line(server: HostileServer) -> None:
    server.raw(event("DELETED", server.objects["pod-002"])[:60])
    await clean_end(server)


async def half_open(server: HostileServer) -> None:
    """The connection stays, but nothing comes any more: no FIN, no bookmark."""
    server.mute()
    change(server)


async def bookmark_then_compaction(server: HostileServer) -> None:
    change(server)
    server.bookmark()
    server.compact()
    server.end()


async def closing_at_once(server: HostileServer) -> None:
    """Eight streams in a row that end before they begin."""
    left = iter(range(8))

    def answer(seen: ReceivedRequest) -> web.Response | None:
        return web.Response(text="") if seen.watch and next(left, None) is not None else None

    server.answer = answer
    await clean_end(server)


async def three_megabytes(server: HostileServer) -> None:
    change(server)
    server.put("big", nodeName="x" * 3_000_000)


async def page_token_expires(server: HostileServer) -> None:
    """Compaction between two pages of the re-list."""
    for n in range(1250):
        server.put(f"many-{n:04}")

    def answer(seen: ReceivedRequest) -> None:
        if "continue" in seen.query and server.floor < server.version:
            server.compact()
            server.version += 1
            server.floor = server.version
            server.answer = lambda _seen: None

    server.answer = answer
    await gone_in_stream(server)


async def server_restart(server: HostileServer) -> None:
    await server.stop()
    server.streams.clear()
    change(server)
    await server.start()


async def proxy_page(server: HostileServer) -> None:
    """A proxy answers in HTML with status 200."""
    left = iter(range(2))
    page = "<html>\nplease log in\n</html>\n"
    server.answer = lambda _seen: web.Response(text=page) if next(left, None) is not None else None
    await clean_end(server)


async def restored_from_backup(server: HostileServer) -> None:
    """Versions go backwards; what was made after the backup is gone."""
    server.put("after-the-backup")
    await asyncio.sleep(0)
    server.mute()
    del server.objects["after-the-backup"]
    server.version -= 50
    server.log.clear()
    change(server)
    for obj in server.objects.values():
        obj["metadata"]["resourceVersion"] = str(min(int(obj["metadata"]["resourceVersion"]), server.version))
    server.compact()
    server.end()
    await eventually(lambda: any(not stream.mute for stream in server.streams))
    server.bookmark()


@dataclass(frozen=True)
class Row:
    fault: Fault
    watches: int  # at most so many watch requests after the fault
    lists: int  # at most so many list requests after it


MATRIX = {
    "clean end of the stream": Row(clean_end, 1, 0),
    "410 in the stream (S-342)": Row(gone_in_stream, 2, 1),
    "410 as HTTP status": Row(gone_as_status, 2, 1),
    "429 for a while": Row(shedding(429, 4), 5, 0),
    "503 for a while": Row(shedding(503, 4), 5, 0),
    "reset in mid-line": Row(reset_mid_line, 1, 0),
    "end in mid-line": Row(ended_mid_line, 1, 0),
    "half-open TCP (S-341, F3)": Row(half_open, 3, 0),
    "bookmark then compaction (S-013)": Row(bookmark_then_compaction, 1, 0),
    "streams that close at once": Row(closing_at_once, 9, 0),
    "an object of 3 MB": Row(three_megabytes, 1, 0),
    "page token expires": Row(page_token_expires, 3, 8),
    "server restart (F1)": Row(server_restart, 12, 0),
    "HTML from a proxy": Row(proxy_page, 3, 0),
    "restored from a backup": Row(restored_from_backup, 3, 2),
}


@pytest.mark.parametrize("row", MATRIX.values(), ids=MATRIX.keys())
async def test_cache_equals_truth_after(server: HostileServer, row: Row) -> None:
    for n in range(20):
        server.put(f"pod-{n:03}")
    deleted: list[str] = []

    def listener(kind: str, obj: Pod, _old: Pod | None) -> None:
        if kind == "DELETED":
            deleted.append(obj.metadata.name)

    async with watching(server) as cache:
        cache.listen(listener)
        await cache.until_synced()
        await eventually(lambda: shown(cache) == server.truth())
        await seen_watch(server)
        watches, lists = server.watches, server.lists
        await row.fault(server)
        await eventually(lambda: shown(cache) == server.truth())
        assert deleted.count("pod-000") == 1
        assert set(deleted) <= {"pod-000", "after-the-backup"}
        assert server.watches - watches <= row.watches
        assert server.lists - lists <= row.lists
        server.answer = lambda _seen: None
        await eventually(lambda: server.streams)
        server.put("alive")  # and it goes on living
        await eventually(lambda: shown(cache) == server.truth())
