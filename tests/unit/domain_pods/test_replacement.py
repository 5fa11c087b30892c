"""From what lives to the mix: S-124, S-159, S-201, and a rollout that never loses more than it may."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pincompute.api.workloads import Update
from pincompute.domain.replacement import Limits, Moves, Replica, Wanted, limits, moves, victims

OLD, NEW, OTHER = Wanted("old", "s", 0), Wanted("new", "s", 0), Wanted("other", "t", 0)


def want(kind: Wanted, replicas: int) -> Wanted:
    return dataclasses.replace(kind, replicas=replicas)


def pod(name: str, kind: Wanted = OLD, *, up: bool = True, **facts) -> Replica:
    return Replica(name, kind.revision, kind.shape, ready=up, available=up, **facts)


def some(count: int, kind: Wanted = OLD, *, up: bool = True, stem: str = "p") -> list[Replica]:
    return [pod(f"{stem}{n}", kind, up=up, ordinal=n) for n in range(count)]


ROUNDING = {
    "surge up, unavailable down": (Update(), 10, Limits(2, 3, 3)),
    "in place a percentage rounds up": (Update(), 3, Limits(0, 1, 1)),
    "never both zero": (Update(max_unavailable=0, max_surge=0), 5, Limits(1, 1, 0)),
    "an explicit zero forbids updates in place": (Update(max_unavailable=0, max_surge=1), 5, Limits(0, 0, 1)),
    "Recreate is never in place": (Update(type="Recreate", max_unavailable=2, max_surge=0), 5, Limits(2, 0, 0)),
    "counts are taken as they are": (Update(max_unavailable=2, max_surge=3), 5, Limits(2, 2, 3)),
    "100% is everything": (Update(max_unavailable="100%", max_surge="0%"), 4, Limits(4, 4, 0)),
}


@pytest.mark.parametrize(("update", "total", "expected"), ROUNDING.values(), ids=ROUNDING.keys())
def test_limits_round_as_a_deployment_does(update, total, expected):
    assert limits(update, total) == expected


def test_a_single_unit_is_never_doubled():
    assert limits(Update(), 1, single=True) == Limits(1, 1, 0)


STRICT = Limits(unavailable=1, in_place=1, surge=0)
SURGE = Limits(unavailable=0, in_place=1, surge=1)
CASES = {
    "nothing to do when the mix is there": ([want(OLD, 2)], some(2), STRICT, Moves()),
    "what is missing is made": ([want(OLD, 3)], some(1), STRICT, Moves(create=("old", "old"))),
    "an image change is taken in place, one at a time": (
        [want(NEW, 3)],
        some(3),
        STRICT,
        Moves(update=(("p2", "new"),)),
    ),
    "a pod that is down for another reason uses up the budget (S-159)": (
        [want(NEW, 3)],
        [*some(2), pod("broken", NEW, up=False)],
        STRICT,
        Moves(),
    ),
    "pods that do not serve go first and cost nothing (S-159)": (
        [want(NEW, 3)],
        [pod("a"), pod("b", up=False), pod("c", up=False)],
        STRICT,
        Moves(update=(("b", "new"), ("c", "new"))),
    ),
    "another shape is replaced: first one more, where surge allows": (
        [want(OTHER, 2)],
        some(2),
        SURGE,
        Moves(create=("other",)),
    ),
    "the old goes when the new serves": (
        [want(OTHER, 2)],
        [*some(2), pod("n", OTHER)],
        SURGE,
        Moves(delete=("p1",)),
    ),
    "the old stays while the new does not serve": (
        [want(OTHER, 2)],
        [*some(2), pod("n", OTHER, up=False)],
        SURGE,
        Moves(),
    ),
    "without surge the old goes first": ([want(OTHER, 2)], some(2), STRICT, Moves(delete=("p1",))),
    "back to the old spec kills the new pending pod, never the old good one (S-124)": (
        [want(OLD, 2)],
        [*some(2), pod("n", OTHER, up=False)],
        SURGE,
        Moves(delete=("n",)),
    ),
    "back in the middle of an update in place goes in place at once (S-155)": (
        [want(OLD, 3)],
        [*some(2), pod("n", NEW, up=False)],
        STRICT,
        Moves(update=(("n", "old"),)),
    ),
    "scaling down takes those that do not serve": (
        [want(OLD, 2)],
        [pod("a"), pod("b", up=False), pod("c")],
        STRICT,
        Moves(delete=("b",)),
    ),
    "scaling down is not an update: all surplus goes at once": (
        [want(OLD, 2)],
        some(9),
        STRICT,
        Moves(delete=("p8", "p7", "p6", "p5", "p4", "p3", "p2")),
    ),
    "scaling up while updating makes the new revision": (
        [want(NEW, 4)],
        some(2),
        STRICT,
        Moves(create=("new", "new")),
    ),
    "two revisions side by side each get their replicas": (
        [want(OLD, 1), want(OTHER, 2)],
        some(1),
        STRICT,
        Moves(create=("other", "other")),
    ),
    "to nothing": ([], some(2), STRICT, Moves(delete=("p1", "p0"))),
}


@pytest.mark.parametrize(("mix", "present", "limit", "expected"), CASES.values(), ids=CASES.keys())
def test_moves(mix, present, limit, expected):
    assert moves(mix, present, limit) == expected


def test_victims_are_not_ready_then_youngest_then_draining_then_the_highest_ordinal():
    """S-201."""
    order = [
        pod("down", up=False, created=1),
        pod("young", created=9),
        pod("draining", created=5, draining=True),
        pod("high", created=5, ordinal=2),
        pod("low", created=5, ordinal=1),
        pod("old", created=1),
    ]
    assert victims(reversed(order)) == order


MIXES = st.lists(st.sampled_from([OLD, NEW, OTHER]), unique=True, min_size=0, max_size=3).flatmap(
    lambda kinds: st.tuples(*(st.integers(0, 4).map(lambda n, k=k: want(k, n)) for k in kinds))
)
FLEETS = st.lists(st.tuples(st.sampled_from([OLD, NEW, OTHER]), st.booleans()), max_size=7)
UPDATES = st.builds(
    Update,
    type=st.sampled_from(["InPlaceIfPossible", "Recreate"]),
    max_unavailable=st.sampled_from([0, 1, 2, "25%", "100%"]),
    max_surge=st.sampled_from([0, 1, "25%"]),
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(MIXES, FLEETS, UPDATES)
def test_every_fleet_reaches_every_mix_and_serves_all_the_way(mix, fleet, update):
    total = sum(wanted.replicas for wanted in mix)
    limit = limits(update, total)
    present = [pod(f"p{n}", kind, up=up, ordinal=n) for n, (kind, up) in enumerate(fleet)]
    for turn in range(100):
        step = moves(mix, present, limit)
        if step == Moves() and all(r.available for r in present):
            break
        before = sum(r.available for r in present)
        present = _carried_out(step, present, mix, turn)
        lost = before - sum(r.available for r in present)
        assert lost <= max(0, before - (total - max(limit.unavailable, limit.in_place)))
        assert len(present) <= max(len(fleet), total + limit.surge)
        present = [
            dataclasses.replace(r, ready=True, available=True) if n % 2 == turn % 2 else r for n, r in enumerate(present)
        ]
    held = {w.revision: sum(r.revision == w.revision for r in present) for w in mix}
    assert held == {w.revision: w.replicas for w in mix}
    assert len(present) == total


def _carried_out(step: Moves, present: list[Replica], mix: tuple[Wanted, ...], turn: int) -> list[Replica]:
    """What kubelets make of it: what is new or updated does not serve yet."""
    kinds = {w.revision: w for w in mix}
    updated = dict(step.update)
    kept = [
        pod(r.name, kinds[updated[r.name]], up=False, ordinal=r.ordinal) if r.name in updated else r
        for r in present
        if r.name not in step.delete
    ]
    return kept + [pod(f"t{turn}-{n}", kinds[revision], up=False, created=turn) for n, revision in enumerate(step.create)]
