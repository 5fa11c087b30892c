"""Asks pods of a member to take another version of a sidecar, as many as the fleet allows here, and counts them by version.

The key is the sidecar, because the fleet owns the constraint: how many pods may have the version. A request is a mark on the
pod. The controller of the pod's shard carries it out within the disruption account, so no workload loses more replicas than it
allows. The nodes of these pods pull the image first, each once for all pods of a project on it, and a pod is asked when its
node has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pincompute.api import sidecars
from pincompute.api.builtin import NAMESPACES, PODS, Namespace, Pod
from pincompute.api.kinds import KINDS
from pincompute.api.labels import IMAGE_PULL_SHARD_UID, INJECTED, LOCAL, REVISION, is_ours
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.api.shards import Shard
from pincompute.api.sidecars import PINSIDECARSHARDS, PinSidecarShard
from pincompute.domain import pod_security_defaults, shard_pods, sidecar_fleet, sidecar_injection
from pincompute.domain.image_pull import ImagePull
from pincompute.domain.sidecar_fleet import FleetPod, TargetImage
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.plan import Action, Confirm, Patch, Plan, Ref, Stage, plan, status_update
from pincompute.kube.cache_views import Unknown, View, Views
from pincompute.operator import image_pulls
from pincompute.operator.image_pulls import ImageChange, ImagePulls, PullOwner

MOST_REQUESTS = 200  # in one plan; the next reconciliation makes the rest
BY_SIDECAR = "sidecar"  # index over pods
PULLED = "sidecar"  # container of a pod that pulls: a name of the platform is that of an injected container alone
BY_PULLS = "sidecar-image-pulls"  # index over pods that only pull images, by the name of the sidecar's shard


def _by_sidecar(pod: Pod) -> Iterable[str]:
    """Returns the sidecars that a pod of ours has. Anybody may write our annotation on a pod of another namespace."""
    if not is_ours(pod.metadata.labels) or INJECTED not in pod.metadata.annotations:
        return ()
    has = {container.name for container in pod.spec.init_containers}
    return [name for name in sidecar_injection.recorded(pod) if sidecars.container_name(name) in has]


def _by_pulls(pod: Pod) -> Iterable[str]:
    if not is_ours(pod.metadata.labels) or IMAGE_PULL_SHARD_UID not in pod.metadata.labels:
        return ()
    return [owner.name for owner in pod.metadata.owner_references if owner.kind == PINSIDECARSHARDS.kind]


INDEXES: Mapping[Resource[Any], Mapping[str, Any]] = {PODS: {BY_SIDECAR: _by_sidecar, BY_PULLS: _by_pulls}}


@dataclass(frozen=True, slots=True)
class ObservedFleet:
    """`changes` are pods that take the target's image next, each with what its node pulls. `pulls` are pods that pull it."""

    shard: PinSidecarShard
    pods: tuple[FleetPod, ...]
    now: datetime
    changes: tuple[ImageChange, ...] = ()
    pulls: tuple[Pod, ...] = ()

    @property
    def ref(self) -> Ref:
        return Ref(LOCAL, PINSIDECARSHARDS, self.shard.key)


def decide(seen: ObservedFleet) -> Plan:
    shard = seen.shard
    if shard.deleting:
        return Plan(why="is being deleted")
    by_uid = {each.uid: each.pod for each in seen.pods}
    pulls = _pulls(seen)
    wanted = sidecar_fleet.requests(shard.spec, seen.pods, pulls.awaiting_image)
    asks = [_request(by_uid[uid], shard, revision) for uid, revision in wanted.items()][:MOST_REQUESTS]
    image = TargetImage(len(pulls.awaiting_image), pulls.pulling, pulls.failing, pulls.pulled)
    status = sidecar_fleet.status(shard, seen.pods, image)
    report = status_update(seen.ref, shard.metadata, shard.status, status, "its pods changed")
    prepared = (*pulls.create, *pulls.delete)
    guard: Stage = (Confirm(seen.ref, shard.metadata.uid, shard.metadata.generation),) if asks or prepared else ()
    last = (prepared,) if prepared else ()  # a refusal of these holds up nothing else
    wakes = (pulls.wake_after, sidecar_fleet.wake_after(seen.pods))
    wake = min((seconds for seconds in wakes if seconds is not None), default=None)
    return plan(guard, tuple[Action, ...]((*asks, *report)), *last, wake_after=wake)


def _pulls(seen: ObservedFleet) -> ImagePulls:
    if not seen.changes and not seen.pulls:
        return ImagePulls()
    shard, target = seen.shard, seen.shard.spec.target
    ready = (each.pod for each in seen.pods if each.injected.revision == target and each.ready)
    have = {(pod.metadata.namespace, pod.spec.node_name, target) for pod in ready}
    owner = PullOwner(PINSIDECARSHARDS, shard, sidecars.container_name(shard.metadata.name))
    return image_pulls.decide(owner, seen.changes, have, seen.pulls, seen.now)


