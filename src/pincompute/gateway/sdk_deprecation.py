"""Adds headers to answers for SDKs that are older than the settings allow: since when, until when, and which version to use.

`Deprecation` is as in RFC 9745, `Sunset` as in RFC 8594; `Pincompute-Sdk` is the version to use. Nothing else in the
answer differs.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from email.utils import format_datetime
from typing import Any, TypeAlias

from litestar.types import ASGIApp, Message, Receive, Send

from pincompute.gateway import parameter_values
from pincompute.gateway.gateway_settings import SdkSettings

SDK = b"pincompute-sdk"  # header: of a request the version that calls, of an answer the one to move to

Version: TypeAlias = tuple[int, ...]


class SdkDeprecationMiddleware:
    """ASGI around all routes."""

    def __init__(self, app: ASGIApp, sdk: SdkSettings) -> None:
        self._app = app
        self._oldest = version(sdk.oldest)
        self._notice = _notice(sdk)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._is_old(scope["headers"]):
            await self._app(scope, receive, send)
            return

        async def send_with_notice(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._notice]
            await send(message)

        await self._app(scope, receive, send_with_notice)

    def _is_old(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """A client that sends no version, or no valid one, gets no notice."""
        said = next((value for name, value in headers if name == SDK), b"")
        calls = version(said.decode("latin-1"))
        return bool(calls) and calls < self._oldest


def version(text: str) -> Version:
    """Its numbers; none for what is no version. A pre-release counts as what it leads to."""
    numbers = text.split("+", maxsplit=1)[0].split("-", maxsplit=1)[0].split(".")
    found = [parameter_values.integer(number, 0, parameter_values.LARGEST) for number in numbers]
    return tuple(number for number in found if number is not None) if None not in found else ()


def _notice(sdk: SdkSettings) -> list[tuple[bytes, bytes]]:
    found = [(SDK, sdk.oldest.encode())]
    if sdk.deprecated is not None:
        found.append((b"deprecation", f"@{_midnight(sdk.deprecated).timestamp():.0f}".encode()))
    if sdk.sunset is not None:
        found.append((b"sunset", format_datetime(_midnight(sdk.sunset), usegmt=True).encode()))
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
