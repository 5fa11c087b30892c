"""What `pin status` says of the way back from an update that is stalled, also while it is watched."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from pincompute_sdk.cli import rollback_hint, status
from pincompute_sdk.core.errors import UnreachableError
from pincompute_sdk.generated.models import App, Explanation, Status

BACK = "`pin rollback web` goes back to revision v1, which ran well"


def app(state: str, stalled: str = "ErrImagePull") -> App:
    return App(name="web", project="demo", status=Status(state=state, stalled=stalled))


def server(rollback: str) -> Any:
    answer = Explanation(name="web", project="demo", state="Stalled", sentences=(), rollback=rollback)
    return SimpleNamespace(explain=lambda project, name: answer if (project, name) == ("demo", "web") else None)


@dataclass
class WatchedWorkloads:
    """A server with one app, which counts how often somebody asks it for an explanation."""

    app: App
    asked: int = 0

    def get(self, _project: str, _name: str) -> App:
        return self.app

    def replicas(self, _project: str, _name: str) -> SimpleNamespace:
        return SimpleNamespace(items=())

    def explain(self, _project: str, _name: str) -> SimpleNamespace:
        self.asked += 1
        return SimpleNamespace(rollback=BACK)


def test_a_stalled_app_with_a_revision_that_ran_well_has_a_way_back() -> None:
    assert rollback_hint.of(server(BACK), app("Stalled")) == (BACK,)
    assert rollback_hint.of(server(BACK), app("Degraded")) == (BACK,), "it has lost replicas since"
    assert rollback_hint.of(server(""), app("Stalled")) == ()
    assert rollback_hint.possible(server(BACK), app("Stalled"))
    assert not rollback_hint.possible(server(""), app("Stalled"))


def test_an_app_that_is_not_stalled_asks_nothing() -> None:
    assert rollback_hint.of(cast("Any", None), app("Progressing", stalled="")) == ()
    assert rollback_hint.of(cast("Any", None), App(name="web", project="demo")) == ()


def test_that_nobody_answers_is_said() -> None:
    def explain(*_names: str) -> Explanation:
        raise UnreachableError("no answer")

    (said,) = rollback_hint.of(cast("Any", SimpleNamespace(explain=explain)), app("Stalled"))
    assert said.startswith("which revision it can go back to cannot be read now: no answer")


def test_a_watched_app_shows_the_way_back_and_the_server_looks_it_up_once() -> None:
    there = WatchedWorkloads(app("Stalled"))
    hint = rollback_hint.WatchedHint()
    for _ in range(2):
        assert BACK in [line.text for line in status.look(cast("Any", there), "demo", "web", hint)]
    assert there.asked == 1
    there.app = app("Running", stalled="")
    assert BACK not in [line.text for line in status.look(cast("Any", there), "demo", "web", hint)]
