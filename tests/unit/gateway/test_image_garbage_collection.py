"""What nothing uses is freed, and no push is cut."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway.registry_double import RegistryDouble, digest, quiet, quiet_gateway
from gateway.served_gateway import Running

from pincompute.api.labels import HOST
from pincompute.gateway.images.image_garbage_collection import ImageGarbageCollector
from pincompute.gateway.images.registry_storage import RegistryStorage

DAY = 86_400.0


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Running, RegistryDouble]]:
    async with quiet_gateway(tmp_path, monkeypatch) as found:
        yield found


def app(image: str) -> dict[str, Any]:
    return {"kind": "App", "name": "web", "containers": [{"name": "web", "image": f"registry.internal/{image}"}]}


async def deploy(gateway: Running, image: str) -> None:
    assert (await gateway.ask("dan", "POST", "/v1/projects/shop/apps", app(image)))[0] == 201


def pushed(registry: RegistryDouble) -> list[str]:
    """Three images under one tag, the last two days ago."""
    found = list[str]()
    for number in range(3):
        registry.age = (4 - number) * DAY
        found.append(registry.push("shop/web", "1", ("base", 100), (f"own{number}", 10)))
    return found


async def test_former_contents_of_a_tag_go_unless_a_workload_names_them(served: tuple[Running, RegistryDouble]):
    gateway, registry = served
    first, second, third = pushed(registry)
    await deploy(gateway, f"shop/web@{first}")
    collector: ImageGarbageCollector = gateway.gateway.garbage_collector
    await collector.collect()
    stored = registry.storage.read("shop/web")
    assert (stored.manifests.keys(), stored.tags) == ({first, third}, {"1": third})
    assert stored.layers.keys() == {digest(name) for name in (b"base", b"own0", b"own2")}
    await collector.collect()
    assert [registry.storage.size(each) > 0 for each in (first, second, digest(b"own1"))] == [True, False, False]


async def test_contents_of_former_projects_are_freed(served: tuple[Running, RegistryDouble]):
    gateway, registry = served
    pushed(registry)
    registry.storage.remove_project("shop")
    for _ in range(2):
        await gateway.gateway.garbage_collector.collect()
    assert not any(registry.storage.size(digest(name)) for name in (b"base", b"own0"))


async def test_no_push_is_cut(served: tuple[Running, RegistryDouble]):
    gateway, registry = served
    pushed(registry)
    before = registry.storage.read("shop/web")
    scope = "/v1/registry/token?scope=repository:shop/other:pull,push"
    assert (await gateway.ask("dan", "GET", scope))[0] == 200
    await gateway.gateway.garbage_collector.collect()
    assert registry.storage.read("shop/web") == before
    quiet(registry)
    registry.age = 0
    registry.upload("shop/web", 1)  # a long one, for which no token is needed while it goes on
    await gateway.gateway.garbage_collector.collect()
    assert registry.storage.read("shop/web").manifests == before.manifests
    registry.age = DAY
    registry.upload("shop/web", 1)
    await gateway.gateway.garbage_collector.collect()
    assert len(registry.storage.read("shop/web").manifests) == 1


async def test_while_the_use_is_not_known_nothing_goes(served: tuple[Running, RegistryDouble], monkeypatch: pytest.MonkeyPatch):
    gateway, registry = served
    pushed(registry)
    before = registry.storage.read("shop/web")
    answers = gateway.gateway.clusters.answers
    monkeypatch.setattr(gateway.gateway.clusters, "answers", lambda name: name != HOST and answers(name))
    await gateway.gateway.garbage_collector.collect()
    assert registry.storage.read("shop/web") == before


NESTED = b'{"odd": ' + b"[" * 2_000 + b"]" * 2_000 + b"}"


@pytest.mark.parametrize("odd", [{"layers": "nonsense"}, NESTED], ids=["no list", "nested deeply"])
async def test_a_manifest_that_cannot_be_read_stops_its_repository_alone(served: tuple[Running, RegistryDouble], odd: object):
    gateway, registry = served
    pushed(registry)
    registry.age = 2 * DAY
    registry.push_manifest("shop/odd", "1", odd)
    registry.push_layer("shop/odd", digest(b"left"), 1)
    await gateway.gateway.garbage_collector.collect()
    assert registry.storage.read("shop/odd").layers.keys() == {digest(b"left")}
    assert len(registry.storage.read("shop/web").manifests) == 1


async def test_a_pass_reads_only_what_was_pushed_to_or_removed_since_the_last(
    served: tuple[Running, RegistryDouble], monkeypatch: pytest.MonkeyPatch
):
    """Every pass read every part of every project, which cost a region with 100,000 parts 5 s of CPU each 20 s."""
    gateway, registry = served
    pushed(registry)
    read, looks, collector = RegistryStorage.read, list[str](), gateway.gateway.garbage_collector
    freeing = RegistryStorage.remove_blobs

    def counted(self: RegistryStorage, name: str) -> Any:
        looks.append(name)
        return read(self, name)

    def freed(self: RegistryStorage, before: float) -> int:
        looks.append("contents")
        return freeing(self, before)

    monkeypatch.setattr(RegistryStorage, "read", counted)
    monkeypatch.setattr(RegistryStorage, "remove_blobs", freed)
    for _ in range(4):
        await collector.collect()
    looks.clear()
    await collector.collect()
    assert looks == []
    os.utime(registry.folder / "pincompute/owners/shop", (1, 1))  # somebody pushed since
    registry.age = 2 * DAY
    registry.push("shop/web", "1", ("new", 10))
    await collector.collect()
    assert looks[0] == "shop/web"
    assert len(registry.storage.read("shop/web").manifests) == 1
    monkeypatch.setattr(collector, "_swept", 0.0)
    looks.clear()
    await collector.collect()
    assert looks == ["shop/web", "contents"]
