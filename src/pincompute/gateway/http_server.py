"""Serves the application with uvicorn, over TLS. A client certificate, where one is sent, is shown to the application."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
import sys
from dataclasses import dataclass

from litestar.types import ASGIApp

from pincompute import __version__
from pincompute.engine import uvicorn_server
from pincompute.engine.uvicorn_server import UvicornServer
from pincompute.gateway.gateway_settings import GatewaySettings
from pincompute.gateway.request_limits.connection_limits import KEEP_ALIVE, ROOM, ConnectionLimits, LimitedRequests

log = logging.getLogger(__name__)

LARGEST_FRAME = 1 << 20  # bytes; frames of shells are small, a larger one ends the connection (S-257)
SLOW_READER = 600.0  # seconds; a client that does not read on, behind a pager for example, answers no pings either
DRAIN = 10  # seconds that open requests have to end
VERSION = "Pincompute-Server"  # on every answer: clients see by it that one side is older
RESERVED = 256  # descriptors for the clusters, the store and files


@dataclass(frozen=True, slots=True)
class GatewayServer:
    """uvicorn, and the limits on its connections, which are accepted here."""

    uvicorn: UvicornServer
    limits: ConnectionLimits
    listener: socket.socket

    async def serve(self) -> None:
        """Until it is cancelled. Then no more connections are accepted, and open requests have time to end."""
        tasks = [
            asyncio.create_task(part)
            for part in (self.limits.accept(self.listener, self.uvicorn), self.uvicorn.serve_until_cancelled())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self.listener.close()


def make(app: ASGIApp, settings: GatewaySettings) -> GatewayServer:
    """Listens. Ends the process when the address cannot be had."""
    limits, listen = settings.limits, settings.listen
    try:
        listener = uvicorn_server.listen(listen.address, listen.port)
    except OSError as problem:
        log.critical("cannot listen", extra={"address": f"{listen.address}:{listen.port}", "why": str(problem)})
        sys.exit(1)
    listener.setblocking(False)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, ROOM)  # what is not read fills no kernel either
    server = uvicorn_server.make(
        LimitedRequests(app, limits.headers),
        ws="websockets-sansio",
        ws_max_size=LARGEST_FRAME,
        ws_ping_interval=30.0,
        ws_ping_timeout=SLOW_READER,
        headers=[(VERSION, __version__)],
        timeout_keep_alive=int(KEEP_ALIVE),
        timeout_graceful_shutdown=DRAIN,
    )
    tls = _tls(settings) if listen.certificate else None
    return GatewayServer(server, ConnectionLimits(_connections(limits.connections), limits.headers, tls), listener)


def _connections(wanted: int) -> int:
    """As many as there are descriptors for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    possible = wanted if most == resource.RLIM_INFINITY else max(1, min(wanted, most - RESERVED))
    if possible < wanted:
        log.warning("fewer connections than limits.connections: raise RLIMIT_NOFILE", extra={"connections": possible})
    return possible


def _tls(settings: GatewaySettings) -> ssl.SSLContext:
    listen = settings.listen
    context = uvicorn_server.tls_context(settings.path(listen.certificate), settings.path(listen.key))
    if listen.client_ca:
        context.load_verify_locations(settings.path(listen.client_ca))
        context.verify_mode = ssl.CERT_OPTIONAL
    return context
