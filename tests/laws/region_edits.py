"""Makes the edits of users and administrators in a generated region, and its beginning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import kubelets
import msgspec
import region_settings

from pincompute.api.builtin import NAMESPACES, NODES, PODS
from pincompute.api.labels import (
    CONTAINERS_RESTARTED_AT,
    DRAIN_FINALIZER,
    HOST,
    NAMESPACES_FINALIZER,
    SHARDS_FINALIZER,
    SIDECARS,
    SYSTEM_NAMESPACE,
)
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Manifest
from pincompute.api.projects import PROJECTS
from pincompute.api.template_settings import references
from pincompute.api.workloads import PINAPPS, PINPODS, HealthMetric
from pincompute.domain import metric_query, project_namespace
from pincompute.engine.external_inputs import MetricQuery
from pincompute.testing.laws import SimulatedWorld

SHOP = "shop"
BANK = "bank"
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
    settings: str = ""  # how a new value reaches it, if it names a secret and a config
    sidecars: str = ""  # sidecars of the platform that it names
    update: Manifest = field(default_factory=dict)

    def spec(self) -> Manifest:
        limits = {"maxUnavailable": self.unavailable, "maxSurge": self.surge}
        update = {name: value for name, value in limits.items() if value is not None}
        kind = {"inPlace": "Never"} if self.recreate else {}
        settings = {"settings": self.settings} if self.settings else {}
        pod = region_settings.refer(template(1)) if self.settings else template(1)
        pod = {"metadata": {"annotations": {SIDECARS: self.sidecars}}, **pod} if self.sidecars else pod
        return {"replicas": self.replicas, "tier": self.tier, "template": pod, "update": update | kind | settings | self.update}


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
    if any(app.settings for app in apps.values()):
        begin_settings(world, members)
    for name, app in apps.items():
        submit(world, name, app)
    for name, pod in pods.items():
        submit_pod(world, name, pod)
    for member in slow:
        world.slow[member] = LAG


def begin_settings(world: SimulatedWorld, members: tuple[str, ...]) -> None:
    """Another project has a secret of the same name, and no app."""
    world.make(HOST, PROJECTS, {"metadata": {"name": BANK, "finalizers": [NAMESPACES_FINALIZER]}, "spec": {}})
    uid = world.objects(HOST, PROJECTS)[Key("", BANK)].metadata.uid
    for cluster in (HOST, *members):
        world.make(cluster, NAMESPACES, {"metadata": {"name": BANK, "labels": project_namespace.labels_of(BANK, uid)}})
    for project in (BANK, SHOP):
        region_settings.set_both(world, project)


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
    main = {
        "name": "main",
        "image": f"hello:{image}",
        "env": [{"name": "N", "value": str(env)}],
        "ports": [{"containerPort": 80}],
    }
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


def change_template(world: SimulatedWorld, edit: Edit, made: Manifest) -> None:
    """Another template, which names settings if the former one did."""
    app = world.objects(HOST, PINAPPS).get(Key(SHOP, edit.name))
    names = app is not None and bool(references(app.spec.template))
    change(world, edit, {"template": region_settings.refer(made) if names else made})


def restart_container(world: SimulatedWorld, edit: Edit) -> None:
    """Of every replica, by a later time than before where the number is larger."""
    asked = f'{{"main":"2026-11-29T12:00:0{edit.number}"}}'
    change(world, edit, {"template": {"metadata": {"annotations": {CONTAINERS_RESTARTED_AT: asked}}}})


def forget_settings(world: SimulatedWorld, edit: Edit) -> None:
    """All apps stop naming settings."""
    for key in world.objects(HOST, PINAPPS):
        pod: Manifest = template(1, edit.number)
        world.edit(HOST, PINAPPS, key, {"spec": {"template": {"spec": {**pod["spec"], "volumes": None}}}})


def drop_settings(world: SimulatedWorld, edit: Edit) -> None:
    """Apps stop naming the settings, which are removed at once."""
    forget_settings(world, edit)
    region_settings.remove(world, SHOP)


def kill(world: SimulatedWorld, member: str) -> None:
    for pod in sorted(world.objects(member, PODS))[:1]:
        world.remove(member, PODS, pod)


def restore(world: SimulatedWorld) -> None:
    for cluster in tuple(world.silent):
        world.restore(cluster)
    kubelets.nodes_back(world)
    kubelets.uncordon(world)


LOAD = {"name": "load", "metric": "load", "windowSeconds": 15, "max": 5}


def limit_documents(world: SimulatedWorld, edit: Edit) -> None:
    """The revisions of the project may take so many KiB."""
    world.edit(HOST, PROJECTS, Key("", SHOP), {"spec": {"limits": {"documents": f"{edit.number}Ki"}}})


def measure(world: SimulatedWorld, edit: Edit) -> None:
    """Prometheus has a figure for the gate of `LOAD` from now on."""
    metric = msgspec.convert(LOAD, HealthMetric)
    world.tell(MetricQuery(metric_query.promql(metric, SHOP)), float(edit.number))


EDITS: dict[str, Callable[[SimulatedWorld, Edit, str], None]] = {
    "submit": lambda world, edit, _: submit(world, edit.name, AppEdit(edit.number)),
    "scale": lambda world, edit, _: change(world, edit, {"replicas": edit.number}),
    "image": lambda world, edit, _: change_template(world, edit, template(edit.number)),
    "bad image": lambda world, edit, _: change_template(world, edit, template(9)),
    "crashing image": lambda world, edit, _: change_template(world, edit, template(8)),
    "env": lambda world, edit, _: change_template(world, edit, template(1, edit.number)),
    "restart container": lambda world, edit, _: restart_container(world, edit),
    "limit documents": lambda world, edit, _: limit_documents(world, edit),
    "set": lambda world, *_: region_settings.set_both(world, SHOP),
    "roll back": lambda world, *_: region_settings.roll_back(world, SHOP),
    "forget": lambda world, edit, _: forget_settings(world, edit),
    "drop": lambda world, edit, _: drop_settings(world, edit),
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
    "measure": lambda world, edit, _: measure(world, edit),
}
