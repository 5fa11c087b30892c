"""Replicas beyond those asked for: they stay where they are, and new ones go where there is most room."""

from __future__ import annotations

import pytest

from pincompute.domain.surge import Berth, divide

CASES = {
    "none needed, none given": (0, [Berth("a", 1, 0, 5)], {}),
    "one goes where there is most room": (1, [Berth("a", 1, 0, 2), Berth("b", 1, 0, 5)], {"b": 1}),
    "the first by name of two that have as much": (1, [Berth("a", 1, 0, 5), Berth("b", 1, 0, 5)], {"a": 1}),
    "those that are there stay": (1, [Berth("a", 1, 1, 0), Berth("b", 1, 0, 9)], {"a": 1}),
    "fewer are needed: the last go": (1, [Berth("a", 1, 1, 0), Berth("b", 1, 1, 0)], {"a": 1}),
    "many are divided": (5, [Berth("a", 9, 0, 9), Berth("b", 9, 0, 9)], {"a": 3, "b": 2}),
    "as many as there is room for": (5, [Berth("a", 9, 0, 1), Berth("b", 9, 0, 2)], {"a": 1, "b": 2}),
    "not where none is wanted": (1, [Berth("a", 0, 0, 9), Berth("b", 1, 0, 1)], {"b": 1}),
    "no room anywhere": (1, [Berth("a", 1, 0, 0), Berth("b", 1, 0, 0)], None),
    "no cluster at all": (1, [], None),
}


@pytest.mark.parametrize(("needed", "berths", "expected"), CASES.values(), ids=CASES.keys())
def test_surplus_replicas_by_cluster(needed, berths, expected):
    assert divide(needed, berths) == expected
