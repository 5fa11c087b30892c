"""Pushes images to the region's registry, as the administrator of its machine, with tokens that the home's key signs.

No gateway has to run for it, and no other program: an image is two JSON documents and its layers.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import secrets
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey

from pincompute.api.labels import ADMINISTRATOR, HOST
from pincompute.domain import registry_access
from pincompute.domain.registry_access import Access
from pincompute.region.cluster import certificates
from pincompute.region.layout import Layout
from pincompute.region.region_error import RegionError

SECONDS = 60.0  # one request, of which a large layer is the longest
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFESTS = f"{MANIFEST}, application/vnd.docker.distribution.manifest.v2+json"


class ImageError(RegionError):
    """The image cannot be made or pushed; the message names what is wrong and what to do."""


class _Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes


class _Blob(NamedTuple):
    """A part of an image, known by its digest."""

    kind: str
    content: bytes

    @property
    def digest(self) -> str:
        return _digest(self.content)

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.kind, "size": len(self.content), "digest": self.digest}


@dataclass(frozen=True, slots=True)
class RegistryClient:
    """The registry of a region on this machine."""

    layout: Layout

    def digest(self, repository: str, tag: str) -> str:
        """Digest of what a tag points to; empty when there is no such tag."""
        found = self._ask(repository, "HEAD", f"manifests/{tag}", headers={"Accept": MANIFESTS})
        return found.headers.get("Docker-Content-Digest", "") if found.status == http.client.OK else ""

    def push(self, repository: str, tag: str, config: Mapping[str, Any], layers: Sequence[Path]) -> None:
        """Push an image of these layers, tar files, the lowest first."""
        archives = [layer.read_bytes() for layer in layers]
        rootfs = {"type": "layers", "diff_ids": [_digest(archive) for archive in archives]}
        parts = [_Blob(LAYER, gzip.compress(archive, mtime=0)) for archive in archives]
        described = _Blob(CONFIG, msgspec.json.encode({**config, "rootfs": rootfs}))
        for blob in (*parts, described):
            self._upload(repository, blob)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described.descriptor,
            "layers": [part.descriptor for part in parts],
        }
        self._put_manifest(repository, tag, msgspec.json.encode(manifest), MANIFEST)

    def tag(self, repository: str, digest: str, tag: str) -> None:
        """Point a tag to an image that the repository holds."""
        found = self._ask(repository, "GET", f"manifests/{digest}", headers={"Accept": MANIFESTS})
        self._put_manifest(repository, tag, found.body, found.headers.get("Content-Type", MANIFEST))

    def _upload(self, repository: str, blob: _Blob) -> None:
        if self._ask(repository, "HEAD", f"blobs/{blob.digest}").status == http.client.OK:
            return
        begun = self._ask(repository, "POST", "blobs/uploads/")
        place = urlsplit(begun.headers.get("Location", ""))
        query = "&".join(part for part in (place.query, urlencode({"digest": blob.digest})) if part)
        headers = {"Content-Type": "application/octet-stream"}
        self._ask(repository, "PUT", f"{place.path}?{query}", blob.content, headers)

    def _put_manifest(self, repository: str, tag: str, manifest: bytes, kind: str) -> None:
        self._ask(repository, "PUT", f"manifests/{tag}", manifest, {"Content-Type": kind})

    def _ask(
        self, repository: str, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> _Answer:
        """`path` is absolute or below the repository. Raises ImageError, except where something is not there."""
        authority = certificates.cluster(self.layout, HOST).certificate(certificates.CA)
        address, trust = self.layout.registry, ssl.create_default_context(cafile=authority)
        connection = http.client.HTTPSConnection(address, timeout=SECONDS, context=trust)
        target = path if path.startswith("/") else f"/v2/{repository}/{path}"
        login = {"Authorization": f"Bearer {self._token(repository)}"}
        try:
            connection.request(method, target, body, {**(headers or {}), **login})
            answer = connection.getresponse()
            found = _Answer(answer.status, answer.headers, answer.read())
        except OSError as error:
            raise ImageError(f"registry {address} cannot be reached ({error}): is the region up?") from error
        finally:
            connection.close()
        if found.status >= http.client.BAD_REQUEST and found.status != http.client.NOT_FOUND:
            said = found.body.decode(errors="replace")[:500] or answer.reason
            raise ImageError(f"registry {address} refuses {method} {target}: {found.status} {said}")
        return found

    def _token(self, repository: str) -> str:
        """Allows everything with one repository."""
        key = ECKey.import_key(certificates.registry(self.layout).token_key.read_text())
        every = [Access(repository, action) for action in registry_access.ACTIONS]
        claims = registry_access.claims(ADMINISTRATOR, every, int(time.time()), secrets.token_hex(16))
        return jwt.encode({"alg": registry_access.ALGORITHM, "kid": key.thumbprint()}, claims, key)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
