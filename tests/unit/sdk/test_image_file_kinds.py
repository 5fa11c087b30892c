"""A file that is no archive of an image: the sentence says what it is, and what to do."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from pincompute_sdk.images import image_archive
from pincompute_sdk.images.image_errors import ImageError


def packed(*names: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 3000
            archive.addfile(member, io.BytesIO(b"x" * 3000))
    return target.getvalue()


TAR = packed("layer.tar", "other.tar")
PAGE = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>" * 20
KINDS: Mapping[str, tuple[bytes, str, str]] = {
    "an empty file": (b"", "it is empty", "repeat it"),
    "a web page": (PAGE, "it is a web page or an XML document", "perhaps of a login or an error"),
    "a short web page": (b"\n <html>no</html>", "it is a web page or an XML document", "download the file again"),
    "zstd": (b"\x28\xb5\x2f\xfd" + b"\0" * 2000, "it is compressed with zstd", "`zstd -d FILE`"),
    "xz": (b"\xfd7zXZ\x00" + b"\0" * 10, "it is compressed with xz", "`xz -d FILE`"),
    "zip": (b"PK\x03\x04" + b"\0" * 2000, "it is a zip archive", "unpack it"),
    "a program": (b"\x7fELF" + b"\0" * 2000, "it is a program", "`pin image build`"),
    "a Dockerfile": (b"FROM python:3\nRUN true\n" * 40, "it is a text", "`pin image build` builds the image of a folder"),
    "a short text": (b"hello\n", "it is a text", "`docker save`"),
    "a manifest": (b'{"schemaVersion": 2}', "it is a JSON document", "only a part or a description of an image"),
    "bytes of no kind": (b"\0\1\2\3" * 500, "it is no tar archive", "`docker save`"),
    "an archive that is cut off": (TAR[:2000], "it is a tar archive that is cut off", "is not complete: repeat it"),
    "a compressed archive that is cut off": (
        gzip.compress(os.urandom(3000) + TAR)[:1500],
        "it is compressed with gzip, and of what is in it: it is no tar archive",
        "`docker save`",
    ),
    "a compressed text": (gzip.compress(b"hello"), "compressed with gzip, and of what is in it: it is a text", "`docker save`"),
    "the beginning of gzip": (b"\x1f\x8b\x08", "compressed with gzip, and of what is in it: it is empty", "repeat it"),
    "a compressed page": (bz2.compress(PAGE), "compressed with bzip2, and of what is in it: it is a web page", "download"),
}


@pytest.mark.parametrize("case", KINDS)
def test_what_is_no_archive_is_called_what_it_is(tmp_path: Path, case: str) -> None:
    content, what, remedy = KINDS[case]
    (tmp_path / "image.tar").write_bytes(content)
    with pytest.raises(ImageError, match=r"image\.tar is no archive of an image") as caught:
        image_archive.unpack(tmp_path / "image.tar", tmp_path)
    assert what in caught.value.reason
    assert remedy in caught.value.remedy
    assert ("cut off" in caught.value.reason) == (case == "an archive that is cut off")


def test_a_layer_that_is_cut_off_inside_a_compressed_archive(tmp_path: Path) -> None:
    whole = gzip.compress(packed(*map(str, range(50))), compresslevel=0)
    (tmp_path / "image.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError) as caught:
        image_archive.unpack(tmp_path / "image.tgz", tmp_path)
    assert caught.value.reason == "it is compressed with gzip, and of what is in it: it is a tar archive that is cut off"


def test_an_archive_without_an_image_and_that_of_a_container(tmp_path: Path) -> None:
    for name, members, remedy in (
        ("some", ("a", "b"), "`docker save`"),
        ("root", ("bin/a", "etc/b", "usr/c"), "`docker export`"),
    ):
        (tmp_path / f"{name}.tar").write_bytes(packed(*members))
        with pytest.raises(ImageError, match="holds no image: it has neither") as caught:
            image_archive.unpack(tmp_path / f"{name}.tar", tmp_path)
        assert remedy in caught.value.remedy


def test_a_folder_that_is_no_layout_is_one_to_build(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(ImageError, match="holds no image") as caught:
        image_archive.unpack(tmp_path / "src", tmp_path)
    assert f"`pin image build {tmp_path / 'src'}`" in caught.value.remedy


def test_a_pipe_and_what_is_not_there_do_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="pipe is a pipe, a device or a socket, and no file"):
        image_archive.unpack(tmp_path / "pipe", tmp_path)
    with pytest.raises(ImageError, match=r"absent\.tar does not exist"):
        image_archive.unpack(tmp_path / "absent.tar", tmp_path)
