"""Writes an OCI image layout, a folder with one image: its layers, its configuration, its manifest."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from pincompute_sdk.images import image_manifest
from pincompute_sdk.images.build.layers import Layer
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.image_manifest import CONFIG, MANIFEST, Descriptor
from pincompute_sdk.images.oci_layout import LayoutImage, OciLayout


def write(root: Path, platform: str, run: Mapping[str, Any], layers: Sequence[Layer], name: str = "") -> OciLayout:
    """`run` is what the configuration says about the process. The image has no date: the same input gives the same digest."""
    blobs = root / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for layer in layers:
        _place(layer.file, blobs / layer.descriptor.digest.removeprefix("sha256:"))
    system, _, architecture = platform.partition("/")
    config = {
        "os": system,
        "architecture": architecture,
        "config": dict(run),
        "history": [{"created_by": "pin image build"} for _ in layers],  # builders of Dockerfiles expect one for each layer
        "rootfs": {"type": "layers", "diff_ids": [layer.content for layer in layers]},
    }
    described = _stored(blobs, msgspec.json.encode(config), CONFIG)
    parts = [layer.descriptor for layer in layers]
    encoded = msgspec.json.encode({"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": parts})
    at = _stored(blobs, encoded, MANIFEST)
    if name:
        at = msgspec.structs.replace(at, annotations={image_manifest.NAME_ANNOTATIONS[-1]: name})
    (root / "index.json").write_bytes(msgspec.json.encode({"schemaVersion": 2, "manifests": [at]}))
    (root / "oci-layout").write_bytes(msgspec.json.encode({"imageLayoutVersion": "1.0.0"}))
    return OciLayout(root)


def save(image: LayoutImage, name: str, file: Path) -> None:
    """The image in one file, in the form of `docker save`, which every program that loads images reads."""
    manifest = image.manifest.decoded
    if manifest.config is None:
        raise ImageError(f"{name} has no configuration", remedy="build the image again")
    parts = {"config.json": manifest.config.digest} | {f"{n}/layer.tar": part.digest for n, part in enumerate(manifest.layers)}
    layers = [path for path in parts if path.endswith(".tar")]
    described = msgspec.json.encode([{"Config": "config.json", "RepoTags": [name], "Layers": layers}])
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, "manifest.json", len(described), BytesIO(described))
        for path, digest in parts.items():
            with image.open(digest) as content:
                _add(archive, path, image.layout.file(digest).stat().st_size, content)


def _add(archive: tarfile.TarFile, path: str, size: int, content: BinaryIO) -> None:
    header = tarfile.TarInfo(path)
    header.size = size
    archive.addfile(header, content)


def _stored(blobs: Path, content: bytes, kind: str) -> Descriptor:
    digest = image_manifest.digest_of(content)
    (blobs / digest.removeprefix("sha256:")).write_bytes(content)
    return Descriptor(media_type=kind, digest=digest, size=len(content))


def _place(source: Path, target: Path) -> None:
    """A link where the disk is the same: a base has tens of megabytes."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
