"""Writes small images for tests: as an OCI image layout, and as `docker save` wrote them before it wrote layouts."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def layer(text: str) -> bytes:
    """A tar archive with one file."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        member = tarfile.TarInfo("etc/text")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text.encode()))
    return target.getvalue()


class LayoutFolder:
    """A layout that a test fills."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "blobs" / "sha256").mkdir(parents=True)
        (root / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

    def blob(self, kind: str, content: bytes) -> dict[str, Any]:
        name = hashlib.sha256(content).hexdigest()
        (self.root / "blobs" / "sha256" / name).write_bytes(content)
        return {"mediaType": kind, "digest": f"sha256:{name}", "size": len(content)}

    def image(self, text: str = "hello", architecture: str = "amd64", plain: bool = False) -> dict[str, Any]:
        archive = layer(text)
        config = {
            "os": "linux",
            "architecture": architecture,
            "created": "2026-01-01T00:00:00Z",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(archive).hexdigest()}"]},
        }
        kind = "application/vnd.oci.image.layer.v1.tar" + ("" if plain else "+gzip")
        parts = [self.blob(kind, archive if plain else gzip.compress(archive, mtime=0))]
        described = self.blob("application/vnd.oci.image.config.v1+json", json.dumps(config).encode())
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": parts}
        return self.blob(MANIFEST, json.dumps(manifest).encode())

    def index(self, *images: dict[str, Any]) -> dict[str, Any]:
        return self.blob(INDEX, json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": images}).encode())

    def write(self, *images: dict[str, Any]) -> Path:
        (self.root / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": images}))
        return self.root


def named(image: dict[str, Any], name: str) -> dict[str, Any]:
    return image | {"annotations": {"org.opencontainers.image.ref.name": name}}


def for_platform(image: dict[str, Any], architecture: str, system: str = "linux") -> dict[str, Any]:
    return image | {"platform": {"os": system, "architecture": architecture}}


def saved(file: Path, names: list[str], layers: dict[str, bytes], config_name: str = "config.json") -> Path:
    """An archive of the old form: manifest.json, a configuration, and a folder for each layer."""
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}}
    entries = {"config.json": json.dumps(config).encode(), **layers}
    entries["manifest.json"] = json.dumps([{"Config": config_name, "RepoTags": names, "Layers": list(layers)}]).encode()
    with tarfile.open(file, "w") as archive:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file
