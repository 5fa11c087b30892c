"""Streams into pods as an API server serves them: WebSockets over loopback that speak its subprotocols."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from pincompute.api.meta import Key
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import NotFound, Unreachable
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.kube.streams import channel_protocol, pod_logs, pod_port_forward, websocket_messages
from pincompute.kube.streams import pod_exec as programs
from pincompute.kube.streams.channel_protocol import Channel, ExitStatus, TerminalSize
from pincompute.kube.streams.pod_exec import ExecCommand

POD = Key("shop", "web-a1-0")
Serve = Callable[[web.WebSocketResponse, web.Request], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve, *protocols: str) -> AsyncIterator[ApiClient]:
    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=protocols, autoclose=False)
        await socket.prepare(request)
        await serve(socket, request)
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/api/v1/namespaces/shop/pods/web-a1-0/{stream}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with ApiClient(ClusterConfig(f"http://127.0.0.1:{runner.addresses[0][1]}"), name="a1") as client:
            yield client
    finally:
        await runner.cleanup()


def failure(code: int) -> bytes:
    causes = [{"reason": "ExitCode", "message": str(code)}]
    status = {"status": "Failure", "reason": "NonZeroExitCode", "message": "it failed", "details": {"causes": causes}}
    return b"\x03" + json.dumps(status).encode()


async def test_a_program_gets_its_input_and_gives_its_output_and_exit() -> None:
    asked: list[tuple[str, str]] = []
    got: list[bytes] = []

    async def shell(socket: web.WebSocketResponse, request: web.Request) -> None:
        asked.extend(request.query.items())
        await socket.send_bytes(b"\x01")  # a real one greets with an empty message
        async for message in socket:
            got.append(message.data)
            if message.data == channel_protocol.end_of_input():
                break
        await socket.send_bytes(b"\x01out")
        await socket.send_bytes(b"\x02err")
        await socket.send_bytes(failure(3))

    command = ExecCommand(("cat", "-n"), "main", stdin=True)
    async with serving(shell, channel_protocol.PROTOCOL) as client, programs.run(client, POD, command) as process:
        await process.write(b"in")
        await process.resize(TerminalSize(80, 24))
        await process.end_input()
        said = [piece async for piece in process.output()]
    assert said == [(Channel.STDOUT, b"out"), (Channel.STDERR, b"err")]
    assert process.exit == ExitStatus(3, "it failed")
    assert got == [b"\x00in", b'\x04{"Width":80,"Height":24}', b"\xff\x00"]
    assert asked[0] == ("container", "main")
    assert [value for name, value in asked if name == "command"] == ["cat", "-n"]


async def test_everything_that_was_sent_before_the_end_is_read() -> None:
    """The server pings, closes and is gone, while most of its output is still to be read."""

    async def flood(socket: web.WebSocketResponse, _request: web.Request) -> None:
        for _ in range(200):
            await socket.send_bytes(b"\x01" + b"x" * 32_000)
            await socket.ping()
        await socket.send_bytes(b'\x03{"status":"Success"}')

    async with (
        serving(flood, channel_protocol.PROTOCOL) as client,
        programs.run(client, POD, ExecCommand(("cat",), "main")) as process,
    ):
        size = 0
        async for _, piece in process.output():
            size += len(piece)
    assert (size, process.exit) == (200 * 32_000, ExitStatus(0))


async def test_a_reader_who_pauses_for_longer_than_a_ping_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program has ended and its server is gone when the rest of what it said is read."""
    monkeypatch.setattr(websocket_messages, "PING_EVERY", 0.01)
    gone = asyncio.Event()

    async def flood(socket: web.WebSocketResponse, request: web.Request) -> None:
        for _ in range(5):
            await socket.send_bytes(b"\x01" + b"x" * 1000)
        await socket.send_bytes(b'\x03{"status":"Success"}')
        assert request.transport is not None
        request.transport.close()
        gone.set()

    async with (
        serving(flood, channel_protocol.PROTOCOL) as client,
        programs.run(client, POD, ExecCommand(("cat",), "main")) as process,
    ):
        size = 0
        async for _, piece in process.output():
            if not size:
                await gone.wait()
                await asyncio.sleep(0.1)  # many pings
            size += len(piece)
    assert (size, process.exit) == (5000, ExitStatus(0))


async def test_who_writes_to_a_program_that_has_just_ended_reads_all_it_said_and_its_exit() -> None:
    """The way is closed behind the program's last words; a write that comes too late must not hide them."""

    async def ended(socket: web.WebSocketResponse, request: web.Request) -> None:
        await socket.send_bytes(b"\x01last words")
        await socket.send_bytes(b'\x03{"status":"Success"}')
        assert request.transport is not None
        request.transport.close()

    async with (
        serving(ended, channel_protocol.PROTOCOL) as client,
        programs.run(client, POD, ExecCommand(("cat",), "main", stdin=True)) as process,
    ):
        for _ in range(20):
            await process.write(b"x")
            await asyncio.sleep(0.005)
        await process.end_input()
        assert [piece async for _, piece in process.output()] == [b"last words"]
    assert process.exit == ExitStatus(0)


