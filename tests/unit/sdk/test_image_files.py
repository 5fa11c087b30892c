"""Names, layouts and archives of images: what is read, what is chosen, and what is refused."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import pytest
from pincompute_sdk.images import image_archive, image_name
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.oci_layout import open_layout
from sdk.image_files import LayoutFolder, for_platform, layer, named, saved

DIGEST = "sha256:" + "a" * 64
NAMES = {
    "web": "shop/web",
    "web:1": "shop/web:1",
    "team/web:1": "team/web:1",
    "registry.internal/hello:1": "hello:1",
    f"registry.internal/shop/web:1@{DIGEST}": f"shop/web:1@{DIGEST}",
    f"web@{DIGEST}": f"shop/web@{DIGEST}",
}


def test_a_name_is_read_in_every_form():
    assert {text: str(image_name.parse(text, "shop")) for text in NAMES} == NAMES


@pytest.mark.parametrize("text", ["", "Web:1", "web:", "web:1@sha256:1", "../web:1", "web:a b"])
def test_a_name_that_is_none_is_refused(text: str):
    with pytest.raises(ImageError, match="is not the name of an image"):
        image_name.parse(text, "shop")


@pytest.mark.parametrize("host", ["docker.io", "docker.io:80", "localhost", "localhost:5000", "127.0.0.1:5000"])
def test_another_registry_is_told_from_a_project(host: str):
    with pytest.raises(ImageError, match=f"names the registry {host}, and images go to the region's own") as refused:
        image_name.parse(f"{host}/x/api:2", "shop")
    assert refused.value.remedy == "leave the registry out: write shop/api:2"


def test_the_image_for_the_nodes_is_chosen_of_an_index(tmp_path: Path):
    layout = LayoutFolder(tmp_path / "layout")
    amd, arm = layout.image("amd"), layout.image("arm", "arm64")
    attestation = for_platform(layout.image("attestation"), "unknown", "unknown")
    index = layout.index(for_platform(arm, "arm64"), for_platform(amd, "amd64"), attestation)
    found = open_layout(layout.write(named(index, "web:1")))
    assert found.image().manifest.digest == amd["digest"]
    assert found.image("linux/arm64").manifest.digest == arm["digest"]
    with pytest.raises(ImageError, match="web:1 is not for linux/s390x") as refused:
        found.image("linux/s390x")
    assert refused.value.reason == "it is for linux/amd64, linux/arm64"


def test_an_image_for_another_platform_is_refused_by_its_configuration(tmp_path: Path):
    layout = LayoutFolder(tmp_path / "layout")
    with pytest.raises(ImageError, match="it is not for linux/amd64") as refused:
        open_layout(layout.write(layout.image(architecture="arm64"))).image()
    assert refused.value.remedy.startswith("`pin image build` builds for that, or `docker build --platform linux/amd64`")


def test_a_layout_that_lacks_a_part_is_refused(tmp_path: Path):
    layout = LayoutFolder(tmp_path / "layout")
    image = open_layout(layout.write(layout.image())).image()
    layout.root.joinpath("blobs", "sha256", image.blobs[0].digest.removeprefix("sha256:")).unlink()
    with pytest.raises(ImageError, match="lacks the blob"):
        image.open(image.blobs[0].digest)


def test_what_an_archive_lacks_is_said_of_the_archive(tmp_path: Path):
    """It is unpacked into a folder that nobody knows."""
    layout = LayoutFolder(tmp_path / "layout")
    described = layout.image()
    layout.write(described)
    layout.root.joinpath("blobs", "sha256", described["digest"].removeprefix("sha256:")).unlink()
    file = tmp_path / "web.tar"
    with tarfile.open(file, "w") as archive:
        archive.add(layout.root, arcname=".")
    with pytest.raises(ImageError) as refused:
        image_archive.unpack(file, tmp_path).images()
    assert refused.value.message == f"{file} lacks the blob {described['digest']}"


def test_what_docker_saved_before_it_wrote_layouts_is_converted(tmp_path: Path):
    content = layer("old")
    file = saved(tmp_path / "web.tar", ["registry.example/team/web:1"], {"aa/layer.tar": content})
    (image,) = image_archive.unpack(file, tmp_path).images()
    assert image.name == "registry.example/team/web:1"
    packed = image.manifest.decoded.layers[0]
    assert gzip.decompress(image.layout.read(packed.digest)) == content
    again = image_archive.unpack(file, tmp_path).images()[0]
    assert again.manifest.digest == image.manifest.digest  # so that a second import uploads nothing


def test_plain_layers_are_compressed(tmp_path: Path):
    layout = LayoutFolder(tmp_path / "layout")
    image = open_layout(layout.write(layout.image(plain=True))).image()
    packed = image_archive.compressed(image, tmp_path)
    assert packed.manifest.decoded.config == image.manifest.decoded.config
    assert gzip.decompress(packed.layout.read(packed.manifest.decoded.layers[0].digest)) == layer("hello")
    assert image_archive.compressed(packed, tmp_path) is packed


def test_an_archive_cannot_name_files_of_this_machine(tmp_path: Path):
    (tmp_path / "secret").write_text("mine")
    for config in ("../secret", str(tmp_path / "secret")):
        file = saved(tmp_path / "bad.tar", ["web:1"], {"aa/layer.tar": layer("x")}, config_name=config)
        with pytest.raises(ImageError, match="the archive has no file"):
            image_archive.unpack(file, tmp_path)


def test_what_is_no_archive_is_said(tmp_path: Path):
    (tmp_path / "text").write_text("hello")
    for file, why in (
        (tmp_path / "absent", "does not exist"),
        (tmp_path / "text", "is no archive"),
        (tmp_path, "holds no image"),
    ):
        with pytest.raises(ImageError, match=why):
            image_archive.unpack(file, tmp_path)
