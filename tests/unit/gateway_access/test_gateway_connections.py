"""What one connection may take, against a real server on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from pincompute.gateway.limits import connections
from pincompute.gateway.limits.connections import LimitedHttp


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        pass


@asynccontextmanager
async def _serving() -> AsyncIterator[int]:
    config = uvicorn.Config(
        _echo,
        port=0,
        http=LimitedHttp,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        h11_max_incomplete_event_size=4096,
    )
    config.load()
    config.loaded_app = _echo
    server = _Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await server.shutdown()


async def _say(port: int, *parts: bytes, pause: float = 0.0) -> bytes:
    """Everything that comes back until the server closes, or the first answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        async with asyncio.timeout(5):
            return await reader.read(65536)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_headers_that_are_too_large_are_told() -> None:
    async with _serving() as port:
        good = await _say(port, b"GET / HTTP/1.1\r\nhost: x\r\nx-big: " + b"a" * 3000 + b"\r\n\r\n")
        assert good.startswith(b"HTTP/1.1 200")
        for request in (
            b"GET / HTTP/1.1\r\nhost: x\r\nx-big: " + b"a" * 5000 + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: aaaaaaaaaa\r\n" % n for n in range(300)) + b"\r\n",
            b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        ):
            refused = await _say(port, request)
            assert refused.startswith(b"HTTP/1.1 431")
            assert b"application/problem+json" in refused
        assert (await _say(port, b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "begun",
    [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc"],
    ids=["nothing", "half a line", "half the headers", "a part of the body"],
)
async def test_what_never_arrives_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(connections, "GRACE", 0.2)
    async with _serving() as port:
        assert await _say(port, begun) == b""


async def test_a_slow_body_that_keeps_its_pace_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "GRACE", 1.0)
    monkeypatch.setattr(connections, "PACE", 1)
    async with _serving() as port:
        begun = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nabcd"
        assert (await _say(port, begun, b"efgh", pause=1.2)).endswith(b"abcdefgh")


async def test_a_kept_connection_serves_again() -> None:
    async with _serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nok")
            async with asyncio.timeout(5):
                assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200")
        writer.close()
