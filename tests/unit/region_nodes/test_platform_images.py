"""The platform's own images: names, and what is said when the region's registry does not answer."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from pincompute_sdk.images import registry_connection
from pincompute_sdk.images.build import apt_sources, base_image
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.image_manifest import MANIFEST, ManifestBytes
from pincompute_sdk.images.image_name import ImageName
from pincompute_sdk.images.oci_layout import LayoutImage
from pincompute_sdk.images.registry_client import RegistryClient

from pincompute.region.cluster import certificates
from pincompute.region.images import administrator_registry, platform_images
from pincompute.region.layout import Layout, RegionSpec


@pytest.mark.parametrize(
    "tag", ["hello", "Hello:1", "hello:", ":1", "hello:a b", "hello:1:2", "-x:1", "a//b:1", "h:" + "x" * 129]
)
def test_bad_tag_is_refused_with_an_example_of_a_good_one(tag: str) -> None:
    with pytest.raises(ImageError) as refused:
        platform_images.parse_tag(tag)
    assert "for example web:1" in refused.value.remedy or "such as hello:1" in refused.value.remedy


@pytest.mark.parametrize(("tag", "parts"), [("hello:1", ("hello", "1")), ("team/a-b.c:v1.2_x", ("team/a-b.c", "v1.2_x"))])
def test_tag_is_repository_and_version(tag: str, parts: tuple[str, str]) -> None:
    name = platform_images.parse_tag(tag)
    assert (name.repository, name.tag) == parts


def test_registry_that_does_not_answer_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_connection.NoAnswerError, "pause", lambda *_: 0.0)
    (tmp_path / "image.yaml").write_text("entrypoint: [/app]\n")
    layout = Layout(tmp_path / "home", RegionSpec(slot=31, members=(), real_nodes=False))  # nothing listens on its ports
    certificates.issue(layout, datetime.now(UTC))
    with administrator_registry.connect(layout) as registry, pytest.raises(ImageError, match="cannot be reached") as refused:
        platform_images.build(tmp_path, "hello:1", registry)
    assert "that the region is up" in refused.value.remedy


class MemoryRegistry:
    """Tags and manifests of a registry; it counts what is pushed."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.manifests: dict[str, ManifestBytes] = {}
        self.pushed = 0

    def digest(self, name: ImageName) -> str:
        return self.tags.get(str(name), "") if name.tag else name.digest if name.digest in self.manifests else ""

    def manifest(self, name: ImageName) -> ManifestBytes:
        return self.manifests[name.digest]

    def put_manifest(self, name: ImageName, manifest: ManifestBytes) -> str:
        self.manifests[manifest.digest] = manifest
        self.tags[str(name)] = manifest.digest
        return manifest.digest

    def push(self, image: LayoutImage, name: ImageName) -> str:
        self.pushed += 1
        return self.put_manifest(name, ManifestBytes(image.manifest.content, MANIFEST))


BASE = """
output=""
for word in "$@"; do case "$word" in /*.tar) output="$word";; esac; done
echo made >>{folder}/made
mkdir -p {folder}/root && cp {folder}/made {folder}/root/ && tar -C {folder}/root -cf "$output" .
"""


@pytest.fixture
def debian(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A machine where mmdebstrap makes another base each time. The versions that apt knows of its packages are returned."""
    versions = ["python3 (1)"]
    monkeypatch.setenv("PINCOMPUTE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(apt_sources, "lines", list[str])
    monkeypatch.setattr(apt_sources, "transport", list[str])
    monkeypatch.setattr(apt_sources, "versions", lambda _packages: list(versions))
    for tool, text in {"mmdebstrap": BASE.format(folder=tmp_path), "apt-get": "exit 0"}.items():
        (tmp_path / tool).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return versions


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "image.yaml").write_text("base: python\nentrypoint: [/app]\nfiles: [{from: app, to: /app}]\n")
    (folder / "app").write_text("1")
    return folder


def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, apt and mmdebstrap fail whoever asks them."""

    def fail(*_: object) -> list[str]:
        raise AssertionError("apt was asked")

    monkeypatch.setattr(apt_sources, "versions", fail)
    monkeypatch.setenv("PATH", "/nowhere")


def test_an_image_that_this_machine_made_is_found_without_apt(
    debian: list[str], source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    memory, record, said = MemoryRegistry(), tmp_path / "made.json", list[str]()
    registry = cast("RegistryClient", memory)
    first = platform_images.ensure(source, "logs:1", registry, record, said.append)
    assert (first.built, memory.pushed, len(said)) == (True, 1, 1)
    unasked(monkeypatch)
    again = platform_images.ensure(source, "logs:1", registry, record, said.append)
    assert (again, memory.pushed) == (platform_images.BuiltImage(first.reference, first.digest, built=False), 1)
    (source / "app").write_text("2")
    other = platform_images.ensure(source, "logs:1", registry, record, said.append)
    assert (other.built, other.digest == first.digest, len(said)) == (True, False, 1), "another code, on the base that is kept"


def test_an_image_that_somebody_else_pushed_is_never_taken(debian: list[str], source: Path, tmp_path: Path) -> None:
    """Whoever has the registry's key may point every tag to an image of their own."""
    memory, record = MemoryRegistry(), tmp_path / "made.json"
    registry = cast("RegistryClient", memory)
    first = platform_images.ensure(source, "logs:1", registry, record, print)
    foreign = ManifestBytes(b"{}", MANIFEST)
    for tag in tuple(memory.tags):
        memory.tags[tag] = foreign.digest
        memory.manifests[foreign.digest] = foreign
    assert platform_images.ensure(source, "logs:1", registry, record, print).digest == first.digest
    record.unlink()
    assert platform_images.ensure(source, "logs:1", registry, record, print).digest == first.digest
    assert platform_images.renew(source, "logs:1", registry, record).digest == first.digest


def test_another_registry_gets_the_image_on_the_base_that_this_machine_keeps(
    debian: list[str], source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    record, said = tmp_path / "made.json", list[str]()
    first = platform_images.ensure(source, "logs:1", cast("RegistryClient", MemoryRegistry()), record, said.append)
    unasked(monkeypatch)
    other = MemoryRegistry()
    second = platform_images.ensure(source, "logs:1", cast("RegistryClient", other), record, said.append)
    assert (second.digest, other.pushed, len(said)) == (first.digest, 1, 1)


def test_what_is_renewed_has_newer_packages_and_is_found_from_then_on(debian: list[str], source: Path, tmp_path: Path) -> None:
    registry, record = cast("RegistryClient", MemoryRegistry()), tmp_path / "made.json"
    first = platform_images.ensure(source, "logs:1", registry, record, print)
    debian[0] = "python3 (2)"
    assert platform_images.ensure(source, "logs:1", registry, record, print).digest == first.digest
    newer = platform_images.renew(source, "logs:1", registry, record)
    assert newer.digest != first.digest
    assert platform_images.ensure(source, "logs:1", registry, record, print).digest == newer.digest


def test_a_base_of_another_recipe_is_not_kept(debian: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert base_image.kept("python") is None
    made = base_image.get("python")
    kept = base_image.kept("python")
    assert kept is not None
    assert kept.layer == made.layer
    monkeypatch.setattr(base_image, "FORMAT", "other")
    assert base_image.kept("python") is None
