"""The laws on the real controllers: the operator alone in a member, and all together in one region, calm and in storms."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keeper_cases import cases
from member_worlds import shards
from region_worlds import regions

from pincompute.testing.laws import LAWS, PROMISE, Case, Chance, uphold

WEATHERS = 2  # calm and storms share a law's examples
EXHAUSTIVE = 15  # and all places of a crash so much more than a few


@pytest.mark.parametrize("law", [law for law in LAWS if law != PROMISE])
def test_the_operator(law: str) -> None:
    @given(case=shards(), seed=st.integers(0, 2**32))
    def holds(case: Case, seed: int) -> None:
        uphold(law, case, Chance(random.Random(seed), few=2))

    holds()


@pytest.mark.parametrize("worlds", [cases, shards], ids=["keeper", "operator"])
def test_every_crash_at_every_write(worlds: Callable[[], st.SearchStrategy[Case]]) -> None:
    """F7: not a sample of the places but all of them."""

    @settings(max_examples=settings().max_examples // EXHAUSTIVE)
    @given(case=worlds())
    def holds(case: Case) -> None:
        uphold("survives crashes", case, Chance(random.Random(0), thorough=True))

    holds()


@pytest.mark.parametrize("storms", [False, True], ids=["calm", "stormy"])
@pytest.mark.parametrize("law", LAWS)
def test_a_region(law: str, storms: bool) -> None:
    @settings(max_examples=settings().max_examples // WEATHERS)
    @given(case=st.one_of(regions(storms=storms), regions(storms=storms, stepwise=True)), seed=st.integers(0, 2**32))
    def holds(case: Case, seed: int) -> None:
        uphold(law, case, Chance(random.Random(seed), few=1))

    holds()
