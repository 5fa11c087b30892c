"""Layers and folders: what is kept of a file, that the same input gives the same bytes, and that no link is followed."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path, PurePosixPath

import pytest
from pincompute_sdk.images.build import build_context, ignore_rules, layers
from pincompute_sdk.images.build.layers import LayerEntry
from pincompute_sdk.images.image_errors import ImageError


def entries(folder: Path) -> list[LayerEntry]:
    context = build_context.read(folder, build_context.rules(folder))
    found = [layers.entry(file.source, PurePosixPath("/srv") / file.path) for file in context.files]
    return [each for each in found if each is not None]


def members(layer: layers.Layer) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.file.read_bytes()))) as archive:
        return {member.name: member for member in archive.getmembers()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "empty").mkdir(parents=True)
    (made / "sub").mkdir(mode=0o700)
    (made / "sub" / "tool").write_text("#!/bin/sh\n")
    (made / "sub" / "tool").chmod(0o750)
    (made / "to-folder").symlink_to("sub")
    (made / "to-file").symlink_to("sub/tool")
    return made


def test_empty_folders_links_to_folders_and_modes_are_kept(folder: Path, tmp_path: Path) -> None:
    found = members(layers.write(tmp_path / "layer", entries(folder)))
    assert list(found) == ["srv", "srv/empty", "srv/sub", "srv/sub/tool", "srv/to-file", "srv/to-folder"]
    assert found["srv/empty"].isdir()
    assert (found["srv/sub"].mode, found["srv/sub/tool"].mode) == (0o700, 0o750)
    assert found["srv/to-folder"].issym()
    assert found["srv/to-folder"].linkname == "sub"


def test_owners_are_kept_and_the_builder_becomes_root(folder: Path, tmp_path: Path) -> None:
    found = members(layers.write(tmp_path / "layer", entries(folder)))
    assert {(member.uid, member.gid) for member in found.values()} == {(0, 0)}
    if os.getuid() == 0:
        os.lchown(folder / "sub" / "tool", 1234, 4321)
        found = members(layers.write(tmp_path / "layer", entries(folder)))
        assert (found["srv/sub/tool"].uid, found["srv/sub/tool"].gid) == (1234, 4321)


def test_the_same_files_give_the_same_bytes_whatever_their_times(folder: Path, tmp_path: Path) -> None:
    first = layers.write(tmp_path / "1", entries(folder))
    os.utime(folder / "sub" / "tool", (1, 1))
    second = layers.write(tmp_path / "2", entries(folder))
    assert first.file.read_bytes() == second.file.read_bytes()
    assert (first.descriptor, first.content) == (second.descriptor, second.content)


def test_a_layer_names_the_digests_of_its_bytes(folder: Path, tmp_path: Path) -> None:
    import hashlib

    layer = layers.write(tmp_path / "layer", entries(folder))
    packed = layer.file.read_bytes()
    assert layer.descriptor.size == len(packed)
    assert layer.descriptor.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.content == f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}"


def test_nothing_can_be_below_what_is_no_folder(folder: Path, tmp_path: Path) -> None:
    below = LayerEntry(PurePosixPath("/srv/to-folder/x"), "file", 0o644, source=folder / "sub" / "tool")
    with pytest.raises(ImageError, match=r"/srv/to-folder/x cannot be in the image: /srv/to-folder is a link"):
        layers.write(tmp_path / "layer", [*entries(folder), below])


def test_links_out_of_the_folder_stay_links_and_are_named(folder: Path) -> None:
    (folder / "passwords").symlink_to("/etc/shadow")
    (folder / "sub" / "up").symlink_to("../../outside")
    (folder / "sub" / "near").symlink_to("../empty")
    context = build_context.read(folder, build_context.rules(folder))
    assert [sentence.split(" is a link")[0] for sentence in context.warnings] == ["passwords", "sub/up"]
    kept = {str(each.path): each for each in entries(folder)}
    assert (kept["/srv/passwords"].kind, kept["/srv/passwords"].source) == ("link", None)


def test_a_pipe_is_left_out_with_a_sentence(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    context = build_context.read(folder, build_context.rules(folder))
    assert context.warnings == ("pipe is left out: it is neither a file, a folder nor a link",)
    assert "pipe" not in {str(file.path) for file in context.files}


def test_what_dockerignore_names_is_left_out(folder: Path) -> None:
    (folder / ".dockerignore").write_text("sub\n!sub/tool\n.dockerignore\n")
    (folder / "sub" / "secret").write_text("x")
    context = build_context.read(folder, build_context.rules(folder))
    assert [str(file.path) for file in context.files] == ["empty", "sub/tool", "to-file", "to-folder"]


def test_a_folder_that_is_too_large_is_refused_with_its_largest_parts(folder: Path) -> None:
    (folder / "sub" / "data").write_bytes(b"x" * 1000)
    with pytest.raises(ImageError) as refused:
        build_context.read(folder, ignore_rules.parse(""), largest=999)
    assert "the largest: sub (1010 bytes)" in refused.value.reason
    assert ".dockerignore" in refused.value.remedy
    assert "--max-size" in refused.value.remedy


def test_progress_learns_files_and_bytes(folder: Path) -> None:
    said: list[tuple[int, int]] = []
    build_context.read(folder, ignore_rules.parse(""), progress=lambda files, size: said.append((files, size)))
    assert said[-1] == (5, 10)


def test_a_named_file_may_not_lie_outside_by_a_link(folder: Path) -> None:
    (folder / "out").symlink_to(folder.parent)
    with pytest.raises(ImageError, match="is outside"):
        build_context.inside(folder, folder / "out")
    assert build_context.inside(folder, folder / "to-file") == folder / "sub" / "tool"


@pytest.mark.parametrize(("files", "said"), [(0, "0 files"), (1, "1 file"), (2, "2 files")])
def test_files_are_counted_in_words(files: int, said: str) -> None:
    assert build_context.counted(files) == said


@pytest.mark.parametrize(
    ("size", "said"), [(1023, "1023 bytes"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.0 GiB")]
)
def test_what_is_too_large_is_said_in_a_readable_unit(tmp_path: Path, size: int, said: str) -> None:
    with pytest.raises(ImageError) as refused:
        build_context.check_size(tmp_path, 1, {"data": size}, size - 1)
    assert refused.value.reason.startswith(f"it has 1 file with {said}; at most 200000 files with ")
