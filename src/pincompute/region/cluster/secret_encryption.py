"""Encrypts the Secrets of a region's clusters where etcd stores them.

Every cluster has a key of its own, made once. The API server encrypts what it writes with the first key of the file, and reads
what any of them encrypted, or what a former version of the platform wrote in plain text. Secrets that another key encrypted, or
none, are written again when the cluster is provisioned; then the other keys are removed.

    pki/CLUSTER/encryption.yaml   the keys: whoever loses them loses the Secrets
    pki/CLUSTER/encrypted-with    name of the key that encrypts every Secret of the cluster
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import msgspec
import yaml

from pincompute.api.labels import HOST
from pincompute.api.meta import Manifest, Object
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import Conflict, NotFound
from pincompute.region import atomic_files
from pincompute.region.cluster import certificates
from pincompute.region.layout import Layout

KEY_BYTES: Final = 32  # of secretbox: XSalsa20 and Poly1305
PAGE: Final = 100

Key: TypeAlias = dict[str, str]


class _SecretPage(msgspec.Struct, frozen=True):
    items: tuple[msgspec.Raw, ...]
    metadata: dict[str, Any] = {}


def configuration_file(layout: Layout, cluster: str) -> Path:
    return certificates.cluster(layout, cluster).directory / "encryption.yaml"


def issue(layout: Layout) -> None:
    """Puts the key that the region's specification names before the others of each cluster, and makes it if it is missing."""
    for cluster in (HOST, *(member.name for member in layout.spec.members)):
        file, wanted = configuration_file(layout, cluster), _key_name(layout)
        present = _keys(file)
        new = next((key for key in present if key["name"] == wanted), None) or _new_key(wanted)
        others = [key for key in present if key["name"] != wanted]
        atomic_files.write(file, _encoded([new, *others]))


def flags(layout: Layout, cluster: str) -> tuple[str, ...]:
    return (f"--encryption-provider-config={configuration_file(layout, cluster)}",)


def version(layout: Layout, cluster: str) -> dict[Path, bytes]:
    """Returns what tells whether the API server must read its keys again: not the keys, only which of them is to be used."""
    return {configuration_file(layout, cluster): _key_name(layout).encode()}


async def encrypt_all(client: ApiClient, layout: Layout, cluster: str) -> None:
    """Has the API server write every Secret again that the present key does not encrypt yet, and removes the other keys.

    A repeated call costs no request.
    """
    file, done, wanted = configuration_file(layout, cluster), _record(layout, cluster), _key_name(layout)
    if done.exists() and done.read_text() == wanted:
        return
    token = ""
    while True:
        query = {"limit": str(PAGE), **({"continue": token} if token else {})}
        page = msgspec.json.decode(await client.request("GET", "/api/v1/secrets", query=query), type=_SecretPage)
        for secret in page.items:
            await _rewrite(client, bytes(secret))
        token = page.metadata.get("continue", "")
        if not token:
            break
    atomic_files.write(file, _encoded([key for key in _keys(file) if key["name"] == wanted]))
    atomic_files.write(done, wanted.encode())


async def _rewrite(client: ApiClient, secret: bytes) -> None:
    """The API server writes an unchanged Secret only if its encryption is out of date."""
    meta = msgspec.json.decode(secret, type=Object).metadata
    try:
        await client.request("PUT", f"/api/v1/namespaces/{meta.namespace}/secrets/{meta.name}", body=secret)
    except (Conflict, NotFound):  # somebody wrote it meanwhile, with the present key, or removed it
        return


def _record(layout: Layout, cluster: str) -> Path:
    return certificates.cluster(layout, cluster).directory / "encrypted-with"


def _key_name(layout: Layout) -> str:
    return f"key{layout.spec.encryption_key}"


def _new_key(name: str) -> Key:
    return {"name": name, "secret": base64.b64encode(os.urandom(KEY_BYTES)).decode()}


def _keys(file: Path) -> list[Key]:
    if not file.exists():
        return []
    content = cast("Manifest", yaml.safe_load(file.read_bytes()))
    return content["resources"][0]["providers"][0]["secretbox"]["keys"]


def _encoded(keys: list[Key]) -> bytes:
    """`identity` reads what is not encrypted; only the first provider writes."""
    providers: list[Manifest] = [{"secretbox": {"keys": keys}}, {"identity": {}}]
    content = {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{"resources": ["secrets"], "providers": providers}],
    }
    return yaml.safe_dump(content, sort_keys=False).encode()
