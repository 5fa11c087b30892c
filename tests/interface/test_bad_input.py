"""Unlikely input: bytes that are not what they say, numbers and nesting beyond all measure: each gets a problem."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway.served_gateway import Running, running

APP = {"name": "hello", "containers": [{"name": "main", "image": "registry.example/hello:1"}]}
APPS = "/v1/projects/shop/apps"
HUGE = "9" * 6000  # more digits than Python turns into a number
JSON = "application/json"
DEEP = b'{"name":' + b"[" * 200_000 + b"]" * 200_000 + b"}"

BODIES = {
    "an unfinished object": (b'{"name": "hello"', JSON),
    "nothing": (b"", JSON),
    "no object": (b"[1, 2]", JSON),
    "bytes that are no UTF-8": (b'{"name": "\xff\xfe"}', JSON),
    "a lone surrogate": (b'{"name": "\\ud800", "containers": []}', JSON),
    "a NUL character": (json.dumps({**APP, "name": "he\0llo"}).encode(), JSON),
    "a number beyond measure": (b'{"name": "hello", "replicas": ' + HUGE.encode() + b"}", JSON),
    "a number that is none": (b'{"name": "hello", "replicas": NaN}', JSON),
    "nesting beyond measure": (DEEP, JSON),
    "YAML nested beyond measure": (b"name: " + b"[" * 20_000, "application/yaml"),
    "YAML that grows when it is read": (
        b"a: &a [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (n + 1, n + 1, b",".join([b"*%c" % n] * 9)) for n in range(97, 106)),
        "application/yaml",
    ),
    "two documents": (b"name: hello\n---\nname: other\n", "application/yaml"),
    "a content type that is not taken": (json.dumps(APP).encode(), "text/csv"),
    "a content type that is none": (json.dumps(APP).encode(), "nonsense"),
}
QUERIES = (
    f"limit={HUGE}",
    "limit=-1",
    "sort=size",
    "cursor=%00",
    "cursor=WyIxIl0",
    f"cursor={'A' * 5000}",
    "label=%3Dvalue",
    "limit=%ED%A0%80",
)
VERSIONS = ("pinapps", f"pinapps.{HUGE}", "pinapps.-1", "pinapps.²", "pods.1", ".")


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as found:
        yield found


async def test_bodies_that_cannot_be_used_are_refused_with_a_remedy(gateway: Running):
    for name, (body, kind) in BODIES.items():
        async with gateway.http.post(gateway.url + APPS, data=body, headers=await _headers(gateway, kind)) as answer:
            _check(answer.status, answer.content_type, await answer.json(content_type=None), name)


async def test_parameters_that_cannot_be_used_are_refused_with_a_remedy(gateway: Running):
    for query in QUERIES:
        status, body, headers = await gateway.ask("alice", "GET", f"{APPS}?{query}")
        _check(status, headers["Content-Type"], body, query[:40])


async def test_versions_that_are_none_are_refused_with_a_remedy(gateway: Running):
    for version in VERSIONS:
        status, body, headers = await gateway.ask("alice", "GET", APPS, **{"Pincompute-Min-Version": version})
        _check(status, headers["Content-Type"], body, version[:40])


async def test_a_method_that_is_not_there_is_told_which_ones_are(gateway: Running):
    status, _, headers = await gateway.ask("alice", "PUT", APPS)
    async with gateway.http.options(gateway.url + APPS) as options:
        offered = options.headers["Allow"]
    assert status == 405
    assert _methods(headers["Allow"]) == _methods(offered) == {"GET", "OPTIONS", "POST"}


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GARBAGE\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"POST /v1/tokens HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a/b?c\r\nConnection: close\r\n\r\n",
    ],
)
async def test_what_is_no_good_http_ends_with_a_client_error(gateway: Running, request_bytes: bytes):
    address, port = gateway.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    async with asyncio.timeout(10):
        writer.write(request_bytes)
        first = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert first.startswith(b"HTTP/1.1 4"), first
    status, _, _ = await gateway.ask("alice", "GET", APPS)
    assert status == 200


async def _headers(gateway: Running, content_type: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {await gateway.token('alice')}", "Content-Type": content_type}


def _methods(allow: str) -> set[str]:
    return {method.strip() for method in allow.split(",")}


def _check(status: int, content_type: str, body: Any, what: str) -> None:
    assert 400 <= status < 500, (what, status, body)
    assert content_type == "application/problem+json", what
    assert all(body.get(field) for field in ("code", "title", "detail", "remedy")), (what, body)
