"""The issuer's process. It is a server of its own, so that the gateway trusts it as it would any other issuer."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from pincompute.engine import uvicorn_server
from pincompute.engine.server_process import stopping
from pincompute.issuer import endpoints
from pincompute.issuer.endpoints import IssuerService
from pincompute.issuer.issuer_folder import IssuerError
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
    service = IssuerService(folder, url.rstrip("/"), clock)
    server = uvicorn_server.make(endpoints.build(service), limit_concurrency=1000, timeout_graceful_shutdown=DRAIN)
    server.config.load()
    if certificate and key:
        try:
            server.config.ssl = uvicorn_server.tls_context(certificate, key)
        except OSError as problem:
            raise IssuerError(f"{certificate} and {key} cannot be used for TLS: {problem}") from None
    try:
        listener = uvicorn_server.listen(address, port)
    except OSError as problem:
        raise IssuerError(f"cannot listen on {address}:{port}: {problem.strerror}; choose another port with --port") from None
    stop = stopping()
    with listener:
        serving = asyncio.create_task(server.serve_until_cancelled(listener))
        log.info("started", extra={"what": "issuer", "pid": os.getpid(), "url": url, "passwords": str(folder / PASSWORDS)})
        ended = asyncio.create_task(stop.wait())
        await asyncio.wait([serving, ended], return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        await asyncio.wait([serving])
