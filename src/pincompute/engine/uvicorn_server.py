"""Runs uvicorn inside a process of ours: signals belong to the process, and open requests have time to end with it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn


class UvicornServer(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def serve_until_cancelled(self, *listeners: socket.socket) -> None:
        """Then it accepts no more connections, and open requests have time to end."""
        running = asyncio.create_task(self.serve(sockets=list(listeners)))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            self.should_exit = True
            await running
            raise


def make(app: Any, **options: Any) -> UvicornServer:
    """`options` are uvicorn's own, beyond what all our servers have in common."""
    common: dict[str, Any] = {
        "loop": "none",
        "lifespan": "off",
        "log_config": None,
        "log_level": "warning",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
    }
    return UvicornServer(uvicorn.Config(app, **common, **options))


def listen(address: str, port: int) -> socket.socket:
    """Raises OSError."""
    listener = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else an answer's body waits 40 ms for its head's ACK
    return listener


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Raises OSError, of which SSLError is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    return context
