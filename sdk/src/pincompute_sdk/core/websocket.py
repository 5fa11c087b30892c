"""Opens WebSocket connections to the gateway: shells and one-shot commands, and tunnels for port-forward.

The framing of a shell is Kubernetes' `v5.channel.k8s.io`: the first byte of a message is its channel; STATUS brings one JSON
status when the program has ended.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import msgspec

from pincompute_sdk.core import drivers, error_mapping, transport_security
from pincompute_sdk.core.errors import ClockError, UnauthenticatedError
from pincompute_sdk.core.exchange import ClientSession
from pincompute_sdk.core.http_messages import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

KEEP_ALIVE = 20.0  # seconds between pings; proxies cut what is silent for a minute
OPENING = 15.0  # seconds
LARGEST = 1 << 20  # bytes of one frame


class ShellChannel(IntEnum):
    STDIN = 0
    STDOUT = 1
    STDERR = 2
    STATUS = 3
    RESIZE = 4
    CLOSE = 255


@dataclass(frozen=True, slots=True)
class ProgramExit:
    """How a program ended; `code` is None when it could not be started or its status is not known."""

    code: int | None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Socket:
    """Which one: `route` with its path parameters, and the query."""

    route: str
    path: Mapping[str, str]
    query: Sequence[tuple[str, str]] = ()

    def url(self, server: str) -> str:
        split = urlsplit(server)
        filled = self.route
        for name, value in self.path.items():
            filled = filled.replace("{" + name + "}", quote(value, safe=""))
        scheme = "wss" if split.scheme == "https" else "ws"
        return urlunsplit((scheme, split.netloc, split.path.rstrip("/") + filled, urlencode(self.query), ""))


async def connect(session: ClientSession, ca: str, wanted: Socket) -> ClientConnection:
    """An open connection; a refusal is the error that its problem document says. A token that is refused is renewed once."""
    used = session.token()
    if session.renewal_due():
        await asyncio.to_thread(session.renew, used)
        used = session.token()
    try:
        return await _open(session, ca, wanted)
    except (UnauthenticatedError, ClockError):
        if not session.renewable():
            raise
    await asyncio.to_thread(session.renew, used)
    return await _open(session, ca, wanted)


async def _open(session: ClientSession, ca: str, wanted: Socket) -> ClientConnection:
    from websockets.asyncio.client import connect as open_socket
    from websockets.exceptions import InvalidStatus, WebSocketException

    url = wanted.url(session.server)
    headers = dict(session.dressed(HttpRequest("GET", wanted.route)).headers)
    agent = headers.pop("User-Agent")
    try:
        return await open_socket(
            url,
            additional_headers=headers,
            user_agent_header=agent,
            ssl=transport_security.trust(ca) if url.startswith("wss:") else None,
            open_timeout=OPENING,
            ping_interval=KEEP_ALIVE,
            max_size=LARGEST,
            compression=None,
            proxy=True if url.startswith("wss:") else None,
        )
    except InvalidStatus as error:
        head = {name.lower(): value for name, value in error.response.headers.raw_items()}
        raise error_mapping.error(
            session, HttpResponse(error.response.status_code, head, bytes(error.response.body or b""))
        ) from error
    except (OSError, TimeoutError, WebSocketException) as error:
        raise error_mapping.error(session, drivers.failed(error)) from error


def frame(channel: ShellChannel, payload: bytes) -> bytes:
    return bytes((channel,)) + payload


def size(columns: int, lines: int) -> bytes:
    return frame(ShellChannel.RESIZE, json.dumps({"Width": columns, "Height": lines}).encode())


def end_of_input() -> bytes:
    return bytes((ShellChannel.CLOSE, ShellChannel.STDIN))


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct, frozen=True):
    causes: tuple[_Cause, ...] = ()


class _Status(msgspec.Struct, frozen=True):
    status: str = ""
    message: str = ""
    details: _Details | None = None


def exit_of(payload: bytes) -> ProgramExit:
    """Returns the exit that a message on the STATUS channel tells."""
    try:
        status = msgspec.json.decode(payload, type=_Status)
    except msgspec.MsgspecError:
        return ProgramExit(None, payload.decode(errors="replace"))
    if status.status == "Success":
        return ProgramExit(0)
    causes = status.details.causes if status.details else ()
    code = next((cause.message for cause in causes if cause.reason == "ExitCode"), "")
    return ProgramExit(int(code) if code.isdigit() else None, status.message)


def unpacked(message: Any) -> tuple[ShellChannel, bytes] | None:
    """Returns channel and payload of a message; None for one of another framing."""
    if not isinstance(message, bytes) or not message or message[0] not in {*ShellChannel}:
        return None
    return ShellChannel(message[0]), message[1:]
