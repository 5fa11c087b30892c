"""What a hostile archive must not do: to the gateway on its way in and out, and to whoever unpacks it with `pin cp`."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import pytest
from pincompute_sdk.cli import tar_packing, tar_unpacking
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.core.tar_headers import ArchiveError

from pincompute.gateway.operation.replica_streams import tar_streams
from pincompute.gateway.problems import Problem

END = bytes(1024)


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = size, kind, link
    return member.tobuf(tarfile.GNU_FORMAT)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def file(name: str, content: bytes = b"x") -> bytes:
    return header(name, len(content)) + padded(content)


def extended(*records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    content = b"".join(records)
    return header("h", len(content), kind) + padded(content)


def record(key: str, value: str) -> bytes:
    rest = len(f" {key}={value}\n".encode())
    length = next(n for n in range(rest, rest + 9) if n == rest + len(str(n)))
    return f"{length} {key}={value}\n".encode()


def stated(size: bytes) -> bytes:
    """A header with this size field and the right checksum."""
    block = bytearray(header("log"))
    block[124:136], block[148:156] = size.rjust(12, b"\0"), b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


REFUSED: dict[str, bytes] = {
    "a compressed archive (xz)": lzma.compress(file("log") + END),
    "a compressed archive (gzip)": gzip.compress(file("log") + END),
    "a compressed archive (bzip2)": bz2.compress(file("log") + END),
    "no archive": b"hello" * 1000,
    "nothing": b"",
    "another name": file("log/a") + file("other") + END,
    "a name that begins alike": file("logs/a") + END,
    "an absolute name": file("/log/a") + END,
    "a name that leads out": file("log/../../a") + END,
    "a name that leads out behind a zero": extended(record("path", "log/..\0/a")) + file("log") + END,
    "an extended name elsewhere": extended(record("path", "/etc/passwd")) + file("log") + END,
    "a long name elsewhere": header("@", 6, tarfile.GNUTYPE_LONGNAME) + padded(b"../a/b") + file("log") + END,
    "a global header": extended(record("path", "log"), kind=tarfile.XGLTYPE) + file("log") + END,
    "a sparse file": header("log", 0, tarfile.GNUTYPE_SPARSE) + END,
    "a sparse file in an extended header": extended(record("GNU.sparse.realsize", "9" * 12)) + file("log") + END,
    "a size that is not there": header("log", 1 << 20) + END,
    "a size that is too large": header("log", 1 << 40) + END,
    "an extended size that is too large": extended(record("size", "9" * 40)) + file("log") + END,
    "a negative size": stated(b"-00000000777") + END,
    "a negative binary size": stated(b"\xff" * 12) + END,
    "an extended size that is negative": extended(record("size", "-512")) + file("log") + END,
    "records that go nowhere": extended(b"0 path=log\n") + file("log") + END,
    "a record longer than its header": extended(b"99999 path=log\n") + file("log") + END,
    "digits without an end": extended(b"1" * 60_000) + file("log") + END,
    "many extended headers": extended(record("a", "b")) * 400 + file("log") + END,
    "a large extended header": extended(record("a", "b" * 70_000)) + file("log") + END,
    "an unknown type": header("log", 0, b"V") + END,
    "no end": file("log"),
    "no member": END,
    "a link alone": header("log", 0, tarfile.SYMTYPE, "/etc/passwd") + END,
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_archive_is_refused_and_nothing_of_it_is_written(case: str, tmp_path: Path):
    with pytest.raises(ArchiveError):
        tar_unpacking.unpack(REFUSED[case], "log", tmp_path / "log")
    assert list(tmp_path.iterdir()) == []


def test_files_and_folders_come_out_with_safe_modes(tmp_path: Path):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:  # extended headers, as Python writes them
        for name, content in (("log/ü/" + "n" * 200, b"a" * 1000), ("log/b", b"")):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content), 0o6777, 1_000_000_000.5
            archive.addfile(member, io.BytesIO(content))
    assert tar_unpacking.unpack(made.getvalue(), "log", tmp_path / "there") == []
    assert (tmp_path / "there/ü" / ("n" * 200)).read_bytes() == b"a" * 1000
    assert (tmp_path / "there/b").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "there/b").stat().st_mtime == 1_000_000_000


def test_links_and_devices_are_left_out_and_named(tmp_path: Path):
    kinds = {"s": tarfile.SYMTYPE, "h": tarfile.LNKTYPE, "d": tarfile.CHRTYPE, "f": tarfile.FIFOTYPE}
    links = b"".join(header(f"log/{name}", 0, kind, "/etc/passwd") for name, kind in kinds.items())
    assert tar_unpacking.unpack(links + file("log/s/x") + END, "log", tmp_path / "log") == [f"log/{n}" for n in kinds]
    assert (tmp_path / "log/s/x").read_bytes() == b"x", "a file below a link is below a folder"


def test_a_second_name_of_a_file_has_its_content(tmp_path: Path):
    """A hard link is a file to its user. Its target is taken from the archive alone."""
    links = {"again": "log/a", "out": "log/../../secret", "absolute": "/etc/passwd", "later": "log/z", "no file": "log"}
    hard = b"".join(header(f"log/{name}", 0, tarfile.LNKTYPE, target) for name, target in links.items())
    left_out = tar_unpacking.unpack(
        header("log", 0, tarfile.DIRTYPE) + file("log/a") + hard + file("log/z") + END, "log", tmp_path / "log"
    )
    assert (tmp_path / "log/again").read_bytes() == b"x"
    assert (tmp_path / "log/again").stat().st_nlink == 1
    assert left_out == [f"log/{name}" for name in list(links)[1:]]


def test_second_names_count_as_much_as_first_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(tar_unpacking, "LARGEST", 1000)
    hard = b"".join(header(f"log/{n}", 0, tarfile.LNKTYPE, "log/a") for n in range(9))
    with pytest.raises(ArchiveError, match="once for each name"):
        tar_unpacking.unpack(file("log/a", b"x" * 600) + hard + END, "log", tmp_path / "log")
    assert list(tmp_path.iterdir()) == []


def test_links_and_pipes_of_a_folder_are_left_out_on_the_way_in(tmp_path: Path):
    """The gateway refuses an archive with a link; `pin cp` says what it leaves out, and copies the rest."""
    there = tmp_path / "there"
    (there / "sub").mkdir(parents=True)
    (there / "sub/a").write_text("x")
    os.link(there / "sub/a", there / "again")
    (there / "absolute").symlink_to("/etc")
    (there / "nowhere").symlink_to("missing")
    os.mkfifo(there / "pipe")
    (tmp_path / "named").symlink_to("there")
    packed = tar_packing.pack(tmp_path / "named", "log")
    assert sorted(packed.left_out) == [str(tmp_path / "named" / name) for name in ("absolute", "nowhere", "pipe")]
    with tarfile.open(fileobj=io.BytesIO(packed.archive)) as archive:
        assert [(m.name, m.type) for m in archive] == [
            ("log", tarfile.DIRTYPE),
            ("log/again", tarfile.REGTYPE),
            ("log/sub", tarfile.DIRTYPE),
            ("log/sub/a", tarfile.REGTYPE),
        ]
    with pytest.raises(CommandError, match="no file or folder"):
        tar_packing.pack(there / "pipe", "pipe")


def test_a_link_that_was_here_before_leads_nowhere(tmp_path: Path):
    (tmp_path / "log").mkdir()
    (tmp_path / "secret").write_text("mine")
    (tmp_path / "log/out").symlink_to(tmp_path)
    (tmp_path / "log/file").symlink_to(tmp_path / "secret")
    with pytest.raises(ArchiveError, match="leads"):
        tar_unpacking.unpack(file("log/out/secret") + END, "log", tmp_path / "log")
    with pytest.raises(OSError, match="symbolic links"):
        tar_unpacking.unpack(file("log/file") + END, "log", tmp_path / "log")
    assert (tmp_path / "secret").read_text() == "mine"


def test_sums_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(tar_unpacking, "LARGEST", 1000)
    with pytest.raises(ArchiveError, match="1000 bytes"):
        tar_unpacking.unpack(file("log/a", b"x" * 600) + file("log/b", b"x" * 600) + END, "log", tmp_path / "log")
    monkeypatch.setattr(tar_unpacking, "MOST", 5)
    with pytest.raises(ArchiveError, match="more than 5 members"):
        tar_unpacking.unpack(b"".join(file(f"log/{i}") for i in range(9)) + END, "log", tmp_path / "log")


def test_work_is_bounded_by_the_archive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Each header is parsed once, and no text of an archive stays for the members behind it."""
    parsed, original = [], tarfile.TarInfo.frombuf
    monkeypatch.setattr(tarfile.TarInfo, "frombuf", staticmethod(counting(parsed, original)))
    keys = extended(*(record(f"k{i}", "v") for i in range(4000)))
    tar_unpacking.unpack(b"".join(keys + file(f"log/{i}") for i in range(20)) + END, "log", tmp_path / "log")
    assert len(parsed) == 40


