"""Pod templates as values: defaults, revision, what an in-place update may change, what a pod asks of a node.

Everything here reads the template's JSON as the user wrote it, because decoding it into structs would lose fields. The
surprising rule: a value that Kubernetes would fill in anyway does not make a new revision (S-131).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from pincompute.api import quantity
from pincompute.api.labels import RESTARTED_AT
from pincompute.api.meta import Manifest

DEFAULT_CPU = "100m"  # requested by a container that names neither request nor limit (SPEC #60)
DEFAULT_MEMORY = "128Mi"

_CONTAINER_LISTS = ("initContainers", "containers")

# What the API server fills in when it is absent; equal values are left out of hashes.
_POD_DEFAULTS: Manifest = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "terminationGracePeriodSeconds": 30,
    "enableServiceLinks": True,
    "securityContext": {},
    "hostNetwork": False,
    "hostPID": False,
    "hostIPC": False,
    "initContainers": [],
}
_CONTAINER_DEFAULTS: Manifest = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
    "stdin": False,
    "stdinOnce": False,
    "tty": False,
    "env": [],
    "ports": [],
    "volumeMounts": [],
}
_PROBE_DEFAULTS: Manifest = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


@dataclass(frozen=True, slots=True)
class Requests:
    """What the scheduler must find free on one node for one pod. `memory_bytes` in bytes."""

    cpu_millis: int
    memory_bytes: int

    def __add__(self, other: Requests) -> Requests:
        return Requests(self.cpu_millis + other.cpu_millis, self.memory_bytes + other.memory_bytes)

    def at_least(self, other: Requests) -> Requests:
        return Requests(max(self.cpu_millis, other.cpu_millis), max(self.memory_bytes, other.memory_bytes))


NOTHING = Requests(0, 0)


def normalise(template: Manifest) -> Manifest:
    """A copy in which every container requests CPU and memory and limits memory, and quantities are canonical.

    A request that is absent takes the limit, as Kubernetes does, else the default; an absent memory limit takes the
    request. A resource that is declared for the pod as a whole (`spec.resources`) is not added to its containers.
    Raises InvalidQuantityError.
    """
    spec = dict[str, Any](template.get("spec") or {})
    pod: Manifest | None = spec.get("resources")
    if pod:
        spec["resources"] = pod = _canonical_resources(pod)
    shared = frozenset((pod or {}).get("requests") or ()) | frozenset((pod or {}).get("limits") or ())
    for where in _CONTAINER_LISTS:
        if spec.get(where):
            spec[where] = [{**c, "resources": _with_defaults(c.get("resources") or {}, shared)} for c in spec[where]]
    return {**template, "spec": spec}


def revision(template: Manifest) -> str:
    """Names the template: the same for two templates that make the same pods (S-131)."""
    return _hash(_significant(normalise(template)))


def same(one: Manifest, other: Manifest) -> bool:
    """Whether two templates make the same pods."""
    return revision(one) == revision(other)


def shape(template: Manifest) -> str:
    """Names everything an in-place update cannot change: all but images that can be replaced, labels and annotations.

    One annotation asks for new pods and nothing else: kubectl's restartedAt.
    """
    significant = _significant(normalise(template))
    spec = dict[str, Any](significant["spec"])
    for where in _CONTAINER_LISTS:
        if spec.get(where):
            spec[where] = [_without(c, "image") if is_replaceable(where, c) else c for c in spec[where]]
    given: Manifest = significant.get("metadata") or {}
    annotations: Manifest = given.get("annotations") or {}
    restarted = annotations.get(RESTARTED_AT)
    metadata = _without(given, "labels", "annotations") | ({RESTARTED_AT: restarted} if restarted else {})
    return _hash({"metadata": metadata, "spec": spec})


def images(template: Manifest) -> dict[str, str]:
    """Container name to image, for those whose image can be changed in a running pod: containers and native sidecars."""
    return {c["name"]: c.get("image", "") for where, c in containers(template) if is_replaceable(where, c)}


def requests(template: Manifest) -> Requests:
    """What one pod asks of its node, by the scheduler's formula (S-104). Containers that name nothing count as nothing.

    Native sidecars (init containers with restartPolicy Always) run on beside the containers; a plain init container runs
    alone with the sidecars started before it. `spec.resources` overrides the sum, `spec.overhead` comes on top.
    """
    running, sidecars, starting = NOTHING, NOTHING, NOTHING
    for where, container in containers(template):
        wants = _asked(container.get("resources"))
        if where == "containers":
            running += wants
        elif is_replaceable(where, container):
            sidecars += wants
            starting = starting.at_least(sidecars)
        else:
            starting = starting.at_least(sidecars + wants)
    needed = (running + sidecars).at_least(starting)
    spec: Manifest = template.get("spec") or {}
    whole = _effective_requests(spec.get("resources"))
    needed = Requests(
        quantity.cpu_millis(whole["cpu"]) if "cpu" in whole else needed.cpu_millis,
        quantity.memory_bytes(whole["memory"]) if "memory" in whole else needed.memory_bytes,
    )
    return needed + _asked({"requests": spec.get("overhead")})


def containers(template: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Every container with the name of the list it stands in, in start order."""
    spec: Manifest = template.get("spec") or {}
    for where in _CONTAINER_LISTS:
        for container in spec.get(where) or ():
            yield where, container


