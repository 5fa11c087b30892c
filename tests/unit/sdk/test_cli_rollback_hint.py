"""What `pin status` says of the way back from an update that is stalled."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from pincompute_sdk.cli import rollback_hint
from pincompute_sdk.core.errors import UnreachableError
from pincompute_sdk.generated.models import App, Explanation, Status

BACK = "`pin rollback web` goes back to revision v1, which ran well"


def app(state: str) -> App:
    return App(name="web", project="demo", status=Status(state=state))


def server(rollback: str) -> Any:
    answer = Explanation(name="web", project="demo", state="Stalled", sentences=(), rollback=rollback)
    return SimpleNamespace(explain=lambda project, name: answer if (project, name) == ("demo", "web") else None)


def test_a_stalled_app_with_a_revision_that_ran_well_has_a_way_back() -> None:
    assert rollback_hint.of(server(BACK), app("Stalled")) == (BACK,)
    assert rollback_hint.of(server(""), app("Stalled")) == ()


def test_an_app_that_is_not_stalled_asks_nothing() -> None:
    assert rollback_hint.of(cast("Any", None), app("Progressing")) == ()
    assert rollback_hint.of(cast("Any", None), App(name="web", project="demo")) == ()


def test_that_nobody_answers_is_said() -> None:
    def explain(*_names: str) -> Explanation:
        raise UnreachableError("no answer")

    (said,) = rollback_hint.of(cast("Any", SimpleNamespace(explain=explain)), app("Stalled"))
    assert said.startswith("which earlier revision ran well cannot be read now: no answer")
