"""Generates members for the operator alone: shards come from outside, and kubelets are simulated."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import strategies as st
from kubelets import Kubelets
from region_checks import check_newest_pod, check_restarts, check_traffic
from region_edits import ROOMY, SHOP, template
from region_worlds import united

from pincompute.api import template_hash
from pincompute.api.builtin import NAMESPACES, NODES, PODS
from pincompute.api.labels import LOCAL, MANAGED_BY, PINCOMPUTE, PODS_FINALIZER, SYSTEM_NAMESPACE
from pincompute.api.meta import Key, Manifest
from pincompute.api.shards import PINAPPSHARDS
from pincompute.domain import project_namespace
from pincompute.operator import operator_process as operator
from pincompute.testing.laws import Case, Scenario, SimulatedProcess, SimulatedWorld

MEMBER = "a1"
SHARD = Key(SHOP, "web")
BUDGET = {"unavailable": 1, "updating": 1}


def share(replicas: int, image: int, env: int) -> Manifest:
    full = template_hash.normalise(template(image, env))
    return {"revision": template_hash.revision(full), "template": full, "replicas": replicas}


def make(world: SimulatedWorld, mix: list[Manifest]) -> None:
    if SHARD in world.objects(MEMBER, PINAPPSHARDS):
        return
    metadata = {
        "name": SHARD.name,
        "namespace": SHOP,
        "labels": {MANAGED_BY: PINCOMPUTE},
        "finalizers": [PODS_FINALIZER],
    }
    spec = {"origin": {"uid": "origin", "generation": 1}, "cluster": MEMBER, "zone": "a", "mix": mix, "budget": BUDGET}
    world.make(MEMBER, PINAPPSHARDS, {"metadata": metadata, "spec": spec})


def begin(world: SimulatedWorld, mix: list[Manifest]) -> None:
    world.make(MEMBER, NAMESPACES, {"metadata": {"name": SYSTEM_NAMESPACE}})
    world.make(MEMBER, NAMESPACES, {"metadata": {"name": SHOP, "labels": project_namespace.labels_of(SHOP, "shop-uid")}})
    ready = [{"type": "Ready", "status": "True"}]
    for name in ("n1", "n2"):
        world.make(MEMBER, NODES, {"metadata": {"name": name}})
        world.edit(MEMBER, NODES, Key("", name), {"status": {"allocatable": ROOMY, "conditions": ready}}, "status")
    make(world, mix)


def apply(world: SimulatedWorld, edit: tuple[str, Any]) -> None:
    what, value = edit
    match what:
        case "mix":
            world.edit(MEMBER, PINAPPSHARDS, SHARD, {"spec": {"mix": value}})
        case "delete":
            world.remove(MEMBER, PINAPPSHARDS, SHARD)
        case "make":
            make(world, value)
        case "cordon":
            world.edit(MEMBER, NODES, Key("", "n1"), {"spec": {"unschedulable": value}})
        case _:
            for pod in sorted(world.objects(MEMBER, PODS))[:1]:
                world.remove(MEMBER, PODS, pod)


def invariant(world: SimulatedWorld) -> None:
    check_newest_pod(world, MEMBER)
    for change in world.changes[-1:]:
        check_restarts(world, change)


def goal(world: SimulatedWorld) -> None:
    """The pods are those of the mix, and the shard says so."""
    check_traffic(world)
    shards, pods = world.objects(MEMBER, PINAPPSHARDS), world.objects(MEMBER, PODS)
    shard = shards.get(SHARD)
    wanted = sum(part.replicas for part in shard.spec.mix) if shard is not None else 0
    assert len(pods) == wanted, f"{len(pods)} pods for a mix of {wanted}"
    if shard is None:
        return
    assert not shard.deleting, "the shard was deleted and is still there"
    images = sorted(c["image"] for part in shard.spec.mix for c in part.template["spec"]["containers"] * part.replicas)
    assert sorted(c.image for pod in pods.values() for c in pod.spec.containers) == images
    status = shard.status
    assert (status.replicas, status.ready_replicas, status.updated_replicas) == (wanted, wanted, wanted)
    assert status.observed_generation == shard.metadata.generation


def outcome(world: SimulatedWorld) -> int:
    """Which pod of which name carries which revision may differ; the goal says all that must not."""
    return len(world.objects(MEMBER, PODS))


mixes = st.lists(st.builds(share, st.integers(0, 4), st.integers(1, 3), st.integers(0, 1)), min_size=1, max_size=2).filter(
    lambda mix: len({part["revision"] for part in mix}) == len(mix)
)
edits = st.one_of(
    st.tuples(st.just("mix"), mixes),
    st.tuples(st.just("mix"), mixes),
    st.tuples(st.just("delete"), st.none()),
    st.tuples(st.just("make"), mixes),
    st.tuples(st.just("kill"), st.none()),
    st.tuples(st.just("cordon"), st.booleans()),
)


@st.composite
def shards(draw: st.DrawFn) -> Case:
    steps = draw(st.lists(edits, max_size=3))
    mix = draw(mixes)
    begins = partial(begin, mix=mix)
    scenario = Scenario(
        (MEMBER,), begins, tuple(partial(apply, edit=e) for e in steps), Kubelets().tick, invariant, goal, outcome=outcome
    )
    process = SimulatedProcess(operator.CONTROLLERS, {LOCAL: MEMBER})
    return Case((process,), scenario, united(*operator.INDEXES), collapses=not any(e[0] == "make" for e in steps))