def is_replaceable(where: str, container: Manifest) -> bool:
    """It runs for as long as the pod, so kubelet can restart it alone; a plain init container has ended long ago."""
    return where == "containers" or container.get("restartPolicy") == "Always"


def _with_defaults(resources: Manifest, shared: frozenset[str]) -> Manifest:
    filled = _canonical_resources(resources)
    for name, default in (("cpu", DEFAULT_CPU), ("memory", DEFAULT_MEMORY)):
        if name not in shared:
            filled["requests"].setdefault(name, default)
    if "memory" not in shared:
        filled["limits"].setdefault("memory", filled["requests"]["memory"])
    return {name: part for name, part in filled.items() if part}


def _canonical_resources(resources: Manifest) -> Manifest:
    """A copy with canonical quantities, in which a limit is also a request, as everywhere in Kubernetes."""
    limits = _canonical(resources.get("limits"))
    return {**resources, "requests": limits | _canonical(resources.get("requests")), "limits": limits}


def _canonical(quantities: Manifest | None) -> dict[str, str]:
    return {name: quantity.canonical(value) for name, value in (quantities or {}).items()}


def _effective_requests(resources: Manifest | None) -> Manifest:
    """Requests, where a limit stands for a request that is absent."""
    given: Manifest = resources or {}
    return {**(given.get("limits") or {}), **(given.get("requests") or {})}


def _asked(resources: Manifest | None) -> Requests:
    wants = _effective_requests(resources)
    return Requests(quantity.cpu_millis(wants.get("cpu", 0)), quantity.memory_bytes(wants.get("memory", 0)))


def _significant(template: Manifest) -> Manifest:
    """Without what Kubernetes would fill in, so that saying it or not makes no difference."""
    spec = _unlike(template["spec"], _POD_DEFAULTS)
    for where in _CONTAINER_LISTS:
        if spec.get(where):
            spec[where] = [_significant_container(c) for c in spec[where]]
    return {**_without_null(template), "spec": spec}


def _significant_container(container: Manifest) -> Manifest:
    kept = _unlike(container, _CONTAINER_DEFAULTS)
    if kept.get("imagePullPolicy") == _default_pull_policy(kept.get("image", "")):
        del kept["imagePullPolicy"]
    if "ports" in kept:
        kept["ports"] = [_unlike(port, {"protocol": "TCP"}) for port in kept["ports"]]
    for probe in _PROBES:
        if probe in kept:
            kept[probe] = _unlike(kept[probe], _PROBE_DEFAULTS)
    return kept


def _default_pull_policy(image: str) -> str:
    """Always for `latest`, said or implied; a digest or another tag is not pulled again."""
    name = image.rpartition("/")[2]
    floating = "@" not in name and (":" not in name or name.endswith(":latest"))
    return "Always" if floating else "IfNotPresent"


def _unlike(values: Manifest, defaults: Manifest) -> Manifest:
    return {name: value for name, value in _without_null(values).items() if name not in defaults or value != defaults[name]}


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_null(part) for name, part in cast("Manifest", value).items() if part is not None}
    if isinstance(value, list):
        return [_without_null(part) for part in cast("list[Any]", value)]
    return value


def _without(values: Manifest, *names: str) -> Manifest:
    return {name: value for name, value in values.items() if name not in names}


def _hash(value: Manifest) -> str:
    """10 hex digits: fit for a label; 100 revisions of one workload hold two alike by chance once in 200 million."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
