"""The gateway's reader of the registry, against answers that arrive in pieces, in pages, or not as they should."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from gateway.served_gateway import free_port
from joserfc.jwk import ECKey

from pincompute.domain.image_pinning import Digest, NoImage
from pincompute.gateway.gateway_settings import RegistrySettings
from pincompute.gateway.images import registry_reader
from pincompute.gateway.images.registry_reader import RegistryReader, RegistrySilent
from pincompute.gateway.images.registry_tokens import RegistryTokens

A = "sha256:" + "a" * 64
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def reading(folder: Path, answer: Answer) -> AsyncIterator[RegistryReader]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    port = free_port()
    (folder / "token.key").write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
    settings = RegistrySettings(address=f"127.0.0.1:{port}", key=str(folder / "token.key"))
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield RegistryReader(settings, RegistryTokens(settings, time.time), scheme="http")
    finally:
        await runner.cleanup()


async def in_pieces(request: web.Request, *pieces: bytes) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for piece in pieces:
        await answer.write(piece)
        await asyncio.sleep(0.05)
    return answer


async def test_a_body_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def answer(request: web.Request) -> web.StreamResponse:
        return await in_pieces(request, b'{"tags": ["1", ', b'"2"]}')

    async with reading(tmp_path, answer) as reader:
        assert await reader.some_tags("shop/web") == ("1", "2")
        monkeypatch.setattr(registry_reader, "LARGEST", 18)
        with pytest.raises(RegistrySilent, match="more than 18 bytes"):
            await reader.some_tags("shop/web")


async def test_tags_of_a_body_that_cannot_be_read_are_not_known(tmp_path: Path):
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b'{"tags": [')

    async with reading(tmp_path, answer) as reader:
        with pytest.raises(RegistrySilent, match="cannot be read"):
            await reader.some_tags("shop/web")


async def test_one_page_of_tags_is_asked_for(tmp_path: Path):
    asked = list[str]()

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(str(request.rel_url))
        return web.json_response({"tags": ["1"]}, headers={"Link": '</v2/shop/web/tags/list?n=1000&last=1>; rel="next"'})

    async with reading(tmp_path, answer) as reader:
        assert await reader.some_tags("shop/web") == ("1",)
        assert asked == ["/v2/shop/web/tags/list?n=1000"]


async def test_names_outside_the_grammar_are_asked_for_nowhere(tmp_path: Path):
    asked = list[str]()

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(body=b"{}", headers={"Docker-Content-Digest": A})

    async with reading(tmp_path, answer) as reader:
        assert await reader.resolve("shop/./web", "1") == NoImage()
        assert await reader.resolve("shop/web", "../../../other/x/manifests/1") == NoImage()
        assert await reader.some_tags("shop/../other") == ()
        assert asked == []
        assert await reader.resolve("shop/web", "1") == Digest(A)


async def test_requests_under_way_share_connections_and_tokens(tmp_path: Path):
    peers, tokens, done = set[object](), set[str](), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        tokens.add(request.headers["Authorization"])
        if request.path.endswith("/slow"):
            await done.wait()
        return web.json_response({"tags": ["1"]}, headers={"Docker-Content-Digest": A})

    async with reading(tmp_path, answer) as reader:
        slow = asyncio.create_task(reader.resolve("shop/web", "slow"))
        await asyncio.sleep(0)
        assert [await reader.some_tags("shop/web") for _ in range(5)] == [("1",)] * 5
        done.set()
        assert await slow == Digest(A)
        assert (len(peers), len(tokens)) == (2, 1)
        await reader.some_tags("shop/api")
        assert len(tokens) == 2
