"""Sends writes and uncached reads to an API server. Each returns the slim object as it is afterwards.

It repeats nothing that may have taken effect (see `api_client`), and no function reads before it writes: preconditions travel
in the request and the API server checks them.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from pincompute.api.builtin import PODS
from pincompute.api.meta import Key, Manifest, Object, Resource, Struct
from pincompute.kube import object_decoding, yaml_safe_json
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import Conflict, Invalid, NotFound

T = TypeVar("T", bound=Object)

Propagation: TypeAlias = Literal["Background", "Foreground", "Orphan"]
Subresource: TypeAlias = Literal["", "status"]
PatchSubresource: TypeAlias = Literal["", "resize", "status"]

_UNCHECKED = {"fieldValidation": "Ignore"}  # unknown fields would only be warned of, and the body be parsed twice for that
_DRY_RUN = {"dryRun": "All"}  # judged, and not done
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_STRATEGIC = "application/strategic-merge-patch+json"
_ONE = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
_MANY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"


class _WrittenObject(Struct):
    """The answer to a delete: a Status when nothing is left, else the object that still has finalizers or a grace period."""

    kind: str = ""


async def create(client: ApiClient, resource: Resource[T], body: Manifest, manager: str, *, dry_run: bool = False) -> T:
    """Creates by POST; raises AlreadyExists when the name is taken."""
    namespace = body.get("metadata", {}).get("namespace", "")
    query = {"fieldManager": manager, **_UNCHECKED, **(_DRY_RUN if dry_run else {})}
    answer = await client.request("POST", resource.path(namespace), query=query, body=_encode(resource, body))
    return object_decoding.object_decoder(resource.type).decode(answer)


async def apply(client: ApiClient, resource: Resource[T], key: Key, body: Manifest, manager: str, uid: str = "") -> T:
    """Applies on the server: `manager` owns exactly the fields in `body`, and takes them from their former owners.

    It creates what is missing, unless `uid` says which object it must be; then it raises Conflict.
    """
    named = _named(key, body, {"uid": uid} if uid else {})
    query = {"fieldManager": manager, "force": "true", **_UNCHECKED}
    path = resource.path(key.namespace, key.name)
    answer = await _pinned(client, path, query, _encode(resource, named), _APPLY)
    return object_decoding.object_decoder(resource.type).decode(answer)


async def patch(
    client: ApiClient,
    resource: Resource[T],
    key: Key,
    body: Manifest,
    manager: str,
    *,
    subresource: PatchSubresource = "",
    dry_run: bool = False,
) -> T:
    """Sends a merge patch, strategic where the kind is built in, pinned by metadata.uid and metadata.resourceVersion in
    `body`.
    """
    path = resource.path(key.namespace, key.name, subresource)
    content_type = _STRATEGIC if _built_in(resource) else _MERGE
    query = {"fieldManager": manager, **_UNCHECKED, **(_DRY_RUN if dry_run else {})}
    answer = await _pinned(client, path, query, msgspec.json.encode(body), content_type)
    return object_decoding.object_decoder(resource.type).decode(answer)


async def update(
    client: ApiClient, resource: Resource[T], key: Key, body: Manifest, manager: str, subresource: Subresource = ""
) -> T:
    """PUT: the object, or its status alone, is `body` afterwards. Conflict unless it is at metadata.uid and resourceVersion."""
    path = resource.path(key.namespace, key.name, subresource)
    query = {"fieldManager": manager, **_UNCHECKED}
    answer = await client.request("PUT", path, query=query, body=_encode(resource, _named(key, body, {})))
    return object_decoding.object_decoder(resource.type).decode(answer)


async def delete(
    client: ApiClient,
    resource: Resource[T],
    key: Key,
    uid: str,
    resource_version: str = "",
    propagation: Propagation = "Background",
) -> T | None:
    """Deletes this very object; returns None when nothing of it is left. Raises NotFound when it was gone, Conflict when it
    is another.
    """
    pins = {"uid": uid, **({"resourceVersion": resource_version} if resource_version else {})}
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": pins, "propagationPolicy": propagation}
    path = resource.path(key.namespace, key.name)
    answer = await client.request("DELETE", path, body=msgspec.json.encode(options))
    if msgspec.json.decode(answer, type=_WrittenObject).kind == "Status":
        return None
    return object_decoding.object_decoder(resource.type).decode(answer)


async def evict(client: ApiClient, key: Key, uid: str, resource_version: str = "") -> None:
    """Ends this very pod if its disruption budget allows it; raises Blocked when it does not.

    Raises NotFound when the pod was gone, Conflict when it is another one or not at that version.
    """
    pins = {"uid": uid, **({"resourceVersion": resource_version} if resource_version else {})}
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": key.name, "namespace": key.namespace},
        "deleteOptions": {"preconditions": pins},
    }
    await client.request("POST", PODS.path(key.namespace, key.name, "eviction"), body=msgspec.json.encode(body))


async def scale(
    client: ApiClient, resource: Resource[Any], key: Key, replicas: int, uid: str, resource_version: str, manager: str
) -> None:
    """Sets the replicas through the scale subresource; raises Conflict unless the object is at that version."""
    body = {"metadata": {"uid": uid, "resourceVersion": resource_version}, "spec": {"replicas": replicas}}
    path, query = resource.path(key.namespace, key.name, "scale"), {"fieldManager": manager, **_UNCHECKED}
    await _pinned(client, path, query, msgspec.json.encode(body), _MERGE)


async def current(client: ApiClient, resource: Resource[Any], key: Key) -> Object | None:
    """Returns the object's metadata as the API server has it now; None when there is none."""
    try:
        answer = await client.request("GET", resource.path(key.namespace, key.name), accept=_ONE)
    except NotFound:
        return None
    return object_decoding.metadata_only.decode(answer)


