"""Shells, commands and copies: what passes, what ends them, what is recorded (S-255, S-256, S-257)."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from replica_samples import NOW, ScriptedAccess, ScriptedProgram, key

from pincompute.api.meta import ObjectMeta
from pincompute.api.projects import Project
from pincompute.gateway.call_context import Call, Caller, Operation
from pincompute.gateway.gateway_settings import GatewaySettings, ShellSettings
from pincompute.gateway.middleware import close_reason
from pincompute.gateway.operation import user_websockets
from pincompute.gateway.operation.logs.line_buffer import BufferBudget, LineBuffer
from pincompute.gateway.operation.logs.line_format import ENCODERS
from pincompute.gateway.operation.logs.response_format import LogFormatter, LogStream
from pincompute.gateway.operation.replica_access import ReplicaPlace
from pincompute.gateway.operation.replica_streams import command_execution, file_copy, shell_transcript, tar_streams
from pincompute.gateway.operation.replica_streams.file_copy import CopyTarget
from pincompute.gateway.operation.replica_streams.shell_session import SessionEnd, ShellSession
from pincompute.gateway.operation.replica_streams.shell_transcript import Transcript
from pincompute.gateway.operation.replica_streams.stream_service import ReplicaContainer, ReplicaStreamService
from pincompute.gateway.operation.replica_streams.tar_streams import Passage
from pincompute.gateway.operation.stream_permissions import StreamPermissions
from pincompute.gateway.problems import Problem
from pincompute.kube.api_errors import RequestInfo, Unreachable
from pincompute.kube.streams import channel_protocol
from pincompute.kube.streams.channel_protocol import Channel, ExitStatus, TerminalSize
from pincompute.kube.streams.pod_exec import ExecCommand

PLACE = ReplicaPlace("a1", key("web-a1-0"))
CALLER = Caller("ann")


def opened(caller: Caller = CALLER) -> Call:
    return Call("r-1", caller, Operation("shells", "open"), "shop", "web", "10.0.0.1", NOW)


class ScriptedAuthorizer:
    """An authorizer of whom a test takes the right back."""

    allowed, hidden, why = True, False, ""

    def decide(self, *_: Any) -> ScriptedAuthorizer:
        return self


class FakeSocket:
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


SHOP = Project(metadata=ObjectMeta(name="shop", uid="u1"))


def judging(authorizer: Any = None, found: dict[str, Project] | None = None) -> StreamPermissions:
    projects = {"shop": SHOP} if found is None else found
    return StreamPermissions(authorizer or ScriptedAuthorizer(), projects.get, time.time)


async def session(wire: FakeSocket, program: ScriptedProgram, *, idle: float = 60.0, **more: Any) -> SessionEnd:
    rights, call = more.pop("rights", None) or judging(), more.pop("call", None) or opened()
    shell = ShellSession(wire, program, ExecCommand(("sh",), "main"), call, rights, idle, time.monotonic, **more)  # type: ignore[arg-type]
    async with asyncio.timeout(10):
        return await shell.run()


async def test_bytes_pass_both_ways_and_the_exit_is_told() -> None:
    program = ScriptedProgram([(Channel.STDOUT, b"out"), (Channel.STDERR, b"err")], ExitStatus(3, "no"), waits=asyncio.Event())
    wire = FakeSocket(b"\x00ls\n", b'\x04{"Width":80,"Height":24}', b"\xff\x00")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(session(wire, program))
        while not program.input_ended:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert program.waits is not None
        program.waits.set()
    assert running.result().exit == ExitStatus(3, "no")
    assert (bytes(program.given), program.sizes) == (b"ls\n", [TerminalSize(80, 24)])
    assert wire.got[:2] == [b"\x01out", b"\x02err"]
    assert channel_protocol.exit_of(wire.got[2][1:]) == ExitStatus(3, "no")
    assert wire.closed == (1000, "")


ENDS = {
    "a text message": (None, user_websockets.NOT_UNDERSTOOD),
    "a channel that takes nothing": (b"\x01x", user_websockets.NOT_UNDERSTOOD),
    "a size that is none": (b'\x04{"Width":0,"Height":24}', user_websockets.NOT_UNDERSTOOD),
    "a message that is too large": (b"\x00" + b"x" * user_websockets.LARGEST, user_websockets.TOO_LARGE),
}


@pytest.mark.parametrize("case", ENDS)
async def test_what_is_not_understood_ends_the_shell(case: str) -> None:
    """S-257."""
    message, code = ENDS[case]
    wire = FakeSocket(message)
    end = await session(wire, ScriptedProgram([], ExitStatus(0), waits=asyncio.Event()))
    assert end.code == code
    assert wire.closed == (code, close_reason(end.why))


@dataclass
class Withdrawing:
    """What a test takes away: the role, the project, or the token; and how the stream learns of it."""

    authorizer: ScriptedAuthorizer = field(default_factory=ScriptedAuthorizer)
    projects: dict[str, Project] = field(default_factory=lambda: {"shop": SHOP})

    def role(self, rights: StreamPermissions) -> None:
        self.authorizer.allowed = False
        rights.project_changed("host", SHOP, initial=False)

    def project(self, rights: StreamPermissions) -> None:
        del self.projects["shop"]
        rights.project_changed("host", SHOP, initial=False)

    def recreated(self, rights: StreamPermissions) -> None:
        self.projects["shop"] = Project(metadata=ObjectMeta(name="shop", uid="u2"))
        rights.project_changed("host", SHOP, initial=False)

    def token(self, rights: StreamPermissions) -> None:
        self.authorizer.allowed = False
        rights.token_ended("t1")

    def gateway(self, rights: StreamPermissions) -> None:
        rights.stopping.set()


CUTS = {
    "role": (user_websockets.WITHDRAWN, "the permission was withdrawn"),
    "project": (user_websockets.WITHDRAWN, "the project was deleted"),
    "recreated": (user_websockets.WITHDRAWN, "the project was deleted"),
    "token": (user_websockets.WITHDRAWN, "the permission was withdrawn"),
    "gateway": (user_websockets.RESTARTING, "the gateway stops"),
}


@pytest.mark.parametrize("taken", CUTS)
async def test_a_shell_is_cut_at_the_event_that_ends_its_right_and_its_transcript_is_whole(taken: str, tmp_path: Path) -> None:
    """S-255."""
    world, wire, call = Withdrawing(), FakeSocket(), opened(Caller("ann", kind="service", token_id="t1"))
    rights = judging(world.authorizer, world.projects)
    transcript = Transcript(tmp_path / "x.cast", time.monotonic, fail_open=False)
    transcript.begin(call, ("sh",), "web/0 main")
    program = ScriptedProgram([(Channel.STDOUT, b"said")], ExitStatus(0), waits=asyncio.Event())
    async with asyncio.TaskGroup() as group:
        running = group.create_task(session(wire, program, rights=rights, call=call, transcript=transcript))
        await asyncio.sleep(0.05)
        assert not running.done()
        getattr(world, taken)(rights)
    code, why = CUTS[taken]
    assert wire.closed == (code, why)
    assert (call.stream.ended, call.stream.bytes_out) == (f"cut: {why}", 4)
    *_, said, last = [json.loads(text) for text in transcript.path.read_text().splitlines()]
    assert (said[1:], last[1:]) == (["o", "said"], ["m", f"cut: {why}"])


async def test_what_happens_to_other_projects_and_tokens_wakes_no_stream() -> None:
    rights, asked = judging(), 0

    class Counting(ScriptedAuthorizer):
        def decide(self, *_: Any) -> ScriptedAuthorizer:
            nonlocal asked
            asked += 1
            return self

    rights.authorizer = Counting()  # type: ignore[assignment]
    waiting = asyncio.create_task(rights.until_ended(opened()))
    await asyncio.sleep(0)
    rights.project_changed("host", Project(metadata=ObjectMeta(name="other")), initial=False)
    rights.token_ended("t9")
    await asyncio.sleep(0.02)
    assert asked == 1
    rights.project_changed("host", SHOP, initial=False)
    await asyncio.sleep(0.02)
    assert asked == 2
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not rights._projects


async def test_a_shell_ends_with_the_login_it_was_opened_with() -> None:
    expired = opened(Caller("ann", expires=time.time() + 0.05))
    async with asyncio.timeout(5):
        assert await judging().until_ended(expired) == "the login has expired"


@pytest.mark.parametrize(
    ("expired", "resumable", "said"),
    [(True, True, ""), (True, False, "the login has expired"), (False, True, "the permission was withdrawn")],
)
async def test_logs_that_a_client_resumes_with_a_renewed_login_do_not_say_that_they_end(
    expired: bool, resumable: bool, said: str
) -> None:
    withdrawn, written, buffer = ScriptedAuthorizer(), list[bytes](), LineBuffer(BufferBudget())
    withdrawn.allowed = expired
    call = opened(Caller("ann", expires=time.time() - 1 if expired else time.time() + 60))
    stream = LogStream(never, buffer, LogFormatter(ENCODERS["text/plain"]), call, judging(withdrawn), resumable)

    async def write(piece: bytes) -> None:
        written.append(piece)

    async with asyncio.timeout(5):
        await stream.produce(write)
    assert said.encode() in b"".join(written)
    assert bool(written) is bool(said)


async def test_a_shell_that_is_cancelled_is_recorded_to_its_end(tmp_path: Path) -> None:
    transcript, call = Transcript(tmp_path / "x.cast", time.monotonic, fail_open=False), opened()
    transcript.begin(call, ("sh",), "web/0 main")
    program = ScriptedProgram([(Channel.STDOUT, b"said")], ExitStatus(0), waits=asyncio.Event())
    running = asyncio.create_task(session(FakeSocket(), program, call=call, transcript=transcript))
    await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.wait([running])
    assert json.loads(transcript.path.read_text().splitlines()[-1])[1:] == ["m", "the user disconnected"]
    assert call.stream.ended == "the user disconnected"


async def test_a_shell_in_which_nothing_is_said_ends() -> None:
    """S-257."""
    end = await session(FakeSocket(), ScriptedProgram([], ExitStatus(0), waits=asyncio.Event()), idle=0.05)
    assert end.code == user_websockets.IDLE


async def test_a_transcript_shows_what_the_terminal_showed(tmp_path: Path) -> None:
    """S-256."""
    transcript = Transcript(tmp_path / "t" / shell_transcript.file_name(opened()), time.monotonic, fail_open=False)
    transcript.begin(opened(), ("sh",), "web/0 main")
    program = ScriptedProgram([(Channel.STDOUT, "grü".encode()[:3]), (Channel.STDOUT, "grü".encode()[3:])], ExitStatus(0))
    await session(FakeSocket(), program, transcript=transcript)
    header, *events = [json.loads(text) for text in transcript.path.read_text().splitlines()]
    assert (header["version"], header["pincompute"]["by"], header["command"]) == (2, "ann", "sh")
    assert "".join(data for _, kind, data in events if kind == "o") == "grü"
    assert events[-1][1:] == ["m", "exit code 0"]


async def test_a_shell_without_its_transcript_ends_unless_told_otherwise(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for fail_open in (False, True):
        transcript = Transcript(tmp_path / "file" / "x.cast", time.monotonic, fail_open=fail_open)
        transcript.begin(opened(), ("sh",), "web/0 main")
        program = ScriptedProgram([], ExitStatus(0), waits=None if fail_open else asyncio.Event())
        end = await session(FakeSocket(), program, transcript=transcript)
        assert end.code == (1000 if fail_open else user_websockets.FAILED)


def test_pages_of_others_open_no_shells() -> None:
    """S-257."""
    for origin in ("", "https://console", "https://gw:8443"):
        user_websockets.check_origin(origin, "gw:8443", ("https://console",))
    for origin in ("https://evil", "http://gw:8443", "null", "https://gw:8443.evil"):
        with pytest.raises(Problem, match="may not open shells"):
            user_websockets.check_origin(origin, "gw:8443", ("https://console",))


async def passed(_: bytes) -> None:
    pass


async def test_a_command_is_answered_whole() -> None:
    program = ScriptedProgram(
        [(Channel.STDOUT, b"a" * (command_execution.LARGEST_OUTPUT + 1)), (Channel.STDERR, b"e")], ExitStatus(0)
    )
    program.waits, program.reads_on = asyncio.Event(), True
    output = await command_execution.run(
        ScriptedAccess(program=program), PLACE, ExecCommand(("x",), "main", stdin=True), b"in", 5, passed
    )  # type: ignore[arg-type]
    assert (len(output.stdout.data), output.stdout.truncated) == (command_execution.LARGEST_OUTPUT, True)
    assert (output.stderr.text, bytes(program.given), program.input_ended) == ("e", b"in", True)


async def test_a_command_that_takes_too_long_is_a_problem() -> None:
    program = ScriptedProgram([(Channel.STDOUT, b"working")], ExitStatus(0), waits=asyncio.Event())
    with pytest.raises(Problem, match=r"did not end within 0 s; it said: working") as caught:
        await command_execution.run(ScriptedAccess(program=program), PLACE, ExecCommand(("x",), "main"), b"", 0.05, passed)  # type: ignore[arg-type]
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


async def repacked(given: bytes, size: int = 1000, limit: int = tar_streams.LARGEST) -> bytes:
    passed = bytearray()

    async def write(piece: bytes) -> None:
        passed.extend(piece)

    assert await tar_streams.repack(body(given, size), write, Passage(limit)) == len(given)
    return bytes(passed)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("size", [100, 512, 10_000])
async def test_archives_pass_however_they_are_cut(form: int, size: int) -> None:
    files = (("a", b"x" * 700), (LONG if form != tarfile.USTAR_FORMAT else "b" * 90, b""), ("c/d", b"y" * 512))
    assert await repacked(archive(*files, form=form), size) == archive(*files)


BAD = {
    "absolute": (archive(("/etc/passwd", b"x")), "leads out"),
    "climbing": (archive(("a/../../b", b"x")), "leads out"),
    "a link": (archive(("a", "/etc")), "is a link"),
    "climbing under a long name": (archive(("x/" * 80 + "../../../b", b"x")), "leads out"),
    "climbing under an extended name": (archive(("ü/" * 80 + "../b", b"x"), form=tarfile.PAX_FORMAT), "leads out"),
    "a header without an end": (archive(("n" * 2_000_000, b"x")), "more than 65536 bytes"),
    "cut off in a file": (archive(("a", b"x" * 2000))[:1000], "not a plain tar stream"),
    "cut off in a header": (archive(("a", b"x" * 512), ("b", b""))[:1200], "not a plain tar stream"),
    "a broken header": (archive(("a", b"x" * 512)).replace(b"\0" * 1024, b"\1" * 1024, 1), "not a plain tar stream"),
    "something else": (b"hello" * 1000, "not a plain tar stream"),
    "nothing": (b"", "not a plain tar stream"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_archive_is_refused_and_nothing_of_it_passes(case: str) -> None:
    given, words = BAD[case]
    with pytest.raises(Problem, match=words) as caught:
        await repacked(given)
    assert caught.value.code == "malformed"


async def test_an_archive_that_is_too_large_is_refused() -> None:
    with pytest.raises(Problem, match="1000 bytes"):
        await repacked(archive(("a", b"x" * 2000)), limit=1000)


async def body(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def test_files_go_in_and_come_out_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_copy, "make_trailer", lambda: "the end")
    whole = archive(("a", b"x" * 5000))
    program = ScriptedProgram([], ExitStatus(0), waits=asyncio.Event(), reads_on=True)
    access = ScriptedAccess(program=program)
    assert await file_copy.upload(access, PLACE, "main", CopyTarget("/data"), body(whole)) == len(whole)  # type: ignore[arg-type]
    assert (bytes(program.given), program.input_ended) == (whole, True)
    sender = ScriptedProgram(
        [(Channel.STDOUT, whole[:3000]), (Channel.STDOUT, whole[3000:] + b"the"), (Channel.STDOUT, b" end")], ExitStatus(0)
    )
    async with file_copy.download(ScriptedAccess(program=sender), PLACE, "main", "/data/a") as download:  # type: ignore[arg-type]
        got = download.first + b"".join([piece async for piece in download.rest])
    assert got == whole
    assert sender.input_ended, "only then may the other side close"


class UnresponsiveProgram(ScriptedProgram):
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
    access = ScriptedAccess(program=UnresponsiveProgram([(Channel.STDERR, words)], ExitStatus(2)))
    async with asyncio.timeout(10):
        with pytest.raises(Problem, match="Cannot open: No such file") as refused:
            await file_copy.upload(access, PLACE, "main", CopyTarget("/data/missing"), counted())  # type: ignore[arg-type]
    assert refused.value.code == "no-such-file"
    assert passed >= len(whole)


async def test_an_answer_does_not_wait_for_a_body_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_copy, "LINGER", 0.05)

    async def endless() -> AsyncIterator[bytes]:
        yield archive(("a", b"x"))[:512]
        await asyncio.Event().wait()

    access = ScriptedAccess(program=ScriptedProgram([(Channel.STDERR, b"tar: no room")], ExitStatus(2)))
    async with asyncio.timeout(10):
        with pytest.raises(Problem, match="no room"):
            await file_copy.upload(access, PLACE, "main", CopyTarget("/data"), endless())  # type: ignore[arg-type]


async def test_a_status_that_never_comes_is_not_awaited_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that still holds input of a program that has ended may keep the status back."""
    monkeypatch.setattr(file_copy, "LINGER", 0.05)
    words = b"tar: /data: Cannot open: No such file or directory"
    access = ScriptedAccess(program=ScriptedProgram([(Channel.STDERR, words)], ExitStatus(0), waits=asyncio.Event()))
    async with asyncio.timeout(10):
        with pytest.raises(Problem, match="No such file"):
            await file_copy.upload(access, PLACE, "main", CopyTarget("/data"), body(archive(("a", b"x"))))  # type: ignore[arg-type]


