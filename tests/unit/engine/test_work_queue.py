"""The work queue in virtual time: one worker per key, events first, delays, backoff, holds."""

from __future__ import annotations

import asyncio
import random

import pytest

from pincompute.engine.work_queue import Item, Priority, RetryDelays, WorkQueue


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> WorkQueue[str]:
    return WorkQueue(clock=clock, rng=random.Random(1))


def popped(queue: WorkQueue[str]) -> Item[str]:
    item = queue.pop()
    assert item is not None
    return item


def test_a_key_added_twice_is_handled_once(queue: WorkQueue[str]) -> None:
    queue.add("a")
    queue.add("a")
    queue.done(popped(queue))
    assert queue.pop() is None


def test_a_key_in_somebodys_hands_is_not_given_to_a_second_worker_but_looked_at_again(queue: WorkQueue[str]) -> None:
    queue.add("a")
    item = popped(queue)
    queue.add("a")
    assert queue.pop() is None
    queue.done(item)
    assert popped(queue).key == "a"


def test_s026_news_goes_before_the_initial_list_and_lifts_a_key_that_is_in_it(queue: WorkQueue[str]) -> None:
    for key in ("old1", "old2", "both"):
        queue.add(key, Priority.BACKGROUND)
    queue.add("new")
    queue.add("both")
    assert [popped(queue).key for _ in range(4)] == ["new", "both", "old1", "old2"]


def test_a_stream_of_news_does_not_starve_background_work(queue: WorkQueue[str]) -> None:
    queue.add("patient", Priority.BACKGROUND)
    seen: list[str] = []
    for n in range(40):
        queue.add(f"event{n}")
        item = popped(queue)
        seen.append(item.key)
        queue.done(item)
    assert "patient" in seen


def test_s027_since_is_the_first_add_over_retries_and_upgrades(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("a", Priority.BACKGROUND)
    clock.now += 3
    queue.add("a")
    clock.now += 1
    item = popped(queue)
    assert item.since == 100.0
    queue.retry(item, RetryDelays(base=1.0))
    clock.now += 50
    again = popped(queue)
    assert (again.since, again.attempts) == (100.0, 1)


def test_of_delayed_adds_the_earliest_wins_and_a_plain_add_beats_both(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    clock.now += 4.9
    assert queue.pop() is None
    clock.now += 0.2
    item = popped(queue)
    assert item.since == 105.0  # a promised reconciliation is not late before its time
    queue.done(item)
    clock.now += 100
    assert queue.pop() is None, "one reconciliation keeps all earlier promises"
    queue.add_after("a", 10)
    queue.add("a")
    assert popped(queue).key == "a"


def test_a_delayed_add_while_the_key_is_being_handled_is_kept(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("a")
    item = popped(queue)
    queue.add_after("a", 1)
    clock.now += 2
    assert queue.pop() is None
    queue.done(item)
    assert popped(queue).key == "a"


class Ceiling(random.Random):
    def uniform(self, a: float, b: float) -> float:
        assert a == 0.0
        return b


def test_backoff_doubles_up_to_its_cap_with_full_jitter_and_success_forgets(queue: WorkQueue[str], clock: Clock) -> None:
    queue = WorkQueue(clock=clock, rng=Ceiling())
    queue.add("a")
    delays: list[float] = []
    for _ in range(6):
        delays.append(queue.retry(popped(queue), RetryDelays(base=1, cap=10)))
        clock.now += delays[-1]
    assert delays == [1, 2, 4, 8, 10, 10]
    assert queue.failing() == ("a",)
    queue.done(popped(queue))
    assert queue.failing() == ()
    queue.add("a")
    assert queue.retry(popped(queue), RetryDelays(base=1, cap=10)) == 1


def test_failures_of_each_kind_are_counted_apart(clock: Clock) -> None:
    """An API server that has just started refuses what it will soon allow: that is not the tenth failure in a row."""
    queue: WorkQueue[str] = WorkQueue(clock=clock, rng=Ceiling())
    silence, refusal = RetryDelays(base=1, cap=1000), RetryDelays(base=2, cap=1000)
    delays: list[float] = []
    for backoff in (silence, silence, silence, refusal, silence, refusal):
        queue.add("a")
        item = popped(queue)
        delays.append(queue.retry(item, backoff))
    assert delays == [1, 2, 4, 2, 8, 4]
    queue.add("a")
    assert popped(queue).attempts == 6


def test_jitter_spreads_keys_that_fail_together() -> None:
    rng = random.Random(7)
    delays = [RetryDelays(base=8.0).delay(0, rng) for _ in range(200)]
    assert min(delays) < 1 < 7 < max(delays) <= 8


def test_news_during_a_failed_attempt_is_not_put_off_by_the_backoff(queue: WorkQueue[str]) -> None:
    queue.add("a")
    item = popped(queue)
    queue.add("a")
    queue.retry(item, RetryDelays(base=1000, cap=1000))
    assert popped(queue).key == "a"


def test_a_hold_collects_news_until_it_is_over(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("a")
    item = popped(queue)
    queue.add("a")
    queue.done(item, hold=2)
    queue.add("a")
    assert queue.pop() is None
    queue.add("b")
    assert popped(queue).key == "b", "other keys are not held"
    clock.now += 2
    held = popped(queue)
    assert held.since == 100.0, "a held key's latency counts from its event"
    assert held.priority is Priority.EVENT
    queue.done(held)
    clock.now += 10
    queue.add("a")
    assert popped(queue).key == "a"


def test_length_counts_what_is_due_and_idle_knows_of_keys_in_hands(queue: WorkQueue[str], clock: Clock) -> None:
    queue.add("a")
    queue.add_after("b", 1)
    assert (len(queue), queue.waiting) == (1, 1)
    item = popped(queue)
    assert not queue.idle
    queue.done(item)
    assert queue.idle
    clock.now += 1
    assert len(queue) == 1


async def test_take_waits_for_an_add() -> None:
    queue: WorkQueue[str] = WorkQueue()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        taken = group.create_task(queue.take())
        await asyncio.sleep(0)
        queue.add("a")
    assert taken.result().key == "a"


async def test_take_wakes_for_a_delayed_key_and_for_an_earlier_one_added_meanwhile() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("late", 3600)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        taken = group.create_task(queue.take())
        await asyncio.sleep(0)
        queue.add_after("early", 0.01)
    assert taken.result().key == "early"


async def test_one_key_wakes_one_of_those_that_wait_and_each_key_is_taken():
    queue: WorkQueue[str] = WorkQueue()
    takers = [asyncio.create_task(queue.take()) for _ in range(4)]
    await asyncio.sleep(0)
    takers[0].cancel()
    queue.add("a")
    queue.add("b")
    queue.add_after("c", 0.02)
    async with asyncio.timeout(5):
        taken = await asyncio.gather(*takers[1:])
    assert sorted(item.key for item in taken) == ["a", "b", "c"]


async def test_a_key_that_is_due_earlier_is_not_waited_for_as_long_as_the_first():
    queue: WorkQueue[str] = WorkQueue()
    taker = asyncio.create_task(queue.take())
    await asyncio.sleep(0)
    queue.add_after("late", 60.0)
    queue.add_after("soon", 0.01)
    async with asyncio.timeout(5):
        assert (await taker).key == "soon"
