"""Worlds with a daemon on the nodes of members in zones. Administrators write other versions while nodes and members fail.

A DaemonSet controller and kubelets here act as those of Kubernetes. A copy that serves is ended for an update only within the
account of the daemon, which is judged by what the nodes of all members really run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypothesis import strategies as st
from kubelets import BAD, CRASHING, Kubelets, is_up, lose_node, nodes_back
from region_edits import ROOMY, ZONES, join

from pincompute.api import conditions, daemons, merge_patch
from pincompute.api.builtin import DAEMONSETS, NAMESPACES, NODES, PODS, DaemonSet, Pod
from pincompute.api.daemons import PINDAEMONS, PINDAEMONSHARDS, PinDaemon
from pincompute.api.labels import DAEMON, DAEMONS_NAMESPACE, FLEET_FINALIZER, HOST, LOCAL, SYSTEM_NAMESPACE
from pincompute.api.meta import Key, Manifest
from pincompute.federation.daemon import daemon_controller as federation
from pincompute.operator.daemons import daemon_controller as operator
from pincompute.testing.laws import Case, Scenario, SimulatedProcess, SimulatedWorld

MEMBERS = ("a1", "a2", "b1", "c1")
LOGS = Key("", "logs")
FIRST, SECOND, THIRD = "hello:1", "hello:2", "hello:3"
FAILING = (BAD, CRASHING)
SLOW = Kubelets(ready_after=2.0, gone_after=1.0)


def processes() -> tuple[SimulatedProcess, ...]:
    return (
        SimulatedProcess((federation.CONTROLLER,), {name: name for name in (HOST, *MEMBERS)}),
        *(SimulatedProcess((operator.CONTROLLER,), {LOCAL: member}) for member in MEMBERS),
    )


def begin(world: SimulatedWorld, update: Manifest, slow: tuple[str, ...] = ()) -> None:
    """The first version has proved itself, and every node is to have a copy of it."""
    world.make(HOST, NAMESPACES, {"metadata": {"name": SYSTEM_NAMESPACE}})
    for member in MEMBERS:
        world.make(member, NAMESPACES, {"metadata": {"name": DAEMONS_NAMESPACE}})
        join(world, member, ROOMY)
    spec = {"container": {"image": FIRST}, "update": {"zoneOrder": ["a", "b"], "bakeSeconds": 0, **update}}
    world.make(HOST, PINDAEMONS, {"metadata": {"name": "logs", "finalizers": [FLEET_FINALIZER]}, "spec": spec})
    first = daemons.version(world.objects(HOST, PINDAEMONS)[LOGS].spec)
    record = {"revision": first.revision, "state": "Complete"}
    world.edit(HOST, PINDAEMONS, LOGS, {"status": {"stable": merge_patch.to_json(first), "rollout": record}}, "status")
    for member in slow:
        world.slow[member] = 3.0


# -- what Kubernetes does ----------------------------------------------------------------------------------------------------


def tick(world: SimulatedWorld) -> None:
    for member in MEMBERS:
        for key, found in sorted(world.objects(member, DAEMONSETS).items()):
            if not found.deleting:
                reconcile(world, member, key, found)
    SLOW.tick(world)


def reconcile(world: SimulatedWorld, member: str, key: Key, found: DaemonSet) -> None:
    """One step of the DaemonSet controller: missing copies first, then the rolling update, then what it has observed."""
    store = world.stores[member]
    body = store.get(DAEMONSETS, key)
    template, strategy = body["spec"]["template"], body["spec"]["updateStrategy"]
    nodes = sorted(name.name for name in world.objects(member, NODES))
    present = {pod.spec.node_name: pod for pod in copies(world, member)}
    for node in nodes:
        if node not in present:
            world.make(member, PODS, made(key, found, template, node, world.version(member)))
    if strategy["type"] == "RollingUpdate":
        roll(world, member, [pod for pod in present.values() if is_old(pod, template)], strategy["rollingUpdate"])
    status = {"observedGeneration": found.metadata.generation, "desiredNumberScheduled": len(nodes)}
    if (found.status.observed_generation, found.status.desired_number_scheduled) != tuple(status.values()):
        store.patch(DAEMONSETS, key, {"status": status}, content_type="merge-patch", subresource="status")


def made(key: Key, found: DaemonSet, template: Manifest, node: str, number: int) -> Manifest:
    owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": key.name, "uid": found.metadata.uid, "controller": True}
    metadata = {"name": f"{key.name}-{node}-{number}", "namespace": key.namespace, "labels": template["metadata"]["labels"]}
    containers = [{"name": c["name"], "image": c["image"]} for c in template["spec"]["containers"]]
    return {"metadata": {**metadata, "ownerReferences": [owner]}, "spec": {"nodeName": node, "containers": containers}}


def is_old(pod: Pod, template: Manifest) -> bool:
    return [c.image for c in pod.spec.containers] != [c["image"] for c in template["spec"]["containers"]]


def roll(world: SimulatedWorld, member: str, old: list[Pod], rolling: Manifest) -> None:
    """As Kubernetes does: old copies that do not serve go at once, others as far as the member may have nodes without one."""
    for pod in sorted(old, key=lambda pod: pod.key):
        serves = is_ready(pod)
        if pod.deleting or (serves and without_copy(world, member) >= rolling["maxUnavailable"]):
            continue
        if serves:
            judge(world, pod)
        world.stores[member].delete(PODS, pod.key)


def judge(world: SimulatedWorld, pod: Pod) -> None:
    """The account: no copy that serves is ended where as many nodes of all members lack one as the update may leave so."""
    found: PinDaemon | None = world.objects(HOST, PINDAEMONS).get(LOGS)
    most = found.spec.update.max_unavailable if found is not None else 1
    down = sum(without_copy(world, member) for member in MEMBERS)
    assert down < int(most), f"{pod.key} serves and is ended, while {down} nodes lack a ready copy and {most} may"


# -- what there is -----------------------------------------------------------------------------------------------------------


def copies(world: SimulatedWorld, member: str) -> list[Pod]:
    return [pod for pod in world.objects(member, PODS).values() if DAEMON in pod.metadata.labels]


def is_ready(pod: Pod) -> bool:
    return not pod.deleting and conditions.is_true(pod.status.conditions, "Ready")


def without_copy(world: SimulatedWorld, member: str) -> int:
    serving = {pod.spec.node_name for pod in copies(world, member) if is_ready(pod)}
    return len(world.objects(member, NODES)) - len(serving)


def images(world: SimulatedWorld, zone: str) -> set[str]:
    there = (pod for member in MEMBERS if ZONES[member] == zone for pod in copies(world, member) if not pod.deleting)
    return {container.image for pod in there for container in pod.spec.containers}


def in_order(world: SimulatedWorld) -> None:
    """N1: a version reaches a zone only when the zone before has nothing else, and one that fails never leaves its first."""
    assert images(world, "b").isdisjoint(FAILING), "a version that fails is in zone b"
    assert images(world, "c").isdisjoint(FAILING), "a version that fails is in zone c"
    record = world.objects(HOST, PINDAEMONS)[LOGS].status.rollout if LOGS in world.objects(HOST, PINDAEMONS) else None
    if record is None or record.state != "Progressing":
        return
    for before, zone in (("a", "b"), ("b", "c")):
        if SECOND in images(world, zone):
            assert images(world, before) == {SECOND}, f"zone {zone} has the version before zone {before} is complete"


# -- what people and fate do -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DaemonEdit:
    what: str
    member: str = "a1"
    image: str = SECOND


def apply(world: SimulatedWorld, edit: DaemonEdit) -> None:
    match edit.what:
        case "write":
            world.edit(HOST, PINDAEMONS, LOGS, {"spec": {"container": {"image": edit.image}}})
        case "pause" | "resume":
            world.edit(HOST, PINDAEMONS, LOGS, {"spec": {"paused": edit.what == "pause"}})
        case "lose node":
            lose_node(world, edit.member, 0)
        case "silence":
            world.silence(edit.member)
        case "delete":
            world.remove(HOST, PINDAEMONS, LOGS)
        case _:
            heal(world)


def heal(world: SimulatedWorld) -> None:
    nodes_back(world)
    for member in MEMBERS:
        world.restore(member)


def serves(image: str, state: str, world: SimulatedWorld) -> None:
    """At rest, every node has a ready copy of the image, and the record says so."""
    found = world.objects(HOST, PINDAEMONS)[LOGS]
    assert found.status.rollout is not None
    assert found.status.rollout.state == state, found.status.rollout
    for member in MEMBERS:
        assert without_copy(world, member) == 0, f"{member} lacks a copy"
        assert images(world, ZONES[member]) == {image}
    assert (found.status.nodes, found.status.ready, found.status.updated) == (8, 8, 8)
    assert {shard.spec.max_unavailable for m in MEMBERS for shard in world.objects(m, PINDAEMONSHARDS).values()} == {0}


def gone(world: SimulatedWorld) -> None:
    assert LOGS not in world.objects(HOST, PINDAEMONS)
    kinds = (PINDAEMONSHARDS, DAEMONSETS, PODS)
    assert not any(world.objects(member, kind) for member in MEMBERS for kind in kinds)


def rests(world: SimulatedWorld) -> None:
    """Whatever came before: the last good version is everywhere."""
    found = world.objects(HOST, PINDAEMONS)[LOGS]
    serves(found.spec.container.image, "Complete", world)


def nothing(_world: SimulatedWorld) -> None:
    """The account is judged where a copy is ended."""


def case(
    *edits: DaemonEdit,
    goal: Callable[[SimulatedWorld], None],
    invariant: Callable[[SimulatedWorld], None] = nothing,
    slow: tuple[str, ...] = (),
    **update: Any,
) -> Case:
    scenario = Scenario(
        (HOST, *MEMBERS),
        partial(begin, update=update, slow=slow),
        tuple(partial(apply, edit=edit) for edit in edits),
        tick,
        invariant,
        goal,
        outcome=outcome,
    )
    indexes = {resource: dict(table) for resource, table in operator.INDEXES.items()}
    return Case(processes(), scenario, indexes, collapses=False)


def outcome(world: SimulatedWorld) -> list[tuple[str, str, frozenset[str]]]:
    """What must be the same whatever went wrong on the way."""
    return [(member, node.name, frozenset(images(world, ZONES[member]))) for member in MEMBERS for node in nodes(world, member)]


def nodes(world: SimulatedWorld, member: str) -> list[Key]:
    return sorted(key for key, node in world.objects(member, NODES).items() if is_up(node))


WRITE = DaemonEdit("write")
CASES = {
    "another version reaches every node, zone by zone": case(
        WRITE, goal=partial(serves, SECOND, "Complete"), invariant=in_order
    ),
    "an image that nobody has stops in the first zone and is undone": case(
        DaemonEdit("write", image=BAD), goal=partial(serves, FIRST, "RolledBack"), invariant=in_order
    ),
    "a program that crashes is undone": case(
        DaemonEdit("write", image=CRASHING), goal=partial(serves, FIRST, "RolledBack"), invariant=in_order, bakeSeconds=5
    ),
    "as many nodes at a time as the account allows": case(WRITE, goal=partial(serves, SECOND, "Complete"), maxUnavailable=3),
    "a member that was silent catches up": case(
        DaemonEdit("silence", "b1"), WRITE, DaemonEdit("heal"), goal=partial(serves, SECOND, "Complete"), invariant=in_order
    ),
    "a node that is lost holds the update up, and no longer": case(
        DaemonEdit("lose node", "c1"), WRITE, DaemonEdit("heal"), goal=partial(serves, SECOND, "Complete"), invariant=in_order
    ),
    "a daemon that is deleted leaves nothing": case(DaemonEdit("delete"), goal=gone),
}

written = st.builds(DaemonEdit, st.just("write"), image=st.sampled_from((FIRST, SECOND, THIRD, *FAILING)))
losses = st.builds(DaemonEdit, st.sampled_from(("lose node", "silence", "heal")), st.sampled_from(MEMBERS))
others = st.builds(DaemonEdit, st.sampled_from(("pause", "resume")))


@st.composite
def histories(draw: st.DrawFn) -> Case:
    """Any order of versions, pauses and losses; in the end all is well again, and a last good version is written."""
    edits = draw(st.lists(st.one_of(written, losses, others), min_size=1, max_size=4))
    last = (DaemonEdit("resume"), DaemonEdit("heal"), DaemonEdit("write", image=draw(st.sampled_from((FIRST, "hello:4")))))
    update: Manifest = {"maxUnavailable": draw(st.integers(1, 3)), "bakeSeconds": draw(st.sampled_from((0, 4)))}
    return case(*edits, *last, goal=rests, slow=draw(st.sampled_from(((), ("a1",)))), **update)
