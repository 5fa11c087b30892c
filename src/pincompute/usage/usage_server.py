"""Serves the figures over HTTPS to callers that the member's API server knows and that have the right."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web

from pincompute.api.usage import NAMESPACE, PATH, UsageReport
from pincompute.kube.cache_views import Unknown
from pincompute.usage.caller_review import CallerReview, Verdict

REFUSALS: dict[Verdict, tuple[int, str]] = {
    "unknown caller": (401, "send the bearer token of an account of this cluster\n"),
    "not allowed": (403, f"this account needs `get` of the non-resource URL {PATH} in this cluster\n"),
    "no verdict": (503, "this cluster's API server does not say who you are: try again\n"),
}
LONGEST_HEAD = 24 * 1024

Report = Callable[[str], UsageReport]
"""The figures of one namespace, or of all for an empty name. Calling it says that somebody wants them. It raises Unknown."""


def application(review: CallerReview, report: Report) -> web.Application:
    async def usage(request: web.Request) -> web.Response:
        verdict = await review.judge(request.headers.get("Authorization", ""))
        if verdict != "allowed":
            status, text = REFUSALS[verdict]
            return web.Response(status=status, text=text)
        try:
            body = msgspec.json.encode(report(request.query.get(NAMESPACE, "")))
        except Unknown as unknown:
            return web.Response(status=503, text=f"{unknown}\n")
        return web.Response(body=body, content_type="application/json")

    app = web.Application(client_max_size=0)
    app.router.add_get(PATH, usage)
    return app


@asynccontextmanager
async def serve(app: web.Application, address: str, port: int, context: ssl.SSLContext) -> AsyncGenerator[int]:
    """Serves while the context is open and returns the port. Raises OSError when it cannot listen there."""
    runner = web.AppRunner(app, access_log=None, max_field_size=LONGEST_HEAD, keepalive_timeout=75.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port, ssl_context=context).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """Raises OSError, of which SSLError is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context
