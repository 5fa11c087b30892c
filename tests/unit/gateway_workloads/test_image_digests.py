"""Digests pinned at writes, through a whole gateway, with a registry that answers as a test says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from gateway.served_gateway import free_port
from joserfc.jwk import ECKey
from workload_gateway import Running, running

from pincompute.api.meta import Key
from pincompute.api.workloads import PINAPPS
from pincompute.domain.image_pinning import Digest, NoImage
from pincompute.gateway.gateway_settings import RegistrySettings
from pincompute.gateway.images import image_digests
from pincompute.gateway.images.image_digests import ImageDigests, ImageQuestion
from pincompute.gateway.images.registry_reader import RegistryReader
from pincompute.gateway.images.registry_storage import RegistryStorage
from pincompute.gateway.images.registry_tokens import RegistryTokens
from pincompute.gateway.problems import Problem
from pincompute.kube import write_requests

APPS = "/v1/projects/shop/apps"
WEB = "registry.internal/shop/web"
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


class Registry:
    """Tags of shop/web by name. `silent` answers with a failure."""

    def __init__(self) -> None:
        self.tags = {"1": A, "2": B}
        self.asked: list[str] = []
        self.silent = False
        self.lists = True  # and answers which tags there are
        self.pages = False  # and says that more tags follow
        self.now = 0.0

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        assert request.headers["Authorization"].startswith("Bearer ey")
        if self.silent:
            return web.Response(status=503)
        if request.path.startswith("/v2/shop/closed/"):
            return web.Response(status=401)
        if request.path in ("/v2/shop/web/tags/list", "/v2/hello/tags/list"):
            last = request.query.get("last", "")
            following = {"Link": f'<{request.path}?last={last}x>; rel="next"'} if self.pages and len(last) < 3 else {}
            return web.json_response({"tags": list(self.tags)}, headers=following) if self.lists else web.Response(status=500)
        version = request.path.removeprefix("/v2/shop/web/manifests/")
        digest = version if version in self.tags.values() else self.tags.get(version)
        return web.Response(headers={"Docker-Content-Digest": digest}) if digest else web.Response(status=404)


@pytest.fixture
async def registry() -> Registry:
    return Registry()


@pytest.fixture
async def gateway(tmp_path: Path, registry: Registry) -> AsyncIterator[Running]:
    async with _serving(registry) as address:
        (tmp_path / "token.key").write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
        settings = RegistrySettings(address=address, key=str(tmp_path / "token.key"))
        reader = RegistryReader(settings, RegistryTokens(settings, time.time), lambda: registry.now, scheme="http")
        async with running(tmp_path, ImageDigests(reader)) as found:
            yield found


@asynccontextmanager
async def _serving(registry: Registry) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", registry.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    port = free_port()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def app(image: str = f"{WEB}:1", **more: Any) -> dict[str, Any]:
    return {"kind": "App", "name": "hello", "replicas": 3, "containers": [{"name": "web", "image": image}]} | more


def image(answer: dict[str, Any]) -> str:
    return answer["item"]["containers"][0]["image"]


async def test_a_deploy_stores_the_digest_and_a_second_one_changes_nothing(gateway: Running, registry: Registry):
    status, made, _ = await gateway.ask("dan", "POST", APPS, app())
    assert (status, image(made)) == (201, f"{WEB}:1@{A}")
    _, plan, _ = await gateway.ask("dan", "POST", f"{APPS}/hello/diff", app())
    assert plan["message"].startswith("nothing changes")
    status, again, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app())
    assert (status, again.get("changes", [])) == (200, [])
    assert again["item"]["version"] == made["item"]["version"]


async def test_a_tag_that_is_pushed_again_changes_nothing_until_the_next_deploy(gateway: Running, registry: Registry):
    await gateway.ask("dan", "POST", APPS, app())
    registry.tags["1"] = B
    registry.asked.clear()
    _, scaled, _ = await gateway.ask("dan", "PATCH", f"{APPS}/hello", {"replicas": 5})
    assert (image(scaled), registry.asked) == (f"{WEB}:1@{A}", [])
    _, plan, _ = await gateway.ask("dan", "POST", f"{APPS}/hello/diff", app(replicas=5))
    assert [(c["before"], c["after"]) for c in plan["changes"]] == [(f"{WEB}:1@{A}", f"{WEB}:1@{B}")]
    _, deployed, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app(replicas=5))
    assert image(deployed) == f"{WEB}:1@{B}"


async def test_what_was_read_can_be_sent_back_and_asks_nothing(gateway: Running, registry: Registry):
    await gateway.ask("dan", "POST", APPS, app())
    _, read, _ = await gateway.ask("dan", "GET", f"{APPS}/hello")
    registry.tags["1"] = B
    registry.asked.clear()
    _, sent, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", read)
    assert (sent["item"]["version"], registry.asked) == (read["version"], [])


async def test_a_tag_that_does_not_exist_is_refused_with_the_nearest(gateway: Running, registry: Registry):
    registry.tags = {"1.0": A, "1.1": A, "stable": B, "1.10": B}
    for method, path, body in (
        ("POST", APPS, app(f"{WEB}:1.2")),
        ("POST", f"{APPS}/hello/diff", app(f"{WEB}:1.2")),
    ):
        status, problem, _ = await gateway.ask("dan", method, path, body)
        (error,) = problem["errors"]
        assert (status, error["field"], error["expected"]) == (422, "containers[0].image", "a tag of shop/web")
        assert error["message"].startswith(f"there is no image {WEB}:1.2; the nearest tags are 1.1, 1.0")
        assert "`pin image list`" in error["message"]


async def test_a_listing_of_tags_that_fails_says_nothing_of_the_image(gateway: Running, registry: Registry):
    """It said that the registry has no such image at all."""
    registry.lists = False
    _, problem, _ = await gateway.ask("dan", "POST", APPS, app(f"{WEB}:9"))
    (error,) = problem["errors"]
    assert (error["expected"], error["message"][:40]) == ("a tag of shop/web", f"there is no image {WEB}:9"[:40])


async def test_one_page_of_tags_is_enough_for_a_suggestion(gateway: Running, registry: Registry):
    registry.tags, registry.pages = {f"1.{number}": A for number in range(5)}, True
    await gateway.ask("dan", "POST", APPS, app(f"{WEB}:9"))
    assert registry.asked.count("GET /v2/shop/web/tags/list") == 1


async def test_tags_that_a_region_gives_its_own_images_are_not_suggested(gateway: Running, registry: Registry):
    registry.tags = {"source-11": A, "1": A, "source-1": B}
    _, problem, _ = await gateway.ask("dan", "POST", APPS, app("registry.internal/hello:11"))
    assert "the nearest tags are 1: " in problem["errors"][0]["message"]


async def test_a_mistyped_tag_leaves_a_healthy_app_as_it_is(gateway: Running, registry: Registry):
    _, made, _ = await gateway.ask("dan", "POST", APPS, app())
    wrong = {"containers": [{"name": "web", "image": f"{WEB}:l"}]}
    for method, body in (("PUT", app(f"{WEB}:l")), ("PATCH", wrong), ("PUT", app(f"{WEB}@sha256:{'c' * 64}"))):
        status, problem, _ = await gateway.ask("dan", method, f"{APPS}/hello", body)
        assert (status, problem["errors"][0]["field"]) == (422, "containers[0].image")
    _, read, _ = await gateway.ask("dan", "GET", f"{APPS}/hello")
    assert read["version"] == made["item"]["version"]


async def test_a_full_resource_is_pinned_and_its_field_is_named(gateway: Running, registry: Registry):
    template = {"spec": {"containers": [{"name": "web", "image": f"{WEB}:1"}]}}
    resource = {
        "apiVersion": PINAPPS.api_version,
        "kind": "PinApp",
        "metadata": {"name": "hello"},
        "spec": {"replicas": 1, "template": template},
    }
    status, made, _ = await gateway.ask("dan", "POST", APPS, resource)
    assert (status, image(made)) == (201, f"{WEB}:1@{A}")
    template["spec"]["containers"][0]["image"] = f"{WEB}:9"
    status, problem, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", resource)
    assert (status, problem["errors"][0]["field"]) == (422, "spec.template.spec.containers[0].image")


ODD = (
    "shop/./web:1",
    "shop/../web:1",
    "shop/Web:1",
    "shop/web:",
    "shop/web:1:2",
    "shop/web@",
    "shop/web@../../../other/x/manifests/1",
    "shop/web:1@sha256:1",
)


@pytest.mark.parametrize("odd", ODD)
async def test_a_name_outside_the_grammar_is_refused_before_anybody_asks(gateway: Running, registry: Registry, odd: str):
    status, problem, _ = await gateway.ask("dan", "POST", APPS, app(f"registry.internal/{odd}"))
    (error,) = problem["errors"]
    assert (status, error["field"], registry.asked) == (422, "containers[0].image", [])
    assert odd in error["message"]
    assert "without . and .., for example registry.internal/hello:1" in error["message"]


async def test_a_request_that_the_registry_refuses_is_no_outage_for_others(gateway: Running, registry: Registry):
    _, refused, _ = await gateway.ask("dan", "POST", APPS, app("registry.internal/shop/closed:1", name="closed"))
    assert "is not checked" in refused["warnings"][0]
    _, made, _ = await gateway.ask("dan", "POST", APPS, app())
    assert image(made) == f"{WEB}:1@{A}"


async def test_an_image_that_names_no_registry_is_told_where_nodes_look_for_it(gateway: Running):
    _, made, _ = await gateway.ask("dan", "POST", APPS, app("hello:1"))
    assert made["warnings"] == [
        "hello:1 means docker.io/library/hello:1: name the registry for another one, as in registry.internal/PROJECT/NAME:TAG"
    ]
    _, again, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app("hello:1", replicas=4))
    assert again.get("warnings", []) == []
    _, planned, _ = await gateway.ask("dan", "POST", f"{APPS}/hello/diff", app("team/hello:2"))
    assert planned["warnings"][0].startswith("team/hello:2 means docker.io/team/hello:2: ")
    for named in ("registry.example.com/hello:1", "registry.example.com:5000/hello:1"):
        _, other, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app(named))
        assert other.get("warnings", []) == []


async def test_a_silent_registry_delays_nobody_and_changes_nothing(gateway: Running, registry: Registry):
    await gateway.ask("dan", "POST", APPS, app())
    registry.silent = True
    registry.asked.clear()
    _, again, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app())
    assert image(again) == f"{WEB}:1@{A}"
    assert again["warnings"] == [f"the image registry does not answer: {WEB}:1 keeps its present content"]
    status, other, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app(f"{WEB}:2"))
    assert (status, image(other)) == (200, f"{WEB}:2")
    assert "is not checked" in other["warnings"][0]
    assert len(registry.asked) == 1  # nobody waits for it again so soon
    registry.silent, registry.now = False, 10.0
    _, known, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app(f"{WEB}:2"))
    assert image(known) == f"{WEB}:2@{B}"


async def test_what_kubectl_writes_stays_as_it_is_until_a_deploy(gateway: Running, registry: Registry):
    """Its manifest names the tag alone, and nodes resolve it."""
    await gateway.ask("dan", "POST", APPS, app())
    spec = {"template": {"spec": {"containers": [{"name": "web", "image": f"{WEB}:1"}]}}}
    client = gateway.clusters.client("host")
    await write_requests.patch(client, PINAPPS, Key("shop", "hello"), {"spec": spec}, "kubectl")
    await gateway.caught_up()
    _, scaled, _ = await gateway.ask("dan", "PATCH", f"{APPS}/hello", {"replicas": 4})
    assert image(scaled) == f"{WEB}:1"
    _, deployed, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app())
    assert image(deployed) == f"{WEB}:1@{A}"


async def test_a_repeated_create_is_one_although_the_tag_moved(gateway: Running, registry: Registry):
    key = {"Idempotency-Key": "k1"}
    _, first, _ = await gateway.ask("dan", "POST", APPS, app(), **key)
    registry.tags["1"] = B
    status, again, _ = await gateway.ask("dan", "POST", APPS, app(), **key)
    assert (status, image(again)) == (201, image(first))


async def test_foreign_images_are_refused_before_anybody_asks_the_registry(gateway: Running, registry: Registry):
    status, problem, _ = await gateway.ask("dan", "POST", APPS, app("registry.internal/bank/vault:1"))
    assert (status, registry.asked) == (422, [])
    assert "belongs to another project" in problem["errors"][0]["message"]


async def test_a_repeated_request_is_answered_after_its_tag_is_gone(gateway: Running, registry: Registry) -> None:
    """As the first was, and without a look into the registry."""
    key = {"Idempotency-Key": "once"}
    _, first, _ = await gateway.ask("dan", "POST", APPS, app(), **key)
    del registry.tags["1"]
    registry.asked.clear()
    status, again, headers = await gateway.ask("dan", "POST", APPS, app(), **key)
    assert (status, headers["Idempotency-Replayed"], registry.asked) == (201, "true", [])
    assert again["item"] == first["item"]


async def test_the_images_of_a_write_are_asked_about_a_few_at_once():
    under_way = most = 0

    class Counted:
        configured = True

        async def resolve(self, repository: str, version: str) -> Digest:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
            return Digest(A)

    containers = [{"name": f"c{number}", "image": f"{WEB}:{number}"} for number in range(50)]
    reader: Any = Counted()
    found = await ImageDigests(reader).of(ImageQuestion({"template": {"spec": {"containers": containers}}}))
    assert (len(found.by_image), most) == (50, image_digests.AT_ONCE)


@pytest.mark.parametrize(
    ("wanted", "near"),
    {"helo": "hello", "shop/wep": "shop/web", "other/wep": "", "nothing-alike": ""}.items(),
)
async def test_a_mistyped_name_gets_the_nearest_of_the_platform_and_of_the_own_project(tmp_path: Path, wanted: str, near: str):
    class Empty:
        configured = True

        async def resolve(self, _repository: str, _version: str) -> NoImage:
            return NoImage()

        async def some_tags(self, _repository: str) -> tuple[str, ...]:
            return ()

    for name in ("hello", "shop/web", "other/web"):
        (tmp_path / "docker" / "registry" / "v2" / "repositories" / name / "_manifests").mkdir(parents=True)
    reader: Any = Empty()
    containers = [{"name": "web", "image": f"registry.internal/{wanted}:1"}]
    after = {"template": {"spec": {"containers": containers}}}
    with pytest.raises(Problem) as refused:
        await ImageDigests(reader, storage=RegistryStorage(tmp_path)).of(ImageQuestion(after, project="shop"))
    message = refused.value.errors[0].message
    assert message.startswith(f"the registry has no image {wanted}, so there is no registry.internal/{wanted}:1")
    assert ("did you mean" in message) is bool(near)
    assert f"did you mean registry.internal/{near}?" in message or not near


async def test_a_rollback_is_judged_as_a_deploy_is(gateway: Running, registry: Registry):
    """A revision that only the history knows, or of which somebody removed the image with other means."""
    await gateway.ask("dan", "POST", APPS, app())
    await gateway.superseded("hello", "a")
    await gateway.ask("dan", "PUT", f"{APPS}/hello", app(f"{WEB}:2"))
    status, _, _ = await gateway.ask("dan", "POST", f"{APPS}/hello/rollback?dryRun=true", {})
    assert status == 200
    del registry.tags["1"]
    registry.now += 3600
    for path in ("rollback?dryRun=true", "rollback"):
        status, problem, _ = await gateway.ask("dan", "POST", f"{APPS}/hello/{path}", {})
        assert (status, problem["code"]) == (422, "invalid")
        assert f"there is no image {WEB}:1@{A}" in problem["errors"][0]["message"]
    template = gateway.host.store.get(PINAPPS, Key("shop", "hello"))["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == f"{WEB}:2@{B}"
