"""Replicas by the names that users give them, over all zones."""

from __future__ import annotations

import pytest
from workers import TARGET, pod

from pincompute.gateway.operation.replicas import Replica, choose, container_of, number
from pincompute.gateway.problems import Problem


def test_numbers_go_by_zone_cluster_and_ordinal_at_first() -> None:
    assert number([pod("b1", 0), pod("a1", 1), pod("a1", 0)], {}) == {"a1-0": 0, "a1-1": 1, "b1-0": 2}


def test_whoever_takes_the_place_of_one_that_goes_takes_its_number() -> None:
    """S-261: `hello/3 moved from a1 to b1`."""
    before = number([pod("a1", 0), pod("b1", 0)], {})
    during = number([pod("a1", 0, leaving=True), pod("b1", 0), pod("b1", 1)], before)
    assert during == {"a1-0": 0, "b1-0": 1, "b1-1": 0}
    assert number([pod("b1", 0), pod("b1", 1)], during) == {"b1-0": 1, "b1-1": 0}


def test_a_replica_keeps_its_number_when_others_come() -> None:
    assert number([pod("a1", 0), pod("b1", 0)], {"b1-0": 0}) == {"b1-0": 0, "a1-0": 1}


def test_after_an_update_with_surge_the_numbers_close_up() -> None:
    before = number([pod("a1", 0), pod("b1", 0)], {})
    surge = number([pod("a1", 0), pod("b1", 0), pod("c1", 0)], before)
    assert surge["c1-0"] == 2
    assert number([pod("b1", 0), pod("c1", 0)], surge) == {"b1-0": 1, "c1-0": 0}


def replicas(*pods: tuple[int, str, bool]) -> list[Replica]:
    return [Replica("web", n, cluster, pod(cluster, 0, ready=ready)) for n, cluster, ready in pods]


@pytest.mark.parametrize(("asked", "chosen"), [("", 1), ("0", 0), ("b1-0", 1), ("web-c1-0", 2)])
def test_a_replica_is_named_by_number_place_or_pod_and_is_else_the_first_that_is_ready(asked: str, chosen: int) -> None:
    there = replicas((0, "a1", False), (1, "b1", True), (2, "c1", True))
    assert choose(TARGET, there, asked).number == chosen


def test_what_is_not_there_is_told_with_what_is() -> None:
    with pytest.raises(Problem, match="there are web/0"):
        choose(TARGET, replicas((0, "a1", True)), "7")
    with pytest.raises(Problem, match="has no replica now"):
        choose(TARGET, [], "")
    with pytest.raises(Problem, match="there are main"):
        container_of(replicas((0, "a1", True))[0], "other")
