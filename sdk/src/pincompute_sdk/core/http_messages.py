"""Defines requests and their outcomes as values, which the core exchanges with its drivers. The core does no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, TypeAlias

Trouble: TypeAlias = Literal["unresolved", "refused", "untrusted", "timeout", "dropped", "network"]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`route` is the path before its parameters were filled in, so that metrics have few labels."""

    method: str
    path: str
    route: str = ""
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes | None = None
    timeout: float = 30.0  # seconds for one attempt, or between two pieces of a stream


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer with its whole body; of a stream that was opened the body is empty. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def ok(self) -> bool:
        return self.status < 400

    @property
    def request_id(self) -> str:
        return self.headers.get("x-request-id", "")

    @property
    def retry_after(self) -> float | None:
        """Seconds, from either form of the header; None when it is absent or senseless."""
        text = self.headers.get("retry-after", "")
        if text.isdigit():
            return float(text)
        at, now = http_date(text), self.date
        return max(0.0, (at - now).total_seconds()) if at and now else None

    @property
    def date(self) -> datetime | None:
        """The server's clock when it answered."""
        return http_date(self.headers.get("date", ""))


@dataclass(frozen=True, slots=True)
class NoResponse:
    """The request got no answer. `unsent` says that the server cannot have acted on it.

    `of_certificate`: the server speaks TLS, and its certificate is the trouble.
    """

    trouble: Trouble
    message: str
    of_certificate: bool = False

    @property
    def unsent(self) -> bool:
        return self.trouble in ("unresolved", "refused", "untrusted")

    @property
    def passing(self) -> bool:
        """Tells whether a repetition may succeed."""
        return self.trouble in ("refused", "timeout", "dropped", "network")


Outcome: TypeAlias = HttpResponse | NoResponse


def http_date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
