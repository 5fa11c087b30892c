"""What `pin status` and a deploy that fails say of the room that there is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from pincompute_sdk.cli import free_room
from pincompute_sdk.core.errors import UnreachableError
from pincompute_sdk.generated.models import App, Explanation, Status

ROOM = "the node with the most room left now has cpu 200m"


def app(**status: Any) -> App:
    return App(name="web", project="demo", status=Status(state="Pending", **status))


def server(room: str) -> Any:
    answer = Explanation(kind="app", name="web", project="demo", state="Pending", sentences=(), room=room)
    return SimpleNamespace(explain=lambda project, name: answer if (project, name) == ("demo", "web") else None)


@pytest.mark.parametrize("waits", [{"unplaced": 1}, {"stalled": "InsufficientCapacity"}])
def test_an_app_that_waits_for_room_is_told_how_much_there_is(waits: dict[str, Any]) -> None:
    assert free_room.of(server(ROOM), app(**waits)) == (ROOM,)
    assert free_room.of(server(""), app(**waits)) == ()


def test_an_app_that_has_room_asks_nothing() -> None:
    assert free_room.of(cast("Any", None), app(stalled="ErrImagePull")) == ()
    assert free_room.of(cast("Any", None), App(name="web", project="demo")) == ()


def test_that_nobody_answers_is_said() -> None:
    def explain(*_names: str) -> Explanation:
        raise UnreachableError("no answer")

    (said,) = free_room.of(cast("Any", SimpleNamespace(explain=explain)), app(unplaced=1))
    assert said.startswith("the room that nodes have left cannot be read now: no answer")
