"""Tokens for the image registry, through a whole gateway: who gets which, and what the audit log says of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from gateway.served_gateway import Running, running
from joserfc import jwt
from joserfc.jwk import ECKey

from pincompute.gateway.gateway_settings import RegistrySettings, SettingsError, load
from pincompute.gateway.images.registry_tokens import RegistryTokens

TOKEN = "/v1/registry/token"


@pytest.fixture
def key(tmp_path: Path) -> ECKey:
    made = ECKey.generate_key("P-256")
    (tmp_path / "token.key").write_bytes(made.as_pem(private=True))
    return made


@pytest.fixture
async def gateway(tmp_path: Path, key: ECKey) -> AsyncIterator[Running]:
    async with running(tmp_path, registry=RegistrySettings(key=str(tmp_path / "token.key"))) as found:
        yield found


def _access(body: Any, key: ECKey) -> dict[str, list[str]]:
    said = jwt.decode(body["token"], key, algorithms=["ES256"])
    assert said.header["kid"] == key.thumbprint()
    return {access["name"]: access["actions"] for access in said.claims["access"]}


GRANTED = {
    "a viewer pulls": ("vera", "repository:shop/web:pull", {"shop/web": ["pull"]}),
    "a developer pushes": ("dan", "repository:shop/web:pull,push", {"shop/web": ["pull", "push"]}),
    "anybody pulls the platform's": ("mallory", "repository:hello:pull", {"hello": ["pull"]}),
    "the source of a copy is left out": ("dan", "repository:shop/web:push repository:b/y:pull", {"shop/web": ["push"]}),
    "a login": ("vera", "", {}),
}


async def test_clients_learn_where_the_registry_is_and_whom_to_trust(tmp_path: Path):
    (tmp_path / "ca.crt").write_text("-----BEGIN CERTIFICATE-----")
    there = RegistrySettings(address="10.1.2.3:5000", ca=str(tmp_path / "ca.crt"), platform="linux/arm64")
    async with running(tmp_path, registry=there) as gateway:
        _, service, _ = await gateway.ask("", "GET", "/.well-known/pincompute")
    assert service["registry"] == "10.1.2.3:5000"
    assert service["registryCa"] == "-----BEGIN CERTIFICATE-----"
    assert service["platform"] == "linux/arm64"
    with pytest.raises(SettingsError, match=r"registry\.ca: .*absent holds no certificate"):
        RegistrySettings(ca=str(tmp_path / "absent")).authority()


async def test_a_token_holds_what_the_caller_may(gateway: Running, key: ECKey):
    for case, (name, scope, access) in GRANTED.items():
        status, body, headers = await gateway.ask(name, "GET", f"{TOKEN}?service=pincompute-registry&scope={scope}")
        assert (status, headers["Cache-Control"]) == (200, "no-store"), case
        assert _access(body, key) == access, case
        assert (body["access_token"], body["expires_in"]) == (body["token"], 300)


DENIED = {
    "a viewer pushes": ("vera", "repository:shop/web:pull,push", "vera may not push shop/web: your role is viewer"),
    "a developer deletes": ("dan", "repository:shop/web:delete", "dan may not delete shop/web: your role is developer"),
    "a stranger pulls": ("mallory", "repository:shop/web:pull", "there is no project shop, or you may not see it"),
    "an administrator changes the platform's": ("root", "repository:hello:push", "root may not push hello: it is an image of"),
}


async def test_a_refusal_names_the_repository_and_the_right(gateway: Running):
    for case, (name, scope, why) in DENIED.items():
        status, body, _ = await gateway.ask(name, "GET", f"{TOKEN}?scope={scope}")
        assert (status, body["code"]) == (403, "forbidden"), case
        assert why in body["errors"][0]["message"], case  # where clients of registries look for it


async def test_what_cannot_be_read_is_named(gateway: Running):
    for query, field in (("scope=repository:shop/../b/y:pull", "scope"), ("service=docker.io", "service")):
        status, body, _ = await gateway.ask("dan", "GET", f"{TOKEN}?{query}")
        assert (status, body["errors"][0]["field"]) == (422, field)


async def test_the_password_of_a_registrys_client_is_a_token(gateway: Running):
    secret = await gateway.token("dan", "shop")
    query = "?account=x&client_id=docker&offline_token=true&service=pincompute-registry&scope=repository:shop/web:push"

    async def status(path: str, password: str) -> int:
        async with gateway.http.get(
            gateway.url + path, headers={"Authorization": aiohttp.encode_basic_auth("x", password)}
        ) as answer:
            return answer.status

    assert await status(TOKEN + query, secret) == 200
    assert await status(TOKEN + query, "wrong") == 401
    assert await status("/v1/session", secret) == 401


async def test_a_service_token_stays_in_its_project(gateway: Running, key: ECKey):
    secret = await gateway.token("root", "shop")
    granted = await gateway.send("GET", f"{TOKEN}?scope=repository:shop/web:push", None, secret)
    assert _access(granted.body, key) == {"shop/web": ["push"]}
    assert (await gateway.send("GET", f"{TOKEN}?scope=repository:other/web:push", None, secret)).status == 403


async def test_the_audit_log_says_what_was_granted_and_what_was_asked_in_vain(gateway: Running):
    await gateway.ask("dan", "GET", f"{TOKEN}?scope=repository:shop/web:pull,push")
    await gateway.ask("dan", "GET", f"{TOKEN}?scope=repository:shop/web:delete")
    lines = gateway.gateway.settings.path("audit.log").read_text().splitlines()
    done = [record for record in map(json.loads, lines) if record["resource"] == "images" and record["stage"] == "done"]
    assert [(r["caller"], r["project"], r["name"], r["status"]) for r in done] == [
        ("dan", "shop", "pull:shop/web push:shop/web", 200),
        ("dan", "shop", "delete:shop/web", 403),
    ]


async def test_a_region_without_a_registry_says_so(tmp_path: Path):
    async with running(tmp_path) as gateway:
        status, body, _ = await gateway.ask("dan", "GET", TOKEN)
        assert (status, body["code"]) == (409, "wrong-state")


def test_a_key_that_cannot_be_used_ends_the_start(tmp_path: Path):
    (tmp_path / "token.key").write_text("none")
    for name in ("token.key", "absent.key"):
        with pytest.raises(SettingsError, match=rf"registry.key: .*{name}"):
            RegistryTokens(RegistrySettings(key=str(tmp_path / name)), lambda: 0.0)


def test_a_setting_that_has_another_name_now_is_refused_with_that_name(tmp_path: Path):
    file = tmp_path / "gateway.yaml"
    file.write_text("registry: {collectEvery: 20}")
    with pytest.raises(SettingsError, match=r"`registry\.collectEvery` is called `registry\.garbageCollectionPeriod` now"):
        load(file)
