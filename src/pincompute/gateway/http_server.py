"""Serves the application over TLS with uvicorn. A client certificate, where one is sent, is shown to the application.

uvicorn drops the certificate; the protocol below keeps what ASGI's TLS extension would carry (LIBRARIES.md 2.2).
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import uvicorn
from litestar.types import ASGIApp

from pincompute import __version__
from pincompute.gateway.limits.connection_acceptor import ConnectionAcceptor, IdleConnections
from pincompute.gateway.limits.connection_limits import ROOM, ChunkedResponses, LimitedHttpProtocol
from pincompute.gateway.settings import GatewaySettings

log = logging.getLogger(__name__)

LARGEST_FRAME = 1 << 20  # bytes; frames of shells are small, a larger one ends the connection (S-257)
SLOW_READER = 600.0  # seconds; a client that does not read on, behind a pager for example, answers no pings either
DRAIN = 10  # seconds that open requests have to end
VERSION = "Pincompute-Server"  # on every answer: clients tell by it that one side is older
KEEP_ALIVE = 75  # seconds; longer than most load balancers' own
RESERVED = 256  # descriptors for the clusters, the store and files


class _GatewayHttpProtocol(LimitedHttpProtocol):
    def on_message_begin(self) -> None:
        super().on_message_begin()
        _show_certificate(self.transport, self.scope)


def _show_certificate(transport: Any, scope: Any) -> None:
    certificate = transport.get_extra_info("peercert")
    if certificate:
        scope.setdefault("extensions", {})["tls"] = {"client_certificate": certificate}


class GatewayServer(uvicorn.Server):
    """Signals belong to the process, not to the server. Handshakes and what waits are counted as connections."""

    def __init__(self, config: uvicorn.Config, connections: int) -> None:
        super().__init__(config)
        self._connections = connections
        self._waiting = IdleConnections()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - uvicorn's signature
        """As uvicorn's, with an entrance of ours. Ends the process when the address cannot be had."""
        config = self.config
        try:
            listener = socket.create_server((config.host, config.port), backlog=config.backlog)
        except OSError as problem:
            log.critical("cannot listen", extra={"address": f"{config.host}:{config.port}", "why": str(problem)})
            sys.exit(1)
        listener.setblocking(False)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, ROOM)  # what is not read fills no kernel either
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else an answer's body waits 40 ms for its head's ACK
        entrance: Any = ConnectionAcceptor(listener, config.ssl, self._protocol, self._waiting, self._full)
        self.servers = [entrance]
        self.started = True

    def _protocol(self) -> asyncio.Protocol:
        return _GatewayHttpProtocol(self._waiting, config=self.config, server_state=self.server_state, app_state={})

    def _full(self, arriving: int) -> bool:
        return arriving + len(self.server_state.connections) >= self._connections


def make(app: ASGIApp, settings: GatewaySettings) -> GatewayServer:
    limits, listen = settings.limits, settings.listen
    config = uvicorn.Config(
        ChunkedResponses(app),
        host=listen.address,
        port=listen.port,
        http=_GatewayHttpProtocol,
        ws="websockets-sansio",
        ws_max_size=LARGEST_FRAME,
        ws_ping_interval=30.0,
        ws_ping_timeout=SLOW_READER,
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        headers=[(VERSION, __version__)],
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=DRAIN,
        h11_max_incomplete_event_size=limits.headers,
    )
    config.load()
    config.ssl = _tls(settings) if listen.certificate else None
    return GatewayServer(config, _connections(limits.connections))


def _connections(wanted: int) -> int:
    """As many as there are descriptors for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    possible = wanted if most == resource.RLIM_INFINITY else max(1, min(wanted, most - RESERVED))
    if possible < wanted:
        log.warning("fewer connections than limits.connections: raise RLIMIT_NOFILE", extra={"connections": possible})
    return possible


def _tls(settings: GatewaySettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.path(settings.listen.certificate), settings.path(settings.listen.key))
    if settings.listen.client_ca:
        context.load_verify_locations(settings.path(settings.listen.client_ca))
        context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


async def serve(server: GatewayServer) -> None:
    """Until cancelled; then open requests are let end."""
    running = asyncio.create_task(server.serve())
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        server.should_exit = True
        await running
        raise
