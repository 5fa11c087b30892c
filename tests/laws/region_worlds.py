"""Generated regions: projects, apps, members in zones, and kubelets that do by themselves what kubelets do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypothesis import strategies as st

from pincompute.api.clusters import MEMBERCLUSTERS, PROJECTS
from pincompute.api.core import NAMESPACES, NODES, PODS, Pod
from pincompute.api.labels import (
    APP,
    DRAIN_FINALIZER,
    HOST,
    LOCAL,
    MANAGED_BY,
    PINCOMPUTE,
    PROJECT,
    SHARD_UID,
    SHARDS_FINALIZER,
    SYSTEM_NAMESPACE,
)
from pincompute.api.meta import Key, Manifest
from pincompute.api.shards import PINAPPSHARDS
from pincompute.api.workloads import PINAPPS, PINPODS
from pincompute.engine.laws import Case, Process, Scenario, World
from pincompute.federation import process as federation
from pincompute.operator import process as operator
from pincompute.operator.shard import INDEXES

SHOP = "shop"
ZONES = {"a1": "a", "b1": "b", "c1": "c", "a2": "a"}
NODE = {"cpu": "8", "memory": "16Gi", "pods": "20"}
TIER = {resource: {"tier": lambda obj: (obj.spec.tier,)} for resource in (PINAPPS, PINPODS)}


@dataclass(frozen=True)
class Edit:
    """What a user or an administrator does; `what` is a name in `EDITS`."""

    what: str
    name: str = "web"
    number: int = 0


def begin(world: World, members: tuple[str, ...], apps: dict[str, int]) -> None:
    for cluster in (HOST, *members):
        world.make(cluster, NAMESPACES, {"metadata": {"name": SYSTEM_NAMESPACE}})
    marks = {MANAGED_BY: PINCOMPUTE, PROJECT: SHOP}
    world.make(HOST, NAMESPACES, {"metadata": {"name": SHOP, "labels": marks}})
    world.make(HOST, PROJECTS, {"metadata": {"name": SHOP}, "spec": {}})
    for member in members:
        join(world, member)
    for name, replicas in apps.items():
        submit(world, name, replicas)


def join(world: World, member: str) -> None:
    spec = {"zone": ZONES[member], "kubeconfig": {"name": member}}
    world.make(HOST, MEMBERCLUSTERS, {"metadata": {"name": member, "finalizers": [DRAIN_FINALIZER]}, "spec": spec})
    for number in range(2):
        name = f"{member}-n{number}"
        world.make(member, NODES, {"metadata": {"name": name}})
        ready = [{"type": "Ready", "status": "True"}]
        world.edit(member, NODES, Key("", name), {"status": {"allocatable": NODE, "conditions": ready}}, "status")


def template(image: int, env: int = 0) -> Manifest:
    main = {"name": "main", "image": f"hello:{image}", "env": [{"name": "N", "value": str(env)}]}
    return {"spec": {"containers": [main, {"name": "sidecar", "image": "proxy:1"}]}}


def submit(world: World, name: str, replicas: int) -> None:
    if Key(SHOP, name) not in world.objects(HOST, PINAPPS):
        metadata = {"name": name, "namespace": SHOP, "finalizers": [SHARDS_FINALIZER]}
        world.make(HOST, PINAPPS, {"metadata": metadata, "spec": {"replicas": replicas, "template": template(1)}})


def apply(world: World, edit: Edit, members: tuple[str, ...]) -> None:
    EDITS[edit.what](world, edit, members[edit.number % len(members)])


def change(world: World, edit: Edit, spec: Manifest) -> None:
    world.edit(HOST, PINAPPS, Key(SHOP, edit.name), {"spec": spec})


def kill(world: World, member: str) -> None:
    for pod in sorted(world.objects(member, PODS))[:1]:
        world.remove(member, PODS, pod)


EDITS: dict[str, Callable[[World, Edit, str], None]] = {
    "submit": lambda world, edit, _: submit(world, edit.name, edit.number),
    "scale": lambda world, edit, _: change(world, edit, {"replicas": edit.number}),
    "image": lambda world, edit, _: change(world, edit, {"template": template(edit.number)}),
    "env": lambda world, edit, _: change(world, edit, {"template": template(1, edit.number)}),
    "pause": lambda world, edit, _: change(world, edit, {"paused": True}),
    "resume": lambda world, edit, _: change(world, edit, {"paused": False}),
    "delete": lambda world, edit, _: world.remove(HOST, PINAPPS, Key(SHOP, edit.name)),
    "kill": lambda world, _, member: kill(world, member),
    "cordon": lambda world, _, member: world.edit(HOST, MEMBERCLUSTERS, Key("", member), {"spec": {"unschedulable": True}}),
    "leave": lambda world, _, member: world.remove(HOST, MEMBERCLUSTERS, Key("", member)),
    "silence": lambda world, _, member: world.silence(member),
    "restore": lambda world, *_: world.silent.clear(),
}


def tick(world: World) -> None:
    """What schedulers and kubelets do, in clusters that are cut off too."""
    for cluster in sorted(world.stores):
        for key, pod in sorted(world.objects(cluster, PODS).items()):
            advance(world, cluster, key, pod)


def advance(world: World, cluster: str, key: Key, pod: Pod) -> None:
    """One step towards what the pod's spec wants."""
    store = world.stores[cluster]
    if pod.deleting:
        store.delete(PODS, key, grace_seconds=0)
    elif not pod.spec.node_name:
        nodes = sorted(node.name for node in world.objects(cluster, NODES))
        node = nodes[sum(map(ord, key.name)) % len(nodes)]
        store.patch(PODS, key, {"spec": {"nodeName": node}}, content_type="strategic-merge-patch")
    elif wanted := status_of(world, pod):
        store.patch(PODS, key, {"status": wanted}, content_type="merge-patch", subresource="status")


