"""Server-sent events: parsed however they are cut, resumed without loss or repetition (S-251)."""

from __future__ import annotations

import itertools

from fake_server import Asked, Reply, answering
from hypothesis import given
from hypothesis import strategies as st
from pincompute_sdk import AsyncClient, Client
from pincompute_sdk.core.configuration import Context
from pincompute_sdk.core.events import Parser, ServerEvent

STREAM = (
    b': hello\r\n\r\nretry: 10\n\nid: 1\nevent: added\ndata: {"a":1}\n\n'
    b"id: 2\ndata: two\ndata: lines\n\nevent: empty\n\nid: 3\nevent: modified\ndata: \xc3\xa9\n\n"
)
EVENTS = [
    ServerEvent("added", '{"a":1}', "1"),
    ServerEvent("message", "two\nlines", "2"),
    ServerEvent("modified", "é", "3"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    parser, found = Parser(), []
    edges = [0, *sorted(cuts), len(STREAM)]
    for begin, end in itertools.pairwise(edges):
        found += parser.feed(STREAM[begin:end])
    assert found == EVENTS
    assert parser.retry == 0.01


def _numbered(asked: Asked) -> Reply:
    """Three events from behind the last one, then the connection breaks; `end` after nine."""
    first = int(asked.headers.get("last-event-id", "0")) + 1
    said = b"retry: 1\n\n" + b"".join(b"id: %d\ndata: %d\n\n" % (n, n) for n in range(first, first + 3) if n < 10)
    if first >= 10:
        return Reply(200, b"event: end\ndata: {}\n\n", {"Content-Type": "text/event-stream"})
    return Reply(200, said + b"id: 99\ndata: half", {"Content-Type": "text/event-stream"}, drop=True)


def test_a_watch_goes_on_behind_the_last_event() -> None:
    with answering(_numbered) as server, Client(Context(server=server.url)) as pin:
        assert [event.data for event in pin.apps.watch("demo")] == [str(n) for n in range(1, 10)]
        assert [asked.headers.get("last-event-id") for asked in server.asked] == [None, "3", "6", "9"]


async def test_so_does_an_asynchronous_one() -> None:
    with answering(_numbered) as server:
        async with AsyncClient(Context(server=server.url)) as pin:
            assert [event.data async for event in pin.apps.watch("demo")] == [str(n) for n in range(1, 10)]


def test_after_a_reset_nothing_is_resumed_before_the_state_is_whole() -> None:
    def breaking(asked: Asked) -> Reply:
        if len(server.asked) == 1:
            said = b"retry: 1\n\nid: a-7\nevent: added\ndata: 1\n\nevent: reset\ndata: {}\n\nevent: added\ndata: 2\n\n"
            return Reply(200, said, drop=True)
        return Reply(200, b"event: end\ndata: {}\n\n")

    with answering(breaking) as server, Client(Context(server=server.url)) as pin:
        assert [event.name for event in pin.apps.watch("demo")] == ["added", "reset", "added"]
        assert "last-event-id" not in server.asked[1].headers
