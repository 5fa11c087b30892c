"""`pin exec` and `pin open` over real WebSockets, to a server that says what a test wants."""

from __future__ import annotations

import asyncio
import http
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pincompute_sdk.cli import command_dispatch
from pincompute_sdk.core.websocket import ShellChannel, frame
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

pytestmark = pytest.mark.programs

PIN = Path(sys.executable).with_name("pin")
WITHIN = 30.0
APP = {
    "kind": "App",
    "name": "hello",
    "project": "demo",
    "containers": [{"name": "web", "ports": [{"name": "http", "port": 80}]}],
}
PROBLEM = {
    "code": "forbidden",
    "title": "This is not allowed",
    "status": 403,
    "detail": "vera may not open shells",
    "remedy": "ask",
}
Play = Callable[[ServerConnection], Awaitable[None]]


@dataclass
class Gateway:
    """`paths` are those of the WebSockets that were asked for."""

    url: str = ""
    paths: list[str] = field(default_factory=list[str])
    refusing: bool = False


@asynccontextmanager
async def gateway(play: Play) -> AsyncIterator[Gateway]:
    found = Gateway()

    def answer(connection: ServerConnection, request: Any) -> Any:
        if request.headers.get("Upgrade") is None:
            return _json(connection, http.HTTPStatus.OK, APP)
        found.paths.append(request.path)
        return _json(connection, http.HTTPStatus.FORBIDDEN, PROBLEM) if found.refusing else None

    async with serve(play, "127.0.0.1", 0, process_request=answer) as server:
        found.url = f"http://127.0.0.1:{_port(server)}"
        yield found


def _json(connection: ServerConnection, status: http.HTTPStatus, value: Any) -> Any:
    response = connection.respond(status, json.dumps(value))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "application/problem+json" if status >= 400 else "application/json"
    return response


def _port(server: Server) -> int:
    return next(iter(server.sockets)).getsockname()[1]


