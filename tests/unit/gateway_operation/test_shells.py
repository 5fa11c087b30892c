"""Shells, commands and copies: what passes, what ends them, what is recorded (S-255, S-256, S-257)."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from workers import NOW, Access, Program, key

from pincompute.gateway.calls import Call, Caller, Operation
from pincompute.gateway.operation import rights as asking
from pincompute.gateway.operation import sockets
from pincompute.gateway.operation.backend import Channel, Command, Exit, Place, Size
from pincompute.gateway.operation.rights import Rights
from pincompute.gateway.operation.shells import archives, commands, copying, transcripts
from pincompute.gateway.operation.shells.sessions import End, Session
from pincompute.gateway.operation.shells.transcripts import Transcript
from pincompute.gateway.problems import Problem
from pincompute.kube.streams import channels

PLACE = Place("a1", key("web-a1-0"))
CALL = Call("r-1", Caller("ann"), Operation("shells", "open"), "shop", "web", "10.0.0.1", NOW)


class Deciding:
    """An authorizer of whom a test takes the right back."""

    allowed, hidden, why = True, False, ""

    def decide(self, *_: Any) -> Deciding:
        return self


class Wire:
    """The user's end of a WebSocket: messages to send, and what came."""

    def __init__(self, *sends: bytes | None) -> None:
        self.inbox = asyncio.Queue[dict[str, Any]]()
        self.got: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        for data in sends:
            self.inbox.put_nowait({"type": "websocket.receive", "bytes": data})

    async def receive(self) -> dict[str, Any]:
        return await self.inbox.get()

    async def send_bytes(self, data: bytes) -> None:
        self.got.append(data)

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


async def session(wire: Wire, program: Program, *, idle: float = 60.0, **more: Any) -> End:
    rights = Rights(more.pop("authorizer", Deciding()), time.time)
    shell = Session(wire, program, Command(("sh",), "main"), CALL, rights, idle, time.monotonic, **more)  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        return await shell.run()


async def test_bytes_pass_both_ways_and_the_exit_is_told() -> None:
    program = Program([(Channel.STDOUT, b"out"), (Channel.STDERR, b"err")], Exit(3, "no"), waits=asyncio.Event())
    wire = Wire(b"\x00ls\n", b'\x04{"Width":80,"Height":24}', b"\xff\x00")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(session(wire, program))
        while not program.input_ended:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert program.waits is not None
        program.waits.set()
    assert running.result().exit == Exit(3, "no")
    assert (bytes(program.given), program.sizes) == (b"ls\n", [Size(80, 24)])
    assert wire.got[:2] == [b"\x01out", b"\x02err"]
    assert channels.exit_of(wire.got[2][1:]) == Exit(3, "no")
    assert wire.closed == (1000, "")


ENDS = {
    "a text message": (None, sockets.NOT_UNDERSTOOD),
    "a channel that takes nothing": (b"\x01x", sockets.NOT_UNDERSTOOD),
    "a size that is none": (b'\x04{"Width":0,"Height":24}', sockets.NOT_UNDERSTOOD),
    "a message that is too large": (b"\x00" + b"x" * sockets.LARGEST, sockets.TOO_LARGE),
}


@pytest.mark.parametrize("case", ENDS)
async def test_what_is_not_understood_ends_the_shell(case: str) -> None:
    """S-257."""
    message, code = ENDS[case]
    wire = Wire(message)
    end = await session(wire, Program([], Exit(0), waits=asyncio.Event()))
    assert end.code == code
    assert wire.closed == (code, sockets.reason(end.why))


async def test_a_shell_is_cut_when_the_right_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """S-255."""
    monkeypatch.setattr(asking, "EVERY", 0.01)
    authorizer, wire = Deciding(), Wire()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(session(wire, Program([], Exit(0), waits=asyncio.Event()), authorizer=authorizer))
        await asyncio.sleep(0.05)
        assert not running.done()
        authorizer.allowed = False
    assert wire.closed == (sockets.WITHDRAWN, "the right to it was withdrawn")


async def test_a_shell_ends_with_the_login_it_was_opened_with() -> None:
    expired = Call("r", Caller("ann", expires=5.0), Operation("shells", "open"), "shop", "web", "", NOW)
    assert Rights(Deciding(), lambda: 6.0).ended(expired) == "the login has expired"  # type: ignore[arg-type]


async def test_a_shell_in_which_nothing_is_said_ends() -> None:
    """S-257."""
    end = await session(Wire(), Program([], Exit(0), waits=asyncio.Event()), idle=0.05)
    assert end.code == sockets.IDLE