async def content(client: ApiClient, resource: Resource[Any], key: Key) -> Manifest | None:
    """Returns the whole object as the API server has it now; None when there is none."""
    try:
        answer = await client.request("GET", resource.path(key.namespace, key.name))
    except NotFound:
        return None
    return msgspec.json.decode(answer, type=dict[str, Any])


async def uids(client: ApiClient, resource: Resource[Any], namespace: str, label: str, value: str) -> frozenset[str]:
    """Returns the uids of all objects that carry the label now, in `namespace` or, when it is empty, anywhere."""
    query, found = {"labelSelector": f"{label}={value}", "limit": "500"}, set[str]()
    while True:
        answer = await client.request("GET", resource.path(namespace), query=query, accept=_MANY)
        page = object_decoding.page_decoder(Object).decode(answer)
        found.update(obj.metadata.uid for obj in page.items or ())
        if not page.metadata.token:
            return frozenset(found)
        query["continue"] = page.metadata.token


async def _pinned(client: ApiClient, path: str, query: dict[str, str], body: bytes, content_type: str) -> bytes:
    try:
        return await client.request("PATCH", path, query=query, body=body, content_type=content_type)
    except Invalid as error:
        raise of_patch(error) from error


def of_patch(error: Invalid) -> Conflict | Invalid:
    """Returns the error of a patch: API servers answer a wrong uid with Invalid, though it is a failed precondition."""
    if any(cause.field == "metadata.uid" for cause in error.causes):
        return Conflict(error.request, error.status)
    return error


def _named(key: Key, body: Manifest, pins: dict[str, str]) -> Manifest:
    names = {"name": key.name, **({"namespace": key.namespace} if key.namespace else {})}
    return {**body, "metadata": {**body.get("metadata", {}), **names, **pins}}


def _encode(resource: Resource[Any], body: Manifest) -> bytes:
    return yaml_safe_json.encode({**body, "apiVersion": resource.api_version, "kind": resource.kind})


def _built_in(resource: Resource[Any]) -> bool:
    """Returns whether the kind is built in: those of API groups without a domain or under k8s.io. Custom kinds have no
    strategic patch.
    """
    return "." not in resource.group or resource.group.endswith(".k8s.io")
