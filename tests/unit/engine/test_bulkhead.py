"""A member that is slow or silent costs the others nothing: S-014, in virtual time."""

from __future__ import annotations

import asyncio

import pytest
from engine.slow_members import MEMBERS, looks_in
from engine.virtual_time import run

from pincompute.api.labels import HOST
from pincompute.api.meta import Key
from pincompute.engine.bulkhead import OVERDUE, Bulkhead, BulkheadFull

KEYS = 600


def everywhere(_key: Key) -> tuple[str, ...]:
    return MEMBERS


def somewhere(key: Key) -> tuple[str, ...]:
    return (MEMBERS[int(key.name[1:]) % len(MEMBERS)],)


@pytest.mark.parametrize("seconds", [5.0, 10_000.0], ids=["slow", "silent"])
def test_s014_keys_that_write_everywhere_are_done_elsewhere_as_if_all_members_were_quick(seconds: float) -> None:
    """All keys reach the three quick members and their statuses within seconds; 16 that wait would have needed minutes."""
    region = run(looks_in(10.0, KEYS, {"a1": seconds}, everywhere))
    for cluster in (HOST, "b1", "c1", "d1"):
        assert len(region.hands[cluster].written) == KEYS, cluster
    assert region.hands["a1"].most <= 64


@pytest.mark.parametrize("seconds", [5.0, 10_000.0], ids=["slow", "silent"])
def test_s014_keys_of_other_members_do_not_wait_for_those_of_a_slow_one(seconds: float) -> None:
    region = run(looks_in(10.0, KEYS, {"a1": seconds}, somewhere))
    for cluster in ("b1", "c1", "d1"):
        assert len(region.hands[cluster].written) == KEYS / 4, cluster


def test_a_slow_member_gets_its_work_done_in_the_end() -> None:
    region = run(looks_in(300.0, 200, {"a1": 5.0}, everywhere))
    assert len(region.hands["a1"].written) == 200


def test_nothing_is_refused_while_a_member_answers_in_time() -> None:
    region = run(looks_in(60.0, KEYS, {"a1": OVERDUE * 0.8}, somewhere))
    assert len(region.hands["a1"].written) == KEYS / 4


def test_a_bulkhead_refuses_while_too_many_are_overdue_and_no_longer() -> None:
    async def pass_through() -> list[str]:
        bulkhead, refused = Bulkhead("a1", bounded=True, most_overdue=2), list[str]()

        async def wait(seconds: float) -> None:
            try:
                with bulkhead.passage():
                    refused.append("")
                    await asyncio.sleep(seconds)
            except BulkheadFull as crowded:
                refused.append(str(crowded))

        tasks = [asyncio.create_task(wait(OVERDUE * 2)), asyncio.create_task(wait(OVERDUE * 4))]
        await asyncio.sleep(OVERDUE * 0.9)
        tasks.append(asyncio.create_task(wait(0)))  # the two are not overdue yet
        await asyncio.sleep(OVERDUE * 0.6)
        tasks.append(asyncio.create_task(wait(0)))  # now they are
        await asyncio.sleep(OVERDUE)
        tasks.append(asyncio.create_task(wait(0)))  # one has ended
        await asyncio.wait(tasks)
        return refused

    assert run(pass_through()) == ["", "", "", "a1 answers slowly: 2 requests have waited for more than 0.5 s", ""]


def test_a_bulkhead_without_a_bound_lets_everything_wait() -> None:
    async def crowd() -> int:
        bulkhead, done = Bulkhead(HOST, bounded=False, most_overdue=2), list[int]()

        async def wait(number: int) -> None:
            with bulkhead.passage():
                await asyncio.sleep(OVERDUE * 3)
                done.append(number)

        tasks = [asyncio.create_task(wait(0)) for _ in range(5)]
        await asyncio.sleep(OVERDUE * 2)
        tasks.append(asyncio.create_task(wait(1)))
        await asyncio.wait(tasks)
        return len(done)

    assert run(crowd()) == 6
