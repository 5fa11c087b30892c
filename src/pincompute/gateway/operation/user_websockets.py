"""Checks the origin of clients' WebSockets, and refuses one with a problem document."""

from __future__ import annotations

from typing import Any, TypeAlias
from urllib.parse import urlsplit

from litestar.connection import WebSocket

from pincompute.gateway import problems
from pincompute.gateway.middleware import request_id
from pincompute.gateway.problems import Problem

UserSocket: TypeAlias = WebSocket[Any, Any, Any]

LARGEST = 1 << 20  # bytes of one message (S-257)
WITHDRAWN, IDLE, UPSTREAM = 4403, 4408, 4502  # close codes of our own
TOO_LARGE, NOT_UNDERSTOOD, FAILED = 1009, 1003, 1011
_LONGEST_REASON = 120  # bytes; a close frame has no more room


def check_origin(origin: str, host: str, allowed: tuple[str, ...]) -> None:
    """Check that no page of another site opens a shell with its visitor's credentials (S-257).

    Programs send no origin. Raises Problem.
    """
    if not origin or origin in allowed:
        return
    parts = urlsplit(origin)
    if parts.scheme == "https" and host and parts.netloc == host:
        return
    raise problems.forbidden(f"pages of {origin[:200]} may not open shells", "add the origin to shells.origins of the gateway")


async def refuse(socket: UserSocket, problem: Problem) -> None:
    """Refuse a socket before it is accepted: with the problem as the response if the server can, else with a close code."""
    identity = request_id(socket.scope)
    scope: Any = socket.scope
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await socket.close(4000 + problem.status, reason(problem.detail))
        return
    headers = [(b"content-type", problems.MEDIA_TYPE.encode()), (b"x-request-id", identity.encode())]
    start: Any = {"type": "websocket.http.response.start", "status": problem.status, "headers": headers}
    body: Any = {"type": "websocket.http.response.body", "body": problems.encode(problem, identity)}
    await socket.send(start)
    await socket.send(body)


def reason(text: str) -> str:
    return text.encode()[:_LONGEST_REASON].decode(errors="ignore")
