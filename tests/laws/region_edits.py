"""Makes the edits of users and administrators in a generated region, and its beginning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import kubelets

from pincompute.api.builtin import NAMESPACES, NODES, PODS
from pincompute.api.labels import (
    DRAIN_FINALIZER,
    HOST,
    NAMESPACES_FINALIZER,
    SHARDS_FINALIZER,
    SYSTEM_NAMESPACE,
)
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Manifest
from pincompute.api.projects import PROJECTS
from pincompute.api.workloads import PINAPPS, PINPODS
from pincompute.domain import project_namespace
from pincompute.testing.laws import SimulatedWorld

SHOP = "shop"
ZONES = {"a1": "a", "b1": "b", "c1": "c", "a2": "a"}
ROOMY = {"cpu": "8", "memory": "16Gi", "pods": "20"}
CRAMPED = {"cpu": "400m", "memory": "1Gi", "pods": "20"}  # two pods of two containers that ask for nothing


@dataclass(frozen=True)
class Edit:
    """What a user or an administrator does; `what` is a name in `EDITS`."""

    what: str
    name: str = "web"
    number: int = 0


@dataclass(frozen=True)
class AppEdit:
    """An app of the beginning. `unavailable` and `surge` are None for the defaults."""

    replicas: int
    tier: str = "OnDemand"
    unavailable: int | str | None = None
    surge: int | str | None = None
    recreate: bool = False

    def spec(self) -> Manifest:
        limits = {"maxUnavailable": self.unavailable, "maxSurge": self.surge}
        update = {name: value for name, value in limits.items() if value is not None}
        kind = {"type": "Recreate"} if self.recreate else {}
        return {"replicas": self.replicas, "tier": self.tier, "template": template(1), "update": update | kind}


@dataclass(frozen=True)
class PodEdit:
    """A PinPod of the beginning; one with a policy other than Always ends by itself."""

    policy: str = "Always"
    tier: str = "OnDemand"

    def spec(self, number: int = 1) -> Manifest:
        if self.policy == "Always":
            return {"tier": self.tier, "template": template(number)}
        main = {"name": "main", "image": f"{kubelets.JOB}:{number}"}
        return {"tier": self.tier, "template": {"spec": {"restartPolicy": self.policy, "containers": [main]}}}


def begin(
    world: SimulatedWorld,
    members: tuple[str, ...],
    apps: dict[str, AppEdit],
    pods: dict[str, PodEdit],
    room: Manifest,
    slow: tuple[str, ...],
) -> None:
    for cluster in (HOST, *members):
        world.make(cluster, NAMESPACES, {"metadata": {"name": SYSTEM_NAMESPACE}})
    world.make(HOST, PROJECTS, {"metadata": {"name": SHOP, "finalizers": [NAMESPACES_FINALIZER]}, "spec": {}})
    uid = world.objects(HOST, PROJECTS)[Key("", SHOP)].metadata.uid
    world.make(HOST, NAMESPACES, {"metadata": {"name": SHOP, "labels": project_namespace.labels_of(SHOP, uid)}})
    for member in members:
        join(world, member, room)
    for name, app in apps.items():
        submit(world, name, app)
    for name, pod in pods.items():
        submit_pod(world, name, pod)
    for member in slow:
        world.slow[member] = LAG


LAG = 3.0  # seconds that the caches of a slow member are behind


def join(world: SimulatedWorld, member: str, room: Manifest) -> None:
    spec = {"zone": ZONES[member], "kubeconfig": {"name": member}}
    world.make(HOST, MEMBERCLUSTERS, {"metadata": {"name": member, "finalizers": [DRAIN_FINALIZER]}, "spec": spec})
    for number in range(2):
        name = f"{member}-n{number}"
        world.make(member, NODES, {"metadata": {"name": name}})
        ready = [{"type": "Ready", "status": "True"}]
        world.edit(member, NODES, Key("", name), {"status": {"allocatable": room, "conditions": ready}}, "status")


def template(image: int, env: int = 0) -> Manifest:
    main = {"name": "main", "image": f"hello:{image}", "env": [{"name": "N", "value": str(env)}]}
    return {"spec": {"containers": [main, {"name": "sidecar", "image": "proxy:1"}]}}


def submit(world: SimulatedWorld, name: str, app: AppEdit) -> None:
    if Key(SHOP, name) not in world.objects(HOST, PINAPPS):
        metadata = {"name": name, "namespace": SHOP, "finalizers": [SHARDS_FINALIZER]}
        world.make(HOST, PINAPPS, {"metadata": metadata, "spec": app.spec()})


def submit_pod(world: SimulatedWorld, name: str, pod: PodEdit) -> None:
    if Key(SHOP, name) not in world.objects(HOST, PINPODS):
        metadata = {"name": name, "namespace": SHOP, "finalizers": [SHARDS_FINALIZER]}
        world.make(HOST, PINPODS, {"metadata": metadata, "spec": pod.spec()})


def apply(world: SimulatedWorld, edit: Edit, members: tuple[str, ...]) -> None:
    EDITS[edit.what](world, edit, members[edit.number % len(members)])


def change(world: SimulatedWorld, edit: Edit, spec: Manifest) -> None:
    world.edit(HOST, PINAPPS, Key(SHOP, edit.name), {"spec": spec})


def kill(world: SimulatedWorld, member: str) -> None:
    for pod in sorted(world.objects(member, PODS))[:1]:
        world.remove(member, PODS, pod)


def restore(world: SimulatedWorld) -> None:
    for cluster in tuple(world.silent):
        world.restore(cluster)
    kubelets.nodes_back(world)
    kubelets.uncordon(world)


EDITS: dict[str, Callable[[SimulatedWorld, Edit, str], None]] = {
    "submit": lambda world, edit, _: submit(world, edit.name, AppEdit(edit.number)),
    "scale": lambda world, edit, _: change(world, edit, {"replicas": edit.number}),
    "image": lambda world, edit, _: change(world, edit, {"template": template(edit.number)}),
    "bad image": lambda world, edit, _: change(world, edit, {"template": template(9)}),
    "env": lambda world, edit, _: change(world, edit, {"template": template(1, edit.number)}),
    "pause": lambda world, edit, _: change(world, edit, {"paused": True}),
    "resume": lambda world, edit, _: change(world, edit, {"paused": False}),
    "delete": lambda world, edit, _: world.remove(HOST, PINAPPS, Key(SHOP, edit.name)),
    "delete pod": lambda world, edit, _: world.remove(HOST, PINPODS, Key(SHOP, edit.name)),
    "kill": lambda world, _, member: kill(world, member),
    "crash": lambda world, edit, member: kubelets.crash(world, member, edit.number),
    "drain": lambda world, edit, member: kubelets.begin_drain(world, member, edit.number),
    "lose node": lambda world, edit, member: kubelets.lose_node(world, member, edit.number),
    "cordon": lambda world, _, member: world.edit(HOST, MEMBERCLUSTERS, Key("", member), {"spec": {"unschedulable": True}}),
    "leave": lambda world, _, member: world.remove(HOST, MEMBERCLUSTERS, Key("", member)),
    "silence": lambda world, _, member: world.silence(member),
    "restore": lambda world, *_: restore(world),
}
