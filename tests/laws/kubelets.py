"""Simulates what happens in a cluster by itself: scheduling, kubelets, disruption budgets, and drains.

How fast and how well is a value, so that worlds with slow, crashing and full members are generated like any others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pincompute.api import quantity
from pincompute.api.builtin import NODES, PODDISRUPTIONBUDGETS, PODS, Container, ContainerStatus, Node, Pod
from pincompute.api.conditions import Condition, is_true
from pincompute.api.labels import HOST, IMAGE_PULL_SHARD_UID, IN_PLACE_READY
from pincompute.api.meta import Key, Manifest
from pincompute.kube.api_errors import Blocked
from pincompute.testing.apiserver import eviction
from pincompute.testing.apiserver.disruption_controller import update_budgets
from pincompute.testing.laws import SimulatedWorld

BAD = "hello:9"  # an image that no registry has
CRASHING = "hello:8"  # a program that runs for a moment, then crashes again and again
RUNS = timedelta(seconds=2)  # until it crashes
FOLLOWS = timedelta(seconds=5)  # until a pod is ready, or no longer, after its readiness gate has moved: later than it drains
BAD_IN_B = "hello:7"  # an image that the nodes of zone b cannot pull
DIGEST = "@sha256:0"  # by which a container that restarts alone names its image
NO_IMAGE = "rpc error: code = NotFound desc = hello: not found"
JOB = "job"  # an image that ends well by itself
DRAIN = "laws/drain"  # a node that an administrator drains
_NODE_BACK = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
_NODE_LOST = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}


@dataclass(frozen=True, slots=True)
class Kubelets:
    """`ready_after` seconds a container that started is ready, `gone_after` seconds a pod that was deleted is gone, and
    `pulled_after` seconds a pod that only pulls images says how that went.
    """

    ready_after: float = 0.0
    gone_after: float = 0.0
    pulled_after: float = 0.0

    def tick(self, world: SimulatedWorld) -> None:
        """One step of everybody, in clusters that are cut off too."""
        for cluster in sorted(world.stores):
            if cluster == HOST:
                continue
            nodes = world.objects(cluster, NODES)
            for key, pod in sorted(world.objects(cluster, PODS).items()):
                self._advance(world, cluster, key, pod, nodes)
            if world.objects(cluster, PODDISRUPTIONBUDGETS):
                update_budgets(world.stores[cluster])
            drain(world, cluster)

    def _advance(self, world: SimulatedWorld, cluster: str, key: Key, pod: Pod, nodes: dict[Key, Node]) -> None:
        """One step towards what the pod's spec wants. A node that is lost does nothing."""
        store = world.stores[cluster]
        node = nodes.get(Key("", pod.spec.node_name))
        if node is not None and not is_up(node):
            return
        if pod.metadata.deletion_timestamp is not None:
            grace = float(store.get(PODS, key)["metadata"].get("deletionGracePeriodSeconds", 0))
            if world.now >= pod.metadata.deletion_timestamp - timedelta(seconds=grace - self.gone_after):
                store.delete(PODS, key, grace_seconds=0)
        elif not pod.spec.node_name:
            bind(world, cluster, key, pod, nodes.values())
        elif wanted := self.report(pod, world.now):
            store.patch(PODS, key, {"status": wanted}, content_type="merge-patch", subresource="status")

    def report(self, pod: Pod, now: datetime) -> Manifest | None:
        """The status its kubelet would report now; None when it has. A container gets a new id when its image changes."""
        if pod.status.phase in ("Succeeded", "Failed") or self._pulls(pod, now):
            return None
        wanted = (*sidecars(pod), *pod.spec.containers)
        running = {status.name: status for status in statuses(pod)}
        found = [self._container(pod, c, running.get(c.name), now) for c in wanted]
        if not any(found) and not gate_has_moved(pod, now):
            return None
        known = {status.name: as_json(status) for status in running.values()}
        return status_of(pod, [new or known[c.name] for new, c in zip(found, wanted, strict=True)], now)

    def _pulls(self, pod: Pod, now: datetime) -> bool:
        made = pod.metadata.creation_timestamp
        only_pulls = IMAGE_PULL_SHARD_UID in pod.metadata.labels
        return only_pulls and made is not None and now < made + timedelta(seconds=self.pulled_after)

    def _container(self, pod: Pod, wanted: Container, present: ContainerStatus | None, now: datetime) -> Manifest | None:
        """What is new about a container; None for nothing."""
        if present is None or present.image != wanted.image:
            return self._started(pod, wanted, 0 if present is None else present.restart_count + 1, now)
        started = present.state.running.started_at if present.state and present.state.running else None
        if started is not None and plain(wanted.image) == CRASHING and now >= started + RUNS:
            waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "the program has crashed"}}
            return as_json(present) | {"ready": False, "restartCount": present.restart_count + 1, "state": waiting}
        if started is None or present.ready or now < started + timedelta(seconds=self.ready_after):
            return None
        return as_json(present) | ({"ready": True} if not is_job(wanted) else {"state": {"terminated": {"exitCode": 0}}})

    def _started(self, pod: Pod, container: Container, restarts: int, now: datetime) -> Manifest:
        status = {"name": container.name, "image": container.image, "ready": False, "restartCount": restarts}
        if container.image == BAD or (container.image == BAD_IN_B and pod.spec.node_name.startswith("b")):
            return status | {"state": {"waiting": {"reason": "ImagePullBackOff", "message": NO_IMAGE}}}
        running = {
            "imageID": f"{plain(container.image)}{DIGEST}",
            "containerID": f"containerd://{pod.metadata.uid}/{container.name}/{container.image}/{restarts}",
            "state": {"running": {"startedAt": spelled(now)}},
        }
        return status | running | {"ready": not self.ready_after and not is_job(container)}


