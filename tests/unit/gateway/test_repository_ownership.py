"""Repositories belong to a project's uid, however the project was made, and end with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from gateway import registry_double
from gateway.registry_double import RegistryDouble
from gateway.served_gateway import WITHIN, Running, running

from pincompute.api.labels import FORMER_IMAGES
from pincompute.api.meta import Key
from pincompute.api.projects import PROJECTS
from pincompute.gateway.images import repository_ownership
from pincompute.gateway.images.owner_files import OwnerFiles


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Running, RegistryDouble]]:
    monkeypatch.setattr(repository_ownership, "PAUSE", 0.05)
    serving = registry_double.serving(tmp_path, monkeypatch)
    async with serving as (registry, settings), running(tmp_path, registry=settings) as gateway:
        await until(OwnerFiles(registry.storage).adopted)
        yield gateway, registry


def made(gateway: Running, name: str) -> str:
    """With kubectl; returns the uid."""
    body: Any = {"metadata": {"name": name}, "spec": {"members": [{"name": "dan", "role": "developer"}]}}
    return gateway.host.store.create(PROJECTS, "", body)["metadata"]["uid"]


async def push_token(gateway: Running, name: str) -> int:
    return (await gateway.ask("dan", "GET", f"/v1/registry/token?scope=repository:{name}/web:pull,push"))[0]


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN):
        while not met():  # noqa: ASYNC110 - a state of other tasks has no event
            await asyncio.sleep(0.02)


async def granted(gateway: Running, name: str) -> None:
    async with asyncio.timeout(WITHIN):
        while await push_token(gateway, name) != 200:  # noqa: ASYNC110 - the gateway's cache has no event
            await asyncio.sleep(0.02)


async def test_a_project_made_with_kubectl_inherits_nothing(served: tuple[Running, RegistryDouble]):
    """Not even where nobody asks the gateway for anything: a node could pull the images by their names."""
    gateway, registry = served
    registry.push("left/web", "1", ("a", 1))
    registry.push("left/web", "1", ("b", 1))  # and an image without a tag
    uid = made(gateway, "left")
    await until(lambda: OwnerFiles(registry.storage).owner("left") == uid)
    assert not registry.holds("left/web")
    await granted(gateway, "left")
    registry.push("left/web", "1", ("own", 1))
    await granted(gateway, "left")
    assert registry.holds("left/web")


async def test_images_end_with_their_project(served: tuple[Running, RegistryDouble]):
    gateway, registry = served
    made(gateway, "short")
    await granted(gateway, "short")
    registry.push("short/web", "1", ("a", 1))
    registry.push("shop/web", "1", ("a", 1))
    gateway.host.store.delete(PROJECTS, Key("", "short"))
    await until(lambda: not registry.holds("short/web"))
    assert OwnerFiles(registry.storage).owner("short") == ""
    assert registry.holds("shop/web")


async def test_a_project_made_again_between_two_looks_inherits_nothing(served: tuple[Running, RegistryDouble]):
    gateway, registry = served
    made(gateway, "again")
    await granted(gateway, "again")
    registry.push("again/web", "1", ("a", 1))
    gateway.host.store.delete(PROJECTS, Key("", "again"))
    uid = made(gateway, "again")
    await until(lambda: OwnerFiles(registry.storage).owner("again") == uid)
    assert not registry.holds("again/web")


async def test_a_gateway_whose_cache_is_old_takes_nothing_from_the_present_project(tmp_path: Path):
    """It decides by the API server's answer and by the owner that it saw before: who came first has changed the file."""
    registry = RegistryDouble(tmp_path)
    owners = OwnerFiles(registry.storage)
    owners.adopt({})
    registry.push("left/web", "1", ("a", 1))
    assert owners.hand_over("left", "", "second")
    registry.push("left/web", "1", ("own", 1))
    assert not owners.hand_over("left", "", "first")
    assert (owners.owner("left"), registry.holds("left/web")) == ("second", True)


async def test_after_an_upgrade_projects_keep_their_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """But one whose former images an earlier version had not removed yet. Images without a project go."""
    async with registry_double.serving(tmp_path, monkeypatch) as (registry, settings):
        for name in ("shop/web", "nobody/web", "pincompute/pause", "hello"):
            registry.push(name, "1", ("a", 1))
        owners = OwnerFiles(registry.storage)
        async with running(tmp_path, registry=settings):
            await until(owners.adopted)
            await until(lambda: not registry.holds("nobody/web"))
        assert all(registry.holds(name) for name in ("shop/web", "pincompute/pause", "hello"))
        assert owners.owner("shop")


async def test_a_project_with_the_mark_of_an_earlier_version_is_not_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with registry_double.serving(tmp_path, monkeypatch) as (registry, _):
        registry.push("marked/web", "1", ("a", 1))
        async with running(tmp_path) as gateway:  # it has no registry, and connects to the host that the next one starts with
            body: Any = {"metadata": {"name": "marked", "annotations": {FORMER_IMAGES: "unclaimed"}}}
            gateway.host.store.create(PROJECTS, "", body)
            clusters = gateway.gateway.clusters
            async with asyncio.timeout(WITHIN):
                while clusters.view("host", PROJECTS).get(Key("", "marked")) is None:  # noqa: ASYNC110 - the cache's state
                    await asyncio.sleep(0.02)
            owners = OwnerFiles(registry.storage)
            await repository_ownership.RepositoryOwnership(_Unheard(clusters), owners).unusable(["marked/web"])  # type: ignore[arg-type]
            assert not registry.holds("marked/web")
            assert owners.owner("shop")


class _Unheard:
    """Clusters that are connected already, so that nobody listens any more."""

    def __init__(self, clusters: Any) -> None:
        self.view, self.cache, self.client = clusters.view, clusters.cache, clusters.client

    def listen(self, *_: object) -> None:
        pass


async def test_while_the_host_does_not_answer_nothing_is_removed(served: tuple[Running, RegistryDouble], monkeypatch: Any):
    gateway, registry = served
    registry.push("shop/web", "1", ("a", 1))
    files = OwnerFiles(registry.storage)
    owner = files.owner("shop")
    assert await push_token(gateway, "shop") == 200

    async def fails(self: Any, name: str) -> str:
        raise TimeoutError

    monkeypatch.setattr(repository_ownership.RepositoryOwnership, "_uid", fails)
    made(gateway, "later")
    async with asyncio.timeout(WITHIN):
        while await push_token(gateway, "later") != 503:  # noqa: ASYNC110 - the gateway's cache has no event
            await asyncio.sleep(0.02)
    assert (files.owner("shop"), registry.holds("shop/web")) == (owner, True)


async def test_a_region_without_a_registry_has_no_owners(tmp_path: Path):
    async with running(tmp_path) as gateway:
        assert (await gateway.ask("root", "POST", "/v1/projects", {"name": "plain"}))[0] == 201
        assert await gateway.gateway.ownership.unusable(["plain/web"]) == {}
