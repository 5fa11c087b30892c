"""Secrets come before the shards that name them and stay until their replicas are gone, whatever is lost, late or broken."""

from __future__ import annotations

import random
from functools import partial

import pytest
import region_settings
from kubelets import Kubelets
from region_edits import ROOMY, AppEdit, Edit, apply, begin
from region_worlds import ALL_INDEXES, processes

from pincompute.api.labels import HOST
from pincompute.api.settings import PINSECRETS
from pincompute.testing.laws import LAWS, Case, Chance, Scenario, SimulatedWorld, uphold
from pincompute.testing.laws.simulation import Simulation

MEMBERS = ("a1", "b1")


def begin_region(world: SimulatedWorld, settings: str) -> None:
    begin(world, MEMBERS, {"web": AppEdit(4, settings=settings)}, pods={}, room=ROOMY, slow=())


def edit(world: SimulatedWorld, what: str) -> None:
    apply(world, Edit(what, number=2), MEMBERS)


def check(world: SimulatedWorld) -> None:
    for member in MEMBERS:
        region_settings.check_copies(world, member)


def case(settings: str) -> Case:
    scenario = Scenario(
        (HOST, *MEMBERS),
        partial(begin_region, settings=settings),
        tuple(partial(edit, what=what) for what in ("set", "roll back", "drop")),
        Kubelets().tick,
        check,
        region_settings.check_rest,
        outcome=lambda world: sorted(world.objects(HOST, PINSECRETS)),
    )
    return Case(processes(MEMBERS), scenario, ALL_INDEXES, collapses=False)


@pytest.mark.parametrize("settings", ["NextStart", "Roll"])
def test_a_secret_is_carried_changed_and_removed(settings: str) -> None:
    Simulation(case(settings)).run()


@pytest.mark.parametrize("settings", ["NextStart", "Roll"])
@pytest.mark.parametrize("law", LAWS)
def test_a_secret_under_a_law(law: str, settings: str) -> None:
    uphold(law, case(settings), Chance(random.Random(0), few=2))
