"""Copies the data of an object into another cluster, and removes copies. Only local variables of this module hold the data.

A copy says to which object it belongs by a label with that object's uid. What carries another uid, or is not ours, stays.
"""

from __future__ import annotations

from typing import Any

from pincompute.api.labels import MANAGED_BY, ORIGIN_UID, PINCOMPUTE, is_ours
from pincompute.api.meta import Manifest
from pincompute.engine.error_classification import ForeignError, StaleView
from pincompute.engine.interfaces import Writer
from pincompute.engine.plan import Copy, Discard, Ref
from pincompute.kube import api_errors

_DATA = ("data", "binaryData", "type")


async def copy(action: Copy, source: Writer, target: Writer, manager: str) -> None:
    """Makes the copy; a copy that is right already is left as it is."""
    found = await source.content(action.source.resource, action.source.key)
    if found is None or not _belongs(found["metadata"].get("labels") or {}, action.origin):
        raise ForeignError(
            f"copy on {action.source.cluster}: the value {action.source.key.name} does not exist any more: set it again"
        )
    there = await target.content(action.ref.resource, action.ref.key)
    body = _body(action, found)
    if there is None:
        await target.create(action.ref.resource, body, manager)
        return
    labels: Manifest = there["metadata"].get("labels") or {}
    if not is_ours(labels):
        raise ForeignError(
            f"copy on {action.ref.cluster}: a {action.ref.resource.kind} {action.ref.key.name} is in the way that the platform "
            "did not make: remove it with kubectl, or choose another name"
        )
    if _content(there) == _content(body) and body["metadata"]["labels"].items() <= labels.items():
        return
    await _replace(action, there, body, target, manager)


async def _replace(action: Copy, there: Manifest, body: Manifest, target: Writer, manager: str) -> None:
    """Type and data of an object that is immutable never change, so it goes first."""
    meta: Manifest = there["metadata"]
    if there.get("immutable") or there.get("type") != body.get("type"):
        await _delete(action.ref, meta["uid"], target)
        await target.create(action.ref.resource, body, manager)
        return
    pins = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
    pinned = {**body, "metadata": {**body["metadata"], **pins}}
    try:
        await target.update(action.ref.resource, action.ref.key, pinned, "", manager)
    except api_errors.NotFound as gone:
        raise StaleView(f"{action.ref} is gone") from gone


async def discard(action: Discard, target: Writer) -> None:
    """Removes the object; another one of its name stays."""
    there = await target.get(action.ref.resource, action.ref.key)
    if there is not None and _belongs(there.metadata.labels, action.origin):
        await _delete(action.ref, there.metadata.uid, target)


async def _delete(ref: Ref, uid: str, target: Writer) -> None:
    try:
        await target.delete(ref.resource, ref.key, uid, "", "Background")
    except api_errors.NotFound:
        return  # gone already is success


def _belongs(labels: Manifest, origin: str) -> bool:
    return is_ours(labels) and labels.get(ORIGIN_UID) == origin


def _content(obj: Manifest) -> tuple[Any, ...]:
    return (*(obj.get(part) for part in _DATA), bool(obj.get("immutable")))


def _body(action: Copy, found: Manifest) -> Manifest:
    resource, key = action.ref.resource, action.ref.key
    labels = {**action.labels, MANAGED_BY: PINCOMPUTE, ORIGIN_UID: action.origin}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": key.name, "namespace": key.namespace, "labels": labels},
        **{part: found[part] for part in _DATA if part in found},
        **({"immutable": True} if action.immutable else {}),
    }
