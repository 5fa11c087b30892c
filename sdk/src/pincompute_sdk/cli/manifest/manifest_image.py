"""Changes the image in the text of an app.yaml, and nothing else in it: comments and order stay."""

from __future__ import annotations

import re
from pathlib import Path

from pincompute_sdk.cli.manifest.manifest_file import NAMES
from pincompute_sdk.images.image_name import REGISTRY, ImageName


def file_of(folder: Path) -> Path | None:
    """The app.yaml in the folder."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def named(text: str) -> list[str]:
    """The images of the region's registry that the text names, without comments."""
    return [found["image"] for line in text.splitlines() for found in _IMAGE.finditer(_code(line))]


def changed(text: str, name: ImageName) -> str:
    """The text with this version of the image wherever it names the repository."""

    def replaced(line: str) -> str:
        code = _code(line)
        return _IMAGE.sub(lambda found: _chosen(found, name), code) + line[len(code) :]

    return "".join(replaced(line) for line in text.splitlines(keepends=True))


def _chosen(found: re.Match[str], name: ImageName) -> str:
    repository = re.split("[:@]", found["image"].removeprefix(f"{REGISTRY}/"))[0]
    return f"{found['field']}{name.reference}" if repository == name.repository else found[0]


def _code(line: str) -> str:
    """The line without a comment."""
    return re.split(r"(?:^|(?<=\s))#", line, maxsplit=1)[0]


_IMAGE = re.compile(rf"(?P<field>\bimage:\s*[\"']?)(?P<image>{re.escape(REGISTRY)}/[^\s\"',}}\]]+)")
