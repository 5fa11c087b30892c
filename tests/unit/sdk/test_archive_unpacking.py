"""Archives of somebody else: what is unpacked, and that nothing outside of the folder is written or named."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from pincompute_sdk.images import archive_unpacking
from pincompute_sdk.images.archive_unpacking import ArchiveStream, ArchiveUnpacking
from pincompute_sdk.images.image_errors import ImageError


def file(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


def special(name: str, kind: bytes, to: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, to
    return member, b""


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    target.seek(0)
    return target


def unpack(folder: Path, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    ArchiveUnpacking(folder).run(ArchiveStream(packed(*members)))


def test_files_folders_and_links_inside(tmp_path: Path):
    """`docker save` of former versions wrote a layer that two images share as a link."""
    unpack(
        tmp_path / "a",
        special("two/layer.tar", tarfile.SYMTYPE, "../one/layer.tar"),  # before what it leads to
        special("three/layer.tar", tarfile.SYMTYPE, "../two/layer.tar"),
        special("one", tarfile.DIRTYPE),
        file("./one/layer.tar", b"layer"),
        special("hard.tar", tarfile.LNKTYPE, "one/layer.tar"),
        special("nowhere", tarfile.SYMTYPE, "absent"),
        special("loop", tarfile.SYMTYPE, "loop"),
    )
    for name in ("one/layer.tar", "two/layer.tar", "three/layer.tar", "hard.tar"):
        assert (tmp_path / "a" / name).read_bytes() == b"layer"
    assert not any(path.is_symlink() for path in (tmp_path / "a").rglob("*"))
    assert not (tmp_path / "a" / "nowhere").exists()


HOSTILE: dict[str, tuple[tuple[tarfile.TarInfo, bytes], ...]] = {
    "an absolute name": (file("/etc/passwd"),),
    "a name above": (file("../escaped"),),
    "a name above, hidden": (file("a/../../escaped"),),
    "a link out": (special("out", tarfile.SYMTYPE, "../outside"),),
    "an absolute link": (special("out", tarfile.SYMTYPE, "/etc/passwd"),),
    "a hard link out": (special("out", tarfile.LNKTYPE, "../outside"),),
    "a file through a link out": (special("out", tarfile.SYMTYPE, "../outside"), file("out/written")),
    "a device": (special("null", tarfile.CHRTYPE),),
    "a pipe": (special("pipe", tarfile.FIFOTYPE),),
    "a file below a file": (file("a"), file("a/b")),
    "a file that is a folder": (file("a/b"), file("a")),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_leads_out_or_is_no_file_is_refused(tmp_path: Path, case: str):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("kept")
    with pytest.raises(ImageError, match="archive"):
        unpack(tmp_path / "a", *HOSTILE[case])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "outside"]
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["kept"]


def test_a_file_through_a_link_inside_stays_inside(tmp_path: Path):
    unpack(tmp_path / "a", special("link", tarfile.SYMTYPE, "real"), special("real", tarfile.DIRTYPE), file("link/text"))
    assert (tmp_path / "a" / "link" / "text").is_file()
    assert not (tmp_path / "a" / "link").is_symlink()


def test_sizes_and_numbers_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archive_unpacking, "MOST_BYTES", 10)
    unpack(tmp_path / "a", file("a", b"12345"), file("b", b"12345"))
    with pytest.raises(ImageError, match="holds more than"):
        unpack(tmp_path / "b", file("a", b"12345"), file("b", b"123456"))
    monkeypatch.setattr(archive_unpacking, "MOST_MEMBERS", 2)
    with pytest.raises(ImageError, match="or 2 files"):
        unpack(tmp_path / "c", *(file(name, b"") for name in "abc"))
