"""A workload that waits for a project's namespace goes on when the namespace is prepared, without waiting for time to pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from kubelets import Kubelets
from region_edits import ROOMY, SHOP, AppEdit, begin
from region_worlds import ALL_INDEXES, processes

from pincompute.api.builtin import NAMESPACES, PODS
from pincompute.api.labels import HOST
from pincompute.api.meta import Key
from pincompute.api.workloads import PINAPPS
from pincompute.testing.laws import Case, Scenario, SimulatedWorld
from pincompute.testing.laws.simulation import Simulation

MEMBERS = ("a1", "b1")
NAMESPACE = Key("", SHOP)


def foreign(world: SimulatedWorld) -> None:
    """A namespace of somebody else is in the way in one member."""
    world.make("b1", NAMESPACES, {"metadata": {"name": SHOP, "labels": {"team": "web"}}})
    begin(world, MEMBERS, apps={"web": AppEdit(6)}, pods={}, room=ROOMY, slow=())


def running(world: SimulatedWorld, member: str) -> int:
    return len(world.objects(member, PODS))


def waits(world: SimulatedWorld) -> None:
    """Everything else is at rest, and the status says what is missing."""
    assert running(world, "b1") == 0
    assert "namespace shop is not the platform's" in world.objects(HOST, PINAPPS)[Key(SHOP, "web")].status.message


def removed(world: SimulatedWorld) -> None:
    waits(world)
    world.remove("b1", NAMESPACES, NAMESPACE)


def handed_over(world: SimulatedWorld) -> None:
    waits(world)
    labels = {"app.kubernetes.io/managed-by": "pincompute", "pincompute.io/project": SHOP}
    world.edit("b1", NAMESPACES, NAMESPACE, {"metadata": {"labels": labels}})


def complete(world: SimulatedWorld) -> None:
    app = world.objects(HOST, PINAPPS)[Key(SHOP, "web")]
    assert (app.status.phase, app.status.ready_replicas, app.status.message) == ("Running", 6, "")
    assert [running(world, member) for member in MEMBERS] == [3, 3]


@pytest.mark.parametrize("edit", [removed, handed_over])
def test_a_workload_goes_on_when_its_namespace_is_prepared(edit: Callable[[SimulatedWorld], None]) -> None:
    scenario = Scenario((HOST, *MEMBERS), foreign, (partial(edit),), Kubelets().tick, goal=complete)
    Simulation(Case(processes(MEMBERS), scenario, ALL_INDEXES)).run()
