"""Serves a process's own HTTP port: /livez, /readyz and /metrics.

A process is live while its event loop runs. It is ready when it says so; a standby that waits for its lease is ready.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from pincompute.engine import event_loop_watchdog

Missing = Callable[[], tuple[str, ...]]
"""What the process still waits for, in words; empty when it is ready."""


def application(registry: CollectorRegistry, missing: Missing = tuple) -> web.Application:
    async def livez(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        waits = missing()
        if waits:
            return web.Response(status=503, text="".join(f"waiting for {what}\n" for what in waits))
        return web.Response(text="ok\n")

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app


@asynccontextmanager
async def serve(
    registry: CollectorRegistry, port: int, missing: Missing = tuple, host: str = "127.0.0.1"
) -> AsyncGenerator[int]:
    """Serves while the context is open and returns the port; port 0 picks a free one. It also watches the event loop, because a
    process that shows metrics shows how late its loop is.
    """
    runner = web.AppRunner(application(registry, missing), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        with event_loop_watchdog.watching(registry):
            yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
