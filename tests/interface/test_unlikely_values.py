"""No text that a request carries makes the gateway fail: every parameter, header and number of every operation, walked through.

schemathesis seldom makes numbers of thousands of digits, digits of other scripts or headers of many kilobytes. Here each place
gets each of them, alone. INTERFACE_PROFILE=deep takes all values, the quick profile one for each place, another for each.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from gateway.served_gateway import Running, running
from yarl import URL

from pincompute.gateway.gateway_settings import LimitSettings, SdkSettings
from pincompute.gateway.request_limits import request_limiter

DEEP = os.environ.get("INTERFACE_PROFILE", "quick") == "deep"
PLENTY = 1e9
UNLIMITED = LimitSettings(rate=PLENTY, burst=PLENTY, caller_rate=PLENTY, caller_burst=PLENTY, capacity=PLENTY)
LONG = "9" * 6000  # more digits than Python turns into a number
TEXTS = (
    LONG,
    "9" * 400,  # more than a float holds
    "9" * 38,
    "9" * 20,
    "-" + LONG,
    "0" * 6000 + "1",
    f"{LONG}s",
    f"{'9' * 400}h",
    f"{'9' * 12}d",
    f"{LONG}.{LONG}",
    f"{'9' * 19}.{'9' * 19}",
    f"1e{LONG}",
    "1e400",
    "NaN",
    "-Infinity",
    "²",
    "٣",  # a digit of another script
    "٣s",
    "१२३",
    "³.²",
    "1_000",
    "0x10",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-W01-1",
    f"2026-01-01T00:00:00.{LONG}Z",
    "²026-01-01T00:00:00Z",
    "\0",
    "%",
    "\ud7ff\ue000\U0010ffff",
    "a" * 30_000,
    "[" * 6000,
    "[²]",
    "{" * 6000 + "}" * 6000,
    ",".join(["1"] * 10_000),
    "a=b," * 5000,
    "\u202e",
    "",
)
NUMBERS = (
    LONG,
    "9" * 400,
    "9" * 30,
    "18446744073709551616",
    "9223372036854775808",
    f"-{LONG}",
    "1e308",
    "1e400",
    "-0.0",
    "1e-320",
)
"""As JSON writes them."""
STREAMS = ("/watch", "/logs")
SENT_ANYWHERE = (
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Content-Type",
    "Cookie",
    "Forwarded",
    "Host",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "Last-Event-ID",
    "Origin",
    "Pincompute-Min-Version",
    "Pincompute-Reason",
    "Pincompute-Sdk",
    "Range",
    "User-Agent",
    "X-Forwarded-For",
    "X-Request-Id",
)
APPS = "/v1/projects/shop/apps"
READ = (APPS, f"{APPS}/hello", "/v1/session", f"{APPS}/hello/logs")
SOCKETS = ("shell", "forward")
SOCKET_QUERY = ("port", "replica", "container", "command", "tty")


@dataclass(frozen=True)
class Sent:
    """One request with one unlikely value."""

    where: str
    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


class Places:
    """Walks an OpenAPI document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def requests(self) -> Iterator[Sent]:
        values = itertools.cycle(TEXTS)
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                for parameter in operation.get("parameters", ()):
                    chosen = TEXTS if DEEP else (next(values),)
                    yield from (self._with(path, method.upper(), parameter, value) for value in chosen)
                yield from self._bodies(path, method.upper(), operation)

    def _with(self, path: str, method: str, parameter: dict[str, Any], value: str) -> Sent:
        name, where = parameter["name"], f"{method} {path} {parameter['in']} {parameter['name']}={value[:40]!r}"
        if parameter["in"] == "path":
            named = {name: quote(value, safe="")[:20_000] or "x"}
            return Sent(where, method, _filled(path, named))
        if parameter["in"] == "header":
            return Sent(where, method, _filled(path), headers={name: header(value)})
        return Sent(where, method, _filled(path), query={name: value[:20_000]})

    def _bodies(self, path: str, method: str, operation: dict[str, Any]) -> Iterator[Sent]:
        content = operation.get("requestBody", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema") if DEEP or method == "POST" else None
        values = itertools.cycle(NUMBERS)
        for place, made in self._numbers(schema or {}, 0):
            for value in NUMBERS if DEEP else (next(values),):
                yield Sent(f"{method} {path} {place}={value[:40]}", method, _filled(path), body=made(value))

    def _numbers(self, schema: dict[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
        """Each field of a body that takes a number or a text, and a function that makes a body with it."""
        schema = self._resolved(schema)
        if depth > 4:
            return
        for name, inner in schema.get("properties", {}).items():
            for each in (inner, *inner.get("oneOf", ()), *inner.get("anyOf", ())):
                found = self._resolved(each)
                if found.get("type") in ("integer", "number", "string"):
                    yield name, lambda value, name=name: f'{{"{name}":{value}}}'
                for below, make in self._numbers(found, depth + 1):
                    yield f"{name}.{below}", lambda value, name=name, make=make: f'{{"{name}":{make(value)}}}'
                for below, make in self._numbers(found.get("items", {}), depth + 1) if found.get("type") == "array" else ():
                    yield f"{name}[].{below}", lambda value, name=name, make=make: f'{{"{name}":[{make(value)}]}}'

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        while "$ref" in schema:
            found = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema


def header(value: str) -> str:
    """As a client can send it: no control characters, which no HTTP library sends, and bytes as latin-1."""
    sent = value.encode().decode("latin-1")[:28_000]
    return "".join(c for c in sent if c.isprintable() or ord(c) > 0xA0)


def _filled(path: str, named: dict[str, str] | None = None) -> str:
    values = {"project": "shop", "name": "hello", "member": "vera", "number": "1", "verb": "scale", **(named or {})}
    for name, value in values.items():
        path = path.replace("{" + name + "}", value)
    return path


@pytest.fixture
async def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(request_limiter, "FAILED_LOGINS_RATE", PLENTY)
    sdk = SdkSettings(oldest="1.2", deprecated=date(2026, 1, 1))
    async with running(tmp_path, limits=UNLIMITED, sdk=sdk) as found:
        await found.ask("alice", "POST", "/v1/projects/shop/apps", {"name": "hello", "image": "registry.example/hello:1"})
        yield found


async def _statuses(gateway: Running, sent: Iterator[Sent], bearer: str) -> tuple[int, list[str]]:
    """How many requests were sent, and those that failed."""
    failed: list[str] = []
    count = 0
    for request in sent:
        count += 1
        headers = {"Authorization": f"Bearer {bearer}", **request.headers}
        if request.body:
            headers["Content-Type"] = "application/json"
        query = "&".join(f"{quote(name)}={quote(value)}" for name, value in request.query.items())
        if "/logs" in request.path and "follow" not in request.query:
            query += "&follow=false"
        url = gateway.url + request.path + (f"?{query}" if query else "")
        try:
            async with (
                asyncio.timeout(10),
                gateway.http.request(
                    request.method, URL(url, encoded=True), data=request.body or None, headers=headers
                ) as answer,
            ):
                status = answer.status
                if not request.path.endswith(STREAMS):
                    await answer.read()
        except TimeoutError:
            status = 0
        if not (200 <= status < 500 or status in (503, 504)):
            failed.append(f"{status}: {request.where}")
    return count, failed


async def test_no_parameter_and_no_number_makes_a_request_fail(gateway: Running):
    async with asyncio.timeout(60):
        while True:
            status, document, _ = await gateway.ask("", "GET", "/openapi.json")
            if status == 200:
                break
            await asyncio.sleep(0.1)
    count, failed = await _statuses(gateway, Places(document).requests(), await gateway.token("root"))
    assert failed == []
    assert count > 300


async def test_no_header_makes_a_request_fail(gateway: Running):
    values = itertools.cycle(TEXTS)

    def requests() -> Iterator[Sent]:
        for path in (
            "/v1/projects/shop/apps",
            "/v1/projects/shop/apps/hello",
            "/v1/session",
            "/v1/projects/shop/apps/hello/logs",
        ):
            for name in SENT_ANYWHERE:
                for value in TEXTS if DEEP else (next(values),):
                    yield Sent(f"{path} {name}: {value[:40]!r}", "GET", path, headers={name: header(value)})

    _, failed = await _statuses(gateway, requests(), await gateway.token("root"))
    assert failed == []


def token(head: str, claims: str = "{}") -> str:
    parts = (base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (head, claims, "signature"))
    return ".".join(parts)


TOKENS = {
    "a number beyond measure": token(f'{{"alg":"ES256","kid":{LONG}}}'),
    "an algorithm that is a number": token(f'{{"alg":{LONG}}}'),
    "nesting beyond measure": token('{"alg":"ES256","kid":' + "[" * 9000 + "]" * 9000 + "}"),
    "claims beyond measure": token('{"alg":"ES256"}', f'{{"exp":{LONG},"iss":{LONG}}}'),
    "no text": token("\ud7ff"),
    "nothing": "..",
    "many parts": "." * 20_000,
    "a long service token": "pct_" + "9" * 20_000,
    "digits": LONG,
}


async def test_no_credential_makes_a_request_fail(gateway: Running):
    for name, bearer in TOKENS.items():
        headers = {"Authorization": f"Bearer {bearer}"}
        async with gateway.http.get(f"{gateway.url}/v1/session", headers=headers) as answer:
            assert answer.status == 401, name


async def test_no_parameter_of_a_websocket_makes_it_fail(gateway: Running):
    headers = {"Authorization": f"Bearer {await gateway.token('alice')}"}
    values, failed = itertools.cycle(TEXTS), list[str]()
    for route, name in itertools.product(SOCKETS, SOCKET_QUERY):
        for value in TEXTS if DEEP or name == "port" else (next(values), next(values)):
            url = f"{gateway.url}/v1/projects/shop/apps/hello/{route}?{name}={quote(value[:20_000])}"
            status = await _refused(gateway, url, headers)
            if not 400 <= status < 500:
                failed.append(f"{status}: {route} {name}={value[:40]!r}")
    assert failed == []


async def _refused(gateway: Running, url: str, headers: dict[str, str]) -> int:
    """The status with which a WebSocket is refused; 0 when it is not answered."""
    try:
        async with asyncio.timeout(10), gateway.http.ws_connect(URL(url, encoded=True), headers=headers):
            return 101
    except aiohttp.WSServerHandshakeError as refused:
        return refused.status
    except TimeoutError:
        return 0
