"""`pin list --watch`: what it prints in a pipe for a stream of changes, and when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pincompute_sdk.cli import list_command, list_watch
from pincompute_sdk.cli.list_watch import WatchedList
from pincompute_sdk.core.errors import UnreachableError
from pincompute_sdk.core.events import ServerEvent
from pincompute_sdk.generated.models import App

RESET, SYNCED = ServerEvent("reset", "{}"), ServerEvent("synced", "{}")


def event(kind: str, name: str, ready: int = 0, project: str = "demo", created: str = "2026-01-01T00:00:00Z") -> ServerEvent:
    status = {"state": "Running" if ready == 2 else "Pending", "ready": ready}
    body = {
        "kind": "App",
        "name": name,
        "project": project,
        "created": created,
        "replicas": 2,
        "containers": [],
        "status": status,
    }
    return ServerEvent(kind, json.dumps(body))


def printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *events: Any, sort: str = ""
) -> list[list[str]]:
    """The words of each line; every event is drawn at once."""
    monkeypatch.setattr(list_watch, "PACE", 0.0)

    def play() -> Iterator[ServerEvent]:
        for each in events:
            if isinstance(each, Exception):
                raise each
            yield each

    watched = WatchedList(App, list_command._order(sort.removeprefix("-")), descending=sort.startswith("-"))
    list_watch.follow(play, watched, list_command.APPS, wide=True)
    return [line.split() for line in capsys.readouterr().out.splitlines()]


CASES: dict[str, tuple[list[ServerEvent], list[list[str]]]] = {
    "nothing before the whole state is there": ([RESET, event("added", "b")], []),
    "the whole state first, by name": (
        [RESET, event("added", "b", 2), event("added", "a"), SYNCED],
        [["a", "Pending", "0/2"], ["b", "Running", "2/2"]],
    ),
    "a row that changes": (
        [RESET, event("added", "a"), SYNCED, event("modified", "a", 2)],
        [["a", "Pending", "0/2"], ["a", "Running", "2/2"]],
    ),
    "a row that comes, and one that goes": (
        [RESET, event("added", "a", 2), SYNCED, event("added", "b"), event("deleted", "a", 2)],
        [["a", "Running", "2/2"], ["b", "Pending", "0/2"], ["a", "Deleted", "2/2"]],
    ),
    "a gateway that starts again says everything again": (
        [RESET, event("added", "a"), SYNCED, RESET, event("added", "a"), event("added", "b"), SYNCED],
        [["a", "Pending", "0/2"], ["b", "Pending", "0/2"]],
    ),
    "what went while it was away": (
        [RESET, event("added", "a"), event("added", "b"), SYNCED, RESET, event("added", "a"), SYNCED],
        [["a", "Pending", "0/2"], ["b", "Pending", "0/2"], ["b", "Deleted", "0/2"]],
    ),
    "namesakes in two projects": (
        [RESET, event("added", "a"), event("added", "a", 2, "web"), SYNCED, event("deleted", "a", 0, "demo")],
        [["a", "Pending", "0/2"], ["a", "Running", "2/2"], ["a", "Deleted", "0/2"]],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_pipe_gets_the_rows_that_changed(
    case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    events, wanted = CASES[case]
    found = printed(capsys, monkeypatch, *events)
    assert [[line[0], line[2], line[3]] for line in found[1:]] == wanted
    assert found[:1] == (
        [["NAME", "PROJECT", "STATE", "READY", "TIER", "ZONES", "REVISION", "AGE", "MESSAGE"]] if wanted else []
    )


def test_a_flood_of_changes_is_drawn_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(list_watch.ChangedRows, "show", lambda _self, rows: drawn.append(len(rows)))
    flood = (event("modified", f"app-{number}", 2) for number in range(2_000))
    list_watch.follow(
        lambda: iter((RESET, SYNCED, *flood)), WatchedList(App, list_command._order("")), list_command.APPS, wide=False
    )
    assert 1 <= len(drawn) <= 4


def test_the_order_is_that_of_the_list(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = event("added", "z", created="2025-01-01T00:00:00Z"), event("added", "a")
    for sort, names in (("created", ["z", "a"]), ("-created", ["a", "z"]), ("-name", ["z", "a"])):
        assert [line[0] for line in printed(capsys, monkeypatch, RESET, old, new, SYNCED, sort=sort)[1:]] == names


def test_a_stream_that_cannot_be_resumed_ends_the_list(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnreachableError):
        printed(capsys, monkeypatch, RESET, SYNCED, UnreachableError("the server does not answer"))
