"""Replicas move by growing first: N7, S-064."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pincompute.domain.handover import Holding, replicas_now

CASES = {
    "a first start gives each cluster what it should have": (
        [Holding("a", 2, 0, 0), Holding("b", 2, 0, 0)],
        {"a": 2, "b": 2},
    ),
    "the old copy stays while the new one is not ready": (
        [Holding("a", 0, 3, 3), Holding("b", 3, 0, 0)],
        {"a": 3, "b": 3},
    ),
    "the old copies go one by one as new ones become ready": (
        [Holding("a", 0, 3, 3), Holding("b", 3, 3, 2)],
        {"a": 1, "b": 3},
    ),
    "the old copy goes at last": ([Holding("a", 0, 1, 1), Holding("b", 3, 3, 3)], {"a": 0, "b": 3}),
    "a plain scale-down of a healthy service happens at once": (
        [Holding("a", 1, 3, 3), Holding("b", 1, 3, 3)],
        {"a": 1, "b": 1},
    ),
    "replicas that are not ready serve nobody and may go": (
        [Holding("a", 1, 3, 0), Holding("b", 1, 3, 0)],
        {"a": 1, "b": 1},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_replicas_now(case):
    holdings, want = CASES[case]
    assert replicas_now(holdings) == want


@st.composite
def worlds(draw: st.DrawFn) -> list[Holding]:
    rows: list[Holding] = []
    for n in range(draw(st.integers(1, 5))):
        held = draw(st.integers(0, 6))
        rows.append(Holding(f"c{n}", draw(st.integers(0, 6)), held, draw(st.integers(0, held))))
    return rows


@given(worlds())
def test_ready_replicas_never_fall_below_what_is_wanted(holdings):
    """N7: whatever moves where, what serves stays until enough else serves."""
    now = replicas_now(holdings)
    ready_after = sum(min(h.ready, now[h.cluster]) for h in holdings)
    wanted = sum(h.wanted for h in holdings)
    assert ready_after >= min(wanted, sum(h.ready for h in holdings))
    assert all(now[h.cluster] >= h.wanted for h in holdings)
