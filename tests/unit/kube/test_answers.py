"""Answers to our own writes stand in for a question for a moment, and no longer."""

from __future__ import annotations

import msgspec
import pytest
from torture import pod

from pincompute.api.core import PODS, Pod
from pincompute.api.meta import Key
from pincompute.kube.answers import FRESH, Answers

WEB = Key("default", "web")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def random(self) -> float:
        return 0.5

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def made(name: str, version: int) -> Pod:
    return msgspec.convert(pod(name, f"u-{name}", version), Pod)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def answers(clock: Clock) -> Answers:
    return Answers(clock)


def test_the_latest_answer_is_a_proof_for_a_moment(answers: Answers, clock: Clock) -> None:
    answers.note(PODS, made("web", 5))
    answers.note(PODS, made("web", 7))
    seen = answers.fresh(PODS, WEB)
    assert seen is not None
    assert seen.metadata.resource_version == "7"
    clock.now += FRESH
    assert answers.fresh(PODS, WEB) is None


def test_what_was_deleted_or_never_written_is_not_known(answers: Answers) -> None:
    assert answers.fresh(PODS, WEB) is None
    answers.note(PODS, made("web", 5))
    answers.forget(PODS, WEB)
    assert answers.fresh(PODS, WEB) is None


def test_old_answers_are_not_kept(answers: Answers, clock: Clock) -> None:
    for number in range(1000):
        answers.note(PODS, made(f"web-{number}", number))
        clock.now += FRESH / 10
    assert len(answers._given) <= 11
