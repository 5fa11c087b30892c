"""Division of replicas over zones: N2, S-030 to S-033."""

from __future__ import annotations

from dataclasses import replace

import pytest
import reference_division
from hypothesis import given, settings
from hypothesis import strategies as st

from pincompute.domain.zone_spread import Candidate, Division, divide, every_cluster, pack, rebalance, skew

UIDS = st.uuids().map(str)


@st.composite
def regions(draw: st.DrawFn, *, empty: bool = True, room: int = 100_000) -> tuple[Candidate, ...]:
    zones = draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=7))
    present = st.just(0) if empty else st.integers(0, 9)
    return tuple(
        Candidate(f"{zone}{n}", zone, draw(present), room, score=draw(st.integers(1, 100))) for n, zone in enumerate(zones)
    )


def after(candidates: tuple[Candidate, ...], division: Division) -> tuple[Candidate, ...]:
    return tuple(replace(c, present=division.replicas.get(c.cluster, 0)) for c in candidates)


@given(regions(), st.integers(0, 60), UIDS)
def test_zones_differ_by_at_most_one_whatever_number_of_clusters_each_has(candidates, total, uid):
    """N2."""
    division = divide(total, candidates, uid)
    assert sum(division.replicas.values()) == total
    assert skew(after(candidates, division)) <= 1


@given(regions(), st.integers(0, 60), UIDS)
def test_a_higher_total_never_lowers_a_share(candidates, total, uid):
    """S-032."""
    less, more = divide(total, candidates, uid), divide(total + 1, candidates, uid)
    assert all(more.replicas.get(cluster, 0) >= count for cluster, count in less.replicas.items())


@given(regions(empty=False), st.integers(0, 60), UIDS)
def test_growing_moves_nothing_and_shrinking_adds_nothing(candidates, total, uid):
    """S-030, S-031: only the delta is divided."""
    division = divide(total, candidates, uid)
    growing = total >= sum(c.present for c in candidates)
    for c in candidates:
        count = division.replicas.get(c.cluster, 0)
        assert count >= c.present if growing else count <= c.present


@given(regions(), st.integers(0, 40), st.integers(0, 20), UIDS)
def test_up_and_down_again_ends_where_it_began(candidates, total, more, uid):
    before = divide(total, candidates, uid)
    up = divide(total + more, after(candidates, before), uid)
    assert divide(total, after(candidates, up), uid) == before


@given(regions(empty=False, room=2), st.integers(0, 60), UIDS)
def test_no_cluster_gets_more_than_it_has_room_for(candidates, total, uid):
    """S-036: what does not fit is unplaced, not pending somewhere."""
    division = divide(total, candidates, uid)
    assert all(division.replicas.get(c.cluster, 0) <= c.present + 2 for c in candidates)
    assert sum(division.replicas.values()) + division.unplaced == total


@given(regions(empty=False), UIDS)
def test_rebalancing_evens_out_zones_and_loses_nothing(candidates, uid):
    """S-135."""
    division = rebalance(candidates, uid)
    assert sum(division.replicas.values()) == sum(c.present for c in candidates)
    assert skew(after(candidates, division)) <= 1


def test_single_replicas_of_many_workloads_do_not_all_land_in_one_cluster():
    """S-031: rendezvous hashing, not the alphabet."""
    candidates = [Candidate(f"{zone}1", zone, 0, 10) for zone in "abcd"]
    placed = [next(iter(divide(1, candidates, f"uid-{n}").replicas)) for n in range(400)]
    assert all(60 <= placed.count(c.cluster) <= 140 for c in candidates)


A, B, C = (Candidate(f"{zone}1", zone, 2, 10) for zone in "abc")

CASES = {
    "four clusters in three zones: the zone with two clusters gets no more than the others": (
        9,
        (replace(A, present=0), replace(B, present=0), replace(B, cluster="b2", present=0), replace(C, present=0)),
        {"a": 3, "b": 3, "c": 3},
    ),
    "a silent cluster keeps its replicas while the others grow (S-061)": (
        9,
        (A, B, replace(C, open=False)),
        {"a": 4, "b": 3, "c": 2},
    ),
    "a silent cluster gives back first, so that live replicas stay": (4, (A, B, replace(C, open=False)), {"a": 2, "b": 2}),
    "a cluster that is no longer a candidate is new demand (S-033)": (6, (A, B), {"a": 3, "b": 3}),
    "nothing to run": (0, (A, B, C), {}),
}


@pytest.mark.parametrize("case", CASES)
def test_divide(case):
    total, candidates, want = CASES[case]
    division = divide(total, candidates, "uid-7")
    got: dict[str, int] = {}
    for cluster, count in division.replicas.items():
        got[cluster[0]] = got.get(cluster[0], 0) + count
    if "silent cluster keeps" in case:  # which of the two live zones takes the odd one is the hash's choice
        assert sorted(got.values()) == sorted(want.values())
        assert got["c"] == 2
    else:
        assert got == want