@asynccontextmanager
async def pin(url: str, *arguments: str, **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """As a program of its own; it is ended in any case."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "NO_COLOR": "1",
        "PINCOMPUTE_SERVER": url,
        "PINCOMPUTE_PROJECT": "demo",
        "PINCOMPUTE_TOKEN": "t",
    }
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    started = await asyncio.create_subprocess_exec(PIN, *arguments, env=environment, **streams)
    try:
        async with asyncio.timeout(WITHIN):
            yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


async def said(url: str, *arguments: str) -> tuple[int | None, str, str]:
    async with pin(url, *arguments) as program:
        out, err = await program.communicate()
        return program.returncode, out.decode(), err.decode()


def status(code: int) -> bytes:
    causes = {"details": {"causes": [{"reason": "ExitCode", "message": str(code)}]}} if code else {}
    return frame(ShellChannel.STATUS, json.dumps({"status": "Failure" if code else "Success", **causes}).encode())


async def test_a_command_s_output_and_exit_code_are_ours() -> None:
    async def play(connection: ServerConnection) -> None:
        await connection.send(frame(ShellChannel.STDOUT, b"out\n"))
        await connection.send(frame(ShellChannel.STDERR, b"err\n"))
        await connection.send(status(7))

    async with gateway(play) as found:
        assert await said(found.url, "exec", "hello/3", "--", "ls", "-l") == (7, "out\n", "err\n")
    assert found.paths == ["/v1/projects/demo/apps/hello/shell?command=ls&command=-l&tty=false&replica=3"]


async def test_a_session_that_is_cut_says_why_and_what_to_do() -> None:
    async def play(connection: ServerConnection) -> None:
        await connection.close(4403, "the right is gone")

    async with gateway(play) as found:
        code, out, err = await said(found.url, "exec", "hello", "--", "sleep", "1000")
    assert (code, out) == (1, "")
    assert err.splitlines()[:2] == ["error: the session was cut", "  reason: the right is gone"]
    assert "remedy" in err


async def test_a_shell_that_is_refused_is_told_in_the_server_s_words() -> None:
    async def play(_: ServerConnection) -> None:
        raise AssertionError("it was refused")

    async with gateway(play) as found:
        found.refusing = True
        code, out, err = await said(found.url, "exec", "hello", "--", "ls")
    assert (code, out) == (4, "")
    assert "reason: vera may not open shells" in err


async def test_output_of_a_command_that_nobody_reads_on_ends_it_without_a_word() -> None:
    async def play(connection: ServerConnection) -> None:
        try:
            while True:
                await connection.send(frame(ShellChannel.STDOUT, b"y\n" * 1000))
        except ConnectionClosed:
            pass

    reading, writing = os.pipe()
    os.close(reading)
    try:
        async with gateway(play) as found, pin(found.url, "exec", "hello", "--", "yes", stdout=writing) as program:
            _, err = await program.communicate()
            assert (program.returncode, err.decode()) == (0, "")
    finally:
        os.close(writing)


async def test_a_large_file_goes_in_as_pieces_that_a_server_takes(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    (tmp_path / "content").write_bytes(content)
    got = bytearray()

    async def play(connection: ServerConnection) -> None:
        async for message in connection:
            assert isinstance(message, bytes)
            if message[0] == ShellChannel.CLOSE:
                break
            got.extend(message[1:])
        await connection.send(status(0))

    with (tmp_path / "content").open("rb") as file:
        async with gateway(play) as found, pin(found.url, "exec", "-i", "hello", "--", "cat", stdin=file) as program:
            _, err = await program.communicate()
    assert (program.returncode, err, bytes(got) == content) == (0, b"", True)


async def test_input_without_end_is_read_no_faster_than_the_program_takes_it() -> None:
    async def play(connection: ServerConnection) -> None:
        for _ in range(20):
            await connection.recv()
        await connection.send(status(3))

    zeros = os.open("/dev/zero", os.O_RDONLY)
    try:
        async with gateway(play) as found, pin(found.url, "exec", "-i", "hello", "--", "head", stdin=zeros) as program:
            _, err = await program.communicate()
    finally:
        os.close(zeros)
    assert (program.returncode, err) == (3, b"")


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message.upper())


async def test_a_local_port_leads_to_a_replica() -> None:
    """Several connections at once, each with a WebSocket of its own, both ways until either side ends."""
    async with gateway(_echo) as found, pin(found.url, "open", "hello/2") as program:
        port = await _opened(program)
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for number, (reader, writer) in enumerate(streams):
            writer.write(b"hello %d\n" % number)
            assert await reader.readline() == b"HELLO %d\n" % number
        for _, writer in streams:
            writer.close()
            await writer.wait_closed()
        program.send_signal(2)
        _, err = await program.communicate()
        assert (program.returncode, err.decode()) == (130, "\ninterrupted\n")
    assert found.paths == ["/v1/projects/demo/apps/hello/forward?port=80&replica=2"] * 3


async def test_ctrl_c_ends_it_while_a_connection_is_open() -> None:
    """Since Python 3.12 a server that is asked to end waits for its connections."""
    async with gateway(_echo) as found, pin(found.url, "open", "hello") as program:
        reader, writer = await asyncio.open_connection("127.0.0.1", await _opened(program))
        writer.write(b"hello\n")
        assert await reader.readline() == b"HELLO\n"
        program.send_signal(2)
        _, err = await program.communicate()
        assert (program.returncode, err.decode()) == (130, "\ninterrupted\n")
        writer.close()


async def test_what_the_replica_ends_is_ended_here() -> None:
    async def play(connection: ServerConnection) -> None:
        await connection.send(b"bye")

    async with gateway(play) as found, pin(found.url, "open", "hello", "0:8080") as program:
        reader, writer = await asyncio.open_connection("127.0.0.1", await _opened(program))
        assert await reader.read() == b"bye"
        writer.close()
    assert found.paths == ["/v1/projects/demo/apps/hello/forward?port=8080"]


async def test_a_port_may_be_named_and_a_connection_that_fails_is_told() -> None:
    async def play(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.close(4502, "nothing listens on port 80 of hello/0")

    async with gateway(play) as found, pin(found.url, "open", "hello", "0:http") as program:
        reader, writer = await asyncio.open_connection("127.0.0.1", await _opened(program))
        writer.write(b"GET /")
        assert await reader.read() == b""
        assert program.stderr
        assert await program.stderr.readline() == b"error: nothing listens on port 80 of hello/0\n"
        writer.close()
    assert found.paths == ["/v1/projects/demo/apps/hello/forward?port=80"]


async def test_a_program_that_has_said_all_is_still_answered() -> None:
    """`printf … | nc`: the way in is open while the replica talks, and ends when it has nothing more to say."""
    said_all, ended = asyncio.Event(), asyncio.Event()

    async def play(connection: ServerConnection) -> None:
        asked = await connection.recv()
        await said_all.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(connection.wait_closed(), 0.5)
        for piece in (b"the answer to ", bytes(asked)):
            await connection.send(piece)
        await connection.wait_closed()
        ended.set()

    async with gateway(play) as found, pin(found.url, "open", "hello", "0:8080") as program:
        reader, writer = await asyncio.open_connection("127.0.0.1", await _opened(program))
        writer.write(b"all")
        writer.write_eof()
        said_all.set()
        assert await reader.read() == b"the answer to all"
        async with asyncio.timeout(15):
            await ended.wait()
        writer.close()


async def test_a_connection_that_is_refused_is_told_and_the_others_go_on() -> None:
    async with gateway(_echo) as found, pin(found.url, "open", "hello") as program:
        port = await _opened(program)
        found.refusing = True
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        assert program.stderr
        assert b"vera may not open shells" in await program.stderr.readline()
        found.refusing = False
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"again\n")
        assert await reader.readline() == b"AGAIN\n"
        writer.close()


async def _opened(program: asyncio.subprocess.Process) -> int:
    """The port that it says it listens on."""
    assert program.stdout
    line = (await program.stdout.readline()).decode()
    assert line.startswith("http://127.0.0.1:"), line
    return int(line.split()[0].rpartition(":")[2])


async def test_a_free_port_takes_the_place_of_one_that_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with gateway(_echo) as found, pin(found.url, "open", "hello", f"{port}:80") as program:
            assert await _opened(program) != port
            assert program.stderr
            said_why = (await program.stderr.readline()).decode()
    assert said_why == f"port {port} is in use on this machine; a free one takes its place\n"


@pytest.mark.parametrize(
    ("typed", "asked"),
    [("hello:8123", "port=8123"), ("hello/2:8123", "port=8123&replica=2")],
)
async def test_a_port_behind_the_name_is_that_of_the_app(typed: str, asked: str) -> None:
    async with gateway(_echo) as found, pin(found.url, "open", typed) as program:
        reader, writer = await asyncio.open_connection("127.0.0.1", await _opened(program))
        writer.write(b"x\n")
        assert await reader.readline() == b"X\n"
        writer.close()
    assert found.paths == [f"/v1/projects/demo/apps/hello/forward?{asked}"]


@pytest.mark.parametrize("typed", [["hello", "x"], ["hello", "80:x"], ["hello:x"]])
async def test_a_name_of_no_port_is_refused_with_those_of_the_app(typed: list[str]) -> None:
    async with gateway(_echo) as found:
        code, out, err = await said(found.url, "open", *typed)
    assert (code, out) == (2, "")
    assert err.splitlines()[:2] == ["error: 'x' is no port", "  reason: ports of hello: http 80"]


@pytest.mark.parametrize(
    "typed", [["hello", p] for p in ("x:80", "0", "1:70000", "70000:1", ":", "80:")] + [["hello:0"], ["hello:"]]
)
def test_ports_that_are_none(typed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PINCOMPUTE_SERVER", "http://127.0.0.1:1")
    assert command_dispatch.run("pin", ["open", *typed]) == 2
    assert "LOCAL:REMOTE" in capsys.readouterr().err
