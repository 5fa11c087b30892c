"""Installs manifests in a cluster by server-side apply. Repeating it changes nothing. Discovery finds the kinds."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from pincompute.api.labels import MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import GROUP, Manifest, Object
from pincompute.kube import yaml_safe_json
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import AlreadyExists, KubeError, NotFound, Refused, Unavailable, Unreachable
from pincompute.kube.kubeconfig import load as load_kubeconfig
from pincompute.region.cluster import crd_readiness
from pincompute.region.region_error import RegionError

FIELD_MANAGER = "pincompute-region"
DEFINITION = "CustomResourceDefinition"
FIRST = (DEFINITION, "Namespace")  # what everything else stands on
DIGEST = f"{GROUP}/manifest-digest"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
CONTENT = {"PATCH": "application/apply-patch+yaml", "POST": "application/json"}
ADMISSION = "admissionregistration.k8s.io/v1"
POLICIES = (
    "ValidatingAdmissionPolicyBinding",
    "ValidatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
)
ESTABLISHED = 30.0  # seconds a new kind has to be served
PATIENCE = 60.0  # seconds an API server that was ready may be silent
PAUSE = 0.5  # seconds between two tries


class _Named(msgspec.Struct, frozen=True):
    items: tuple[Object, ...]


class ServedResource(NamedTuple):
    """How a kind is addressed."""

    plural: str
    namespaced: bool


class _DiscoveredResource(msgspec.Struct, frozen=True):
    name: str
    kind: str
    namespaced: bool


class _DiscoveredResources(msgspec.Struct, frozen=True):
    resources: tuple[_DiscoveredResource, ...]


class Installer:
    """Applies manifests to one cluster and remembers the kinds it serves. No `manager` removes what another applied."""

    def __init__(self, client: ApiClient, manager: str = FIELD_MANAGER) -> None:
        self._client = client
        self._manager = manager
        self._served: dict[tuple[str, str], ServedResource] = {}

    async def apply_all(self, manifests: Iterable[Manifest]) -> None:
        """Namespaces and definitions first, all others when these are served; policies one after the other as they come.

        Returns when what was applied is in force (see `crd_readiness`).
        """
        everything = tuple(manifests)
        first = [m for m in everything if m["kind"] in FIRST]
        policies = [m for m in everything if "AdmissionPolicy" in m["kind"]]
        others = [m for m in everything if m not in first and m not in policies]
        async with asyncio.TaskGroup() as tasks:
            for manifest in first:
                tasks.create_task(self.apply(manifest))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._apply_in_order(policies))
            for manifest in others:
                tasks.create_task(self.apply(manifest))
        await crd_readiness.until_usable(self._client, everything)
        if policies:
            await self._remove_retired(policies)

    async def _remove_retired(self, policies: list[Manifest]) -> None:
        """Policies of a former version go once those that take their place are in force."""
        applied = {(policy["kind"], policy["metadata"]["name"]) for policy in policies}
        for kind in POLICIES:
            served = await self._lookup(ADMISSION, kind)
            path = f"{_root(ADMISSION)}/{served.plural}"
            found = await self._request("GET", path, query={"labelSelector": f"{MANAGED_BY}={PINCOMPUTE}"})
            for obj in msgspec.json.decode(found, type=_Named).items:
                if (kind, obj.metadata.name) not in applied:
                    await self._request("DELETE", f"{path}/{obj.metadata.name}")

    async def _apply_in_order(self, manifests: Iterable[Manifest]) -> None:
        for manifest in manifests:
            await self.apply(manifest)

    async def apply(self, manifest: Manifest) -> None:
        path, query = await self._path(manifest), {"fieldManager": self._manager, "force": "true"}
        if manifest["kind"] != DEFINITION:
            await self._write("PATCH", path, manifest, query)
            return
        digest = hashlib.blake2b(msgspec.json.encode(manifest, order="sorted"), digest_size=8).hexdigest()
        if await self._digest(path) != digest:
            await self._write("PATCH", path, _annotated(manifest, digest), query)

    async def _digest(self, path: str) -> str:
        """Returns the digest of the present definition. Applying a large schema takes an API server seconds, changed or not."""
        try:
            body = await self._request("GET", path, accept=METADATA_ONLY)
        except NotFound:
            return ""
        return msgspec.json.decode(body, type=Object).metadata.annotations.get(DIGEST, "")

    async def create_once(self, manifest: Manifest) -> bool:
        """Create what does not exist yet and leave alone what does; return whether it was created."""
        collection = (await self._path(manifest)).rpartition("/")[0]
        try:
            await self._write("POST", collection, manifest, {})
        except AlreadyExists:
            return False
        return True

    async def delete(self, manifest: Manifest) -> None:
        try:
            await self._request("DELETE", await self._path(manifest))
        except NotFound:
            return

    async def appeared(self, manifest: Manifest) -> None:
        """Return when the object exists; the caller sets the deadline."""
        path = await self._path(manifest)
        while True:
            try:
                await self._request("GET", path)
            except NotFound:
                await asyncio.sleep(0.1)
            else:
                return

    async def _write(self, verb: Literal["PATCH", "POST"], path: str, manifest: Manifest, query: dict[str, str]) -> None:
        """A kind is discovered a moment before it can be written; the API server then answers that there can be a delay."""
        body = yaml_safe_json.encode(manifest)
        clock = asyncio.get_running_loop()
        end = clock.time() + ESTABLISHED
        while True:
            try:
                await self._request(verb, path, query=query, body=body, content_type=CONTENT[verb], deadline=ESTABLISHED)
            except Refused as error:
                if "There can be a delay" not in str(error) or clock.time() > end:
                    raise
                await asyncio.sleep(0.1)
            else:
                return

    async def _path(self, manifest: Manifest) -> str:
        version, kind, meta = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
        served = await self._lookup(version, kind)
        scope = f"/namespaces/{meta.get('namespace', 'default')}" if served.namespaced else ""
        return f"{_root(version)}{scope}/{served.plural}/{meta['name']}"

    async def _lookup(self, version: str, kind: str) -> ServedResource:
        """A definition that was applied a moment ago is served after some tens of milliseconds."""
        clock = asyncio.get_running_loop()
        end = clock.time() + ESTABLISHED
        while (version, kind) not in self._served:
            await self._discover(version)
            if (version, kind) in self._served:
                break
            if clock.time() > end:
                raise RegionError(
                    f"cluster {self._client.name} does not serve {kind} of {version}: its CustomResourceDefinition was "
                    "not accepted; see `kubectl describe crd` there"
                )
            await asyncio.sleep(0.05)
        return self._served[version, kind]

    async def _discover(self, version: str) -> None:
        try:
            body = await self._request("GET", _root(version))
        except NotFound:
            return
        for resource in msgspec.json.decode(body, type=_DiscoveredResources).resources:
            if "/" not in resource.name:
                self._served[version, resource.kind] = ServedResource(resource.name, resource.namespaced)

    async def _request(self, verb: str, path: str, **options: Any) -> bytes:
        """Returns the answer. A request that gets none, or comes before the server is ready for it, is repeated for a while,
        because a machine that starts a region is busy; each of these requests may take effect twice.
        """
        clock = asyncio.get_running_loop()
        end = clock.time() + PATIENCE
        while True:
            try:
                return await self._client.request(verb, path, **options)
            except (Unreachable, Unavailable):
                if clock.time() > end:
                    raise
                await asyncio.sleep(PAUSE)


def client(kubeconfig: Path, cluster: str) -> ApiClient:
    """The administrator's client of one cluster."""
    return ApiClient(load_kubeconfig(kubeconfig, cluster), name=cluster, user_agent=FIELD_MANAGER)


async def available(api: ApiClient, deadline: float) -> bool:
    """Whether the API server says it is ready within the deadline."""
    try:
        await api.probe(deadline)
    except KubeError:
        return False
    return True


def _annotated(manifest: Manifest, digest: str) -> Manifest:
    meta = manifest["metadata"]
    return manifest | {"metadata": meta | {"annotations": meta.get("annotations", {}) | {DIGEST: digest}}}


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"
