"""What one connection may take, against a real server on the loopback."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pincompute.engine import uvicorn_server
from pincompute.gateway import http_server
from pincompute.gateway.gateway_settings import GatewaySettings, LimitSettings, ListenSettings
from pincompute.gateway.request_limits import connection_limits

ASK = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


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


@asynccontextmanager
async def _serving(app: Any = _echo, most: int = 100, tls: ListenSettings | None = None) -> AsyncIterator[int]:
    serving = http_server.make(
        app, GatewaySettings(listen=tls or ListenSettings(port=0), limits=LimitSettings(headers=4096, connections=most))
    )
    task = asyncio.create_task(serving.serve())
    try:
        async with asyncio.timeout(5):
            while not serving.uvicorn.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
        yield serving.listener.getsockname()[1]
    finally:
        serving.uvicorn.force_exit = True
        task.cancel()
        await asyncio.wait([task])


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
    monkeypatch.setattr(connection_limits, "GRACE", 0.2)
    async with _serving() as port:
        assert await _say(port, begun) == b""


async def test_a_slow_body_that_keeps_its_pace_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_limits, "GRACE", 1.0)
    monkeypatch.setattr(connection_limits, "PACE", 1)
    async with _serving() as port:
        begun = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\nabcd"
        assert (await _say(port, begun, b"efgh", pause=1.2)).endswith(b"abcdefgh")


async def test_a_body_that_comes_before_its_request_is_looked_at_is_no_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine several pieces arrive before the request's task begins."""
    received = connection_limits.LimitedConnection.data_received

    def in_pieces(connection: connection_limits.LimitedConnection, data: bytes) -> None:
        for start in range(0, len(data), 6000):
            received(connection, data[start : start + 6000])

    monkeypatch.setattr(connection_limits.LimitedConnection, "data_received", in_pieces)
    async with _serving() as port:
        answer = await _say(port, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n" + b"a" * 60_000)
        assert answer.startswith(b"HTTP/1.1 200")


async def test_what_a_handler_leaves_of_a_body_is_not_taken_for_the_next_request() -> None:
    async def refusing(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"no"})

    async with _serving(refusing) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 600000\r\n\r\n" + bytes(600_000))
            async with asyncio.timeout(5):
                assert (await reader.readuntil(b"\r\n\r\nno")).startswith(b"HTTP/1.1 403")
        writer.close()


async def test_headers_without_end_are_not_kept_while_an_answer_is_under_way() -> None:
    async def streaming(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    async with _serving(streaming) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASK)
        await reader.readuntil(b"\r\n\r\n")
        sent = False
        with suppress(ConnectionError):
            async with asyncio.timeout(5):
                while not reader.at_eof():
                    writer.write(b"GET / HTTP/1.1\r\n" if not sent else b"x-more: " + b"a" * 2000 + b"\r\n")
                    sent = True
                    await writer.drain()
                    await asyncio.sleep(0)
        writer.close()


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "a part of it"])
async def test_a_tls_handshake_that_does_not_go_on_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, begun: bytes) -> None:
    monkeypatch.setattr(connection_limits, "GRACE", 0.2)
    async with _serving(tls=_certificate(tmp_path)) as port:
        assert await _say(port, begun) == b""


async def test_a_request_is_answered_over_tls(tmp_path: Path) -> None:
    listen = _certificate(tmp_path)
    async with _serving(tls=listen) as port:
        trusted = ssl.create_default_context(cafile=listen.certificate)
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
        writer.write(ASK)
        async with asyncio.timeout(5):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()


def _certificate(folder: Path) -> ListenSettings:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "tls.crt").write_bytes(made.public_bytes(pem))
    (folder / "tls.key").write_bytes(key.private_bytes(pem, kind, serialization.NoEncryption()))
    return ListenSettings(port=0, certificate=str(folder / "tls.crt"), key=str(folder / "tls.key"))


async def test_a_kept_connection_serves_again() -> None:
    async with _serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nok")
            async with asyncio.timeout(5):
                assert (await reader.readuntil(b"\r\n\r\nok")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_the_body_of_an_answer_does_not_wait_until_its_head_is_acknowledged() -> None:
    """Nagle's algorithm would hold it back for 40 ms on every kept connection."""
    with uvicorn_server.listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@pytest.mark.parametrize("more", [b"\r\n", b"G"], ids=["an empty line", "a part of the next request"])
async def test_a_kept_connection_that_begins_and_does_not_go_on_ends(monkeypatch: pytest.MonkeyPatch, more: bytes) -> None:
    monkeypatch.setattr(connection_limits, "GRACE", 1.0)
    async with _serving() as port:
        said = await _say(port, ASK, pause=0.1)
        assert said.startswith(b"HTTP/1.1 200")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASK)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(more)
        async with asyncio.timeout(5):
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()


async def test_an_answer_that_is_not_read_is_sent_no_further_and_then_the_connection_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_limits, "GRACE", 0.5)
    body, ended = bytes(32 << 20), asyncio.Event()

    async def large(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
        tracemalloc.start()
        await send({"type": "http.response.body", "body": body})
        ended.set()

    async with _serving(large) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(ASK)
        try:
            async with asyncio.timeout(5):
                await ended.wait()
            assert tracemalloc.get_traced_memory()[1] < len(body) / 4
        finally:
            tracemalloc.stop()
            writer.close()


async def test_whoever_waits_longest_makes_room() -> None:
    async with _serving(most=3) as port:
        first, second, third = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        first[1].write(ASK)
        assert (await first[0].readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")  # so the second waits longest
        assert (await _say(port, ASK)).startswith(b"HTTP/1.1 200")
        with suppress(ConnectionResetError):
            assert await second[0].read() == b""
        for reader, writer in (first, third):
            writer.write(ASK)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        for _, writer in (first, second, third):
            writer.close()


async def test_who_is_served_makes_no_room() -> None:
    hold = asyncio.Event()

    async def held(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await hold.wait()
        await send({"type": "http.response.body", "body": b"ok"})

    async with _serving(held, most=2) as port:
        served = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in served:
            writer.write(ASK)
            await reader.readuntil(b"\r\n\r\n")
        assert await _say(port, ASK) == b""
        hold.set()
        for reader, writer in served:
            assert await reader.readexactly(2) == b"ok"
            writer.close()
