"""No plan makes more pods than the engine's bound, whatever its controller thinks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pincompute.api.builtin import NODES, PODS
from pincompute.api.labels import LOCAL
from pincompute.api.meta import Key
from pincompute.engine import reconciler
from pincompute.engine.controller import Card, Controller
from pincompute.engine.plan import MOST_CREATES, Action, Apply, Confirm, Create, Delete, Plan, Ref, Stage, bounded, plan


def pod(number: int) -> Ref:
    return Ref(LOCAL, PODS, Key("shop", f"p{number}"))


def creates(*numbers: int) -> Stage:
    return tuple(Create(pod(n), {}, "") for n in numbers)


PROOF: Action = Confirm(pod(0), "u")
DROP: Action = Delete(pod(99), "u", "")
NODE: Action = Create(Ref(LOCAL, NODES, Key("", "n")), {}, "")
MADE_BY_APPLY: Action = Apply(pod(7), {}, "")
CHANGED_BY_APPLY: Action = Apply(pod(7), {}, "", "u")

CASES: dict[str, tuple[Plan, Plan]] = {
    "a plan that makes as many as it may is left as it is": (
        plan((PROOF,), creates(1, 2, 3), (DROP,), wake_after=5),
        plan((PROOF,), creates(1, 2, 3), (DROP,), wake_after=5),
    ),
    "the stage that makes one too many is cut and the last": (
        plan((PROOF,), creates(1, 2, 3, 4), (DROP,), wake_after=5),
        plan((PROOF,), creates(1, 2, 3), wake_after=5),
    ),
    "what else a cut stage does is done": (plan((*creates(1, 2, 3, 4), DROP)), plan((*creates(1, 2, 3), DROP))),
    "stages are counted together": (plan(creates(1, 2), (DROP,), creates(3, 4)), plan(creates(1, 2), (DROP,), creates(3))),
    "a stage that makes only what is too much is left out": (
        plan(creates(1, 2, 3), creates(4)),
        Plan((creates(1, 2, 3), ())),
    ),
    "an apply that makes a pod counts": (plan((*creates(1, 2, 3), MADE_BY_APPLY)), plan(creates(1, 2, 3))),
    "an apply of what is there does not": (
        plan((*creates(1, 2, 3), CHANGED_BY_APPLY)),
        plan((*creates(1, 2, 3), CHANGED_BY_APPLY)),
    ),
    "what is no pod does not count": (plan((*creates(1, 2, 3), NODE, NODE)), plan((*creates(1, 2, 3), NODE, NODE))),
}


@pytest.mark.parametrize("case", CASES)
def test_a_plan_is_bounded(case: str) -> None:
    whole, expected = CASES[case]
    assert bounded(whole, 3) == expected


def test_a_controller_that_runs_away_makes_500_pods_in_one_look() -> None:
    card = Card(name="test.runaway", promise="Tests.", key="Shard", reads=(), writes=())
    controller = Controller(card, lambda *_: object(), lambda _: plan(creates(*range(100_000)), (DROP,)))
    result = reconciler.make_plan(controller, Key("shop", "web"), None, datetime.now(UTC))  # type: ignore[arg-type]
    assert len(result.plan.actions) == MOST_CREATES == 500
