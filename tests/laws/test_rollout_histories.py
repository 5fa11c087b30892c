"""Random histories of rollouts keep their invariants: 1,200 in every run, 80,000 in the deep profile (`make deep`).

The laws of regions add about as many worlds of their own to every run. `PIN_HISTORY=NUMBER` runs one history alone.
"""

from __future__ import annotations

import os

import pytest
from rollout_histories import history

from pincompute.testing.laws.simulation import Broken

PARTS = 24
ONCE_BROKEN = (456, 1124, 1529, 1876, 7523, 8986, 27041)  # each met a fault that hardly another one meets
QUICK, DEEP = 1_200, 80_000


def numbers(profile: str, part: int) -> range:
    if alone := os.environ.get("PIN_HISTORY"):
        return range(int(alone), int(alone) + (part == 0))
    count = DEEP if profile == "deep" else QUICK
    return range(count * part // PARTS, count * (part + 1) // PARTS)


@pytest.mark.parametrize("part", range(PARTS))
def test_random_histories_of_rollouts(part: int, law_profile: str) -> None:
    for number in numbers(law_profile, part):
        try:
            history(number).run()
        except Broken as broken:
            broken.law, broken.world = f"history {number}", repr(history(number))
            raise


@pytest.mark.parametrize("number", ONCE_BROKEN)
def test_a_history_that_once_broke_its_invariants(number: int) -> None:
    history(number).run()
