"""Worlds with a sidecar in the pods of an app, whose fleet takes other versions, loses it, or may not have it.

Pods here report their sidecar as kubelets do, and nodes take a while to pull an image.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import region_checks
from hypothesis import strategies as st
from kubelets import BAD, CRASHING, Kubelets, statuses
from region_edits import ROOMY, AppEdit, Edit, apply, begin, change
from region_worlds import ALL_INDEXES, processes, promised

from pincompute.api.builtin import PODS, Pod
from pincompute.api.labels import FLEET_FINALIZER, HOST, IMAGE_PULL_SHARD_UID
from pincompute.api.meta import Key, Manifest
from pincompute.api.sidecars import PINSIDECARS, PINSIDECARSHARDS
from pincompute.api.workloads import PINAPPS
from pincompute.testing.laws import Case, Scenario, SimulatedWorld
from pincompute.testing.laws.simulated_world import WorldChange, since

MEMBERS = ("a1", "b1")
METER = Key("", "meter")
NEW = "hello:2"
SLOW = Kubelets(ready_after=3.0, gone_after=1.0, pulled_after=15.0)  # a pull takes longer than a pod drains


def begin_region(
    world: SimulatedWorld, update: Manifest, selector: Manifest | None = None, allowed: tuple[str, ...] = ("*",)
) -> None:
    """The app names the sidecar, unless a selector chooses it."""
    spec = {"container": {"image": "hello:1"}, "update": {"bakeSeconds": 0, "progressDeadlineSeconds": 120, **update}}
    spec |= {"allowedProjects": list(allowed), **({"selector": selector} if selector else {})}
    begin(world, MEMBERS, {"web": AppEdit(4, sidecars="" if selector else "meter")}, pods={}, room=ROOMY, slow=())
    world.make(HOST, PINSIDECARS, {"metadata": {"name": "meter", "finalizers": [FLEET_FINALIZER]}, "spec": spec})


def pods(world: SimulatedWorld) -> list[tuple[str, Pod]]:
    """Replicas; a pod that only pulls images is none."""
    found = ((m, pod) for m in MEMBERS for pod in world.objects(m, PODS).values() if not pod.deleting)
    return [(m, pod) for m, pod in found if IMAGE_PULL_SHARD_UID not in pod.metadata.labels]


def image(pod: Pod) -> str:
    """The image of its sidecar; empty where it has none."""
    return next((container.image for container in pod.spec.init_containers if container.name == "platform-meter"), "")


def write(image: str, world: SimulatedWorld) -> None:
    world.edit(HOST, PINSIDECARS, METER, {"spec": {"container": {"image": image}}})


def delete(world: SimulatedWorld) -> None:
    world.remove(HOST, PINSIDECARS, METER)


def select_nothing(world: SimulatedWorld) -> None:
    world.edit(HOST, PINSIDECARS, METER, {"spec": {"selector": {"projects": None}, "otherChanges": "Replace"}})


def allow_all(world: SimulatedWorld) -> None:
    """Until now the app could not have it, and says so."""
    assert not pods(world)
    message = world.objects(HOST, PINAPPS)[Key("shop", "web")].status.message
    assert "project shop may not have sidecar meter" in message
    world.edit(HOST, PINSIDECARS, METER, {"spec": {"allowedProjects": ["*"]}})


def pause_app(world: SimulatedWorld) -> None:
    change(world, Edit("pause"), {"paused": True})


def invariant(world: SimulatedWorld) -> None:
    """The usual ones; and a version that fails never reaches the second zone, one that works only after the whole first one."""
    region_checks.invariant(world)
    there = {member: {image(pod) for where, pod in pods(world) if where == member} for member in MEMBERS}
    assert there["b1"].isdisjoint((BAD, CRASHING))
    assert NEW not in there["b1"] or there["a1"] == {NEW}, "zone b has the version before zone a is complete"
    for made in world.changes[-1:]:
        check_pulled_first(world, made)


def check_pulled_first(world: SimulatedWorld, change: WorldChange) -> None:
    """S-158: a sidecar that runs ends for another image only when the pod's node has that image."""
    if change.cluster == HOST:
        return
    for version in since(world.history(change.cluster, PODS), change.before):
        was, now = world.objects(change.cluster, PODS, change.before).get(version.key), version.obj
        if was is None or not isinstance(now, Pod) or image(was) == image(now) or not runs(was):
            continue
        there = (pod for pod in world.objects(change.cluster, PODS).values() if pod.spec.node_name == now.spec.node_name)
        running = {status.image for pod in there for status in statuses(pod) if status.container_id}
        assert image(now) in running, f"the sidecar of {version.key} ends before {now.spec.node_name} has {image(now)}"


