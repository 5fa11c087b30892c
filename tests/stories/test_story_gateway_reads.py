"""What programs read: streams that resume where they were, and lists that say what they could not see."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

from live_region import Region
from pincompute_sdk.core.events import Parser, ServerEvent
from terminal_user import TerminalUser, plain_client, talker

APP = "talker"
QUIET = 60.0  # seconds without a byte, heartbeats included, after which a stream is given up
PIECE = 2  # events after which the forgetful reader hangs up


def events(user: TerminalUser, project: str, last_id: str = "") -> Iterator[ServerEvent]:
    """The stream of a project's apps, over one connection."""
    using = user.context()
    headers = {"Authorization": f"Bearer {using.token}", "Accept": "text/event-stream"}
    if last_id:
        headers["Last-Event-ID"] = last_id
    path, parser = f"/v1/projects/{project}/apps/watch", Parser(id=last_id)
    with plain_client(using, QUIET) as http, http.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        for piece in answer.iter_bytes():
            yield from parser.feed(piece)


def is_end(event: ServerEvent) -> bool:
    return event.name == "deleted" and json.loads(event.data)["name"] == APP


def steady(stream: Iterator[ServerEvent]) -> Iterator[ServerEvent]:
    for event in stream:
        yield event
        if is_end(event):
            return


def forgetful(user: TerminalUser, project: str, last_id: str) -> Iterator[ServerEvent]:
    """Hangs up again and again, and resumes behind the last event."""
    while True:
        stream = events(user, project, last_id)
        for event in (next(stream) for _ in range(PIECE)):
            yield event
            last_id = event.id
            if is_end(event):
                return
        stream.close()


def test_a_stream_that_is_resumed_shows_each_change_once(region: Region, dev: TerminalUser, shop: str):
    """S-251: the same events in the same order as on a connection that never broke."""
    stream = events(dev, shop)
    place = next(event for event in stream if event.name == "synced").id
    seen: dict[str, list[ServerEvent]] = {}
    readers = [
        threading.Thread(target=lambda: seen.update(steady=list(steady(stream)))),
        threading.Thread(target=lambda: seen.update(forgetful=list(forgetful(dev, shop, place)))),
    ]
    for reader in readers:
        reader.start()
    dev.write("app.yaml", talker(replicas=1))
    dev.pin("deploy", "-f", "app.yaml")
    dev.pin("scale", APP, "2")
    region.settled(shop, APP, replicas=2)
    dev.pin("delete", APP, "--yes", "--wait")
    for reader in readers:
        reader.join(QUIET)
    assert seen["steady"][0].name == "added"
    assert "reset" not in {event.name for event in seen["forgetful"]}
    assert seen["forgetful"] == seen["steady"]
    assert len({event.id for event in seen["steady"]}) == len(seen["steady"]) > 2 * PIECE


def test_a_silent_member_makes_a_marked_partial_list(region: Region, dev: TerminalUser, shop: str):
    """S-252: not an error, not silence; whole again when it answers."""
    dev.write("app.yaml", talker())
    dev.pin("deploy", "-f", "app.yaml")
    with dev.client() as pin, region.frozen("b1-apiserver"):

        def marked() -> bool:
            return pin.apps.list(shop).unreachable == ("b",)

        region.eventually("the list names the zone of the silent member", marked)
        said = dev.pin("list")
        assert APP in said.out
        assert "zone b does not answer, at least in part" in said.err
        assert "1/1 ready" in dev.pin("status", APP).out
    with dev.client() as pin:
        region.eventually("the list is whole again", lambda: not pin.apps.list(shop).unreachable)
    region.all_ready()