class DeafProgram(ScriptedProgram):
    """Neither reads nor ends, as a `tar` whose disk hangs."""

    async def write(self, piece: bytes) -> None:
        await asyncio.Event().wait()


async def silent() -> AsyncIterator[bytes]:
    yield archive(("a", b"x"))[:512]
    await asyncio.Event().wait()


STUCK = {
    "tar does not read": (DeafProgram, lambda: body(archive(("a", b"x"))), "neither reads, nor writes, nor ends"),
    "tar does not end": (ScriptedProgram, lambda: body(archive(("a", b"x"))), "neither reads, nor writes, nor ends"),
    "the client sends nothing": (ScriptedProgram, silent, "nothing of the archive came"),
}


@pytest.mark.parametrize("case", STUCK)
async def test_a_copy_in_which_nothing_moves_ends(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_copy, "SILENCE", 0.1)
    program, given, words = STUCK[case]
    access = ScriptedAccess(program=program([], ExitStatus(0), waits=asyncio.Event()))
    async with asyncio.timeout(10):
        with pytest.raises(Problem, match=words) as caught:
            await file_copy.upload(access, PLACE, "main", CopyTarget("/data"), given())  # type: ignore[arg-type]
    assert caught.value.code == "timeout"


def test_files_belong_to_the_containers_own_user(tmp_path: Path) -> None:
    """`tar` of a root user without CAP_CHOWN fails when it gives files away."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo("a")
        member.uid = member.gid = 4242
        tar.addfile(member)
    subprocess.run((*file_copy.UNPACK, tmp_path), input=made.getvalue(), check=True)
    assert (tmp_path / "a").stat().st_uid == os.getuid()


KEPT = b"tar: conf: Cannot change mode to rwxr-xr-x: Operation not permitted\n"
EXITING = b"tar: Exiting with failure status due to previous errors\n"
OUTCOMES = {
    "a folder of another user keeps its mode": (KEPT + EXITING, True),
    "a file that could not be written": (KEPT + b"tar: conf/a: Cannot open: Permission denied\n" + EXITING, False),
    "no word": (b"", False),
    "more words than are kept": (KEPT * 100, False),
}


@pytest.mark.parametrize("case", OUTCOMES)
async def test_a_copy_into_a_folder_of_another_user_is_whole(case: str) -> None:
    words, whole = OUTCOMES[case]
    access = ScriptedAccess(program=ScriptedProgram([(Channel.STDERR, words)], ExitStatus(2)))
    given = archive(("conf/a", b"x"))
    copying = file_copy.upload(access, PLACE, "main", CopyTarget("/data"), body(given))  # type: ignore[arg-type]
    if whole:
        assert await copying == len(given)
        return
    with pytest.raises(Problem):
        await copying


@pytest.mark.parametrize(
    ("code", "target"), [(0, CopyTarget("/data")), (1, CopyTarget("/", "data")), (None, CopyTarget("/", "data"))]
)
async def test_a_file_goes_into_a_folder_that_is_there(code: int | None, target: CopyTarget) -> None:
    access = ScriptedAccess(program=ScriptedProgram([], ExitStatus(code)))
    assert await file_copy.target_of(access, PLACE, "main", "/data") == target  # type: ignore[arg-type]


async def test_the_top_of_an_archive_gets_the_name_of_the_target() -> None:
    passed = bytearray()

    async def write(piece: bytes) -> None:
        passed.extend(piece)

    await tar_streams.repack(body(archive(("./a", b"x"), ("a/b/c", b"y"))), write, Passage(top="z"))
    with tarfile.open(fileobj=io.BytesIO(passed)) as tar:
        assert tar.getnames() == ["z", "z/b/c"]


NAMED = {
    "file": (["file"], [tarfile.REGTYPE]),
    "folder": (["folder", "folder/in", "folder/link"], [tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE]),
    "to-file": (["to-file"], [tarfile.REGTYPE]),
    "to-folder": (["to-folder/.", "to-folder/./in", "to-folder/./link"], [tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE]),
}


def out_of(folder: Path, name: str) -> bytes:
    """What a container's shell and tar write of it."""
    argv = ("sh", "-c", file_copy.PACK, "sh", folder, name, "end")
    made = subprocess.run(argv, input=b"\n", capture_output=True, check=True)
    assert made.stdout.endswith(b"end")
    return made.stdout.removesuffix(b"end")


