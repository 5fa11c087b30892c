"""A stream's last bytes arrive although its reader is slow and its server has closed: with TLS and uvloop, as in production."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop
from kube.test_tls import authority

from pincompute.api.meta import Key
from pincompute.kube.api_client import ApiClient
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.kube.streams import channel_protocol, pod_exec, pod_logs
from pincompute.kube.streams.channel_protocol import ExitStatus
from pincompute.kube.streams.pod_exec import ExecCommand

POD = Key("shop", "web-a1-0")
PIECE, PIECES = 8000, 400
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455


@contextmanager
def server(folder: Path, answer: Callable[[ssl.SSLSocket, bytes], None]) -> Iterator[ClusterConfig]:
    """Answers one request over TLS in a thread and closes at once, as Go does, however much is still unread."""
    ca = authority("test-ca")
    (folder / "server.pem").write_bytes(b"".join(ca.issue("server")))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")

    def serve() -> None:
        plain, _ = listener.accept()
        with context.wrap_socket(plain, server_side=True) as connection:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(4096)
            answer(connection, request)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield ClusterConfig(f"https://127.0.0.1:{listener.getsockname()[1]}", ca=ca.pem)
        finally:
            thread.join()


def test_a_slow_reader_gets_a_program_s_whole_output_and_its_status(tmp_path: Path) -> None:
    def answer(connection: ssl.SSLSocket, request: bytes) -> None:
        key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accepted = base64.b64encode(hashlib.sha1(key + GUID).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        protocol = b"\r\nSec-WebSocket-Protocol: " + channel_protocol.PROTOCOL.encode()
        connection.sendall(head + accepted + protocol + b"\r\n\r\n")
        for _ in range(PIECES):
            connection.sendall(_frame(b"\x01" + b"x" * PIECE))
        connection.sendall(_frame(b'\x03{"status":"Success"}') + b"\x88\x02\x03\xe8")

    async def read(config: ClusterConfig) -> tuple[int, ExitStatus]:
        async with ApiClient(config, name="a1") as client, pod_exec.run(client, POD, ExecCommand(("cat",), "main")) as process:
            size = 0
            async for _, piece in process.output():
                size += len(piece)
                await asyncio.sleep(0.001)
            return size, process.exit

    with server(tmp_path, answer) as config:
        assert uvloop.run(read(config)) == (PIECE * PIECES, ExitStatus(0))


def _frame(payload: bytes) -> bytes:
    size = len(payload)
    return bytes((0x82, size)) + payload if size < 126 else b"\x82\x7e" + size.to_bytes(2, "big") + payload


def test_a_slow_reader_gets_the_end_of_a_log(tmp_path: Path) -> None:
    line = b"2026-11-29T10:00:00.000000000Z " + b"x" * 100 + b"\n"
    count = 20_000

    def answer(connection: ssl.SSLSocket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n")
        for _ in range(count // 100):
            connection.sendall(line * 100)

    async def read(config: ClusterConfig) -> int:
        options = pod_logs.LogOptions("main")
        async with ApiClient(config, name="a1") as client, pod_logs.lines(client, POD, options, 30.0) as lines:
            found = 0
            async for _ in lines:
                found += 1
                if found % 100 == 0:
                    await asyncio.sleep(0.002)
            return found

    with server(tmp_path, answer) as config:
        assert uvloop.run(read(config)) == count
