"""The strategy Recreate: all replicas of the former revision end before the first of the new one starts, in all members."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from federation.object_builders import capacity, member, template
from federation.test_rollout_progress import MEMBERS, PLACED, V1, V2, app, progress, record, rendered, site

from pincompute.api.workloads import RolloutStatus, Update
from pincompute.federation.workload import recreation
from pincompute.federation.workload.member_shards import MemberShard, MissingDependency
from pincompute.federation.workload.rollout import PROOF, Rollout

RECREATE = Update(strategy="Recreate", on_failure="Rollback")
BEGUN = RolloutStatus(revision=V2, stable=V1)


def there(*counts: tuple[int, int] | None, silent: str = "") -> tuple[MemberShard, ...]:
    """New and old replicas by member; None where the member holds no shard."""
    return tuple(
        MemberShard(member(name), None, known=name != silent) if count is None else site(name, *count, known=name != silent)
        for name, count in zip(MEMBERS, counts, strict=True)
    )


def decided(of: Any, sites: tuple[MemberShard, ...]) -> Rollout | None:
    return recreation.decide(of, PLACED, sites)


def replicas(made: Rollout | None) -> dict[str, int] | None:
    return {each.site.name: each.replicas for each in made.assignments} if made is not None else None


CASES: dict[str, tuple[tuple[tuple[int, int] | None, ...], str, dict[str, int] | None, str]] = {
    "all end at once": (((0, 2), (0, 2), (0, 2)), "", {"a1": 0, "b1": 0, "c1": 0}, "zones a, b and c"),
    "none starts before the last has ended": ((None, None, (0, 2)), "", {"a1": 0, "b1": 0, "c1": 0}, "in zone c"),
    "what has the new revision already keeps it": (((2, 0), (0, 2), None), "", {"a1": 2, "b1": 0, "c1": 0}, "in zone b"),
    "all start when all have ended": ((None, None, None), "", None, ""),
    "a start goes on": (((2, 0), None, None), "", None, ""),
    "none ends where one does not answer": (
        ((0, 2), (0, 2), (0, 2)),
        "b1",
        {"a1": 2, "b1": 2, "c1": 2},
        "zone b may still run",
    ),
    "none starts where one does not answer": ((None, (0, 2), None), "b1", {"a1": 0, "b1": 2, "c1": 0}, "zone b may still run"),
    "what nobody has seen may run": ((None, None, None), "b1", {"a1": 0, "b1": 0, "c1": 0}, "zone b may still run"),
    "a silent one with the new revision holds nothing up": (((2, 0), (2, 0), None), "b1", None, ""),
}


@pytest.mark.parametrize("name", CASES)
def test_an_update_that_ends_all_replicas_first(name: str):
    counts, silent, wanted, says = CASES[name]
    made = decided(app(RECREATE, BEGUN), there(*counts, silent=silent))
    assert replicas(made) == wanted
    assert says in (made.blocked if made is not None else "")


def test_a_pause_ends_nothing():
    paused = app(RECREATE, BEGUN)
    spec = msgspec.structs.replace(paused.obj.spec, paused=True)
    paused = replace(paused, obj=msgspec.structs.replace(paused.obj, spec=spec))
    assert replicas(decided(paused, there((0, 2), None, (0, 2)))) == {"a1": 2, "b1": 0, "c1": 2}
    assert progress(paused, there((0, 2), None, (0, 2))).ends_first


def test_nothing_ends_for_a_revision_that_cannot_start():
    old = there((0, 2), (0, 2), (0, 2))
    lacking = (replace(old[0], unready={V2: MissingDependency("secret s does not exist")}), *old[1:])
    unprepared = (replace(old[0], lacks="its namespace"), *old[1:])
    for sites in (lacking, unprepared):
        assert replicas(decided(app(RECREATE, BEGUN), sites)) == {"a1": 2, "b1": 2, "c1": 2}


@pytest.mark.parametrize(("room", "lacks"), [(capacity(), True), (None, False)], ids=["too small", "not known"])
def test_nothing_ends_where_no_node_is_known_to_take_a_replica(room: Any, lacks: bool):
    """That the room is not known is no lack of room."""
    old = tuple(replace(s, member=replace(s.member, capacity=room)) for s in there((0, 2), (0, 2), (0, 2)))
    of = app(RECREATE, BEGUN)
    large = replace(of, rendered=replace(of.rendered, requests=rendered(template(cpu="9")).requests))
    made = decided(large, old)
    assert replicas(made) == {"a1": 2, "b1": 2, "c1": 2}
    assert made is not None
    assert made.lacks_room is lacks


def test_nothing_ends_before_it_is_stored_what_served():
    made = progress(app(RECREATE), there((0, 2), (0, 2), (0, 2)))
    assert (made.turned, record(made).stable) == (True, V1)
    stored = progress(app(RECREATE, BEGUN), there((0, 2), (0, 2), (0, 2)))
    assert (stored.turned, stored.ends_first, record(stored).steps) == (False, True, 1)


def test_a_failed_one_goes_back_likewise():
    of = app(RECREATE, BEGUN)
    failing = (site("a1", 1, 0, failing=True), *there(None, (1, 0), None)[1:])
    turned = progress(of, failing)
    assert (record(turned).state, turned.turned) == ("RollingBack", True)
    back = progress(app(RECREATE, record(turned)), failing)
    assert (back.workload.rendered.revision, back.ends_first, back.limits) == (V1, True, None)
    assert replicas(decided(back.workload, failing)) == {"a1": 0, "b1": 0, "c1": 0}


def test_a_replica_without_a_check_has_to_run_for_a_while():
    of = app(RECREATE, BEGUN)
    made = decided(of, there((0, 2), None, None))
    assert made is not None
    assert {each.min_ready_seconds for each in recreation.proving(of, made).assignments} == {PROOF}
