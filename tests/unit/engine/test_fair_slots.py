"""Slots that are shared by party: nobody's many wait before another's one, and no slot is lost."""

from __future__ import annotations

import asyncio
import random

from engine.virtual_time import run

from pincompute.engine.fair_slots import FairSlots


def test_parties_take_turns() -> None:
    taken: list[str] = []

    async def use(slots: FairSlots, party: str) -> None:
        async with slots.taken(party):
            taken.append(party)
            await asyncio.sleep(1)

    async def play() -> None:
        slots = FairSlots(1)
        async with asyncio.TaskGroup() as group:
            for party in "aaaabbc":
                group.create_task(use(slots, party))

    run(play())
    assert taken == ["a", "a", "b", "c", "a", "b", "a"]


def test_no_slot_is_lost_or_given_twice_whoever_is_cancelled() -> None:
    most, choose = 3, random.Random(7)
    there = 0

    async def use(slots: FairSlots, party: str) -> None:
        nonlocal there
        async with slots.taken(party):
            there += 1
            assert there <= most
            try:
                await asyncio.sleep(choose.random())
            finally:
                there -= 1

    async def play() -> None:
        slots = FairSlots(most)
        for _ in range(200):
            tasks = [asyncio.create_task(use(slots, choose.choice("abc"))) for _ in range(20)]
            await asyncio.sleep(choose.random())
            for task in choose.sample(tasks, 10):
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(each is None or isinstance(each, asyncio.CancelledError) for each in ended)
        whole = [asyncio.create_task(use(slots, "a")) for _ in range(most)]
        await asyncio.sleep(0)
        assert there == most
        await asyncio.gather(*whole)

    run(play())
