"""From what lives to the mix: S-124, S-159, S-201, and a rollout that never loses more than it may."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pincompute.domain.rolling_update import MemberBudget, PodActions, ReplicaState, WantedRevision, actions, victims

OLD, NEW, OTHER = WantedRevision("old", "s", 0), WantedRevision("new", "s", 0), WantedRevision("other", "t", 0)


def want(kind: WantedRevision, replicas: int) -> WantedRevision:
    return dataclasses.replace(kind, replicas=replicas)


def pod(name: str, kind: WantedRevision = OLD, *, up: bool = True, **facts) -> ReplicaState:
    return ReplicaState(name, kind.revision, kind.shape, ready=up, available=facts.pop("available", up), **facts)


def some(count: int, kind: WantedRevision = OLD, *, up: bool = True, stem: str = "p") -> list[ReplicaState]:
    return [pod(f"{stem}{n}", kind, up=up, ordinal=n) for n in range(count)]


STRICT = MemberBudget(unavailable=1, updating=1)
NONE = MemberBudget()
CASES = {
    "nothing to do when the mix is there": ([want(OLD, 2)], some(2), STRICT, PodActions()),
    "what is missing is made": ([want(OLD, 3)], some(1), STRICT, PodActions(create=("old", "old"))),
    "an image change is taken in place, one at a time": (
        [want(NEW, 3)],
        some(3),
        STRICT,
        PodActions(update=(("p2", "new"),), updates=3),
    ),
    "without a budget nothing that serves is touched, and what waits is told": (
        [want(NEW, 3)],
        some(3),
        NONE,
        PodActions(updates=3),
    ),
    "a pod that is down for another reason uses up the budget (S-159)": (
        [want(NEW, 3)],
        [*some(2), pod("broken", NEW, up=False)],
        STRICT,
        PodActions(updates=2),
    ),
    "a surplus that serves stays until the others do": (
        [want(NEW, 2)],
        [pod("a"), pod("b", NEW), pod("c", NEW, up=False)],
        NONE,
        PodActions(),
    ),
    "a surplus whose room another one needs waits for a budget": (
        [want(NEW, 2)],
        [pod("a"), pod("b", NEW), pod("c", NEW, up=False, unschedulable=True)],
        NONE,
        PodActions(evictions=1),
    ),
    "and goes with it": (
        [want(NEW, 2)],
        [pod("a"), pod("b", NEW), pod("c", NEW, up=False, unschedulable=True)],
        STRICT,
        PodActions(delete=("a",), evictions=1),
    ),
    "pods that do not serve go first and cost nothing (S-159)": (
        [want(NEW, 3)],
        [pod("a"), pod("b", up=False), pod("c", up=False)],
        NONE,
        PodActions(update=(("b", "new"), ("c", "new")), updates=3),
    ),
    "another shape is replaced: the old goes when it may": (
        [want(OTHER, 2)],
        some(2),
        STRICT,
        PodActions(delete=("p1",), evictions=2),
    ),
    "a budget for restarts in place is none for evictions": (
        [want(OTHER, 2)],
        some(2),
        MemberBudget(updating=2),
        PodActions(evictions=2),
    ),
    "and the other way round": ([want(NEW, 2)], some(2), MemberBudget(unavailable=2), PodActions(updates=2)),
    "one that is more than the mix asks for goes when as many others serve": (
        [want(OTHER, 2)],
        [*some(1), pod("m", OTHER), pod("n", OTHER)],
        NONE,
        PodActions(delete=("p0",)),
    ),
    "it stays while one of the others does not serve": (
        [want(OTHER, 2)],
        [*some(1), pod("m", OTHER), pod("n", OTHER, up=False)],
        NONE,
        PodActions(),
    ),
    "back to the old spec kills the new pending pod, never the old good one (S-124)": (
        [want(OLD, 2)],
        [*some(2), pod("n", OTHER, up=False)],
        NONE,
        PodActions(delete=("n",)),
    ),
    "back in the middle of an update in place goes in place at once (S-155)": (
        [want(OLD, 3)],
        [*some(2), pod("n", NEW, up=False)],
        NONE,
        PodActions(update=(("n", "old"),), updates=1),
    ),
    "scaling down takes those that do not serve": (
        [want(OLD, 2)],
        [pod("a"), pod("b", up=False), pod("c")],
        NONE,
        PodActions(delete=("b",)),
    ),
    "scaling down is not an update: all surplus goes at once": (
        [want(OLD, 2)],
        some(9),
        NONE,
        PodActions(delete=("p8", "p7", "p6", "p5", "p4", "p3", "p2")),
    ),
    "scaling up while updating makes the new revision": (
        [want(NEW, 4)],
        some(2),
        NONE,
        PodActions(create=("new", "new"), updates=2),
    ),
    "two revisions side by side each get their replicas": (
        [want(OLD, 1), want(OTHER, 2)],
        some(1),
        NONE,
        PodActions(create=("other", "other")),
    ),
    "without in place every replica of another revision is replaced": (
        [want(NEW, 2)],
        some(2),
        MemberBudget(unavailable=1, updating=1, in_place=False),
        PodActions(delete=("p1",), evictions=2),
    ),
    "a restart of one container waits for a budget": (
        [want(OLD, 2)],
        [pod("a", restart=True), pod("b")],
        NONE,
        PodActions(updates=1),
    ),
    "and is done with one": (
        [want(OLD, 2)],
        [pod("a", restart=True), pod("b", restart=True)],
        STRICT,
        PodActions(restart=("a",), updates=2),
    ),
    "a replica that somebody wants to end goes with a budget for evictions": (
        [want(OLD, 2)],
        [pod("a", replace=True), pod("b")],
        STRICT,
        PodActions(delete=("a",), evictions=1),
    ),
    "what is ready and not yet available waits for a budget as well": (
        [want(NEW, 2)],
        [pod("a", available=False), pod("b", available=False)],
        NONE,
        PodActions(updates=2),
    ),
    "and its room is no room that nothing uses": (
        [want(OTHER, 2)],
        [pod("a", available=False), pod("b", OTHER), pod("c", OTHER, up=False, unschedulable=True)],
        NONE,
        PodActions(evictions=1),
    ),
    "the next replica waits until the last one is available": (
        [want(NEW, 3)],
        [pod("a"), pod("b"), pod("c", NEW, available=False)],
        STRICT,
        PodActions(updates=2),
    ),
    "a failing revision is left at once, also by what does not prove itself": (
        [want(OLD, 2)],
        [pod("a"), pod("b", NEW, available=False)],
        STRICT,
        PodActions(update=(("b", "old"),), updates=1),
    ),
    "to nothing": ([], some(2), NONE, PodActions(delete=("p1", "p0"))),
}


@pytest.mark.parametrize(("mix", "present", "limit", "expected"), CASES.values(), ids=CASES.keys())
def test_actions(mix, present, limit, expected):
    assert actions(mix, present, limit) == expected


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
LIMITS = st.builds(MemberBudget, st.integers(1, 4), st.integers(1, 4), st.booleans())


@settings(max_examples=300, derandomize=True, deadline=None)
@given(MIXES, FLEETS, LIMITS)
def test_every_fleet_reaches_every_mix_and_serves_all_the_way(mix, fleet, limit):
    total = sum(wanted.replicas for wanted in mix)
    present = [pod(f"p{n}", kind, up=up, ordinal=n) for n, (kind, up) in enumerate(fleet)]
    for turn in range(100):
        made = actions(mix, present, limit)
        if made == PodActions() and all(r.available for r in present):
            break
        before = sum(r.available for r in present)
        present = _carried_out(made, present, mix, turn)
        lost = before - sum(r.available for r in present)
        assert lost <= max(0, before - (total - limit.unavailable - limit.updating))
        assert len(present) <= max(len(fleet), total)
        present = [
            dataclasses.replace(r, ready=True, available=True) if n % 2 == turn % 2 else r for n, r in enumerate(present)
        ]
    held = {w.revision: sum(r.revision == w.revision for r in present) for w in mix}
    assert held == {w.revision: w.replicas for w in mix}
    assert len(present) == total


def _carried_out(
    made: PodActions, present: list[ReplicaState], mix: tuple[WantedRevision, ...], turn: int
) -> list[ReplicaState]:
    """What kubelets make of it: what is new or updated does not serve yet."""
    kinds = {w.revision: w for w in mix}
    updated = dict(made.update)
    kept = [
        pod(r.name, kinds[updated[r.name]], up=False, ordinal=r.ordinal) if r.name in updated else r
        for r in present
        if r.name not in made.delete
    ]
    return kept + [pod(f"t{turn}-{n}", kinds[revision], up=False, created=turn) for n, revision in enumerate(made.create)]
