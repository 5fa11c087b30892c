"""Objects that failed by themselves are left alone by themselves."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from pincompute.api.builtin import PODS
from pincompute.api.meta import Key
from pincompute.engine.object_backoff import ObjectBackoff
from pincompute.engine.plan import Ref
from pincompute.engine.work_queue import RetryDelays

WEB, DB = (Ref("host", PODS, Key("shop", name)) for name in ("web", "db"))
SECOND = RetryDelays(base=1.0, cap=10.0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def setbacks(clock: Callable[[], float]) -> ObjectBackoff:
    return ObjectBackoff(clock=clock, rng=random.Random(1))


def test_what_failed_rests_and_nothing_else(setbacks: ObjectBackoff, clock: Clock) -> None:
    delay = setbacks.failed(WEB, "7", SECOND)
    assert setbacks.resting(WEB, "7")
    assert not setbacks.resting(DB, "7")
    clock.now = delay
    assert not setbacks.resting(WEB, "7")


def test_what_has_changed_need_not_rest(setbacks: ObjectBackoff) -> None:
    setbacks.failed(WEB, "7", SECOND)
    assert not setbacks.resting(WEB, "8")


def test_it_rests_longer_each_time_until_it_succeeds(setbacks: ObjectBackoff) -> None:
    longest = [max(setbacks.failed(WEB, str(n), SECOND) for _ in range(1)) for n in range(40)]
    assert max(longest[:2]) <= 2.0
    assert 5.0 < max(longest) <= 10.0
    setbacks.succeeded(WEB)
    assert len(setbacks) == 0
    assert setbacks.failed(WEB, "8", SECOND) <= 1.0


def test_a_server_that_names_a_time_is_heeded(setbacks: ObjectBackoff) -> None:
    assert setbacks.failed(WEB, "7", SECOND, at_least=30.0) == 30.0