def counting(calls: list[int], original: Callable[..., tarfile.TarInfo]) -> Callable[..., tarfile.TarInfo]:
    def counted(block: bytes, encoding: str, errors: str) -> tarfile.TarInfo:
        calls.append(len(block))
        return original(block, encoding, errors)

    return counted


def test_a_folder_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path):
    with (tmp_path / "large").open("wb") as sparse:
        sparse.truncate(tar_unpacking.LARGEST + 1)
    with pytest.raises(CommandError, match="one copy has at most"):
        tar_packing.pack(tmp_path, "x")


async def body(given: bytes | Iterable[bytes], size: int = 65536) -> AsyncIterator[bytes]:
    for whole in [given] if isinstance(given, bytes) else given:
        for start in range(0, len(whole), size):
            yield whole[start : start + size]


async def uploaded(given: bytes | Iterable[bytes]) -> bytes:
    passed = bytearray()

    async def write(piece: bytes) -> None:
        passed.extend(piece)

    await tar_streams.repack(body(given), write)
    return bytes(passed)


async def downloaded(given: bytes | Iterable[bytes]) -> bytes:
    return b"".join([piece async for piece in tar_streams.checked(body(given), tar_streams.named("log"))])


@pytest.mark.parametrize("case", [c for c in REFUSED if c not in ("another name", "a name that begins alike", "no member")])
async def test_the_gateway_passes_no_hostile_archive_to_a_replica(case: str):
    with pytest.raises(Problem) as refused:
        await uploaded(REFUSED[case])
    assert refused.value.code in ("malformed", "too-large")


