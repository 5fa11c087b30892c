"""Generates worlds for the example controller."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import keeper
from hypothesis import strategies as st
from keeper import CONFIGMAPS, FINALIZER, KEEPERS

from pincompute.api.builtin import NAMESPACES
from pincompute.api.labels import HOST, ORIGIN_UID
from pincompute.api.meta import Key
from pincompute.engine.controller import Controller
from pincompute.testing.laws import Case, Scenario, SimulatedProcess, SimulatedWorld

CLUSTERS = (HOST, "a1", "b1")
NAMESPACE = "shop"
PROCESSES = {name: name for name in CLUSTERS}

counts = st.integers(0, 3)
names = st.sampled_from(("kay", "lee"))
edits = st.one_of(
    st.tuples(st.just("count"), names, counts),
    st.tuples(st.just("delete"), names, st.just(0)),
    st.tuples(st.just("make"), names, counts),
    st.tuples(st.just("wipe"), names, st.integers(0, 2)),
)


def begin(world: SimulatedWorld, keepers: dict[str, int], foreign: bool) -> None:
    for cluster in CLUSTERS:
        world.make(cluster, NAMESPACES, {"metadata": {"name": NAMESPACE}})
    if foreign:
        world.make("b1", CONFIGMAPS, {"metadata": {"name": "kay-7", "namespace": NAMESPACE}})
    for name, count in keepers.items():
        make(world, name, count)


def make(world: SimulatedWorld, name: str, count: int) -> None:
    if Key(NAMESPACE, name) not in world.objects(HOST, KEEPERS):
        metadata = {"name": name, "namespace": NAMESPACE, "finalizers": [FINALIZER]}
        world.make(HOST, KEEPERS, {"metadata": metadata, "spec": {"count": count}})


def apply(world: SimulatedWorld, edit: tuple[str, str, int]) -> None:
    what, name, number = edit
    key = Key(NAMESPACE, name)
    match what:
        case "count":
            world.edit(HOST, KEEPERS, key, {"spec": {"count": number}})
        case "delete":
            world.remove(HOST, KEEPERS, key)
        case "make":
            make(world, name, number)
        case _:
            world.remove("a1", CONFIGMAPS, Key(NAMESPACE, f"{name}-{number}"))


def invariant(world: SimulatedWorld) -> None:
    """Nothing foreign is touched, and nothing is kept for a keeper that has released its name."""
    for cluster in ("a1", "b1"):
        for config in world.objects(cluster, CONFIGMAPS).values():
            if config.metadata.name.endswith("-7"):
                assert not config.metadata.labels, f"{config.key} is not ours"
    uids = {keeper.metadata.uid for keeper in world.objects(HOST, KEEPERS).values()}
    for cluster in ("a1", "b1"):
        for config in world.objects(cluster, CONFIGMAPS).values():
            origin = config.metadata.labels.get(ORIGIN_UID)
            assert origin is None or origin in uids, f"{config.key} in {cluster} is left behind"


def goal(world: SimulatedWorld) -> None:
    """Deleted keepers are gone, and the others tell the truth about what they were asked last."""
    for key, kept in world.objects(HOST, KEEPERS).items():
        assert not kept.deleting, f"{key} was deleted and is still there"
        assert kept.status.kept == 2 * kept.spec.count, f"{key} says {kept.status.kept}"
        assert kept.status.observed_generation == kept.metadata.generation


@st.composite
def cases(draw: st.DrawFn, controller: Controller[Any, Any] = keeper.CONTROLLER) -> Case:
    keepers = draw(st.dictionaries(names, counts, max_size=2))
    steps = draw(st.lists(edits, max_size=3))
    scenario = Scenario(
        CLUSTERS,
        partial(begin, keepers=keepers, foreign=draw(st.booleans())),
        tuple(partial(apply, edit=step) for step in steps),
        invariant=invariant,
        goal=goal,
    )
    return Case((SimulatedProcess((controller,), PROCESSES),), scenario, collapses=not any(step[0] == "make" for step in steps))


def with_controller(case: Case, controller: Controller[Any, Any]) -> Case:
    """The same world with another controller in it."""
    return dataclasses.replace(case, processes=(dataclasses.replace(case.processes[0], controllers=(controller,)),))
