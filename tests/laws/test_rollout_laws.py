"""A rollout walks zone by zone, in steps over the total, and a bad revision is undone before it reaches the next zone (N1)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import region_checks
from kubelets import Kubelets
from region_edits import LOAD, ROOMY, SHOP, AppEdit, Edit, apply, begin
from region_worlds import ALL_INDEXES, processes, promised

from pincompute.api.builtin import PODS
from pincompute.api.labels import HOST
from pincompute.api.meta import Key
from pincompute.api.revisions import PINREVISIONS
from pincompute.api.workloads import PINAPPS, PinApp
from pincompute.testing.laws import LAWS, Case, Chance, Scenario, SimulatedWorld, uphold
from pincompute.testing.laws.simulation import Simulation

THREE = ("a1", "b1", "c1")
SLOW = Kubelets(ready_after=4.0, gone_after=2.0)
BAD_IN_B = Edit("image", number=7)
ZONE_BY_ZONE = {"strategy": "ZoneByZone", "onFailure": "Rollback"}


def images(world: SimulatedWorld, member: str) -> list[str]:
    return [pod.spec.containers[0].image for pod in world.objects(member, PODS).values() if not pod.deleting]


def web(world: SimulatedWorld) -> PinApp:
    return world.objects(HOST, PINAPPS)[Key(SHOP, "web")]


def in_order(world: SimulatedWorld) -> None:
    """What fails in zone b never reaches zone c, and reaches zone b only when zone a is complete."""
    region_checks.invariant(world)
    assert "hello:7" not in images(world, "c1")
    if "hello:2" in images(world, "c1"):
        assert set(images(world, "a1") + images(world, "b1")) == {"hello:2"}


def runs(image: str, state: str) -> Callable[[SimulatedWorld], None]:
    def check(world: SimulatedWorld) -> None:
        assert {name for member in THREE for name in images(world, member)} == {image}
        record = web(world).status.rollout
        assert record is not None
        assert record.state == state

    return check


def stays_in_the_first_zone(world: SimulatedWorld) -> None:
    """The first zone has the new revision, whose figures prove nothing, and no other zone has."""
    assert {name for member in THREE for name in images(world, member)} == {"hello:1", "hello:2"}
    assert set(images(world, "b1") + images(world, "c1")) == {"hello:1"}


def ends_first(world: SimulatedWorld) -> None:
    region_checks.invariant(world)
    region_checks.check_no_mix(world)


def case(
    app: AppEdit,
    *edits: Edit,
    rests: Callable[[SimulatedWorld], None],
    kubelets: Kubelets = SLOW,
    invariant: Callable[[SimulatedWorld], None] | None = None,
) -> Case:
    scenario = Scenario(
        (HOST, *THREE),
        partial(begin, members=THREE, apps={"web": app}, pods={}, room=ROOMY, slow=()),
        tuple(partial(apply, edit=edit, members=THREE) for edit in edits),
        kubelets.tick,
        invariant or (ends_first if app.update.get("strategy") == "Recreate" else in_order),
        rests,
        partial(promised, cramped=False, calm=True),
        region_checks.outcome,
    )
    return Case(processes(THREE), scenario, ALL_INDEXES, collapses=False)


GATED = {**ZONE_BY_ZONE, "bakeSeconds": 20, "metrics": [LOAD]}
UNMEASURED = case(AppEdit(6, update={**GATED, "onFailure": "Hold"}), Edit("image", number=2), rests=stays_in_the_first_zone)
UNDONE = case(AppEdit(6, unavailable="50%", update=ZONE_BY_ZONE), BAD_IN_B, rests=runs("hello:1", "RolledBack"))
RECREATE = {"strategy": "Recreate", "onFailure": "Rollback"}
RECREATED = case(AppEdit(6, update=RECREATE), Edit("image", number=2), Edit("env", number=3), rests=runs("hello:1", "Complete"))
CASES = {
    "what fails in the second zone is undone in both": UNDONE,
    "what was undone makes way for a better revision": case(
        AppEdit(6, update=ZONE_BY_ZONE), BAD_IN_B, Edit("image", number=2), rests=runs("hello:2", "Complete")
    ),
    "zone after zone": case(AppEdit(6, update=ZONE_BY_ZONE), Edit("image", number=2), rests=runs("hello:2", "Complete")),
    "new pods, one at a time": case(
        AppEdit(6, unavailable=1, surge=0, update=ZONE_BY_ZONE), Edit("env", number=2), rests=runs("hello:1", "Complete")
    ),
    "bake time between steps": case(
        AppEdit(6, update={"strategy": "ZoneByZone", "bakeSeconds": 20}),
        Edit("image", number=2),
        rests=runs("hello:2", "Complete"),
    ),
    "what no figure proves never reaches the second zone": UNMEASURED,
    "what breaks a bound is undone": case(
        AppEdit(6, update=GATED), Edit("measure", number=9), Edit("image", number=2), rests=runs("hello:1", "RolledBack")
    ),
    "what its figures prove goes on": case(
        AppEdit(6, update=GATED), Edit("image", number=2), Edit("measure", number=3), rests=runs("hello:2", "Complete")
    ),
    "all end before one of the next starts": RECREATED,
    "what ends first and then fails is undone, likewise": case(
        AppEdit(6, update=RECREATE), Edit("bad image"), rests=runs("hello:1", "RolledBack")
    ),
    "a pause in the middle starts and ends nothing": case(
        AppEdit(6, update=RECREATE),
        Edit("image", number=2),
        Edit("pause"),
        Edit("resume"),
        rests=runs("hello:2", "Complete"),
    ),
    "a silent member may still run the former one": case(
        AppEdit(6, update=RECREATE),
        Edit("silence", number=1),
        Edit("image", number=2),
        Edit("restore"),
        rests=runs("hello:2", "Complete"),
    ),
    "scaled in the middle": case(
        AppEdit(6, update=ZONE_BY_ZONE), Edit("image", number=2), Edit("scale", number=9), rests=runs("hello:2", "Complete")
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_rollout(name: str) -> None:
    Simulation(CASES[name]).run()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("of", [UNDONE, RECREATED, UNMEASURED], ids=["undone", "recreated", "unmeasured"])
def test_a_rollout_under_a_law(of: Case, law: str) -> None:
    uphold(law, of, Chance(random.Random(0), few=2))


def test_revisions_of_a_project_take_no_more_than_its_limit() -> None:
    """Each takes a step of 1 KiB here, and two apps keep theirs in one project. At rest each still has its newest."""

    def rests(world: SimulatedWorld) -> None:
        names = [revision.metadata.name for revision in world.objects(HOST, PINREVISIONS).values()]
        assert len(names) == 4
        assert {name.split("-")[1] for name in names} == {"web", "db"}

    edits = (Edit("limit documents", number=4), *(Edit("env", name, n) for n in range(1, 6) for name in ("web", "db")))
    made = case(AppEdit(2), *edits, rests=rests)
    begun = partial(begin, members=THREE, apps={"web": AppEdit(2), "db": AppEdit(2)}, pods={}, room=ROOMY, slow=())
    Simulation(replace(made, scenario=replace(made.scenario, begin=begun))).run()
