"""The scale subresource of a custom kind: replicas and selector, found by the paths in its CRD."""

from __future__ import annotations

from typing import Any

from pincompute.api.meta import Manifest
from pincompute.testing.apiserver import error_responses
from pincompute.testing.apiserver.jsondata import is_map, part
from pincompute.testing.apiserver.served_kinds import ServedKind


def read(kind: ServedKind, obj: Manifest) -> Manifest:
    """An autoscaling/v1 Scale of the object."""
    paths = _paths(kind)
    metadata: Manifest = obj["metadata"]
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status = {"replicas": _look(obj, paths["statusReplicasPath"]) or 0}
    selector = _look(obj, paths["labelSelectorPath"]) if "labelSelectorPath" in paths else None
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {name: metadata[name] for name in shown if name in metadata},
        "spec": {"replicas": _look(obj, paths["specReplicasPath"]) or 0},
        "status": status | ({"selector": selector} if selector else {}),
    }


def write(kind: ServedKind, obj: Manifest, scale: Manifest) -> Manifest:
    """The object with the replicas of the scale, and with its version, if it names one."""
    path = _paths(kind)["specReplicasPath"].strip(".").split(".")
    scaled = _put(obj, path, part(scale, "spec").get("replicas", 0))
    version = part(scale, "metadata").get("resourceVersion", "")
    return {**scaled, "metadata": {**obj["metadata"], "resourceVersion": version}}


def _paths(kind: ServedKind) -> Manifest:
    if kind.scale is None:
        raise error_responses.refuse(404, "the server could not find the requested resource")
    return kind.scale


def _look(obj: Manifest, path: str) -> Any:
    found: Any = obj
    for name in path.strip(".").split("."):
        found = found.get(name) if is_map(found) else None
    return found


def _put(obj: Manifest, path: list[str], value: Any) -> Manifest:
    head, *rest = path
    return {**obj, head: _put(obj.get(head) or {}, rest, value) if rest else value}