def runs(pod: Pod) -> bool:
    """Whether its sidecar does."""
    return any(s.name == "platform-meter" and s.container_id for s in pod.status.init_container_statuses)


def ends(image_of_all: str, state: str, restarts: int, world: SimulatedWorld) -> None:
    """All pods have the version, the containers of the user have never restarted (N16), and no pod pulls any more."""
    assert not [k for m in MEMBERS for k, p in world.objects(m, PODS).items() if IMAGE_PULL_SHARD_UID in p.metadata.labels]
    assert [image(pod) for _, pod in pods(world)] == [image_of_all] * 4
    record = world.objects(HOST, PINSIDECARS)[METER].status.rollout
    assert record is not None
    assert record.state == state
    assert {status.restart_count for _, pod in pods(world) for status in pod.status.container_statuses} == {0}
    assert max(status.restart_count for _, pod in pods(world) for status in pod.status.init_container_statuses) <= restarts


def untouched(world: SimulatedWorld) -> None:
    """S-158: no sidecar has ended for an image that nobody has, and the fleet says why. It begins in the smaller zone."""
    ends("hello:1", "RolledBack", 0, world)
    status = world.objects(HOST, PINSIDECARS)[METER].status
    assert re.search("in zone [ab]: image hello:9 of meter cannot be pulled: registry docker.io says not found", status.message)


def gone(world: SimulatedWorld) -> None:
    """The sidecar, its shards and its containers are gone, and the app has all its replicas."""
    assert not any(pod.spec.init_containers for _, pod in pods(world))
    assert len(pods(world)) == 4
    assert METER not in world.objects(HOST, PINSIDECARS)
    assert not any(world.objects(member, PINSIDECARSHARDS) for member in MEMBERS)


def left(world: SimulatedWorld) -> None:
    assert not any(pod.spec.init_containers for _, pod in pods(world))
    assert world.objects(HOST, PINSIDECARS)[METER].status.pods == 0


def stays(world: SimulatedWorld) -> None:
    """A deletion that a check missed: the app that names the sidecar has all its replicas, also those that it grew by."""
    assert [image(pod) for _, pod in pods(world)] == ["hello:1"] * 6
    assert world.objects(HOST, PINSIDECARS)[METER].status.message.startswith("is in use by shop/web, so it stays")


def goes_on(world: SimulatedWorld) -> None:
    """The pods of a paused app keep what they have, and the rollout is not undone for it."""
    record = world.objects(HOST, PINSIDECARS)[METER].status.rollout
    assert record is not None
    assert (record.state, [image(pod) for _, pod in pods(world)]) == ("Complete", ["hello:1"] * 4)


def case(
    *edits: Callable[[SimulatedWorld], None],
    rests: Callable[[SimulatedWorld], None],
    selector: Manifest | None = None,
    allowed: tuple[str, ...] = ("*",),
    **update: object,
) -> Case:
    scenario = Scenario(
        (HOST, *MEMBERS),
        partial(begin_region, update=update, selector=selector, allowed=allowed),
        edits,
        SLOW.tick,
        invariant,
        rests,
        partial(promised, cramped=False, calm=True),
        region_checks.outcome,
    )
    return Case(processes(MEMBERS), scenario, ALL_INDEXES, collapses=False)


CASES = {
    "another image reaches every pod": case(partial(write, NEW), rests=partial(ends, NEW, "Complete", 1)),
    "an image that nobody has ends no sidecar": case(partial(write, BAD), rests=untouched),
    "a program that crashes is undone in the first zone": case(
        partial(write, CRASHING), rests=partial(ends, "hello:1", "RolledBack", 9)
    ),
    "an app that is paused holds no rollout up for ever": case(
        pause_app, partial(write, NEW), rests=goes_on, progressDeadlineSeconds=60
    ),
    "a sidecar that is deleted leaves the pods that it selected": case(delete, rests=gone, selector={"projects": ["*"]}),
    "a selector that no longer selects": case(select_nothing, rests=left, selector={"projects": ["*"]}),
    "a sidecar that is deleted while an app names it": case(
        delete, partial(apply, edit=Edit("scale", number=6), members=MEMBERS), rests=stays
    ),
    "a project that the sidecar begins to allow": case(
        allow_all, rests=partial(ends, "hello:1", "Complete", 0), allowed=("bank",)
    ),
    "an update of the app beside it": case(
        partial(write, NEW),
        partial(apply, edit=Edit("scale", number=4), members=MEMBERS),
        rests=partial(ends, NEW, "Complete", 1),
    ),
}


def fleets() -> st.SearchStrategy[Case]:
    """Worlds in which an image has to come to the nodes."""
    return st.sampled_from(
        [CASES[name] for name in ("another image reaches every pod", "an image that nobody has ends no sidecar")]
    )
