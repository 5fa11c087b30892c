"""Writes an image of the region's registry into a file, as `docker save` does, so that a story has one to import."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

from pincompute_sdk.client import Client
from pincompute_sdk.images import image_name, registry_client


def save(pin: Client, name: str, file: Path, *, called: str, architecture: str = "", marked: str = "") -> Path:
    """The image `name`, under another name. `architecture` replaces its own; `marked` makes it another image."""
    wanted = image_name.parse(name)
    with registry_client.connect(pin) as registry:
        manifest = registry.manifest(wanted).decoded
        assert manifest.config is not None
        config = json.loads(registry.blob(wanted.repository, manifest.config.digest))
        layers = {f"{n}/layer.tar": registry.blob(wanted.repository, each.digest) for n, each in enumerate(manifest.layers)}
    config["author"] = marked
    config["architecture"] = architecture or config["architecture"]
    saved = [{"Config": "config.json", "RepoTags": [called], "Layers": list(layers)}]
    entries = {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(saved).encode(), **layers}
    with tarfile.open(file, "w") as archive:
        for path, content in entries.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file