def status_of(world: World, pod: Pod) -> Manifest | None:
    """What its kubelet would report now; None when it has. A container gets a new id when its image changes."""
    running = {status.name: status for status in pod.status.container_statuses}
    if all(c.name in running and running[c.name].image == c.image for c in pod.spec.containers):
        return None
    now = world.now.isoformat().replace("+00:00", "Z")
    containers = [
        {
            "name": c.name,
            "image": c.image,
            "imageID": f"sha256:{c.image}",
            "containerID": f"containerd://{pod.metadata.uid}/{c.name}/{c.image}",
            "ready": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        }
        for c in pod.spec.containers
    ]
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("PodScheduled", "Ready")]
    return {"phase": "Running", "conditions": conditions, "containerStatuses": containers}


def invariant(world: World) -> None:
    """F5: no pod is made beyond what its shard asks for now, and its surge. S-020: nobody says done too soon."""
    for cluster in world.stores:
        check_newest_pod(world, cluster)
    found = says_done_too_soon(world)
    assert not found, found


def is_new(pod: Pod) -> bool:
    return not pod.spec.node_name and not pod.deleting and not pod.status.conditions


def check_newest_pod(world: World, cluster: str) -> None:
    """The last write to the cluster, if it made a pod."""
    for version in world.history(cluster, PODS)[-1:]:
        if version.number == world.version(cluster) and version.obj is not None and is_new(version.obj):
            check_pod(world, cluster, version.obj)


