"""What a user must not achieve with images: to inherit those of a deleted project by its name, or to fill the registry."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway import registry_double
from gateway.registry_double import RegistryDouble
from gateway.served_gateway import WITHIN, Running, running

from pincompute.api.builtin import NAMESPACES
from pincompute.gateway.gateway_settings import AccessSettings
from pincompute.gateway.images import image_limit, repository_ownership, stored_bytes
from pincompute.gateway.images.owner_files import OwnerFiles
from pincompute.gateway.images.registry_storage import RegistryStorage


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Running, RegistryDouble]]:
    """A registry in which the deleted project `bank` left images. `carl` may create projects."""
    monkeypatch.setattr(repository_ownership, "PAUSE", 0.05)
    roles = AccessSettings(platform_roles={"admin": ("root",), "project-creator": ("carl",)})
    async with registry_double.serving(tmp_path, monkeypatch) as (registry, settings):
        registry.push("bank/vault", "1", ("secret", 10))
        registry.push("shop/web", "1", ("own", 10))
        async with running(tmp_path, registry=settings, access=roles) as gateway:
            async with asyncio.timeout(WITHIN):
                while registry.holds("bank/vault"):  # noqa: ASYNC110 - the gateway removes what belongs to no project
                    await asyncio.sleep(0.02)
            registry.push("bank/vault", "1", ("secret", 10))  # as when no gateway ran while the project was made
            yield gateway, registry


async def token(gateway: Running, subject: str, scope: str) -> tuple[int, Any]:
    status, body, _ = await gateway.ask(subject, "GET", f"/v1/registry/token?scope=repository:{scope}")
    return status, body


def app(image: str) -> dict[str, Any]:
    return {"kind": "App", "name": "thief", "containers": [{"name": "web", "image": image}]}


async def test_a_new_project_does_not_inherit_images(served: tuple[Running, RegistryDouble]) -> None:
    gateway, registry = served
    assert (await gateway.ask("carl", "POST", "/v1/projects", {"name": "bank"}))[0] == 201
    gateway.host.store.create(NAMESPACES, "", {"metadata": {"name": "bank", "labels": {"pincompute.io/project": "bank"}}})
    assert (await token(gateway, "carl", "bank/vault:pull,push"))[0] == 200
    assert not registry.holds("bank/vault")
    assert registry.holds("shop/web")
    status, body, _ = await gateway.ask("carl", "POST", "/v1/projects/bank/apps", app("registry.internal/bank/vault:1"))
    assert (status, body["errors"][0]["field"]) == (422, "containers[0].image")
    registry.push("bank/vault", "1", ("new", 10))
    assert (await gateway.ask("carl", "POST", "/v1/projects/bank/apps", app("registry.internal/bank/vault:1")))[0] == 201


async def test_while_nobody_knows_whose_images_they_are_nobody_uses_them(
    served: tuple[Running, RegistryDouble], monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, _ = served
    hand_over = OwnerFiles.hand_over

    def fails(self: OwnerFiles, *_: str) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(OwnerFiles, "hand_over", fails)
    assert (await gateway.ask("carl", "POST", "/v1/projects", {"name": "later"}))[0] == 201
    gateway.host.store.create(NAMESPACES, "", {"metadata": {"name": "later", "labels": {"pincompute.io/project": "later"}}})
    sentence = "it is not known whether images of a former project later are left; try again in a moment"
    for scope in ("later/vault:pull", "later/vault:pull,push", "later/other:push"):
        status, body = await token(gateway, "carl", scope)
        assert (status, body["errors"][0]["message"]) == (503, sentence)
    for method, path in (("GET", "/v1/projects/later/images"), ("DELETE", "/v1/projects/later/images?name=vault")):
        status, body, _ = await gateway.ask("carl", method, path)
        assert (status, body["detail"]) == (503, sentence)
    status, body, _ = await gateway.ask("carl", "POST", "/v1/projects/later/apps", app("registry.internal/later/vault:1"))
    assert (status, body["detail"]) == (503, f"containers[0].image: {sentence}")
    assert (await token(gateway, "mallory", "later/vault:pull"))[0] == 403  # a stranger learns nothing of it
    monkeypatch.setattr(OwnerFiles, "hand_over", hand_over)
    assert (await token(gateway, "carl", "later/vault:pull,push"))[0] == 200


async def test_a_project_that_exists_keeps_its_images(served: tuple[Running, RegistryDouble]) -> None:
    gateway, registry = served
    assert (await gateway.ask("root", "POST", "/v1/projects", {"name": "shop"}))[0] == 409
    assert (await token(gateway, "dan", "shop/web:pull,push"))[0] == 200
    assert (await gateway.ask("dan", "POST", "/v1/projects/shop/apps", app("registry.internal/shop/web:1")))[0] == 201
    assert registry.holds("shop/web")


async def test_only_an_owner_deletes_images_and_only_through_the_gateway(served: tuple[Running, RegistryDouble]) -> None:
    """The registry knows no workloads, so no token allows to delete there. Nothing goes that something uses."""
    gateway, registry = served
    images = "/v1/projects/shop/images?name=web"
    for who in ("alice", "root", "dan", "vera"):
        status, body = await token(gateway, who, "shop/web:delete")
        assert status == 403
        status, _ = await token(gateway, who, "shop/web:pull,delete")
        assert status == 403
    assert "`pin image delete`" in (await token(gateway, "alice", "shop/web:*"))[1]["detail"]
    for who, expected in {"dan": 403, "olga": 403, "vera": 403, "mallory": 404}.items():
        assert (await gateway.ask(who, "DELETE", images))[0] == expected
    assert (await gateway.ask("dan", "POST", "/v1/projects/shop/apps", app("registry.internal/shop/web:1")))[0] == 201
    second = registry.push("shop/web", "2", ("other", 10))
    for query in ("", "&tag=1"):
        status, body, _ = await gateway.ask("alice", "DELETE", images + query)
        assert (status, body["code"]) == (409, "wrong-state")
        assert "is in use: used by app thief" in body["detail"]
    assert (await gateway.ask("alice", "DELETE", f"/v1/projects/shop/images?name={'a' * 300}"))[0] == 422
    for query in ("&tag=..", "&digest=2", "&tag=1/../../x"):
        assert (await gateway.ask("alice", "DELETE", images + query))[0] == 422
    assert (await gateway.ask("alice", "DELETE", "/v1/projects/shop/images?name=../bank/vault"))[0] == 422
    assert (await gateway.ask("alice", "DELETE", images + "&tag=2&dryRun=true"))[0] == 200
    assert registry.storage.read("shop/web").tags.keys() == {"1", "2"}
    status, body, _ = await gateway.ask("alice", "DELETE", images + "&tag=2")
    assert (status, body["items"]) == (200, [f"registry.internal/shop/web@{second}"])
    assert registry.storage.read("shop/web").tags.keys() == {"1"}
    _, records, _ = await gateway.ask("root", "GET", "/v1/admin/audit?what=images")
    deletions = [
        (r.get("dryRun", False), r["status"]) for r in records["items"] if r.get("name") == "shop/web:2" and "status" in r
    ]
    assert deletions == [(False, 200), (True, 200)], "newest first"
    assert (await gateway.ask("alice", "DELETE", images + "&tag=2"))[0] == 404


async def test_what_is_deleted_counts_until_it_is_freed(
    served: tuple[Running, RegistryDouble], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Push, delete and push again passed the limit for a day: nobody counted what waited on the disk."""
    monkeypatch.setattr(stored_bytes, "FRESH", 0.0)
    gateway, registry = served
    assert (await gateway.ask("root", "PUT", LIMITS, {"images": "3Gi"}))[0] == 200
    registry.age = 1200.0
    registry.push("shop/web", "2", ("two", 3 * GI))
    os.utime(registry.folder / "pincompute/owners/shop", (0, 0))  # nobody got a token to push for a long time
    assert (await gateway.ask("alice", "DELETE", "/v1/projects/shop/images?name=web&tag=2"))[0] == 200
    status, body = await token(gateway, "dan", "shop/web:push")
    assert (status, body["code"]) == (403, "limit-exceeded")
    assert "3073Mi of it is deleted already and will be freed within 40 minutes" in body["detail"]
    for _ in range(2):
        await gateway.gateway.garbage_collector.collect()
    assert (await token(gateway, "dan", "shop/web:push"))[0] == 200


