"""Which replicas have the new revision after each step: S-120, S-127."""

from __future__ import annotations

import pytest

from pincompute.domain import rollout_steps
from pincompute.domain.rollout_steps import MemberReplicas


def members(**counts: int) -> tuple[MemberReplicas, ...]:
    """The zone is the first letter of a member's name."""
    return tuple(MemberReplicas(name, name[0], count) for name, count in counts.items())


TEN = members(**{f"{zone}1": 1 for zone in "abcdefghij"})
THREE = members(a1=2, b1=2, c1=2)
UNEVEN = members(a1=6, a2=2, b1=1, c1=3)


@pytest.mark.parametrize(
    ("strategy", "steps", "there", "totals"),
    [
        ("Parallel", (), THREE, (6,)),
        ("ZoneByZone", (), THREE, (2, 4, 6)),
        ("ZoneByZone", (), UNEVEN, (1, 4, 12)),
        ("Canary", (), UNEVEN, (2, 12)),
        ("Canary", (), members(a1=1), (1,)),
        ("Parallel", (1,), THREE, (1, 6)),
        ("Parallel", (1, "50%", "100%"), THREE, (1, 3, 6)),
        ("ZoneByZone", ("10%", "30%", "50%", "70%"), TEN, (1, 3, 5, 7, 10)),  # as 1, 2, 2, 2, 3 (N1)
        ("Parallel", (4, 2, 3), THREE, (4, 6)),
        ("Parallel", (40,), THREE, (6,)),
        ("Parallel", ("0%",), THREE, (6,)),
    ],
)
def test_totals(strategy, steps, there, totals):
    zones = rollout_steps.zone_order(there, ())
    assert rollout_steps.totals(strategy, steps, there, zones) == totals


def test_the_smallest_zone_is_first_and_named_ones_before_it():
    assert rollout_steps.zone_order(UNEVEN, ()) == ("b", "c", "a")
    assert rollout_steps.zone_order(UNEVEN, ("a", "x")) == ("a", "b", "c")


def test_a_zone_that_joins_comes_last():
    assert rollout_steps.zone_order(members(a1=2, b1=9, c1=1), ("c",), before=("b", "a")) == ("b", "a", "c")


def test_a_zone_that_has_no_replicas_keeps_its_turn():
    assert rollout_steps.zone_order(members(a1=2), (), before=("b", "a")) == ("b", "a")


@pytest.mark.parametrize(
    ("total", "strategy", "limits"),
    [
        (0, "ZoneByZone", {"a1": 0, "a2": 0, "b1": 0, "c1": 0}),
        (3, "ZoneByZone", {"b1": 1, "c1": 2, "a1": 0, "a2": 0}),
        (11, "ZoneByZone", {"b1": 1, "c1": 3, "a1": 6, "a2": 1}),
        (2, "Canary", {"b1": 1, "c1": 0, "a1": 1, "a2": 0}),
        (6, "Canary", {"b1": 1, "c1": 1, "a1": 3, "a2": 1}),
        (12, "Canary", {"b1": 1, "c1": 3, "a1": 6, "a2": 2}),
    ],
)
def test_limits(total, strategy, limits):
    assert rollout_steps.limits(total, strategy, UNEVEN, ("b", "c", "a")) == limits


@pytest.mark.parametrize("total", range(13))
@pytest.mark.parametrize("strategy", ["Canary", "Parallel", "ZoneByZone"])
def test_limits_add_up_to_the_total(strategy, total):
    assert sum(rollout_steps.limits(total, strategy, UNEVEN, ("b", "c", "a")).values()) == total
