"""Servers are verified, clients show certificates, and both change without a restart."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from kube.certificate_authority import Authority, authority

from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import Unreachable
from pincompute.kube.kubeconfig import ClusterConfig


@dataclass
class Secured:
    """An HTTPS server that answers with the name in the client's certificate."""

    address: str
    authority: Authority


@pytest.fixture
async def secured(tmp_path: Path) -> AsyncIterator[Secured]:
    ca = authority("test-ca")
    (tmp_path / "server.pem").write_bytes(b"".join(ca.issue("server")))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=ca.pem.decode())
    context.load_cert_chain(tmp_path / "server.pem")
    context.verify_mode = ssl.CERT_OPTIONAL

    async def who(request: web.Request) -> web.Response:
        shown = request.get_extra_info("peercert") or {}
        return web.Response(text=next((v for rdn in shown.get("subject", ()) for k, v in rdn if k == "commonName"), "nobody"))

    app = web.Application()
    app.router.add_get("/who", who)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield Secured(f"https://127.0.0.1:{runner.addresses[0][1]}", ca)
    await runner.cleanup()


async def ask(client: ApiClient) -> str:
    return (await client.request("GET", "/who", attempts=1)).decode()


async def test_server_of_another_authority_is_refused(secured: Secured) -> None:
    async with ApiClient(ClusterConfig(server=secured.address, ca=authority("other").pem), name="a1") as client:
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED") as caught:
            await ask(client)
    assert not caught.value.sent


async def test_not_verified_only_when_told_so(secured: Secured) -> None:
    async with ApiClient(ClusterConfig(server=secured.address, verify=False), name="a1") as client:
        assert await ask(client) == "nobody"


async def test_client_certificate_from_data(secured: Secured) -> None:
    certificate, key = secured.authority.issue("operator")
    config = ClusterConfig(server=secured.address, ca=secured.authority.pem, certificate=certificate, key=key)
    async with ApiClient(config, name="a1") as client:
        assert await ask(client) == "operator"


async def test_client_certificate_files_are_read_again(secured: Secured, tmp_path: Path) -> None:
    """F15."""
    files = (tmp_path / "tls.crt", tmp_path / "tls.key")
    config = ClusterConfig(server=secured.address, ca=secured.authority.pem, certificate=files[0], key=files[1])
    async with ApiClient(config, name="a1") as client:
        for name in ("first", "second"):
            for file, content in zip(files, secured.authority.issue(name), strict=True):
                file.with_suffix(".next").write_bytes(content)
                file.with_suffix(".next").rename(file)
            assert await ask(client) == name


async def test_key_of_another_certificate_is_named(secured: Secured) -> None:
    certificate, key = secured.authority.issue("one")[0], secured.authority.issue("two")[1]
    config = ClusterConfig(server=secured.address, ca=secured.authority.pem, certificate=certificate, key=key)
    async with ApiClient(config, name="a1") as client:
        with pytest.raises(Unreachable, match=r"client certificate .* does not fit its key"):
            await ask(client)