def _request(pod: Pod, shard: PinSidecarShard, revision: str) -> Patch:
    body = sidecar_injection.ask(pod, shard.metadata.name, revision)
    why = f"takes {revision} of sidecar {shard.metadata.name} when its workload allows it" if revision else "keeps its version"
    return Patch(Ref(LOCAL, PODS, pod.key), body, pod.metadata.uid, pod.metadata.resource_version, why)


def observe(key: Key, views: Views, now: datetime) -> ObservedFleet | None:
    """Raises Unknown until shards and pods are known."""
    pods = _synced(views, PODS)
    shard: PinSidecarShard | None = _synced(views, PINSIDECARSHARDS).get(key)
    if shard is None:
        return None
    fleet = sidecar_fleet.pods_of(shard, pods.by(BY_SIDECAR, key.name), now)
    pulls = tuple(pod for pod in pods.by(BY_PULLS, key.name) if shard_pods.belongs_to(pod, shard.metadata.uid))
    return ObservedFleet(shard, fleet, now, _changes(shard, fleet, views), pulls)


def _changes(shard: PinSidecarShard, fleet: Sequence[FleetPod], views: Views) -> tuple[ImageChange, ...]:
    """Raises Unknown until namespaces and the shards of workloads are known."""
    target = sidecars.of_revision(shard, shard.spec.target)
    changing = sidecar_fleet.image_changes(shard.spec, fleet) if target is not None else []
    if target is None or not changing:
        return ()
    container = {**sidecar_injection.container(shard.metadata.name, target), "name": PULLED}
    found = ((each.pod, _template(each.pod, views)) for each in changing)
    return tuple(_change(pod, template, container, target.revision, views) for pod, template in found if template is not None)


def _change(pod: Pod, template: Manifest, container: Manifest, revision: str, views: Views) -> ImageChange:
    """Returns what a pod that is made of this template needs. What pulls for it is confined, and has logins, as the pod is, and
    has none of its containers: the user names these.
    """
    namespace: Namespace | None = _synced(views, NAMESPACES).get(Key("", pod.metadata.namespace))
    level = pod_security_defaults.namespace_level(namespace.metadata.labels if namespace is not None else {})
    pull = ImagePull(pod.spec.node_name, revision, {container["name"]: container["image"]})
    alone = {"spec": {**template["spec"], "initContainers": [], "containers": [container]}}
    return ImageChange(pod.metadata.uid, pull, alone, pod.metadata.namespace, level)


def _template(pod: Pod, views: Views) -> Manifest | None:
    """Returns the template that the pod is made of, or one of the same workload; None where nobody updates the pod."""
    owner = next((owner for owner in pod.metadata.owner_references if owner.controller), None)
    kind = next((kind.shard for kind in KINDS if owner is not None and kind.shard.kind == owner.kind), None)
    if owner is None or kind is None:
        return None
    shard: Shard | None = _synced(views, kind).get(Key(pod.metadata.namespace, owner.name))
    shares = shard.spec.mix if shard is not None and shard.metadata.uid == owner.uid else ()
    own = (share.template for share in shares if share.revision == pod.metadata.labels.get(REVISION))
    return next(own, shares[0].template if shares else None)


def _synced(views: Views, resource: Resource[Any]) -> View[Any]:
    view = views.view(LOCAL, resource)
    if not view.synced:
        raise Unknown(f"{resource} have not synced")
    return view


def _of_pod(_cluster: str, pod: Pod) -> Iterable[Key]:
    return [Key("", name) for name in (*_by_sidecar(pod), *_by_pulls(pod))]


def _nothing(_cluster: str, _obj: Any) -> Iterable[Key]:
    return ()


CONTROLLER: Controller[Key, ObservedFleet] = Controller(
    Card(
        name="operator.sidecar-fleet",
        promise="As many pods as the fleet allows here are asked to take the wanted version of a sidecar.",
        key="the PinSidecarShard",
        reads=(
            ReadAccess("local", PINSIDECARSHARDS, own_key),
            ReadAccess("local", PODS, _of_pod),
            ReadAccess("local", NAMESPACES, _nothing),
            *(ReadAccess("local", kind.shard, _nothing) for kind in KINDS),
        ),
        writes=(
            WriteAccess("local", PINSIDECARSHARDS, ("status",)),
            WriteAccess("local", PODS, ("create", "patch", "delete")),
        ),
        coalesce=1.0,
    ),
    observe,
    decide,
)
