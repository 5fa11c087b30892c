"""Keeps the pods that pull the images of updates in place onto the nodes of a shard's replicas (S-158).

A replica that serves takes another image only when its node has the image, or when the node takes no pod that could pull it.
One that does not serve has nothing to lose, so it does not wait. The images come for all replicas that the shard's mix changes,
and not only for those that the budget allows to change now, so that an update waits for a registry once and not in each batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from pincompute.api.builtin import PODS, Pod
from pincompute.api.labels import IMAGE_PULL, LOCAL, MANAGED_BY, PINCOMPUTE, REVISION
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.api.projects import PodSecurityLevel
from pincompute.api.shards import Shard, Share
from pincompute.domain import image_pull, in_place_update, shard_pods
from pincompute.domain.image_pull import ImagePull, PullState
from pincompute.engine.plan import Create, Delete, Ref

AT_ONCE = 8  # nodes that pull for one shard at the same time, all of them from one registry


@dataclass(frozen=True, slots=True)
class PullOwner:
    """The shard that owns the pods, and the Pod Security of its project."""

    resource: Resource[Any]
    shard: Shard
    level: PodSecurityLevel

    def name(self, pull: ImagePull) -> str:
        return shard_pods.pull_name(self.shard, pull.digest)

    def pod(self, pull: ImagePull, template: Manifest) -> Manifest:
        metadata = {
            "name": self.name(pull),
            "namespace": self.shard.metadata.namespace,
            "labels": {MANAGED_BY: PINCOMPUTE, IMAGE_PULL: self.shard.metadata.uid, REVISION: pull.revision},
            "ownerReferences": [shard_pods.owner(self.resource, self.shard)],
        }
        spec = image_pull.spec(pull, template, self.level)
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@dataclass(frozen=True, slots=True)
class ImageChange:
    """A replica that serves, and the share of the mix whose images it takes in place."""

    pod: Pod
    share: Share

    @property
    def pull(self) -> ImagePull:
        images = in_place_update.changed_images(self.pod, self.share.template)
        return ImagePull(self.pod.spec.node_name, self.share.revision, images)


@dataclass(frozen=True, slots=True)
class ImagePulls:
    """`unprepared`: names of replicas whose nodes lack an image. `failing`: pods whose nodes cannot pull one."""

    unprepared: frozenset[str] = frozenset()
    failing: tuple[Pod, ...] = ()
    create: tuple[Create, ...] = ()
    delete: tuple[Delete, ...] = ()


def decide(
    owner: PullOwner, changes: Sequence[ImageChange], have: AbstractSet[tuple[str, str]], pulling: Sequence[Pod]
) -> ImagePulls:
    """`have` are nodes, each with a revision that a replica of the shard runs there. `pulling` are pods that pull for it."""
    needed: dict[str, ImageChange] = {}
    waiting: dict[str, str] = {}  # replica -> the pod that pulls for it
    for change in changes:
        pull = change.pull
        if pull.images and (pull.node, pull.revision) not in have:
            name = owner.name(pull)
            needed.setdefault(name, change)
            waiting[change.pod.metadata.name] = name
    states = {pod.metadata.name: image_pull.state(pod) for pod in pulling if not pod.deleting}
    ended = {name for name, state in states.items() if state in (PullState.PULLED, PullState.IMPOSSIBLE)}
    known = not {change.share.revision for change in changes}.isdisjoint(revision for _, revision in have)
    taken = {pod.metadata.name for pod in pulling}
    missing = [name for name in needed if name not in taken][: _room(list(states.values()), known=known)]
    return ImagePulls(
        unprepared=frozenset(replica for replica, name in waiting.items() if name not in ended),
        failing=tuple(p for p in pulling if p.metadata.name in needed and states.get(p.metadata.name) is PullState.FAILING),
        create=tuple(_create(owner, needed[name]) for name in missing),
        delete=tuple(_delete(pod) for pod in pulling if pod.metadata.name not in needed and not pod.deleting),
    )


def _room(states: Sequence[PullState], *, known: bool) -> int:
    """Returns how many more nodes may begin to pull. `known`: some node has the images. Nodes that cannot pull hold up no
    others, unless none ever could.
    """
    if states.count(PullState.FAILING) >= AT_ONCE and PullState.PULLED not in states and not known:
        return 0
    return max(0, AT_ONCE - states.count(PullState.PULLING))


def _create(owner: PullOwner, change: ImageChange) -> Create:
    body = owner.pod(change.pull, change.share.template)
    ref = Ref(LOCAL, PODS, Key(body["metadata"]["namespace"], body["metadata"]["name"]))
    return Create(ref, body, f"node {change.pull.node} needs an image of {change.share.revision}")


def _delete(pod: Pod) -> Delete:
    return Delete(Ref(LOCAL, PODS, pod.key), pod.metadata.uid, "no replica waits for its images", pod.metadata.resource_version)
