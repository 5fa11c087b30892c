"""What the files of somebody else must not do to whoever builds or imports an image, or deploys an app.yaml, of them.

They must not bring other files of the machine into an image, or take its memory, disk or hours.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import tarfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from attacks.test_attacks_on_copies import END, extended, file, header, padded, record
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.manifest import manifest_file
from pincompute_sdk.images import image_archive, oci_layout
from pincompute_sdk.images.build import ignore_rules, image_recipe
from pincompute_sdk.images.build.image_recipe import Compiled, ImageRecipe
from pincompute_sdk.images.build.recipe_image import RecipeImage
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.oci_layout import OciLayout
from sdk.image_files import INDEX, LayoutFolder, layer, saved

SECRET = "the user's private key"
MIB = 1 << 20


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    place = tmp_path / "home" / "id_rsa"
    place.parent.mkdir()
    place.write_text(SECRET)
    place.chmod(0o600)
    return place


def plain_image(root: Path) -> tuple[LayoutFolder, Path]:
    """A layout whose layer is not compressed, and the file of that layer."""
    made = LayoutFolder(root)
    made.write(made.image(plain=True))
    described = OciLayout(root).image().manifest.decoded.layers[0]
    return made, root / "blobs" / "sha256" / described.digest.removeprefix("sha256:")


@pytest.mark.parametrize("way", ["the layer", "a copy of it", "the folder of the parts", "the index"])
def test_a_layout_brings_no_other_file_into_an_image(tmp_path: Path, secret: Path, way: str) -> None:
    made, part = plain_image(tmp_path / "layout")
    assert image_archive.compressed(image_archive.unpack(made.root, tmp_path).image(), tmp_path)
    if way == "the folder of the parts":
        (made.root / "blobs").rename(secret.parent / "blobs")
        (made.root / "blobs").symlink_to(secret.parent / "blobs")
    elif way == "a copy of it":
        part.write_text(SECRET)
    else:
        leads = part if way == "the layer" else made.root / "index.json"
        leads.unlink()
        leads.symlink_to(secret)
    with pytest.raises(ImageError, match=r"leads out of|has another digest"):
        image_archive.compressed(image_archive.unpack(made.root, tmp_path).image(), tmp_path)


def test_a_link_to_another_part_of_the_layout_is_followed(tmp_path: Path) -> None:
    made, part = plain_image(tmp_path / "layout")
    part.rename(part.with_name("kept"))
    part.symlink_to("kept")
    assert image_archive.compressed(image_archive.unpack(made.root, tmp_path).image(), tmp_path)


def test_an_index_that_names_itself_or_others_again_and_again_ends_soon(tmp_path: Path) -> None:
    made = LayoutFolder(tmp_path / "layout")
    found = made.image(architecture="arm64")
    for _ in range(3):
        found = made.index(*[found] * 50)
    with pytest.raises(ImageError, match=f"more than {oci_layout.MOST} manifests"):
        OciLayout(made.write(found)).images()
    name = "b" * 64
    itself = {"mediaType": INDEX, "digest": f"sha256:{name}", "size": 1}
    (made.root / "blobs" / "sha256" / name).write_text(json.dumps({"manifests": [itself] * 50}))
    with pytest.raises(ImageError, match="has another digest"):
        OciLayout(made.write(itself)).images()


@pytest.mark.parametrize("name", ["index.json", "manifest.json"])
def test_a_document_without_end_is_not_read(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oci_layout, "LARGEST", 1000)
    (tmp_path / name).write_text(" " * 1001)
    with pytest.raises(ImageError, match=f"{name} has more than"):
        image_archive.unpack(tmp_path, tmp_path).images()


def test_a_layer_that_is_named_often_is_compressed_once(tmp_path: Path) -> None:
    archive = saved(tmp_path / "web.tar", ["web:1"], {"aa/layer.tar": layer("x")})
    with tarfile.open(archive, "a") as opened:
        described = json.dumps([{"Config": "config.json", "RepoTags": ["web:1"], "Layers": ["aa/layer.tar"] * 300}]).encode()
        member = tarfile.TarInfo("more/manifest.json")
        member.size = len(described)
        opened.addfile(member, io.BytesIO(described))
    folder = tmp_path / "unpacked"
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    (folder / "more" / "manifest.json").replace(folder / "manifest.json")
    image = image_archive.unpack(folder, tmp_path).image()
    assert len(image.manifest.decoded.layers) == 300
    assert len(image.blobs) == 2


def long_name(size: int) -> Iterator[bytes]:
    yield header("x", size, tarfile.GNUTYPE_LONGNAME)
    yield from (b"a" * MIB for _ in range(size // MIB))
    yield header("y") + END


def sparse() -> Iterator[bytes]:
    yield extended(*(record(f"GNU.sparse.{key}", value) for key, value in (("major", "1"), ("minor", "0"), ("name", "x"))))
    yield header("x", 8 * MIB) + b"99999999\n" + b"1\n" * (4 * MIB - 5) + b"\n" + END


def chain() -> Iterator[bytes]:
    yield from (extended(record("a", "b")) for _ in range(3000))
    yield file("x") + END


BOMBS: dict[str, Iterator[bytes]] = {
    "a name of 64 MiB": long_name(64 * MIB),
    "a sparse file with millions of parts": sparse(),
    "a header for a header for a header": chain(),
    "an extended header of 64 MiB": iter((header("h", 64 * MIB, tarfile.XHDTYPE), *[bytes(MIB)] * 64, file("x"), END)),
    "an old sparse file": iter((header("x", 512, tarfile.GNUTYPE_SPARSE), bytes(512), END)),
    "a size below zero": iter((file("x").replace(b"00000000001\0", b"\xff" * 12), END)),
}


@pytest.mark.parametrize("case", BOMBS)
def test_an_archive_takes_little_memory(tmp_path: Path, case: str) -> None:
    with gzip.open(tmp_path / "image.tar", "wb") as archive:
        archive.writelines(BOMBS[case])
    tracemalloc.start()
    with pytest.raises(ImageError, match=r"no archive of an image|sparse file"):
        image_archive.unpack(tmp_path / "image.tar", tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 8 * MIB
    tracemalloc.stop()


def test_an_archive_that_somebody_else_compressed_or_described_is_read(tmp_path: Path) -> None:
    made = LayoutFolder(tmp_path / "layout")
    root = made.write(made.image())
    packed = extended(record("comment", "of all"), kind=tarfile.XGLTYPE)
    for place in sorted(path for path in root.rglob("*") if path.is_file()):
        name = str(place.relative_to(root))
        packed += extended(record("path", name)) + header("cut", len(place.read_bytes())) + padded(place.read_bytes())
    for number, compress in enumerate((bytes, gzip.compress, bz2.compress)):
        archive = tmp_path / f"image{number}.tar"
        archive.write_bytes(compress(packed + END))
        assert image_archive.unpack(archive, tmp_path).image().blobs


def recipe(folder: Path, **fields: Any) -> RecipeImage:
    return RecipeImage(folder, ImageRecipe(entrypoint=("/x",), platform=image_recipe.here(), **fields))


def test_a_recipe_names_programs_alone_outside_of_its_folder(tmp_path: Path, secret: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    secret.with_name("x.c").write_text(f"/* {SECRET} */ int main(void) {{ return 0; }}")
    (folder / "x.c").symlink_to(secret.with_name("x.c"))
    hostile = (
        {"host_programs": (str(secret),)},
        {"compile": (Compiled(source="../home/x.c", to="/x"),)},
        {"compile": (Compiled(source="x.c", to="/x"),)},
    )
    for number, fields in enumerate(hostile):
        scratch = tmp_path / f"scratch{number}"
        scratch.mkdir()
        with pytest.raises(ImageError, match=r"every user of this machine|is outside"):
            recipe(folder, **fields).write(scratch)
        with pytest.raises(ImageError, match=r"every user of this machine|is outside"):
            recipe(folder, **fields).fingerprint()
    (tmp_path / "scratch").mkdir()
    assert recipe(folder, host_programs=("/bin/sh",)).write(tmp_path / "scratch").images(image_recipe.here())


@pytest.mark.parametrize("line", ["**/x/" * 30 + "y", "*x" * 60 + "y", "**x" * 30 + "/y", "**/*x*x*x*x*x*x*x*x*y"])
def test_rules_of_a_dockerignore_take_no_hours(line: str) -> None:
    """Each of these lines took longer than anybody waits."""
    rules = ignore_rules.parse(line)
    for path in ("/".join("x" * 60), "x" * 250, "/".join(["x" * 100] * 30)):
        assert not rules.ignores(PurePosixPath(path))


ALIASES = {
    "aliases of aliases": "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)),
    "an alias of itself": "a: &a [*a]\n",
    "lists in lists": "a: " + "[" * 3000 + "]" * 3000,
}


@pytest.mark.parametrize("case", ALIASES)
def test_an_app_yaml_means_no_more_than_it_may(case: str) -> None:
    with pytest.raises(CommandError, match=r"too many fields|too deep|without end"):
        manifest_file.read(ALIASES[case], "app.yaml")
    assert manifest_file.read("base: &b {cpu: 1}\na: *b\nb: *b\n", "app.yaml").data["b"] == {"cpu": 1}