def lets_through(pod: Pod) -> bool:
    """Whether all conditions are True that the pod's readiness gates name."""
    return all(is_true(pod.status.conditions, gate.condition_type) for gate in pod.spec.readiness_gates)


def gate_has_moved(pod: Pod, now: datetime) -> bool:
    """Whether the kubelet is to follow a readiness gate, as it does a moment after the gate has moved."""
    serves = bool(pod.status.container_statuses) and all(status.ready for status in statuses(pod))
    moved = [c.last_transition_time for c in pod.status.conditions if c.type == IN_PLACE_READY and c.last_transition_time]
    late = all(now >= at + FOLLOWS for at in moved)
    return serves and late and lets_through(pod) is not is_true(pod.status.conditions, "Ready")


def sidecars(pod: Pod) -> tuple[Container, ...]:
    """Init containers that run as long as the others."""
    return tuple(container for container in pod.spec.init_containers if container.restart_policy == "Always")


def statuses(pod: Pod) -> tuple[ContainerStatus, ...]:
    return (*pod.status.init_container_statuses, *pod.status.container_statuses)


def plain(image: str) -> str:
    """The image as templates name it."""
    return image.partition("@")[0]


def is_job(container: Container) -> bool:
    return container.image.startswith(JOB)


def is_up(node: Node) -> bool:
    return is_true(node.status.conditions, "Ready")


def as_json(status: ContainerStatus) -> Manifest:
    started = status.state.running.started_at if status.state and status.state.running else None
    state = {"running": {"startedAt": spelled(started)}} if started else {"waiting": {"reason": "ImagePullBackOff"}}
    return {
        "name": status.name,
        "image": status.image,
        "imageID": status.image_id,
        "containerID": status.container_id,
        "ready": status.ready,
        "restartCount": status.restart_count,
        "state": state,
    }


def spelled(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def status_of(pod: Pod, containers: list[Manifest], now: datetime) -> Manifest:
    ended = all("terminated" in c["state"] for c in containers if c["image"].startswith(JOB)) and any(
        c["image"].startswith(JOB) for c in containers
    )
    ready = not ended and lets_through(pod) and all(c["ready"] for c in containers)
    since = now if ready is not is_true(pod.status.conditions, "Ready") or not pod.status.conditions else None
    present = next((c.last_transition_time for c in pod.status.conditions if c.type == "Ready"), None)
    changed = spelled(since or present or now)
    conditions = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": spelled(now)},
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": changed},
        *(_as_condition(c) for c in pod.status.conditions if c.type not in ("PodScheduled", "Ready")),
    ]
    beside = {container.name for container in sidecars(pod)}
    return {
        "phase": "Succeeded" if ended else "Running",
        "conditions": conditions,
        "containerStatuses": [c for c in containers if c["name"] not in beside],
        **({"initContainerStatuses": [c for c in containers if c["name"] in beside]} if beside else {}),
    }


def _as_condition(given: Condition) -> Manifest:
    """A condition that a kubelet leaves as it is."""
    since = {"lastTransitionTime": spelled(given.last_transition_time)} if given.last_transition_time else {}
    return {"type": given.type, "status": given.status, "reason": given.reason, "message": given.message, **since}


def bind(world: SimulatedWorld, cluster: str, key: Key, pod: Pod, nodes: Iterable[Node]) -> None:
    """To a node with room, a different one for each name; a pod that no node takes waits and says so."""
    store = world.stores[cluster]
    only = only_nodes(store.get(PODS, key)["spec"])
    named = (node for node in nodes if not only or node.metadata.name in only)
    fitting = sorted(node.metadata.name for node in named if takes(world, cluster, node, pod))
    if fitting:
        node = fitting[sum(map(ord, key.name)) % len(fitting)]
        store.patch(PODS, key, {"spec": {"nodeName": node}}, content_type="strategic-merge-patch")
    elif not pod.status.conditions:
        waiting = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node has room"}
        body = {"status": {"phase": "Pending", "conditions": [waiting]}}
        store.patch(PODS, key, body, content_type="merge-patch", subresource="status")