def test_the_hot_cluster_loses_inside_a_zone():
    """N3."""
    cold, hot = Candidate("a1", "a", 0, 10, score=80), Candidate("a2", "a", 0, 10, score=20)
    assert divide(1, [hot, cold], "any").replicas == {"a1": 1}
    assert divide(5, [hot, cold], "any").replicas == {"a1": 4, "a2": 1}


@st.composite
def crowded(draw: st.DrawFn) -> tuple[Candidate, ...]:
    """Regions as bad as can be: little room here and there, doubted clusters, uneven scores."""
    zones = draw(st.lists(st.sampled_from("abcde"), max_size=9))
    return tuple(
        Candidate(
            f"{zone}{n}",
            zone,
            draw(st.integers(0, 12)),
            draw(st.one_of(st.integers(0, 3), st.integers(0, 40))),
            draw(st.one_of(st.sampled_from((1, 2, 50, 100)), st.integers(1, 100))),
            draw(st.sampled_from((True, True, True, False))),
        )
        for n, zone in enumerate(zones)
    )


@settings(max_examples=150)
@given(crowded(), st.integers(0, 150), UIDS)
def test_in_bulk_the_division_is_the_same_as_one_by_one(candidates, total, uid):
    assert divide(total, candidates, uid) == reference_division.divide(total, candidates, uid)


@settings(max_examples=150)
@given(crowded(), UIDS, st.integers(1, 3))
def test_in_bulk_rebalancing_is_the_same_as_one_by_one(candidates, uid, max_skew):
    assert rebalance(candidates, uid, max_skew) == reference_division.rebalance(candidates, uid, max_skew)


def test_a_hundred_thousand_replicas_are_divided_as_evenly_as_six():
    candidates = [Candidate(f"{'abc'[n % 3]}{n}", "abc"[n % 3], 0, 5_000, score=1 + n % 100) for n in range(100)]
    division = divide(100_000, candidates, "uid-7")
    assert (sum(division.replicas.values()), division.unplaced) == (100_000, 0)
    assert skew(after(tuple(candidates), division)) <= 1


PACKED = {
    "all in one, where the score is best": (4, (replace(A, present=0, score=50), replace(B, present=0)), {"b1": 4}, 0),
    "all or nothing": (11, (replace(A, present=0), replace(B, present=0)), {}, 11),
    "the better cluster lacks room": (4, (replace(A, present=0, room=3), replace(B, present=0, score=1)), {"b1": 4}, 0),
    "grows where it is": (5, (A, replace(B, present=0, score=1)), {"a1": 5}, 0),
    "what runs is not moved for what is missing": (5, (replace(A, room=1), replace(B, present=0)), {"a1": 2}, 3),
    "a doubted cluster gets none": (4, (replace(A, present=0, open=False),), {}, 4),
    "a doubted cluster keeps what it has": (4, (replace(A, open=False), replace(B, present=0)), {"a1": 2}, 2),
    "shrinks": (1, (A, replace(B, present=0)), {"a1": 1}, 0),
    "nowhere to go": (1, (), {}, 1),
}


@pytest.mark.parametrize("case", PACKED)
def test_pack(case):
    """S-037."""
    total, candidates, replicas, unplaced = PACKED[case]
    assert pack(total, candidates, "uid-7") == Division(replicas, unplaced)


def test_equal_clusters_take_turns_for_what_is_packed():
    candidates = [Candidate(f"{zone}1", zone, 0, 10) for zone in "abcd"]
    taken = [next(iter(pack(3, candidates, f"uid-{n}").replicas)) for n in range(400)]
    assert all(60 <= taken.count(c.cluster) <= 140 for c in candidates)


EVERYWHERE = {
    "a share for each": (1, (replace(A, present=0), replace(B, present=0, room=0)), {"a1": 1, "b1": 1}),
    "a new cluster gets its share": (1, (replace(A, present=1), replace(B, present=0)), {"a1": 1, "b1": 1}),
    "a doubted cluster gets none yet": (1, (replace(A, present=0, open=False), replace(B, present=1)), {"b1": 1}),
    "a doubted cluster keeps its share": (2, (replace(A, present=1, open=False), replace(B, present=1)), {"a1": 1, "b1": 2}),
    "stopped": (0, (replace(A, present=1, open=False), replace(B, present=1)), {}),
}


@pytest.mark.parametrize("case", EVERYWHERE)
def test_every_cluster(case):
    each, candidates, replicas = EVERYWHERE[case]
    assert every_cluster(each, candidates) == Division(replicas, 0)
