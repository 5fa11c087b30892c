"""Derives the pods of a shard: their names, their manifests, and the state of each.

A name is derived and never random: `<shard>-<cluster>-<ordinal>` with the lowest free ordinal. The pod of a kind that does not
scale has no ordinal, `<shard>-<cluster>`, so there can never be two of it, and a service of the same name does not collide
with it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from pincompute.api import kinds, labels
from pincompute.api.builtin import Pod
from pincompute.api.conditions import find
from pincompute.api.meta import Manifest, Object, Resource
from pincompute.api.projects import RESTRICTED, PodSecurityLevel
from pincompute.api.shards import Shard, Share
from pincompute.domain import pod_resources, pod_security_defaults, traffic_gate

LONGEST_NAME = 63  # a pod's name is its host name
_DIGEST = 8  # hex digits that tell apart names cut to the same beginning (S-024)
_FINISHED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class PodMetadata:
    """What a pod carries in its metadata for one revision of its shard."""

    labels: dict[str, str]
    annotations: dict[str, str]


def workload_kind(resource: Resource[Any]) -> str:
    """Returns the kind of the host object that a shard comes from."""
    return kinds.of_resource(resource).workload.kind


def scales(resource: Resource[Any]) -> bool:
    """Returns whether the pods of this kind of shard are replicas of each other."""
    return kinds.of_resource(resource).scalable


def names(resource: Resource[Any], shard: Shard) -> Iterator[tuple[int, str]]:
    """Yields ordinals and names that a pod of the shard may have, lowest first."""
    stem = name_stem(shard)
    if not scales(resource):
        return iter(((0, _fit(stem, "")),))
    return ((ordinal, _fit(stem, f"-{ordinal}")) for ordinal in itertools.count())


def name_stem(shard: Shard) -> str:
    """Returns what the names of all pods of the shard begin with."""
    return f"{shard.metadata.name}-{shard.spec.cluster}"


def name_of(workload: str, cluster: str, ordinal: int) -> str:
    """Returns the name of a pod of a kind that scales."""
    return _fit(f"{workload}-{cluster}", f"-{ordinal}")


def free_names(resource: Resource[Any], shard: Shard, taken: Container[str], count: int) -> tuple[tuple[int, str], ...]:
    """Returns at most `count` free names; fewer for a single pod, whose only name may still be taken."""
    free = (candidate for candidate in names(resource, shard) if candidate[1] not in taken)
    return tuple(itertools.islice(free, count))


def pull_name(stem: str, key: str) -> str:
    """Returns the name of a pod that pulls images. No replica has it: an ordinal is a number."""
    return _fit(stem, f"-pull-{key}")


def _fit(stem: str, suffix: str) -> str:
    if len(stem) + len(suffix) <= LONGEST_NAME:
        return stem + suffix
    digest = hashlib.sha256(stem.encode()).hexdigest()[:_DIGEST]
    return f"{stem[: LONGEST_NAME - len(suffix) - _DIGEST - 1].rstrip('-.')}-{digest}{suffix}"


def render(
    resource: Resource[Any], shard: Shard, share: Share, carried: PodMetadata, name: str, level: PodSecurityLevel = RESTRICTED
) -> Manifest:
    """Returns the pod of one replica, with what the project's level of Pod Security requires and with its tier's priority.

    Its containers can read zone and cluster through the downward API of its labels. The priority is not part of the template,
    so another tier makes no other revision: only pods that are made later have its priority. The same holds for the readiness
    gate of a kind that scales.
    """
    spec = pod_resources.completed(pod_security_defaults.filled_spec(share.template["spec"], level))
    spec.pop("priority", None)  # a template of a former version may hold one, and the API server takes only that of the class
    gates = {"readinessGates": made} if scales(resource) and (made := traffic_gate.gates(spec)) else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": shard.metadata.namespace,
            "labels": carried.labels,
            "annotations": carried.annotations,
            "ownerReferences": [owner(resource, shard)],
        },
        "spec": {**spec, **gates, "priorityClassName": labels.priority_class(shard.spec.tier)},
    }


def owner(resource: Resource[Any], shard: Object) -> Manifest:
    """Returns the owner reference, so that what the shard created goes with it."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": shard.metadata.name,
        "uid": shard.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def metadata(resource: Resource[Any], shard: Shard, share: Share, shape: str, ordinal: int) -> PodMetadata:
    """Returns the template's labels and annotations, and ours, which win."""
    given: Manifest = share.template.get("metadata") or {}
    from_template = PodMetadata(dict(given.get("labels") or {}), dict(given.get("annotations") or {}))
    ours = {
        labels.MANAGED_BY: labels.PINCOMPUTE,
        labels.APP: shard.metadata.name,
        labels.WORKLOAD: workload_kind(resource),
        labels.REVISION: share.revision,
        labels.TIER: shard.spec.tier,
        labels.ZONE: shard.spec.zone,
        labels.CLUSTER: shard.spec.cluster,
        labels.SHARD_UID: shard.metadata.uid,
        labels.ORIGIN_UID: shard.spec.origin.uid,
    }
    notes = {labels.ORDINAL: str(ordinal), labels.SHAPE: shape}
    if from_template.labels or from_template.annotations:
        notes[labels.TEMPLATE_KEYS] = _keys(from_template)
    return PodMetadata(from_template.labels | ours, from_template.annotations | notes)


def _keys(given: PodMetadata) -> str:
    return msgspec.json.encode({"labels": sorted(given.labels), "annotations": sorted(given.annotations)}).decode()


def template_keys(pod: Pod) -> Mapping[str, list[str]]:
    """Returns the names of the labels and annotations that the pod has from its template."""
    text = pod.metadata.annotations.get(labels.TEMPLATE_KEYS)
    return msgspec.json.decode(text, type=dict[str, list[str]]) if text else {}


def belongs_to(pod: Pod, uid: str) -> bool:
    return any(owner.controller and owner.uid == uid for owner in pod.metadata.owner_references)


def ordinal(pod: Pod) -> int:
    text = pod.metadata.annotations.get(labels.ORDINAL, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def is_finished(pod: Pod) -> bool:
    """Returns whether its containers have ended for good; true also for what an eviction leaves."""
    return pod.status.phase in _FINISHED


def is_live(pod: Pod) -> bool:
    """Returns whether it is or will be a replica: neither finished nor being deleted."""
    return not is_finished(pod) and not pod.deleting


def ready_since(pod: Pod) -> datetime | None:
    """Returns when it became ready; None while it is not. One that was just taken out of traffic is not, whatever its kubelet
    still says.
    """
    if traffic_gate.is_out(pod):
        return None
    condition = find(pod.status.conditions, "Ready")
    if condition is None or condition.status != "True":
        return None
    return condition.last_transition_time or pod.metadata.creation_timestamp