def only_nodes(spec: Manifest) -> set[str]:
    """The nodes that a pod's affinity names; empty where it names none."""
    affinity = spec.get("affinity", {}).get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
    fields = (field for term in affinity.get("nodeSelectorTerms", ()) for field in term.get("matchFields", ()))
    return {name for field in fields for name in field["values"]}


def takes(world: SimulatedWorld, cluster: str, node: Node, pod: Pod) -> bool:
    if node.spec.unschedulable or not is_up(node):
        return False
    on = [p for p in world.objects(cluster, PODS).values() if p.spec.node_name == node.metadata.name and runs(p)]
    room = node.status.allocatable
    cpu = quantity.cpu_millis(room["cpu"]) - sum(map(cpu_of, on))
    return len(on) < int(room["pods"]) and cpu_of(pod) <= cpu


def runs(pod: Pod) -> bool:
    return pod.status.phase not in ("Succeeded", "Failed")


def cpu_of(pod: Pod) -> int:
    return sum(quantity.cpu_millis(c.resources.requests.get("cpu", 0)) for c in pod.spec.containers)


def drain(world: SimulatedWorld, cluster: str) -> None:
    """`kubectl drain`: evicts what is on the node as far as the budgets allow, again and again until nothing is."""
    drained = {n.metadata.name for n in world.objects(cluster, NODES).values() if DRAIN in n.metadata.annotations}
    if not drained or cluster in world.silent:
        return
    for key, pod in sorted(world.objects(cluster, PODS).items()):
        if pod.spec.node_name in drained and not pod.deleting:
            before = world.version(cluster)
            try:
                eviction.evict(world.stores[cluster], key, uid=pod.metadata.uid)
            except Blocked:
                continue
            world.record_consented(cluster, before, f"eviction of {key} in {cluster}")


def node(world: SimulatedWorld, cluster: str, number: int) -> Key | None:
    keys = sorted(world.objects(cluster, NODES))
    return keys[number % len(keys)] if keys else None


def change_node(world: SimulatedWorld, cluster: str, number: int, body: Manifest, subresource: str = "") -> None:
    if key := node(world, cluster, number):
        world.edit(cluster, NODES, key, body, subresource)


def begin_drain(world: SimulatedWorld, cluster: str, number: int) -> None:
    change_node(world, cluster, number, {"metadata": {"annotations": {DRAIN: "yes"}}, "spec": {"unschedulable": True}})


def uncordon(world: SimulatedWorld) -> None:
    for cluster in sorted(world.stores):
        for key in sorted(world.objects(cluster, NODES)):
            present: Any = world.objects(cluster, NODES)[key]
            if present.spec.unschedulable:
                body = {"metadata": {"annotations": {DRAIN: None}}, "spec": {"unschedulable": False}}
                world.edit(cluster, NODES, key, body)


def lose_node(world: SimulatedWorld, cluster: str, number: int) -> None:
    """The node falls silent: its pods are not ready any more, and nothing happens on it until it is back."""
    change_node(world, cluster, number, _NODE_LOST, "status")
    lost = node(world, cluster, number)
    for key, pod in sorted(world.objects(cluster, PODS).items()):
        if lost is not None and pod.spec.node_name == lost.name and pod.status.container_statuses:
            unready(world, cluster, key, pod)


def nodes_back(world: SimulatedWorld) -> None:
    for cluster in sorted(world.stores):
        for key, present in sorted(world.objects(cluster, NODES).items()):
            if not is_up(present):
                world.edit(cluster, NODES, key, _NODE_BACK, "status")


def unready(world: SimulatedWorld, cluster: str, key: Key, pod: Pod) -> None:
    """Its containers have ended and started again, one restart more."""
    again = {"ready": False, "state": {"running": {"startedAt": spelled(world.now)}}}
    containers = [
        as_json(status) | again | {"restartCount": status.restart_count + 1} for status in statuses(pod) if status.container_id
    ]
    broken = [as_json(status) for status in statuses(pod) if not status.container_id]
    body = {"status": status_of(pod, containers + broken, world.now)}
    world.edit(cluster, PODS, key, body, "status")


def crash(world: SimulatedWorld, cluster: str, number: int) -> None:
    """A pod's containers end and are started again."""
    running = [
        (k, p) for k, p in sorted(world.objects(cluster, PODS).items()) if p.status.phase == "Running" and not p.deleting
    ]
    if running:
        unready(world, cluster, *running[number % len(running)])
