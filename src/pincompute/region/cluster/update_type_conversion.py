"""Converts `spec.update.type` of workloads, which a former version stored, to `spec.update.inPlace`.

It runs before the present definitions are installed, because an API server drops a field that its definition does not have. The
former definition gets the new field as well, the objects are changed, and then the installation removes the former field. Each
step can be repeated, so an interrupted conversion goes on with the next installation. `InPlaceIfPossible` is the default,
`Prefer`, and needs no change.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from pincompute.api.kinds import KINDS
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.kube import write_requests
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import Conflict, NotFound
from pincompute.region.cluster.manifest_installer import FIELD_MANAGER

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_FIELDS = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/update/properties"
_JSON_PATCH = "application/json-patch+json"
_SERVED = 60.0  # seconds until an API server stores a new field


class _FormerWorkload(Object):
    """A workload, of which only `update` matters."""

    spec: dict[str, Any] = {}


async def convert(host: ApiClient) -> None:
    """Converts the workloads of every kind whose definition still has the former field."""
    for kind in KINDS:
        resource = kind.workload
        former = Resource(
            resource.group, resource.version, resource.kind, resource.plural, resource.namespaced, _FormerWorkload
        )
        if await _has_former_field(host, resource):
            await _add_field(host, resource)
            async for key in _recreated(host, former):
                await _convert(host, former, key)


async def _has_former_field(host: ApiClient, resource: Resource[Any]) -> bool:
    try:
        definition: Manifest = msgspec.json.decode(await host.request("GET", _path(resource)))
    except NotFound:
        return False
    return "type" in _at(definition, _FIELDS)


async def _add_field(host: ApiClient, resource: Resource[Any]) -> None:
    patch = [{"op": "add", "path": f"{_FIELDS}/inPlace", "value": {"type": "string"}}]
    await host.request("PATCH", _path(resource), body=msgspec.json.encode(patch), content_type=_JSON_PATCH, deadline=_SERVED)


async def _recreated(host: ApiClient, resource: Resource[_FormerWorkload]) -> AsyncIterator[Key]:
    token = ""
    while True:
        page = await host.list_page(resource, token=token)
        for obj in page.items or ():
            if _update(obj).get("type") == "Recreate" and "inPlace" not in _update(obj):
                yield obj.key
        token = page.metadata.token
        if not token:
            return


async def _convert(host: ApiClient, resource: Resource[_FormerWorkload], key: Key) -> None:
    """Repeats the change until the API server stores the new field, which it drops for a moment after the definition got it."""
    async with asyncio.timeout(_SERVED):
        while True:
            try:
                obj = await host.get(resource, key)
                metadata = {"uid": obj.metadata.uid, "resourceVersion": obj.metadata.resource_version}
                body = {"metadata": metadata, "spec": {"update": {"inPlace": "Never"}}}
                if "inPlace" in _update(await write_requests.patch(host, resource, key, body, FIELD_MANAGER)):
                    return
            except Conflict:
                continue
            except NotFound:
                return
            await asyncio.sleep(0.2)


def _update(obj: _FormerWorkload) -> Manifest:
    return obj.spec.get("update") or {}


def _path(resource: Resource[Any]) -> str:
    return f"{_DEFINITIONS}/{resource.plural}.{resource.group}"


def _at(definition: Manifest, path: str) -> Manifest:
    part: Any = definition
    for name in path.strip("/").split("/"):
        part = part[int(name) if name.isdigit() else name]
    return part
