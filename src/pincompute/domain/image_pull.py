"""Makes the pod that pulls images onto a node ahead of an update in place, and reads how far it is (S-158).

A kubelet ends a container before it pulls the image of the next one. With the image on the node beforehand, a container is down
for as long as its program takes to start, and one whose image cannot be pulled runs on. The containers of the pod have the
images of the update and a command that no image can have. So the kubelet pulls each image and fails to start it, and no program
of the image runs. A node that pulls images does the same for every other pod, so nothing has to be installed on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import msgspec

from pincompute.api import labels, template_hash
from pincompute.api.builtin import ContainerStatus, Pod
from pincompute.api.meta import Manifest
from pincompute.api.projects import PodSecurityLevel
from pincompute.api.validation_rules import LEAST
from pincompute.domain import container_failure, pod_security_defaults, scheduling_verdict

_COMMAND = (
    "/dev/null/pull-only"  # /dev is the container runtime's own, and its null is no folder: no image can have this program
)
_COPIED = ("tolerations", "imagePullSecrets", "hostUsers", "os", "securityContext", "runtimeClassName")
"""What decides whether a node takes a pod and pulls for it, and what confines its containers."""
_RESOURCES: Manifest = {"requests": LEAST, "limits": {"memory": "16Mi", "ephemeral-storage": LEAST["ephemeral-storage"]}}
_DIGITS = 12  # hex digits that tell the pulls of a shard apart


class PullState(Enum):
    """`REJECTED`: the node takes no pod, so nobody can tell whether it can pull."""

    PULLING = "Pulling"
    PULLED = "Pulled"
    FAILING = "Failing"
    REJECTED = "Rejected"


@dataclass(frozen=True, slots=True)
class ImagePull:
    """The images, by container, that a node needs for a revision."""

    node: str
    revision: str
    images: Mapping[str, str]

    @property
    def key(self) -> str:
        """Returns the same text for the same images of a revision on the same node."""
        named = msgspec.json.encode([self.node, self.revision, sorted(self.images.items())])
        return hashlib.sha256(named).hexdigest()[:_DIGITS]


def spec(pull: ImagePull, template: Manifest, level: PodSecurityLevel) -> Manifest:
    """Returns the spec of the pod. It has the least priority and requests the least, so it takes the room of no other pod."""
    given: Manifest = template["spec"]
    own = {c["name"]: c for _, c in template_hash.containers(template)}
    made: Manifest = {
        **{name: given[name] for name in _COPIED if name in given},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": _only(pull.node)}},
        "containers": [_container(own[name], image) for name, image in sorted(pull.images.items())],
        "enableServiceLinks": False,
        "priorityClassName": labels.priority_class(labels.PLACEHOLDER),
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
    }
    return pod_security_defaults.filled_spec(made, level)


def _only(node: str) -> Manifest:
    """Returns the node selector of one node, by its name."""
    return {"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]}


def _container(given: Manifest, image: str) -> Manifest:
    copied = {name: given[name] for name in ("imagePullPolicy", "securityContext") if given.get(name)}
    return {"name": given["name"], "image": image, "command": [_COMMAND], "resources": _RESOURCES, **copied}


def state(pod: Pod) -> PullState:
    """Returns how far the pod is. What its containers report after the pull, such as that they cannot start, is a success."""
    if scheduling_verdict.of(pod) is not None:
        return PullState.REJECTED
    statuses = pod.status.container_statuses
    if pod.status.phase == "Failed" and not any(status.state for status in statuses):
        return PullState.REJECTED  # the node refused the pod, or lost it
    if any(_fails(status) for status in statuses):
        return PullState.FAILING
    if statuses and all(_is_pulled(status) for status in statuses):
        return PullState.PULLED
    return PullState.PULLING


def _fails(status: ContainerStatus) -> bool:
    waiting = status.state.waiting if status.state else None
    return waiting is not None and waiting.reason in container_failure.IMAGE


def _is_pulled(status: ContainerStatus) -> bool:
    if status.state is None:
        return False
    waiting = status.state.waiting
    ran = status.state.running is not None or status.state.terminated is not None
    return ran or (waiting is not None and waiting.reason in container_failure.START)