async def test_a_transcript_shows_what_the_terminal_showed(tmp_path: Path) -> None:
    """S-256."""
    transcript = Transcript(tmp_path / "t" / transcripts.file_name(CALL), time.monotonic, fail_open=False)
    transcript.begin(CALL, ("sh",), "web/0 main")
    program = Program([(Channel.STDOUT, "grü".encode()[:3]), (Channel.STDOUT, "grü".encode()[3:])], Exit(0))
    await session(Wire(), program, transcript=transcript)
    header, *events = [json.loads(text) for text in transcript.path.read_text().splitlines()]
    assert (header["version"], header["pincompute"]["by"], header["command"]) == (2, "ann", "sh")
    assert "".join(data for _, kind, data in events if kind == "o") == "grü"
    assert events[-1][1:] == ["m", "exit code 0"]


async def test_a_shell_without_its_transcript_ends_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for fail_open in (False, True):
        transcript = Transcript(tmp_path / "file" / "x.cast", time.monotonic, fail_open=fail_open)
        transcript.begin(CALL, ("sh",), "web/0 main")
        program = Program([], Exit(0), waits=None if fail_open else asyncio.Event())
        end = await session(Wire(), program, transcript=transcript)
        assert end.code == (1000 if fail_open else sockets.FAILED)


def test_pages_of_others_open_no_shells() -> None:
    """S-257."""
    for origin in ("", "https://console", "https://gw:8443"):
        sockets.check_origin(origin, "gw:8443", ("https://console",))
    for origin in ("https://evil", "http://gw:8443", "null", "https://gw:8443.evil"):
        with pytest.raises(Problem, match="may not open shells"):
            sockets.check_origin(origin, "gw:8443", ("https://console",))


async def test_a_command_is_answered_whole() -> None:
    program = Program([(Channel.STDOUT, b"a" * (commands.LARGEST_OUTPUT + 1)), (Channel.STDERR, b"e")], Exit(0))
    program.waits, program.reads_on = asyncio.Event(), True
    output = await commands.run(Access(program=program), PLACE, Command(("x",), "main", stdin=True), b"in", 5)  # type: ignore[arg-type]
    assert (len(output.stdout.data), output.stdout.truncated) == (commands.LARGEST_OUTPUT, True)
    assert (output.stderr.text, bytes(program.given), program.input_ended) == ("e", b"in", True)


async def test_a_command_that_takes_too_long_is_a_problem() -> None:
    program = Program([(Channel.STDOUT, b"working")], Exit(0), waits=asyncio.Event())
    with pytest.raises(Problem, match=r"did not end within 0 s; it said: working") as caught:
        await commands.run(Access(program=program), PLACE, Command(("x",), "main"), b"", 0.05)  # type: ignore[arg-type]
    assert caught.value.code == "timeout"


