"""An issuer in a folder of its own, asked through ASGI, with a clock that is moved by hand."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2

from pincompute.issuer import endpoints
from pincompute.issuer.endpoints import IssuerService
from pincompute.kube.clock import Clock

URL = "https://issuer.test"
REDIRECT = "http://127.0.0.1:33123/callback"
VERIFIER = "v" * 50
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED = {
    "response_type": "code",
    "client_id": "pincompute",
    "redirect_uri": REDIRECT,
    "scope": "openid",
    "state": "s1",
    "nonce": "n1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@dataclass
class Time:
    now: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def pass_by(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @property
    def clock(self) -> Clock:
        return Clock(wall=lambda: self.now)


class Browser:
    """Keeps cookies and fills in forms, as a browser does."""

    def __init__(self, service: IssuerService) -> None:
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=endpoints.build(service)), base_url=URL)

    async def submit(self, page: httpx2.Response, values: dict[str, str]) -> httpx2.Response:
        action = re.search(r'action="([^"]+)"', page.text)
        assert action, page.text
        return await self.client.post(unescape(action[1]), data=hidden(page.text) | values)


def hidden(html: str) -> dict[str, str]:
    found = re.findall(r'<input type=hidden name="([^"]*)" value="([^"]*)">', html)
    return {unescape(name): unescape(value) for name, value in found}


def answer(response: httpx2.Response) -> dict[str, str]:
    """What a redirect carries back to the program."""
    return {name: values[0] for name, values in parse_qs(urlsplit(response.headers["location"]).query).items()}


def password(folder: Path, name: str) -> str:
    told = dict(line.split(": ") for line in (folder / "passwords").read_text().splitlines())
    return told[name]
