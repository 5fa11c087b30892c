"""The laws on the real controllers, all together: federation and operators in one region."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import regions

from pincompute.engine.laws import LAWS, Case, Chance, uphold

SHARE = 10  # a region costs ten times as much as one process alone


@pytest.mark.parametrize("law", LAWS)
def test_a_region(law: str) -> None:
    @settings(max_examples=settings().max_examples // SHARE)
    @given(case=regions(), seed=st.integers(0, 2**32))
    def holds(case: Case, seed: int) -> None:
        uphold(law, case, Chance(random.Random(seed)))

    holds()