async def test_a_server_that_gives_no_sign_of_life_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_messages, "PING_EVERY", 0.02)
    monkeypatch.setattr(websocket_messages, "SILENCE", 0.06)
    over = asyncio.Event()

    async def deaf(_socket: web.WebSocketResponse, _request: web.Request) -> None:
        await over.wait()

    async with (
        serving(deaf, channel_protocol.PROTOCOL) as client,
        programs.run(client, POD, ExecCommand(("cat",), "main")) as process,
    ):
        with pytest.raises(Unreachable, match="no sign of life"):
            _ = [piece async for piece in process.output()]
        over.set()


async def test_a_stream_that_ends_without_a_status_leaves_the_exit_unknown() -> None:
    async def silent(socket: web.WebSocketResponse, _request: web.Request) -> None:
        await socket.send_bytes(b"\x01half")

    async with (
        serving(silent, channel_protocol.PROTOCOL) as client,
        programs.run(client, POD, ExecCommand(("cat",), "main")) as process,
    ):
        assert [piece async for _, piece in process.output()] == [b"half"]
        assert process.exit.code is None


async def test_a_stream_that_breaks_says_so() -> None:
    async def broken(_socket: web.WebSocketResponse, request: web.Request) -> None:
        assert request.transport is not None
        request.transport.abort()

    async with (
        serving(broken, channel_protocol.PROTOCOL) as client,
        programs.run(client, POD, ExecCommand(("cat",), "main")) as process,
    ):
        with pytest.raises(Unreachable, match="the stream broke"):
            _ = [piece async for piece in process.output()]


async def test_a_server_that_is_too_old_is_named() -> None:
    async def old(_socket: web.WebSocketResponse, _request: web.Request) -> None:
        pass

    async with serving(old) as client:
        with pytest.raises(Unreachable, match=r"1\.30"):
            async with programs.run(client, POD, ExecCommand(("cat",), "main")):
                pass


async def test_a_pod_that_is_not_there_is_not_found() -> None:
    async def unused(_socket: web.WebSocketResponse, _request: web.Request) -> None:
        pass

    async with serving(unused, channel_protocol.PROTOCOL) as client:
        with pytest.raises(NotFound):
            async with programs.run(client, Key("shop", "other"), ExecCommand(("cat",), "main")):
                pass


async def test_a_port_is_forwarded_and_why_it_could_not_be_is_told() -> None:
    got: list[bytes] = []

    async def port(socket: web.WebSocketResponse, request: web.Request) -> None:
        number = int(request.query["ports"]).to_bytes(2, "little")
        await socket.send_bytes(b"\x00" + number)
        await socket.send_bytes(b"\x01" + number)
        message = await socket.receive()
        assert message.type is aiohttp.WSMsgType.BINARY
        got.append(message.data)
        await socket.send_bytes(b"\x00hi")  # as long as a port's number, and yet data
        await socket.send_bytes(b"\x01nobody listens")

    async with serving(port, pod_port_forward.PROTOCOL) as client, pod_port_forward.open_port(client, POD, 8080) as tunnel:
        await tunnel.write(b"hello")
        assert [piece async for piece in tunnel.pieces()] == [b"hi"]
    assert (got, tunnel.trouble) == ([b"\x00hello"], "nobody listens")


async def test_why_a_port_could_not_be_reached_is_told_though_the_way_is_closed_while_somebody_writes() -> None:
    async def refuse(socket: web.WebSocketResponse, request: web.Request) -> None:
        await socket.send_bytes(b"\x01" + int(request.query["ports"]).to_bytes(2, "little"))
        await socket.send_bytes(b"\x01connection refused")
        assert request.transport is not None
        request.transport.close()

    async with serving(refuse, pod_port_forward.PROTOCOL) as client, pod_port_forward.open_port(client, POD, 8080) as tunnel:
        for _ in range(20):  # as long as a client that sends meets the end
            await tunnel.write(b"GET /")
            await asyncio.sleep(0.01)
        assert [piece async for piece in tunnel.pieces()] == []
    assert tunnel.trouble == "connection refused"


@pytest.mark.parametrize("ended", [ExitStatus(0), ExitStatus(7, "it failed"), ExitStatus(None, "not started")])
def test_an_exit_is_the_same_there_and_back(ended: ExitStatus) -> None:
    assert channel_protocol.exit_of(channel_protocol.status_of(ended)) == ended


@pytest.mark.parametrize(
    ("since", "asked"),
    [
        ("", {}),
        ("2026-11-21T14:00:00Z", {"sinceTime": "2026-11-21T14:00:00Z"}),
        (90.2, {"sinceSeconds": "91"}),
        (0.0, {"sinceSeconds": "1"}),
    ],
)
async def test_a_log_is_asked_for_from_a_time_or_by_the_nodes_own_clock(since: str | float, asked: dict[str, str]) -> None:
    seen: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(dict(request.query))
        return web.Response(text="2026-11-21T14:00:00Z hello\n")

    app = web.Application()
    app.router.add_get("/api/v1/namespaces/shop/pods/web-a1-0/log", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server = ClusterConfig(f"http://127.0.0.1:{runner.addresses[0][1]}")
        async with (
            ApiClient(server, name="a1") as client,
            pod_logs.lines(client, POD, pod_logs.LogOptions("main", since), 5.0) as lines,
        ):
            assert [line async for line in lines] == [b"2026-11-21T14:00:00Z hello"]
    finally:
        await runner.cleanup()
    assert {name: value for name, value in seen[0].items() if name.startswith("since")} == asked
