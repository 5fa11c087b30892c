"""Replicas by the names that users give them, over all zones."""

from __future__ import annotations

import itertools

import pytest
from replica_samples import TARGET, pod

from pincompute.gateway.operation.replica_lookup import Replica, choose, container_of, number
from pincompute.gateway.problems import Problem

TWO_EACH = {("a", "a1"): 2, ("b", "b1"): 2}
EVEN = [pod("a1", 0), pod("a1", 1), pod("b1", 0), pod("b1", 1)]


def test_numbers_go_round_the_zones() -> None:
    assert number(EVEN, TWO_EACH) == {"a1-0": 0, "b1-0": 1, "a1-1": 2, "b1-1": 3}


def test_every_gateway_says_the_same_whatever_it_has_seen_before() -> None:
    for found in itertools.permutations(EVEN):
        assert number(found, TWO_EACH) == number(EVEN, TWO_EACH)


def test_a_scale_leaves_the_others_their_numbers() -> None:
    more = number([*EVEN, pod("a1", 2), pod("b1", 2)], {("a", "a1"): 3, ("b", "b1"): 3})
    assert more == {**number(EVEN, TWO_EACH), "a1-2": 4, "b1-2": 5}


def test_whoever_takes_the_place_of_one_in_its_cluster_takes_its_number() -> None:
    """Not the ordinal, which the one that goes still has."""
    during = number([pod("a1", 0, leaving=True), pod("a1", 2), *EVEN[1:]], TWO_EACH)
    assert during == {"a1-0": 0, "a1-2": 0, "b1-0": 1, "a1-1": 2, "b1-1": 3}
    assert number([pod("a1", 2), *EVEN[1:]], TWO_EACH)["a1-2"] == 0


def test_those_beyond_the_placement_come_behind_all_others() -> None:
    surge = number([*EVEN, pod("a1", 2)], TWO_EACH)
    assert surge == {**number(EVEN, TWO_EACH), "a1-2": 4}
    moving = number([pod("a1", 0), pod("b1", 0)], {("b", "b1"): 2})
    assert moving == {"b1-0": 0, "a1-0": 2}
    moved = number([pod("a1", 0, leaving=True), pod("b1", 0), pod("b1", 1)], {("b", "b1"): 2})
    assert (moved["b1-0"], moved["b1-1"]) == (0, 1)


def test_replicas_that_stop_keep_their_numbers_while_others_go() -> None:
    """Two frames of `pin status --watch` named one replica differently."""
    leaving = [pod(cluster, ordinal, leaving=True) for ordinal in (0, 1, 2) for cluster in ("a1", "b1")]
    members = (("a", "a1"), ("b", "b1"))
    for placed in ({}, {("a", "a1"): 1}, TWO_EACH):
        first = number(leaving, placed, members)
        for gone in range(len(leaving)):
            left = leaving[:gone] + leaving[gone + 1 :]
            assert number(left, placed, members) == {uid: n for uid, n in first.items() if uid != leaving[gone].metadata.uid}
    assert number(leaving, {}, members) == number(leaving, TWO_EACH, members), "also when all of them stop"


def test_no_two_replicas_that_live_have_one_number() -> None:
    found = [pod(cluster, ordinal) for ordinal in (0, 1, 3, 4) for cluster in ("a1", "b1", "c1")]
    for placed in ({}, TWO_EACH, {("a", "a1"): 1, ("c", "c1"): 5}):
        assert len(set(number(found, placed).values())) == len(found)


def replicas(*pods: tuple[int, str, bool]) -> list[Replica]:
    return [Replica("web", n, cluster, pod(cluster, 0, ready=ready)) for n, cluster, ready in pods]


@pytest.mark.parametrize(("asked", "chosen"), [("", 1), ("0", 0), ("b1-0", 1), ("web-c1-0", 2)])
def test_a_replica_is_named_by_number_place_or_pod_and_is_else_the_first_that_is_ready(asked: str, chosen: int) -> None:
    there = replicas((0, "a1", False), (1, "b1", True), (2, "c1", True))
    assert choose(TARGET, there, asked).number == chosen


def test_what_is_not_there_is_told_with_what_is() -> None:
    with pytest.raises(Problem, match=r"there is no replica web/7$"):
        choose(TARGET, replicas((0, "a1", True)), "7")
    with pytest.raises(Problem, match="has no replica now"):
        choose(TARGET, [], "")
    with pytest.raises(Problem, match=r"there is no container other in web/0$"):
        container_of(replicas((0, "a1", True))[0], "other")
