"""The issuer's process: a server of its own, so that the gateway trusts it as it would any other issuer."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from pincompute.issuer import issuer_application
from pincompute.issuer.issuer_service import IssuerService
from pincompute.issuer.oauth_errors import IssuerError
from pincompute.issuer.users import PASSWORDS
from pincompute.kube.clock import SYSTEM, Clock

log = logging.getLogger(__name__)

DRAIN = 3  # seconds that open requests have to end


async def run(
    folder: Path,
    url: str,
    address: str,
    port: int,
    certificate: Path | None = None,
    key: Path | None = None,
    clock: Clock = SYSTEM,
) -> None:
    """Until SIGTERM or SIGINT. `url` stands in tokens as the issuer; TLS with a certificate. Raises IssuerError."""
    service = IssuerService.of(folder, url.rstrip("/"), clock)
    config = uvicorn.Config(
        issuer_application.build(service),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        limit_concurrency=1000,
        timeout_graceful_shutdown=DRAIN,
    )
    config.load()
    config.ssl = _tls(certificate, key) if certificate and key else None
    server = _IssuerServer(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.end)
    with _listening(address, port) as listener:
        log.info("started", extra={"what": "issuer", "pid": os.getpid(), "url": url, "passwords": str(folder / PASSWORDS)})
        await server.serve(sockets=[listener])


def _listening(address: str, port: int) -> socket.socket:
    try:
        return socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    except OSError as problem:
        raise IssuerError(f"cannot listen on {address}:{port}: {problem.strerror}; choose another port with --port") from None


class _IssuerServer(uvicorn.Server):
    """Ends with status 0 when told to, instead of by the signal."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    def end(self) -> None:
        self.should_exit = True


def _tls(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as problem:
        raise IssuerError(f"{certificate} and {key} cannot be used for TLS: {problem}") from None
    return context
