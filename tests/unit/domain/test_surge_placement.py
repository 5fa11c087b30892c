"""Replicas beyond those asked for: they stay where they are, and new ones go where there is most room."""

from __future__ import annotations

import pytest

from pincompute.domain.surge_placement import SurgeCandidate, divide

CASES = {
    "none needed, none given": (0, [SurgeCandidate("a", 1, 0, 5)], {}),
    "one goes where there is most room": (1, [SurgeCandidate("a", 1, 0, 2), SurgeCandidate("b", 1, 0, 5)], {"b": 1}),
    "the first by name of two that have as much": (1, [SurgeCandidate("a", 1, 0, 5), SurgeCandidate("b", 1, 0, 5)], {"a": 1}),
    "those that are there stay": (1, [SurgeCandidate("a", 1, 1, 0), SurgeCandidate("b", 1, 0, 9)], {"a": 1}),
    "fewer are needed: the last go": (1, [SurgeCandidate("a", 1, 1, 0), SurgeCandidate("b", 1, 1, 0)], {"a": 1}),
    "many are divided": (5, [SurgeCandidate("a", 9, 0, 9), SurgeCandidate("b", 9, 0, 9)], {"a": 3, "b": 2}),
    "as many as there is room for": (5, [SurgeCandidate("a", 9, 0, 1), SurgeCandidate("b", 9, 0, 2)], {"a": 1, "b": 2}),
    "not where none is wanted": (1, [SurgeCandidate("a", 0, 0, 9), SurgeCandidate("b", 1, 0, 1)], {"b": 1}),
    "no room anywhere": (1, [SurgeCandidate("a", 1, 0, 0), SurgeCandidate("b", 1, 0, 0)], None),
    "no cluster at all": (1, [], None),
}


@pytest.mark.parametrize(("needed", "candidates", "expected"), CASES.values(), ids=CASES.keys())
def test_surplus_replicas_by_cluster(needed, candidates, expected):
    assert divide(needed, candidates) == expected
