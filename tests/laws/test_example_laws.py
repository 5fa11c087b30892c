"""The suite on the smallest complete controller."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keeper_cases import cases

from pincompute.testing.laws import LAWS, PROMISE, Case, Chance, uphold


@pytest.mark.parametrize("law", [law for law in LAWS if law != PROMISE])
def test_the_example_controller(law: str) -> None:
    @given(case=cases(), seed=st.integers(0, 2**32))
    def holds(case: Case, seed: int) -> None:
        uphold(law, case, Chance(random.Random(seed)))

    holds()