def check_pod(world: World, cluster: str, pod: Pod) -> None:
    uid = pod.metadata.labels.get(SHARD_UID, "")
    shard = next((s for s in world.objects(cluster, PINAPPSHARDS).values() if s.metadata.uid == uid), None)
    assert shard is not None, f"{pod.key} in {cluster} is made for a shard that is gone"
    assert not shard.deleting, f"{pod.key} in {cluster} is made for a shard that is going"
    wanted = sum(share.replicas for share in shard.spec.mix)
    live = [p for p in world.objects(cluster, PODS).values() if p.metadata.labels.get(SHARD_UID) == uid and not p.deleting]
    assert len(live) <= wanted + -(-wanted // 4), f"{len(live)} pods in {cluster} for a shard of {wanted}"


def says_done_too_soon(world: World) -> str:
    """S-020: the status may name the present generation only when no member still reports an older one.

    A member that joins the placement later has reported none; the status does not go back for it.
    """
    for key, app in world.objects(HOST, PINAPPS).items():
        if app.status.observed_generation != app.metadata.generation:
            continue
        for cluster in world.stores:
            shard = world.objects(cluster, PINAPPSHARDS).get(key)
            placed = {row.cluster for row in app.status.scheduling.placement} if app.status.scheduling else ()
            reported = shard.status.origin_generation if shard is not None and cluster in placed else 0
            if 0 < reported < app.metadata.generation:
                return f"S-020: {key} says that generation {app.metadata.generation} is done, {cluster} has not seen it"
    return ""


def goal(world: World) -> None:
    """Every app runs what was asked for last, evenly over the zones (N2); what was deleted is gone; the status says so."""
    apps = world.objects(HOST, PINAPPS)
    for key, app in apps.items():
        assert not app.deleting, f"{key} was deleted and is still there"
        mine = [(c, p) for c in world.stores if c != HOST for p in world.objects(c, PODS).values() if is_of(p, key)]
        assert len(mine) == app.spec.replicas, f"{len(mine)} pods of {key}, wanted {app.spec.replicas}"
        wanted = {c["image"] for c in app.spec.template["spec"]["containers"]}
        assert all({c.image for c in pod.spec.containers} == wanted for _, pod in mine), f"old images in {key}"
        zones = Counter(ZONES[cluster] for cluster, _ in mine)
        spread = [zones[zone] for zone in {ZONES[c] for c in world.stores if c != HOST}]
        assert max(spread) - min(spread) <= 1, f"{key} is uneven: {dict(zones)}"
        status = app.status
        assert (status.ready_replicas, status.phase) == (app.spec.replicas, "Running" if app.spec.replicas else "Stopped")
        assert status.observed_generation == app.metadata.generation, f"the status of {key} is old"
    for cluster in world.stores:
        for key in world.objects(cluster, PINAPPSHARDS):
            assert key in apps, f"{key} in {cluster} is left over"
        for pod in world.objects(cluster, PODS).values():
            assert any(is_of(pod, key) for key in apps), f"{pod.key} in {cluster} is left over"


def is_of(pod: Pod, app: Key) -> bool:
    return pod.metadata.labels.get(APP) == app.name


def outcome(world: World) -> dict[str, Any]:
    """What users see: each app runs as many pods as it should, of the wanted images, over the zones; nothing is left over."""
    pods = [(cluster, pod) for cluster in world.stores if cluster != HOST for pod in world.objects(cluster, PODS).values()]
    found: dict[str, Any] = {"pods": len(pods)}
    for key, app in world.objects(HOST, PINAPPS).items():
        mine = [(cluster, pod) for cluster, pod in pods if pod.metadata.labels.get(APP) == key.name]
        zones = Counter(ZONES[cluster] for cluster, _ in mine)
        status = app.status
        found[str(key)] = {
            "pods": len(mine),
            "images": sorted({c.image for _, pod in mine for c in pod.spec.containers}),
            "ready": (status.ready_replicas, status.updated_replicas, status.phase),
            "observed": status.observed_generation == app.metadata.generation,
            "zones": sorted(zones.values()),
        }
    shards = [shard for c in world.stores if c != HOST for shard in world.objects(c, PINAPPSHARDS)]
    found["left over"] = [str(key) for key in shards if key not in world.objects(HOST, PINAPPS)]
    found["members"] = sorted(str(key) for key in world.objects(HOST, MEMBERCLUSTERS))
    return found


def processes(members: tuple[str, ...]) -> tuple[Process, ...]:
    return (
        Process(federation.CONTROLLERS, {name: name for name in (HOST, *members)}),
        *(Process(operator.CONTROLLERS, {LOCAL: member}) for member in members),
    )


calm = st.one_of(
    st.builds(Edit, st.just("submit"), st.sampled_from(("web", "db")), st.integers(0, 4)),
    st.builds(Edit, st.just("scale"), st.just("web"), st.integers(0, 6)),
    st.builds(Edit, st.sampled_from(("image", "env")), st.just("web"), st.integers(1, 3)),
    st.builds(Edit, st.sampled_from(("pause", "resume")), st.just("web")),
    st.builds(Edit, st.just("delete"), st.just("web")),
    st.builds(Edit, st.just("kill"), st.just(""), st.integers(0, 2)),
)
stormy = st.builds(Edit, st.sampled_from(("cordon", "leave", "silence", "restore")), st.just(""), st.integers(0, 2))


@st.composite
def regions(draw: st.DrawFn, *, storms: bool = False, most: int = 3) -> Case:
    """Members in zones with apps in them, and up to `most` edits; with storms also members that go silent, or leave."""
    members = draw(st.sampled_from((("a1",), ("a1", "b1"), ("a1", "b1", "c1"), ("a1", "a2", "b1"))))
    apps = draw(st.dictionaries(st.sampled_from(("web", "db")), st.integers(0, 4), min_size=1, max_size=2))
    edits = draw(st.lists(st.one_of(calm, stormy) if storms else calm, max_size=most))
    resumed = (Edit("resume", "web"),) if any(e.what == "pause" for e in edits) else ()
    steps = (*edits, *resumed, Edit("restore")) if storms else (*edits, *resumed)
    scenario = Scenario(
        (HOST, *members),
        partial(begin, members=members, apps=apps),
        tuple(partial(apply, edit=edit, members=members) for edit in steps),
        tick,
        invariant,
        (lambda _world: None) if storms else goal,
        outcome,
    )
    history_free = not any(e.what in ("submit", "kill", "leave", "silence", "cordon") for e in edits)
    return Case(processes(members), scenario, {**INDEXES, **TIER}, collapses=history_free)