def _fails(*_: object) -> tuple[str, ...]:
    raise OSError(5, "Input/output error")


GI = 1 << 30
LIMITS = "/v1/admin/projects/shop/limits"


async def test_a_project_that_stores_its_limit_pushes_no_more(
    served: tuple[Running, RegistryDouble], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder says the sizes: a manifest that lies, an index and the parts that images share change nothing. Images that
    lost their tag count, and so do parts and uploads without a manifest.
    """
    monkeypatch.setattr(stored_bytes, "FRESH", 0.0)
    gateway, registry = served
    scopes = ("shop/web:pull,push", "shop/other:push")
    registry.push("shop/web", "1", ("base", GI), ("one", GI))
    registry.push("shop/api", "1", ("base", GI))  # shared: once
    assert (await gateway.ask("root", "PUT", LIMITS, {"images": "3Gi"}))[0] == 200
    assert [(await token(gateway, "dan", scope))[0] for scope in scopes] == [200, 200]
    part = registry.push("shop/api", "", ("two", GI - 1_000_000), said=1)
    registry.push_index("shop/api", "2", part)
    registry.push("shop/web", "1", ("base", GI), ("small", 10))  # takes the tag
    assert (await token(gateway, "dan", scopes[0]))[0] == 200
    registry.push_layer("shop/left", f"sha512:{'0' * 128}", 500_000)
    registry.upload("shop/web", 500_000)
    for scope in scopes:
        status, body = await token(gateway, "dan", scope)
        assert (status, body["code"]) == (403, "limit-exceeded")
        assert body["detail"] == "project shop stores 3073Mi of images, and its limit is 3Gi"
        for named in (body["detail"], "`pin image list`", "`pin image delete`", "`pin admin limits shop --images AMOUNT`"):
            assert named in body["errors"][0]["message"]
    assert (await token(gateway, "dan", "shop/web:pull"))[0] == 200
    _, uses, _ = await gateway.ask("vera", "GET", "/v1/projects/shop/limits")
    assert {"name": "images", "used": "3073Mi", "allowed": "3Gi"} in uses["items"]
    assert (await gateway.ask("root", "PUT", LIMITS, {"images": "4Gi"}))[0] == 200
    assert (await token(gateway, "dan", "shop/web:push"))[0] == 200
    assert (await gateway.ask("root", "PUT", LIMITS, {"images": 0}))[0] == 200
    assert (await token(gateway, "dan", "shop/web:push"))[0] == 403
    monkeypatch.setattr(RegistryStorage, "repositories", _fails)  # the last sum counts
    assert (await gateway.ask("alice", "DELETE", "/v1/projects/shop/images?name=web&tag=1&dryRun=true"))[0] == 200
    assert (await token(gateway, "dan", "shop/web:push"))[0] == 403
    _, uses, _ = await gateway.ask("vera", "GET", "/v1/projects/shop/limits")
    assert [row["used"] for row in uses["items"] if row["name"] == "images"] == ["3073Mi"]


async def test_a_repository_has_a_bounded_number_of_tags(
    served: tuple[Running, RegistryDouble], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tag costs who pushes one request, and whoever lists or collects the images some reads each time."""
    monkeypatch.setattr(image_limit, "MOST_TAGS", 3)
    gateway, registry = served
    registry.push("shop/web", "2", ("own", 10))
    assert (await token(gateway, "dan", "shop/web:pull,push"))[0] == 200
    registry.push("shop/web", "3", ("own", 10))
    status, body = await token(gateway, "dan", "shop/web:pull,push")
    assert (status, body["code"]) == (403, "limit-exceeded")
    assert body["detail"] == "shop/web has 3 tags or more, and no repository may have more"
    assert "`pin image delete web:TAG`" in body["errors"][0]["message"]
    assert [(await token(gateway, "dan", scope))[0] for scope in ("shop/web:pull", "shop/other:push")] == [200, 200]
