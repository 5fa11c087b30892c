"""Recipes of images: what is refused and how, what makes another image, and that layers are the same bytes each time."""

from __future__ import annotations

import os
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from pincompute.region.cluster import certificates
from pincompute.region.images import image_build, image_layers
from pincompute.region.images.registry_client import ImageError, RegistryClient
from pincompute.region.layout import Layout, RegionSpec

GOOD = "entrypoint: [/app]\nfiles:\n  - {from: app.sh, to: /app}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.sh").write_text("#!/bin/sh\n")
    (tmp_path / "image.yaml").write_text(GOOD)
    return tmp_path


@pytest.mark.parametrize(
    "tag", ["hello", "Hello:1", "hello:", ":1", "hello:a b", "hello:1:2", "-x:1", "a//b:1", "h:" + "x" * 129]
)
def test_bad_tag_is_refused_with_an_example_of_a_good_one(tag: str) -> None:
    with pytest.raises(ImageError, match="such as hello:1"):
        image_build.parse_tag(tag)


@pytest.mark.parametrize(("tag", "parts"), [("hello:1", ("hello", "1")), ("team/a-b.c:v1.2_x", ("team/a-b.c", "v1.2_x"))])
def test_tag_is_repository_and_version(tag: str, parts: tuple[str, str]) -> None:
    assert image_build.parse_tag(tag) == parts


REFUSED = {
    "unknown field": (GOOD + "entry: x\n", "unknown field `entry`"),
    "no entrypoint": ("files: []\n", "missing required field `entrypoint`"),
    "empty entrypoint": ("entrypoint: []\n", "entrypoint is empty"),
    "wrong type": ("entrypoint: /app\n", r"Expected `array`, got `str` - at `\$.entrypoint`"),
    "relative target": ("entrypoint: [/app]\nfiles: [{from: a, to: app}]\n", "'app' is no absolute path"),
    "target outside": ("entrypoint: [/app]\nlinks: {/../x: /app}\n", r"'/\.\./x' is no absolute path"),
    "no YAML": ("entrypoint: [", "image.yaml"),
    "foreign platform": (
        "entrypoint: [/a]\nhost_programs: [/bin/sh]\nplatform: linux/s390x\n",
        "cannot run programs of this machine",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_recipe_that_cannot_be_is_refused(folder: Path, case: str) -> None:
    text, message = REFUSED[case]
    (folder / "image.yaml").write_text(text)
    with pytest.raises(ImageError, match=message):
        image_build.read_recipe(folder)


def test_missing_folder_and_missing_recipe_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such folder"):
        image_build.read_recipe(tmp_path / "absent")
    with pytest.raises(ImageError, match=r"image\.yaml: no such file"):
        image_build.read_recipe(tmp_path)


def test_missing_source_is_named(folder: Path) -> None:
    (folder / "app.sh").unlink()
    with pytest.raises(ImageError, match=r"app\.sh: no such file or folder"):
        image_build.fingerprint(folder, image_build.read_recipe(folder))


def test_registry_that_does_not_answer_is_named_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "home", RegionSpec(slot=31, members=(), real_nodes=False))  # nothing listens on its ports
    certificates.issue(layout, datetime.now(UTC))
    with pytest.raises(ImageError, match=f"registry {layout.registry} cannot be reached .*is the region up"):
        image_build.build(folder, "hello:1", RegistryClient(layout))


def test_fingerprint_follows_content_mode_and_environment_and_nothing_else(folder: Path) -> None:
    recipe = image_build.read_recipe(folder)
    first = image_build.fingerprint(folder, recipe)
    os.utime(folder / "app.sh", (1, 1))
    assert image_build.fingerprint(folder, recipe) == first
    (folder / "app.sh").chmod(0o755)
    executable = image_build.fingerprint(folder, recipe)
    (folder / "app.sh").write_text("#!/bin/sh\nexit 1\n")
    changed = image_build.fingerprint(folder, recipe)
    (folder / "image.yaml").write_text(GOOD + "environment: {VERSION: '2'}\n")
    configured = image_build.fingerprint(folder, image_build.read_recipe(folder))
    assert len({first, executable, changed, configured}) == 4


def test_layer_has_the_same_bytes_whatever_the_times_of_its_files(folder: Path, tmp_path: Path) -> None:
    content = dict(image_layers.tree(folder / "app.sh", "/usr/bin/app"))
    first = image_layers.write(tmp_path / "1.tar", content, {"/bin/x": "/usr/bin/app"}).read_bytes()
    os.utime(folder / "app.sh", (1, 1))
    assert image_layers.write(tmp_path / "2.tar", content, {"/bin/x": "/usr/bin/app"}).read_bytes() == first


def test_layer_holds_folders_before_files_owned_by_root(folder: Path, tmp_path: Path) -> None:
    target = image_layers.write(tmp_path / "layer.tar", dict(image_layers.tree(folder, "/srv")), {"/bin/x": "/srv/app.sh"})
    with tarfile.open(target) as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == ["bin", "srv", "srv/app.sh", "srv/image.yaml", "bin/x"]
    assert {(entry.uid, entry.gid, entry.mtime) for entry in entries} == {(0, 0, 0)}
    assert entries[-1].linkname == "/srv/app.sh"


def test_program_brings_its_loader_and_libraries_a_script_brings_none(folder: Path) -> None:
    needed = image_layers.libraries(Path("/bin/sh").resolve())
    assert any("libc" in path for path in needed)
    assert any("/ld-" in path for path in needed)
    assert all(file.exists() for file in needed.values())
    assert image_layers.libraries(folder / "app.sh") == {}


def test_configuration_says_what_the_recipe_says_and_nothing_else(folder: Path) -> None:
    recipe = msgspec.structs.replace(image_build.read_recipe(folder), user="1000", platform="linux/arm64")
    made = image_build.image_config(recipe)
    assert made == {"os": "linux", "architecture": "arm64", "config": {"Entrypoint": ["/app"], "User": "1000"}}


def test_image_knows_its_version_and_may_be_told_more(folder: Path) -> None:
    (folder / "image.yaml").write_text(GOOD + "environment: {VERSION: 'v{tag}', COLOUR: red}\n")
    made = image_build.configured(image_build.read_recipe(folder), "2", {"COLOUR": "blue"})
    assert made.environment == {"VERSION": "v2", "COLOUR": "blue"}
