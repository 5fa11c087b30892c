"""Waits until a cluster serves newly installed kinds and policies: every kind answers, and no write comes too early.

A definition is accepted some time before its kind is served. A write of a kind that a mutating policy changes is refused
(503, "Resource kind … not found") from the moment the policy is active until its plugin has learnt the kind's schema. So it is
not enough that one write went through, which may have been before the policy was active.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from pincompute.api.kinds import KINDS
from pincompute.api.labels import DRAIN_FINALIZER, SYSTEM_NAMESPACE
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Manifest, Object, Resource
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import Forbidden, KubeError
from pincompute.region.region_error import RegionError

READY = 60.0  # seconds that each kind may take
POLL = 0.1

Lacking = Callable[[], Awaitable[str]]
"""Asks once what is lacking still, in words; empty when nothing is."""


async def until_usable(client: ApiClient, applied: Iterable[Manifest], deadline: float = READY) -> None:
    """Returns when the kinds and policies among the manifests are in force; raises RegionError with the kind that is not."""
    manifests = tuple(applied)
    for manifest in manifests:
        if manifest["kind"] == "CustomResourceDefinition":
            for ask in _versions(client, manifest):
                await _until(client, manifest["spec"]["names"]["kind"], ask, deadline)
    defined = {m["spec"]["names"]["kind"] for m in manifests if m["kind"] == "CustomResourceDefinition"}
    if MEMBERCLUSTERS.kind in defined:
        await _until(client, MEMBERCLUSTERS.kind, partial(_changed_by_policy, client), deadline)
    for kind in KINDS:
        if kind.workload.kind in defined:
            await _until(client, kind.workload.kind, partial(_writable, client, kind.workload), deadline)
        if kind.shard.kind in defined:
            await _until(client, kind.shard.kind, partial(_untracked, client, kind.shard), deadline)


async def _until(client: ApiClient, kind: str, ask: Lacking, deadline: float) -> None:
    lacking = "it was not asked"
    try:
        async with asyncio.timeout(deadline):
            while lacking:
                try:
                    lacking = await ask()
                except KubeError as error:
                    lacking = error.message
                if lacking:
                    await asyncio.sleep(POLL)
    except TimeoutError:
        raise RegionError(
            f"{kind} cannot be used in cluster {client.name} after {deadline:g} s: {lacking}; see "
            f"`pincompute region kubectl --context {client.name} describe crd` and "
            f"`pincompute region logs {client.name}-apiserver`"
        ) from None


def _versions(client: ApiClient, definition: Manifest) -> list[Lacking]:
    spec: Manifest = definition["spec"]
    names, served = spec["names"], [version["name"] for version in spec["versions"] if version["served"]]
    return [partial(_served, client, f"/apis/{spec['group']}/{version}", names["plural"]) for version in served]


async def _served(client: ApiClient, root: str, plural: str) -> str:
    """Returns why the kind is not served yet, in discovery, by which users' tools find it, and on its own path."""
    discovered = msgspec.json.decode(await client.request("GET", root), type=_ServedNames)
    if plural not in {resource.name for resource in discovered.resources}:
        return f"{plural} is not among the resources of {root}"
    await client.request("GET", f"{root}/{plural}", query={"limit": "1"})
    return ""


async def _changed_by_policy(client: ApiClient) -> str:
    """The last of the mutating policies is in force: by then those before it are."""
    probe = _probe(MEMBERCLUSTERS) | {"spec": {"zone": "probe", "kubeconfig": {"name": "probe"}}}
    if DRAIN_FINALIZER in (await _rehearse(client, MEMBERCLUSTERS, "", probe)).metadata.finalizers:
        return ""
    return f"its policy does not add the finalizer {DRAIN_FINALIZER} yet"


async def _writable(client: ApiClient, kind: Resource[Any]) -> str:
    """Refused on its merits: the namespace is no project."""
    spec = {"template": {"spec": {"containers": [{"name": "probe", "image": "probe"}]}}}
    try:
        await _rehearse(client, kind, SYSTEM_NAMESPACE, _probe(kind) | {"spec": spec})
    except Forbidden:
        return ""
    return "its policy lets it into a namespace that is no project"


async def _untracked(client: ApiClient, kind: Resource[Any]) -> str:
    """Without the record of field managers, which the policy removes."""
    answer = await _dry_run(client, kind, SYSTEM_NAMESPACE, _probe(kind) | {"spec": {}})
    if "managedFields" not in msgspec.json.decode(answer)["metadata"]:
        return ""
    return "its policy does not remove the record of field managers yet"


async def _rehearse(client: ApiClient, kind: Resource[Any], namespace: str, manifest: Manifest) -> Object:
    return msgspec.json.decode(await _dry_run(client, kind, namespace, manifest), type=Object)


async def _dry_run(client: ApiClient, kind: Resource[Any], namespace: str, manifest: Manifest) -> bytes:
    body = msgspec.json.encode(manifest)
    return await client.request("POST", kind.path(namespace), query={"dryRun": "All"}, body=body)


def _probe(kind: Resource[Any]) -> Manifest:
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "probe"}}


class _ServedName(msgspec.Struct, frozen=True):
    name: str


class _ServedNames(msgspec.Struct, frozen=True):
    resources: tuple[_ServedName, ...]
