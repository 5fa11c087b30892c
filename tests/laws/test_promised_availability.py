"""The promised availability in one world per case: mistyped images, updates, rollbacks and drains over three zones."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import pytest
import region_checks
from kubelets import Kubelets
from region_edits import CRAMPED, ROOMY, AppEdit, Edit, PodEdit, apply, begin
from region_worlds import ALL_INDEXES, MOMENTARY, processes, promised

from pincompute.api import conditions
from pincompute.api.builtin import PODS, Pod
from pincompute.api.labels import HOST, SHARD_UID
from pincompute.testing.laws import Case, Chance, Scenario, SimulatedWorld, uphold

THREE = ("a1", "b1", "c1")
QUICK = Kubelets()
SLOW = Kubelets(ready_after=8.0, gone_after=3.0)


def region(app: AppEdit, *edits: Edit, kubelets: Kubelets = QUICK, cramped: bool = False, pod: PodEdit | None = None) -> Case:
    room = CRAMPED if cramped else ROOMY
    begins = partial(begin, members=THREE, apps={"web": app}, pods={"one": pod} if pod else {}, room=room, slow=())
    scenario = Scenario(
        (HOST, *THREE),
        begins,
        tuple(partial(apply, edit=edit, members=THREE) for edit in edits),
        kubelets.tick,
        region_checks.invariant,
        partial(region_checks.goal, even=not cramped),
        partial(promised, cramped=cramped, calm=not any(edit.what in MOMENTARY for edit in edits)),
        region_checks.outcome,
    )
    return Case(processes(THREE), scenario, ALL_INDEXES)


MISTYPED = (Edit("bad image"), Edit("image", number=2))
CASES = {
    "a mistyped image stops before the first replica in three zones goes": (AppEdit(3), MISTYPED, QUICK),
    "a mistyped image without surge takes nothing": (AppEdit(3, unavailable=1, surge=0), MISTYPED, QUICK),
    "a mistyped image of pods that are made anew takes nothing": (AppEdit(3, recreate=True), MISTYPED, QUICK),
    "an update in place keeps all three": (AppEdit(3), (Edit("image", number=2),), SLOW),
    "an update that makes new pods keeps all three": (AppEdit(3), (Edit("env", number=2),), SLOW),
    "new pods without surge come one at a time": (AppEdit(3, surge=0), (Edit("env", number=2),), SLOW),
    "maxUnavailable counts over all zones": (AppEdit(6, unavailable=1, surge=0), (Edit("image", number=2),), SLOW),
    "a percentage is rounded down": (AppEdit(5, unavailable="50%", surge=0), (Edit("env", number=2),), SLOW),
    "a rollback in the middle keeps the promise": (AppEdit(3), (Edit("image", number=2), Edit("image", number=1)), SLOW),
    "the drain of a node keeps the promise": (AppEdit(6), (Edit("drain", number=0), Edit("restore")), SLOW),
    "two drains in two members do not add up": (
        AppEdit(3, unavailable=1, surge=0),
        (Edit("drain", number=0), Edit("drain", number=1), Edit("restore")),
        SLOW,
    ),
    "an update during a drain keeps the promise": (
        AppEdit(6),
        (Edit("drain", number=0), Edit("image", number=2), Edit("restore")),
        SLOW,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_promise_is_kept(name: str) -> None:
    app, edits, kubelets = CASES[name]
    uphold("never below the promised availability", region(app, *edits, kubelets=kubelets), Chance(random.Random(0), few=2))


def check_no_replica_lacks_its_image(world: SimulatedWorld) -> None:
    """S-158: no replica that has served ever waits for an image."""
    for cluster in THREE:
        served: set[str] = set()
        for version in world.history(cluster, PODS):
            pod = version.obj
            if not isinstance(pod, Pod) or SHARD_UID not in pod.metadata.labels:
                continue
            waits = any(status.state and status.state.waiting for status in pod.status.container_statuses)
            assert not (waits and pod.metadata.uid in served), f"{pod.key} in {cluster} served, and waits for an image"
            if conditions.is_true(pod.status.conditions, "Ready"):
                served.add(pod.metadata.uid)


def test_a_replica_that_serves_never_waits_for_an_image() -> None:
    """S-158: although two of three may be missing at a time."""
    case = region(AppEdit(3, unavailable=2, surge=0), *MISTYPED, kubelets=SLOW)
    scenario = replace(case.scenario, invariant=check_no_replica_lacks_its_image)
    uphold("settles", replace(case, scenario=scenario), Chance(random.Random(0), few=2))


def test_an_update_in_a_full_cluster_does_not_wait_for_the_room_of_its_own_surplus() -> None:
    """A former replica beyond the mix and a new one that no node takes waited for each other."""
    members = ("a1", "b1")
    apps = {"db": AppEdit(4, "Preemptible", surge=2), "web": AppEdit(4, "Preemptible", unavailable=2, surge=2, recreate=True)}
    begins = partial(begin, members=members, apps=apps, pods={"one": PodEdit(tier="Preemptible")}, room=CRAMPED, slow=())
    edits = (Edit("bad image"), Edit("delete pod", "one"), Edit("image", number=2))
    scenario = Scenario(
        (HOST, *members),
        begins,
        tuple(partial(apply, edit=edit, members=members) for edit in edits),
        Kubelets(ready_after=2.0).tick,
        region_checks.invariant,
        partial(region_checks.goal, even=False),
        partial(promised, cramped=True, calm=False),
        region_checks.outcome,
    )
    uphold("settles", Case(processes(members), scenario, ALL_INDEXES), Chance(random.Random(0), few=1))
