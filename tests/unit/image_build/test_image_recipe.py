"""`image.yaml`: what is refused and how, what makes another image, and what gets into it."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from pincompute_sdk.images.build import base_image, image_recipe, layers, shared_libraries
from pincompute_sdk.images.build.image_recipe import FIELDS, ImageRecipe
from pincompute_sdk.images.build.recipe_image import RecipeImage
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.oci_layout import LayoutImage

GOOD = "entrypoint: [/app]\nfiles:\n  - {from: app.sh, to: /app}\n"
DOCS = Path(__file__).parents[3] / "docs" / "images.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    (made / "app.sh").write_text("#!/bin/sh\n")
    (made / "image.yaml").write_text(GOOD)
    return made


def image(folder: Path, text: str = "") -> RecipeImage:
    if text:
        (folder / "image.yaml").write_text(text)
    return RecipeImage(folder, image_recipe.read(folder))


def built(made: RecipeImage, scratch: Path) -> LayoutImage:
    scratch.mkdir()
    return made.write(scratch).image(made.recipe.runs_on)


def members(made: LayoutImage) -> dict[str, tarfile.TarInfo]:
    found: dict[str, tarfile.TarInfo] = {}
    for layer in made.manifest.decoded.layers:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(made.layout.read(layer.digest)))) as archive:
            found |= {member.name: member for member in archive.getmembers()}
    return found


REFUSED = {
    "unknown field": (GOOD + "entry: x\n", "unknown field `entry`", "did you mean entrypoint"),
    "no entrypoint": ("files: []\n", "missing required field `entrypoint`", "The fields are entrypoint, files"),
    "empty entrypoint": ("entrypoint: []\n", "entrypoint is empty", "name the program"),
    "wrong type": ("entrypoint: /app\n", r"Expected `array`, got `str` - at `\$.entrypoint`", "The fields are"),
    "relative target": ("entrypoint: [/app]\nfiles: [{from: a, to: app}]\n", "'app' is no absolute path", "begin it with /"),
    "target outside": ("entrypoint: [/app]\nlinks: {/../x: /app}\n", r"'/\.\./x' is no absolute path", "without .."),
    "owner by name": ("entrypoint: [/a]\nfiles: [{from: a, to: /a, owner: app}]\n", "owner 'app' is no number", "65532"),
    "no YAML": ("entrypoint: [", r"image\.yaml:1:13: the \[ that begins here is not closed", "close it with ]"),
    "foreign platform": (
        "entrypoint: [/a]\nhost_programs: [/bin/sh]\nplatform: linux/s390x\n",
        "does not fit",
        "leave platform",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_recipe_that_cannot_be_is_refused(folder: Path, case: str) -> None:
    text, message, remedy = REFUSED[case]
    (folder / "image.yaml").write_text(text)
    with pytest.raises(ImageError, match=message) as refused:
        image_recipe.read(folder)
    assert remedy in refused.value.remedy


def test_missing_folder_and_missing_recipe_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such folder"):
        image_recipe.read(tmp_path / "absent")
    with pytest.raises(ImageError, match=r"image\.yaml: no such file"):
        image_recipe.read(tmp_path)


def test_every_field_is_explained() -> None:
    assert FIELDS.keys() == {field.encode_name for field in msgspec.structs.fields(ImageRecipe)}
    rows = [line for line in DOCS.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert [name for name in FIELDS if not any(row.startswith(f"| `{name}` |") for row in rows)] == []


def test_a_missing_source_is_named(folder: Path) -> None:
    (folder / "app.sh").unlink()
    with pytest.raises(ImageError, match=r"app\.sh: no such file or folder"):
        image(folder).fingerprint()


@pytest.mark.parametrize("source", ["../secret", "/etc/passwd", "out"])
def test_a_file_outside_the_folder_gets_into_no_image(folder: Path, source: str) -> None:
    (folder.parent / "secret").write_text("x")
    (folder / "out").symlink_to("../secret")
    with pytest.raises(ImageError, match="is outside"):
        image(folder, f"entrypoint: [/a]\nfiles: [{{from: {source}, to: /a}}]\n").fingerprint()


def test_the_fingerprint_follows_content_mode_and_environment_and_nothing_else(folder: Path) -> None:
    first = image(folder).fingerprint()
    os.utime(folder / "app.sh", (1, 1))
    assert image(folder).fingerprint() == first
    (folder / "app.sh").chmod(0o755)
    executable = image(folder).fingerprint()
    (folder / "app.sh").write_text("#!/bin/sh\nexit 1\n")
    changed = image(folder).fingerprint()
    configured = image(folder, GOOD + "environment: {VERSION: '2'}\n").fingerprint()
    assert len({first, executable, changed, configured}) == 4


def test_the_same_folder_gives_the_same_image(folder: Path, tmp_path: Path) -> None:
    first = built(image(folder), tmp_path / "1")
    os.utime(folder / "app.sh", (1, 1))
    assert built(image(folder), tmp_path / "2").manifest.digest == first.manifest.digest


def test_an_entrypoint_alone_takes_the_whole_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "data" / "empty").mkdir(parents=True)
    (folder / "current").symlink_to("data")
    found = members(built(image(folder, "entrypoint: [/app.sh]\n"), tmp_path / "s"))
    assert sorted(found) == ["app.sh", "current", "data", "data/empty"]
    assert found["current"].linkname == "data"


def test_an_entrypoint_in_an_empty_folder_is_an_image(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    made = built(image(tmp_path / "f", "entrypoint: [/program]\n"), tmp_path / "s")
    assert len(made.manifest.decoded.layers) == 1


def test_files_links_and_owners_are_where_the_recipe_says(folder: Path, tmp_path: Path) -> None:
    (folder / "conf").mkdir()
    (folder / "conf" / "a").write_text("a")
    text = "entrypoint: [/a]\nfiles: [{from: conf, to: /etc/app, owner: 65532}]\nlinks: {/bin/x: /etc/app/a}\n"
    found = members(built(image(folder, text), tmp_path / "s"))
    assert sorted(found) == ["bin", "bin/x", "etc", "etc/app", "etc/app/a"]
    assert (found["etc/app/a"].uid, found["etc/app/a"].gid, found["etc"].uid) == (65532, 65532, 0)
    assert found["bin/x"].linkname == "/etc/app/a"


def test_a_program_brings_its_loader_and_libraries_a_script_brings_none(folder: Path) -> None:
    needed = shared_libraries.libraries(Path("/bin/sh").resolve())
    assert any("libc" in str(file) for file in needed)
    assert any("/ld-" in str(file) for file in needed)
    assert shared_libraries.libraries(folder / "app.sh") == ()


def test_the_configuration_says_what_the_recipe_says_and_nothing_else(folder: Path) -> None:
    recipe = msgspec.structs.replace(image_recipe.read(folder), user=1000)
    assert image_recipe.run_config(recipe) == {"Entrypoint": ["/app"], "User": "1000"}


def test_an_image_knows_its_version(folder: Path) -> None:
    (folder / "image.yaml").write_text(GOOD + "environment: {VERSION: 'v{tag}', COLOUR: red}\n")
    made = image_recipe.configured(image_recipe.read(folder), "2")
    assert made.environment == {"VERSION": "v2", "COLOUR": "red"}


def test_a_base_lies_below_whoever_builds_and_its_content_makes_another_image(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build for the region left the base out, and took an image on a former base for the same."""
    bases = [layers.write(tmp_path / f"base{number}.tar.gz", [layers.link(f"/base{number}", "/x")]) for number in range(2)]
    monkeypatch.setattr(base_image, "get", lambda name, **_: SimpleNamespace(layer=bases[0]))
    made = image(folder, GOOD + "base: python\n")
    assert members(built(made, tmp_path / "scratch")).keys() >= {"base0"}
    former = made.fingerprint()
    monkeypatch.setattr(base_image, "get", lambda name, **_: SimpleNamespace(layer=bases[1]))
    assert made.fingerprint() != former


def test_what_an_image_copies_has_the_largest_size_however_it_is_named(folder: Path) -> None:
    """A file that the recipe names alone counts as one in a folder does."""
    (folder / "data").write_bytes(b"x" * 3000)
    made = image(folder, "entrypoint: [/app]\nfiles:\n- {from: app.sh, to: /app}\n- {from: data, to: /data}\n")
    assert made.fingerprint()
    with pytest.raises(ImageError, match="is too large for an image") as refused:
        replace(made, largest=2999).fingerprint()
    assert "the largest: data (2.9 KiB)" in refused.value.reason