def archive(*members: tuple[str, bytes | str], form: int = tarfile.GNU_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


LONG = "folder/" * 30 + "file"


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("size", [1, 100, 512, 10_000])
def test_archives_pass_however_they_are_cut(form: int, size: int) -> None:
    whole = archive(
        ("a", b"x" * 700), (LONG if form != tarfile.USTAR_FORMAT else "b" * 90, b""), ("c/d", b"y" * 512), form=form
    )
    check = archives.Incoming()
    for start in range(0, len(whole), size):
        assert not check.whole or not whole[start:].strip(b"\0")
        check.feed(whole[start : start + size])
    check.end()
    assert (check.size, check.whole) == (len(whole), True)


BAD = {
    "absolute": archive(("/etc/passwd", b"x")),
    "climbing": archive(("a/../../b", b"x")),
    "a link": archive(("a", "/etc")),
    "climbing under a long name": archive(("x/" * 80 + "../../../b", b"x")),
    "climbing under an extended name": archive(("ü/" * 80 + "../b", b"x"), form=tarfile.PAX_FORMAT),
}


@pytest.mark.parametrize("case", BAD)
def test_nothing_is_unpacked_outside_the_folder(case: str) -> None:
    with pytest.raises(Problem) as caught:
        archives.Incoming().feed(BAD[case])
    assert caught.value.code == "malformed"


def test_too_large_and_cut_off_archives_are_refused() -> None:
    with pytest.raises(Problem, match="1000 bytes"):
        archives.Incoming(limit=1000).feed(archive(("a", b"x" * 2000)))
    check = archives.Incoming()
    check.feed(archive(("a", b"x" * 2000))[:1000])
    with pytest.raises(Problem, match="in the middle"):
        check.end()


async def body(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


async def test_files_go_in_and_come_out_as_they_were() -> None:
    whole = archive(("a", b"x" * 5000))
    program = Program([], Exit(0), waits=asyncio.Event(), reads_on=True)
    access = Access(program=program)
    assert await copying.into(access, PLACE, "main", "/data", body(whole)) == len(whole)  # type: ignore[arg-type]
    assert (bytes(program.given), program.input_ended) == (whole, True)
    sender = Program([(Channel.STDOUT, whole[:3000]), (Channel.STDOUT, whole[3000:])], Exit(0))
    async with copying.out_of(Access(program=sender), PLACE, "main", "/data/a") as download:  # type: ignore[arg-type]
        got = download.first + b"".join([piece async for piece in download.rest()])
    assert got == whole
    assert sender.input_ended, "only then may the other side close"


class Deaf(Program):
    """Takes the first piece, says why it does not go on, and never reads again."""

    async def write(self, piece: bytes) -> None:
        if self.given:
            await asyncio.Event().wait()
        await super().write(piece)


async def test_a_copy_that_tar_refuses_says_why_at_once_and_the_rest_is_read() -> None:
    """Nobody reads what is written to a tar that has ended; whoever still writes would not read the answer."""
    whole, passed = archive(("a", b"x" * 3_000_000)), 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal passed
        for start in range(0, len(whole), 100_000):
            yield whole[start : start + 100_000]
            passed = start + 100_000

    words = b"tar: /data/missing: Cannot open: No such file or directory"
    access = Access(program=Deaf([(Channel.STDERR, words)], Exit(2)))
    async with asyncio.timeout(10):
        with pytest.raises(Problem, match="Cannot open: No such file") as refused:
            await copying.into(access, PLACE, "main", "/data/missing", counted())  # type: ignore[arg-type]
    assert refused.value.code == "not-found"
    assert passed >= len(whole)


async def test_an_answer_does_not_wait_for_a_body_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "LINGER", 0.05)

    async def endless() -> AsyncIterator[bytes]:
        yield archive(("a", b"x"))[:512]
        await asyncio.Event().wait()

    access = Access(program=Program([(Channel.STDERR, b"tar: no room")], Exit(2)))
    async with asyncio.timeout(10):
        with pytest.raises(Problem, match="no room"):
            await copying.into(access, PLACE, "main", "/data", endless())  # type: ignore[arg-type]


async def test_a_part_is_never_taken_for_the_whole() -> None:
    whole = archive(("a", b"x" * 5000))
    sender = Program([(Channel.STDOUT, whole[:3000])], Exit(None, "the stream ended"))
    async with copying.out_of(Access(program=sender), PLACE, "main", "/data/a") as download:  # type: ignore[arg-type]
        with pytest.raises(copying.CopyBroken, match="the stream ended"):
            _ = [piece async for piece in download.rest()]


NO_COPY = {
    "no tar": (b"", b"sh: 1: tar: not found", Exit(127), "wrong-state", "has no tar"),
    "no shell": (b"", b"", Exit(None, 'exec: "sh": executable file not found in $PATH'), "wrong-state", "has no tar"),
    "no such file": (bytes(10240), b"tar: nope: Cannot stat: No such file or directory", Exit(2), "not-found", "/data/a"),
    "no right": (b"", b"tar: a: Cannot open: Permission denied", Exit(2), "wrong-state", "Permission denied"),
}


@pytest.mark.parametrize("case", NO_COPY)
async def test_why_nothing_was_copied_is_said_in_clear_words(case: str) -> None:
    out, err, ends, code, words = NO_COPY[case]
    access = Access(program=Program([(Channel.STDERR, err), (Channel.STDOUT, out)] if out else [(Channel.STDERR, err)], ends))
    with pytest.raises(Problem, match=words) as caught:
        async with copying.out_of(access, PLACE, "main", "/data/a"):  # type: ignore[arg-type]
            pass
    assert caught.value.code == code


@pytest.mark.parametrize("path", ["", "relative", "/a/../b", "/a\0b"])
def test_a_path_that_cannot_be_used_is_named(path: str) -> None:
    with pytest.raises(Problem) as caught:
        copying.check_path(path)
    assert caught.value.errors[0].field == "path"


async def test_an_image_without_a_shell_is_told_in_clear_words() -> None:
    words = 'OCI runtime exec failed: exec: "sh": executable file not found in $PATH'
    wire = Wire()
    await session(wire, Program([], Exit(None, words)))
    assert channels.exit_of(wire.got[-1][1:]) == Exit(None, "the image of container main has no program sh")