@pytest.mark.parametrize("case", [c for c in REFUSED if c not in ("no member", "a link alone")])
async def test_the_gateway_passes_no_hostile_archive_to_a_user(case: str):
    with pytest.raises(tar_streams.BadArchive):
        await downloaded(REFUSED[case])


async def test_what_the_gateway_passes_to_a_user_is_unpacked(tmp_path: Path):
    given = extended(record("path", "log/ü" + "n" * 200), record("size", "1")) + file("ignored") + file("log/b")
    link = header("log/l", 0, tarfile.SYMTYPE, "/etc/passwd")
    assert tar_unpacking.unpack(await downloaded(given + link + END), "log", tmp_path / "log") == ["log/l"]
    assert {p.name for p in (tmp_path / "log").iterdir()} == {"ü" + "n" * 200, "b"}


async def test_global_headers_are_refused_when_they_come(monkeypatch: pytest.MonkeyPatch):
    """60,000 keys used to be copied for each of the members behind them: 9 s for 1.7 MB. Nothing behind them is read now."""
    parsed, original = list[int](), tarfile.TarInfo.frombuf
    monkeypatch.setattr(tarfile.TarInfo, "frombuf", staticmethod(counting(parsed, original)))
    keys = extended(*(record(f"k{i}", "v") for i in range(60_000)), kind=tarfile.XGLTYPE)
    with pytest.raises(Problem, match="global header"):
        await uploaded(keys + b"".join(header(f"log/{i}") for i in range(2000)) + END)
    assert len(parsed) == 1


async def test_chained_headers_are_refused_after_a_few(monkeypatch: pytest.MonkeyPatch):
    """400 of them used to end in a RecursionError."""
    parsed, original = list[int](), tarfile.TarInfo.frombuf
    monkeypatch.setattr(tarfile.TarInfo, "frombuf", staticmethod(counting(parsed, original)))
    with pytest.raises(Problem, match="extensions"):
        await uploaded(extended(record("a", "b")) * 400 + header("f") + END)
    assert len(parsed) == tar_streams.MOST_EXTENSIONS + 1


async def test_large_headers_are_refused_before_they_are_held():
    sent = 0

    def endless() -> Iterable[bytes]:
        nonlocal sent
        yield header("h", 1 << 29, tarfile.XHDTYPE)
        for _ in range(1000):
            sent += 65536
            yield bytes(65536)

    with pytest.raises(Problem, match="65536 bytes"):
        await uploaded(endless())
    assert sent <= 65536


async def test_keys_of_one_member_are_forgotten_before_the_next():
    extension = extended(*(record(f"k{i}", "v") for i in range(4000)), record("path", "log/long"))
    passed = await uploaded(extension + file("a") + file("b") + END)
    with tarfile.open(fileobj=io.BytesIO(passed)) as archive:
        assert archive.getnames() == ["log/long", "b"]


async def test_members_are_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tar_streams, "MOST_MEMBERS", 5)
    with pytest.raises(Problem, match="5 files") as refused:
        await uploaded(b"".join(header(f"log/{i}") for i in range(9)) + END)
    assert refused.value.code == "too-large"


async def test_other_tasks_run_while_an_archive_is_read():
    """A body that is there at once never suspends its reader, so the reader must."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.ensure_future(others())
    count = 10 * tar_streams.HEADERS_AT_ONCE
    await uploaded(b"".join(header(f"log/{i}") for i in range(count)) + END)
    assert turns >= 10
    turns = 0
    await uploaded(b"".join(extended(record("a", "b")) + header(f"log/{i}") for i in range(50)) + END)
    assert turns >= 50
    other.cancel()
