"""Replays the scenarios of upstream's end-to-end tests of Deployments that mean something here (docs/deployment-comparison.md).

The controllers of a whole region run in them, and every write is judged by the laws' invariants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
import region_checks
from region_edits import AppEdit, Edit
from test_rollout_laws import case, images, runs, web

from pincompute.testing.laws import SimulatedWorld
from pincompute.testing.laws.simulation import Simulation

Rests: TypeAlias = Callable[[SimulatedWorld], None]


def has(replicas: int, image: str) -> Rests:
    """All replicas are there, serve, and have the image."""

    def check(world: SimulatedWorld) -> None:
        there = [name for member in ("a1", "b1", "c1") for name in images(world, member)]
        assert there == [image] * replicas
        status = web(world).status
        assert (status.replicas, status.ready_replicas, status.updated_replicas, status.unavailable_replicas) == (
            replicas,
            replicas,
            replicas,
            0,
        )

    return check


def ended(world: SimulatedWorld) -> None:
    assert not [name for member in ("a1", "b1", "c1") for name in images(world, member)]


def held(world: SimulatedWorld) -> None:
    """Seven replicas serve the former revision, and no more than the canary has the bad one."""
    there = [name for member in ("a1", "b1", "c1") for name in images(world, member)]
    assert there.count("hello:1") >= 7
    assert there.count("hello:9") <= 1


SCENARIOS: dict[str, tuple[AppEdit, tuple[Edit, ...], Rests]] = {
    "a rolling update deletes old pods and creates new ones": (
        AppEdit(3, update={"strategy": "Parallel"}),
        (Edit("image", number=2),),
        has(3, "hello:2"),
    ),
    "a rollover takes any number of changes before the first is done": (
        AppEdit(6, update={"strategy": "ZoneByZone", "bakeSeconds": 300}),
        (Edit("image", number=2), Edit("env", number=2), Edit("bad image"), Edit("image", number=3)),
        runs("hello:3", "Complete"),
    ),
    "a scale reaches an update that is stuck": (
        AppEdit(5, update={"strategy": "Parallel"}),
        (Edit("bad image"), Edit("scale", number=8)),
        held,
    ),
    "it is updated, scaled, changed and deleted": (
        AppEdit(2),
        (Edit("image", number=2), Edit("scale", number=1), Edit("scale", number=2), Edit("image", number=3), Edit("delete")),
        ended,
    ),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_of_upstream(name: str) -> None:
    app, edits, rests = SCENARIOS[name]

    Simulation(case(app, *edits, rests=rests, invariant=region_checks.invariant)).run()
