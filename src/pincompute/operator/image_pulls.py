"""Keeps the pods that pull the images of updates in place onto the nodes of the pods that change (S-158).

A container that serves takes another image only when its node has the image, or when the node takes no pod that could pull it.
One that does not serve has nothing to lose, so it does not wait. The controller of a shard brings the images of its replicas
so, and that of a sidecar the image that the sidecar takes in all pods of the member, whatever workload they belong to. A pod
pulls for the pods of its own namespace alone: their logins and their quota are no other project's.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pincompute.api.builtin import PODS, Pod
from pincompute.api.labels import IMAGE_PULL_SHARD_UID, LOCAL, MANAGED_BY, PINCOMPUTE, REVISION
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.api.projects import PodSecurityLevel
from pincompute.domain import image_pull, shard_pods
from pincompute.domain.image_pull import ImagePull, PullState
from pincompute.engine.plan import Create, Delete, Ref

AT_ONCE = 8  # pods that pull for one owner at the same time, all of them from one registry
SLOW = timedelta(minutes=10)
"""A node that has pulled for longer gives its place to another node, and nothing waits for it: a tenant may keep a node busy
with images that never arrive.
"""


@dataclass(frozen=True, slots=True)
class PullOwner:
    """The shard that owns the pods, and the `stem` of their names."""

    resource: Resource[Any]
    shard: Object
    stem: str

    def name(self, pull: ImagePull) -> str:
        return shard_pods.pull_name(self.stem, pull.key)

    def pod(self, change: ImageChange) -> Manifest:
        pull = change.pull
        metadata = {
            "name": self.name(pull),
            "namespace": change.namespace,
            "labels": {MANAGED_BY: PINCOMPUTE, IMAGE_PULL_SHARD_UID: self.shard.metadata.uid, REVISION: pull.revision},
            "ownerReferences": [shard_pods.owner(self.resource, self.shard)],
        }
        spec = image_pull.spec(pull, change.template, change.level)
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@dataclass(frozen=True, slots=True)
class ImageChange:
    """A pod that serves and takes other images in place: what its node has to pull for it, and the template, the namespace and
    the level of Pod Security of the pod that pulls. `pod` is a name of the pod that is unique among those of the owner.
    """

    pod: str
    pull: ImagePull
    template: Manifest
    namespace: str
    level: PodSecurityLevel


@dataclass(frozen=True, slots=True)
class ImagePulls:
    """`awaiting_image`: pods, by their unique names, whose nodes lack an image. `pulling`: nodes that pull now and are not
    slow. `failing`: pods whose nodes cannot pull an image. `pulled`: some node has the images. `wake_after`: seconds until a
    node that pulls is slow.
    """

    awaiting_image: frozenset[str] = frozenset()
    pulling: int = 0
    failing: tuple[Pod, ...] = ()
    pulled: bool = False
    create: tuple[Create, ...] = ()
    delete: tuple[Delete, ...] = ()
    wake_after: float | None = None


def decide(
    owner: PullOwner,
    changes: Sequence[ImageChange],
    have: AbstractSet[tuple[str, str, str]],
    pulling: Sequence[Pod],
    now: datetime,
) -> ImagePulls:
    """`have` are namespaces, each with a node and a revision that a pod of the owner runs there. `pulling` are pods that pull
    for the owner.
    """
    needed: dict[Key, ImageChange] = {}
    waiting: dict[str, Key] = {}  # pod that changes -> pod that pulls for it
    for change in changes:
        pull = change.pull
        if pull.images and (change.namespace, pull.node, pull.revision) not in have:
            key = Key(change.namespace, owner.name(pull))
            needed.setdefault(key, change)
            waiting[change.pod] = key
    useful = {pod.key: pod for pod in pulling if pod.key in needed and _pulls_for(pod, needed[pod.key])}
    states = {key: image_pull.state(pod) for key, pod in useful.items() if not pod.deleting}
    ended = {key for key, state in states.items() if state in (PullState.PULLED, PullState.REJECTED)}
    known = not {change.pull.revision for change in changes}.isdisjoint(revision for _, _, revision in have)
    pulled = known or PullState.PULLED in states.values()
    failing = tuple(useful[key] for key, state in states.items() if state is PullState.FAILING)
    hopeless = set[str]() if pulled else _hopeless(failing)
    taken = {pod.key for pod in pulling}
    missing = [key for key in needed if key not in taken and key.namespace not in hopeless]
    left = (_left(useful[key], now) for key, state in states.items() if state is PullState.PULLING)
    busy = [seconds for seconds in left if seconds > 0]
    return ImagePulls(
        awaiting_image=frozenset(pod for pod, key in waiting.items() if key not in ended),
        pulling=len(busy),
        failing=failing,
        pulled=pulled,
        create=tuple(_create(owner, needed[key]) for key in _in_turn(missing, now)[: max(0, AT_ONCE - len(busy))]),
        delete=tuple(_delete(pod) for pod in pulling if pod.key not in useful and not pod.deleting),
        wake_after=min(busy, default=None),
    )


def _left(pod: Pod, now: datetime) -> float:
    """Returns the seconds until the pod has pulled for too long."""
    return ((pod.metadata.creation_timestamp or now) + SLOW - now).total_seconds()


def _pulls_for(pod: Pod, change: ImageChange) -> bool:
    """Returns whether the pod pulls what the change needs, whatever its name and labels say."""
    images = {container.name: container.image for container in pod.spec.containers}
    return pod.spec.node_name in ("", change.pull.node) and change.pull.images.items() <= images.items()


def _hopeless(failing: Collection[Pod]) -> set[str]:
    """Returns the namespaces in which no more nodes try, where none has ever pulled: those of pulls that fail, if these are
    many. Another namespace may have the login.
    """
    return {pod.metadata.namespace for pod in failing} if len(failing) >= AT_ONCE else set()


def _in_turn(missing: Sequence[Key], now: datetime) -> list[Key]:
    """Returns the pods in the order in which they are made: one of each namespace before the second of any, and another
    namespace first at another time, so that one that takes no pods keeps those of no other from being made.
    """
    made = Counter[str]()
    turns: dict[Key, tuple[int, str]] = {}
    for key in missing:
        turns[key] = (made[key.namespace], hashlib.sha256(f"{now.timestamp()} {key.namespace}".encode()).hexdigest())
        made[key.namespace] += 1
    return sorted(missing, key=turns.__getitem__)


def _create(owner: PullOwner, change: ImageChange) -> Create:
    body = owner.pod(change)
    ref = Ref(LOCAL, PODS, Key(body["metadata"]["namespace"], body["metadata"]["name"]))
    return Create(ref, body, f"node {change.pull.node} needs an image of {change.pull.revision}")


def _delete(pod: Pod) -> Delete:
    return Delete(Ref(LOCAL, PODS, pod.key), pod.metadata.uid, "no pod waits for its images", pod.metadata.resource_version)
