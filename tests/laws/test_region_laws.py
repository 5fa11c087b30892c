"""The laws on the real controllers, all together: federation and operators in one region."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import regions

from pincompute.engine.laws import LAWS, Case, Chance, uphold


@pytest.mark.parametrize("law", LAWS)
def test_a_region(law: str) -> None:
    @given(case=regions(), seed=st.integers(0, 2**32))
    def holds(case: Case, seed: int) -> None:
        uphold(law, case, Chance(random.Random(seed)))

    holds()
