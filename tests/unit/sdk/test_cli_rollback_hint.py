"""What `pin status` says of the way back from an update that is stalled, also while it is watched."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from pincompute_sdk.cli import rollback_hint, status
from pincompute_sdk.core.errors import UnreachableError
from pincompute_sdk.generated.models import App, Explanation, RollbackCandidate, Status

BACK = "`pin rollback web` goes back to revision v1, which ran well"
WELL = RollbackCandidate(revision="v1", ran_well=True)


def app(state: str, stalled: str = "ErrImagePull") -> App:
    return App(name="web", project="demo", status=Status(state=state, stalled=stalled))


def explanation(rollback: RollbackCandidate | None, kind: str = "app", missing: tuple[str, ...] = ()) -> Explanation:
    return Explanation(kind=kind, name="web", project="demo", state="Stalled", sentences=(), rollback=rollback, missing=missing)


def server(rollback: RollbackCandidate | None) -> Any:
    answer = explanation(rollback)
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

    def explain(self, _project: str, _name: str) -> Explanation:
        self.asked += 1
        return explanation(WELL)


def test_a_stalled_app_with_a_revision_that_ran_well_has_a_way_back() -> None:
    assert rollback_hint.of(server(WELL), app("Stalled")) == (BACK,)
    assert rollback_hint.of(server(WELL), app("Degraded")) == (BACK,), "it has lost replicas since"
    assert rollback_hint.of(server(None), app("Stalled")) == ()
    assert rollback_hint.possible(server(WELL), app("Stalled"))
    assert not rollback_hint.possible(server(None), app("Stalled"))


def test_the_sentence_says_what_is_known_of_the_revision_and_where_the_rest_stands() -> None:
    assert rollback_hint.sentence(explanation(WELL, "unit")) == BACK.replace("web", "unit/web")
    unknown = rollback_hint.sentence(explanation(RollbackCandidate(revision="v2")))
    assert unknown == "`pin rollback web` goes back to revision v2, the one before; whether it ran well is not known now"
    elsewhere = rollback_hint.sentence(explanation(None, missing=("rollback",)))
    assert elsewhere == "`pin explain web` says which revision it can go back to, if any"


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