@pytest.mark.parametrize("name", NAMED)
async def test_a_named_link_is_followed_on_the_way_out(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/in").write_text("x")
    (tmp_path / "folder/link").symlink_to("/etc/passwd")
    (tmp_path / "file").write_text("x")
    (tmp_path / "to-file").symlink_to("file")
    (tmp_path / "to-folder").symlink_to("folder")
    packed = out_of(tmp_path, name)
    pieces = tar_streams.checked(body(packed), tar_streams.named(name))
    with tarfile.open(fileobj=io.BytesIO(b"".join([piece async for piece in pieces]))) as tar:
        found = sorted((member.name, member.type) for member in tar)
    assert found == sorted(zip(*NAMED[name], strict=True))


async def test_a_part_is_never_taken_for_the_whole() -> None:
    whole = archive(("a", b"x" * 600_000))
    sender = ScriptedProgram([(Channel.STDOUT, whole[:300_000])], ExitStatus(None, "the stream ended"))
    async with file_copy.download(ScriptedAccess(program=sender), PLACE, "main", "/data/a") as download:  # type: ignore[arg-type]
        with pytest.raises(file_copy.CopyBroken, match="the stream ended"):
            _ = [piece async for piece in download.rest]


NO_COPY = {
    "no tar": (b"", b"sh: 1: tar: not found", ExitStatus(127), "wrong-state", "has no tar"),
    "no shell": (b"", b"", ExitStatus(None, 'exec: "sh": executable file not found in $PATH'), "wrong-state", "has no tar"),
    "no such file": (
        bytes(10240),
        b"tar: nope: Cannot stat: No such file or directory",
        ExitStatus(2),
        "no-such-file",
        "/data/a",
    ),
    "no right": (b"", b"tar: a: Cannot open: Permission denied", ExitStatus(2), "wrong-state", "Permission denied"),
}


@pytest.mark.parametrize("case", NO_COPY)
async def test_why_nothing_was_copied_is_said_in_clear_words(case: str) -> None:
    out, err, ends, code, words = NO_COPY[case]
    access = ScriptedAccess(
        program=ScriptedProgram([(Channel.STDERR, err), (Channel.STDOUT, out)] if out else [(Channel.STDERR, err)], ends)
    )
    with pytest.raises(Problem, match=words) as caught:
        async with file_copy.download(access, PLACE, "main", "/data/a"):  # type: ignore[arg-type]
            pass
    assert caught.value.code == code


@pytest.mark.parametrize("path", ["", "relative", "/a/../b", "/a\0b"])
def test_a_path_that_cannot_be_used_is_named(path: str) -> None:
    with pytest.raises(Problem) as caught:
        file_copy.check_path(path)
    assert caught.value.errors[0].field == "path"


async def test_an_image_without_a_shell_is_told_in_clear_words() -> None:
    words = 'OCI runtime exec failed: exec: "sh": executable file not found in $PATH'
    wire = FakeSocket()
    await session(wire, ScriptedProgram([], ExitStatus(None, words)))
    assert channel_protocol.exit_of(wire.got[-1][1:]) == ExitStatus(None, "the image of container main has no program sh")


class OpenedStreams:
    """An audit log that remembers what was opened."""

    def __init__(self) -> None:
        self.opened_streams: list[str] = []

    async def opened(self, call: Call) -> None:
        self.opened_streams.append(f"{call.stream.replica} {call.stream.container} {call.stream.command}")


class BrokenProgram(ScriptedProgram):
    async def output(self) -> AsyncIterator[tuple[Channel, bytes]]:
        yield self.says[0]
        raise Unreachable(RequestInfo("a1", "GET", "exec"), "the stream broke")


async def never() -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError


async def gone() -> NoReturn:
    await asyncio.sleep(0.05)
    raise Problem("unavailable", "the user disconnected")


COMMANDS = {
    "to its end": ("exit code 3", None),
    "too long": ("the command did not end within 0 s; it said: said", "timeout"),
    "cut": ("cut: the permission was withdrawn", "forbidden"),
    "stopped": ("cut: the gateway stops", "unavailable"),
    "gone": ("the user disconnected", "unavailable"),
    "broken": ("the stream broke", "unavailable"),
}


@pytest.mark.parametrize("case", COMMANDS)
async def test_a_command_leaves_a_whole_record_however_it_ends(case: str, tmp_path: Path) -> None:
    """S-256."""
    ended, code = COMMANDS[case]
    authorizer, audit, call = ScriptedAuthorizer(), OpenedStreams(), opened()
    rights = judging(authorizer)
    settings = GatewaySettings(folder=str(tmp_path), shells=ShellSettings(transcripts=True))
    waits = None if case in ("to its end", "broken") else asyncio.Event()
    kind = BrokenProgram if case == "broken" else ScriptedProgram
    access = ScriptedAccess(program=kind([(Channel.STDOUT, b"said")], ExitStatus(3), waits=waits))
    service = ReplicaStreamService(None, None, None, access, rights, settings, audit)  # type: ignore[arg-type]
    replica = SimpleNamespace(name="web/0", place=PLACE)
    found = ReplicaContainer(replica, "main")  # type: ignore[arg-type]
    seconds, disconnected = 0.1 if case == "too long" else 60.0, gone if case == "gone" else never
    running = asyncio.create_task(service.run(found, call, ("make", "all"), b"in", seconds, disconnected))
    await asyncio.sleep(0.05)
    if case == "cut":
        authorizer.allowed = False
        rights.project_changed("host", SHOP, initial=False)
    if case == "stopped":
        rights.stopping.set()
    caught = (await asyncio.gather(running, return_exceptions=True))[0]
    assert (caught.code if isinstance(caught, Problem) else None) == code, caught
    assert audit.opened_streams == ["web/0 main make all"]
    assert (call.stream.ended, call.stream.bytes_in, call.stream.bytes_out) == (ended, 2, 4)
    lines = (tmp_path / "transcripts" / call.stream.transcript).read_text().splitlines()
    assert [json.loads(line)[1:] for line in lines[1:]] == [["o", "said"], ["m", ended]]
