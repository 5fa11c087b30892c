"""Checks the origin of clients' WebSockets, and names the codes with which they are closed."""

from __future__ import annotations

from typing import Any, TypeAlias
from urllib.parse import urlsplit

from litestar.connection import WebSocket

from pincompute.gateway import problems

UserSocket: TypeAlias = WebSocket[Any, Any, Any]

LARGEST = 1 << 20  # bytes of one message (S-257)
WITHDRAWN, IDLE, UPSTREAM = 4403, 4408, 4502  # close codes of our own
RESTARTING = 1012  # the gateway stops; another one takes the next shell
TOO_LARGE, NOT_UNDERSTOOD, FAILED = 1009, 1003, 1011


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
