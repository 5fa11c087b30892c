"""While the store is away the revisions of a workload are still shown, and a rollback still finds its way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from gateway.served_gateway import WITHIN, Running, free_port, running
from pincompute_sdk.cli.__main__ import main

from pincompute.api import template_hash
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Manifest
from pincompute.api.revisions import PINREVISIONS
from pincompute.api.workloads import PINAPPS

pytestmark = pytest.mark.served

HELLO = "/v1/projects/shop/apps/hello"


def template(tag: str) -> Manifest:
    return {"spec": {"containers": [{"name": "web", "image": f"r/hello:{tag}"}]}}


def name(tag: str) -> str:
    return template_hash.revision(template_hash.normalise(template(tag)))


async def hello(there: Running, *former: str) -> None:
    """App hello at r/hello:now, after it had the images with these tags, the oldest first."""
    spec = {"replicas": 1, "template": template("now")}
    made = there.host.store.create(PINAPPS, "shop", {"metadata": {"name": "hello"}, "spec": spec})
    owner = {"apiVersion": PINAPPS.api_version, "kind": PINAPPS.kind, "name": "hello", "uid": made["metadata"]["uid"]}
    newest = 0
    for number, tag in enumerate(former, 1):
        body: Manifest = {
            "metadata": {"name": f"hello-{name(tag)}", "ownerReferences": [owner]},
            "spec": {"revision": name(tag), "number": number, "template": template_hash.normalise(template(tag))},
        }
        kept = there.host.store.create(PINREVISIONS, "shop", body)
        newest = int(kept["metadata"]["resourceVersion"])
    async with asyncio.timeout(WITHIN):
        await there.gateway.clusters.cache(HOST, PINAPPS).until(int(made["metadata"]["resourceVersion"]))
        await there.gateway.clusters.cache(HOST, PINREVISIONS).until(newest)


async def ask(there: Running, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    answer = await there.send(method, path, body, there.issuer.token("olga"))
    return answer.status, answer.body


async def test_revisions_are_shown_and_gone_back_to(tmp_path: Path) -> None:
    """Only what needs the database is missing: who did it, and what ran well."""
    async with running(tmp_path, store=f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/nothing") as there:
        await hello(there, "1", "2")
        status, page = await ask(there, "GET", f"{HELLO}/history")
        assert (status, page["missing"]) == (200, ["history"])
        assert [record["revision"] for record in page["items"]] == [name("now"), name("2"), name("1")]
        assert page["items"][1]["spec"]["template"]["spec"]["containers"][0]["image"] == "r/hello:2"
        _, oldest = await ask(there, "GET", f"{HELLO}/history?oldestFirst=true&limit=2")
        assert [record["revision"] for record in oldest["items"]] == [name("2"), name("now")]

        status, done = await ask(there, "POST", f"{HELLO}/rollback")
        assert status == 200, done
        assert "whether that ran well is not known now" in done["message"]
        found = there.host.store.get(PINAPPS, Key("shop", "hello"))
        assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "r/hello:2"
        status, done = await ask(there, "POST", f"{HELLO}/rollback", {"revision": name("1")})
        assert (status, done["changed"]) == (200, True)


async def test_pin_shows_them_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path, store=f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/nothing") as there:
        await hello(there, "1")
        told = {"SERVER": there.url, "PROJECT": "shop", "TOKEN": there.issuer.token("olga"), "CONFIG": str(tmp_path / "c.yaml")}
        for variable, value in told.items():
            monkeypatch.setenv(f"PINCOMPUTE_{variable}", value)
        assert await asyncio.to_thread(main, ["history", "hello"]) == 0
    said = capsys.readouterr()
    assert all(name(tag) in said.out for tag in ("now", "1")), said.out
    assert "only the revisions that are kept without it are shown" in said.err


async def test_what_only_the_store_knows_is_unavailable(tmp_path: Path) -> None:
    async with running(tmp_path, store=f"postgresql+asyncpg://nobody@127.0.0.1:{free_port()}/nothing") as there:
        await hello(there)
        for path in (f"{HELLO}/history?type=exit", "/v1/projects/shop/history"):
            status, problem = await ask(there, "GET", path)
            assert (status, problem["code"]) == (503, "unavailable"), path
        status, page = await ask(there, "GET", f"{HELLO}/history")
        assert (status, [record["revision"] for record in page["items"]]) == (200, [name("now")])
