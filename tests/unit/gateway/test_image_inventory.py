"""The list of a project's images: each content once, with its tags, and what uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from gateway.registry_double import RegistryDouble, digest

from pincompute.gateway.images.image_inventory import ImageInventory
from pincompute.gateway.images.registry_storage import RegistryStorage
from pincompute.gateway.images.stored_manifest import StoredManifests
from pincompute.gateway.problems import Problem

GONE = "sha256:" + "0" * 64


@pytest.fixture
def registry(tmp_path: Path) -> RegistryDouble:
    return RegistryDouble(tmp_path)


def inventory(storage: RegistryStorage) -> ImageInventory:
    return ImageInventory(storage, StoredManifests(storage))


def put(registry: RegistryDouble, repository: str, tag: str, created: str) -> str:
    content = json.dumps({"created": created}).encode()
    config = digest(content)
    registry.push_layer(repository, config, len(content))
    (file,) = registry.folder.glob(f"docker/registry/v2/blobs/*/*/{config.partition(':')[2]}/data")
    file.write_bytes(content)
    return registry.push_manifest(
        repository, tag, {"config": {"digest": config, "size": 10}, "layers": [{"digest": GONE, "size": -5000}]}
    )


async def test_each_content_stands_once_with_its_tags_and_users(registry: RegistryDouble):
    taken = put(registry, "shop/web", "1", "2026-01-02T00:00:00Z")
    first = put(registry, "shop/web", "1", "2026-01-01T00:00:00Z")
    assert put(registry, "shop/web", "stable", "2026-01-01T00:00:00Z") == first
    put(registry, "shop/api", "1", "broken")
    put(registry, "bank/vault", "1", "2026-01-01T00:00:00Z")
    users = {
        "shop/web": {
            first: ("app hello", "app other"),
            "stable": ("app other",),
            taken: ("app hello, revision v1",),
            GONE: ("app old",),
        }
    }
    listed = inventory(registry.storage)
    found = await listed.of("shop", "", users)
    assert [(image.name, image.tags, [(user.name, user.tag) for user in image.used_by]) for image in found] == [
        ("api", ("1",), []),
        ("web", ("1", "stable"), [("app hello", ""), ("app other", ""), ("app other", "stable")]),
        ("web", (), [("app hello, revision v1", "")]),
    ]
    assert (found[1].image, found[1].digest) == ("registry.internal/shop/web", first)
    config = len(json.dumps({"created": "2026-01-01T00:00:00Z"}))
    assert found[1].size == registry.storage.size(first) + config, "a manifest may say any size, also of what is not there"
    assert str(found[1].created) == "2026-01-01 00:00:00+00:00"
    assert found[0].created is None  # its configuration cannot be read
    assert await listed.of("shop", "web", users) == found[1:]


async def test_what_counts_is_listed_and_images_of_an_index_are_parts_of_it(registry: RegistryDouble):
    one, two = (put(registry, "shop/web", "", f"2026-01-0{day}T00:00:00Z") for day in (1, 2))
    index = registry.push_index("shop/web", "1", one, two)
    lost = put(registry, "shop/web", "", "2026-01-03T00:00:00Z")
    found = await inventory(registry.storage).of("shop", "", {"shop/web": {two: ("app hello",)}})
    assert [(image.digest, image.tags) for image in found[:1]] == [(index, ("1",))]
    assert {image.digest for image in found[1:]} == {two, lost}


async def test_an_image_that_is_not_present_is_not_listed_although_its_content_is_known(registry: RegistryDouble):
    held = put(registry, "shop/web", "1", "2026-01-01T00:00:00Z")
    listed = inventory(registry.storage)
    assert len(await listed.of("shop", "", {})) == 1
    put(registry, "other/web", "1", "2026-01-02T00:00:00Z")
    (own,) = await listed.of("other", "web", {"other/web": {held: ("app spy",), "../../shop": ("app spy",)}})
    assert own.digest != held
    registry.storage.remove_manifest("shop/web", held)
    assert await listed.of("shop", "", {"shop/web": {held: ("app hello",)}}) == ()


async def test_what_was_deleted_and_is_in_use_was_not_pushed_in_1970(registry: RegistryDouble):
    held = put(registry, "shop/web", "", "2026-01-01T00:00:00Z")
    pushed = put(registry, "shop/web", "1", "2026-01-02T00:00:00Z")
    registry.storage.release("shop/web", held)
    found = await inventory(registry.storage).of("shop", "", {"shop/web": {held: ("app hello",)}})
    assert [(image.digest, image.deleted, image.pushed is None) for image in found] == [
        (pushed, False, False),
        (held, True, True),
    ]
    registry.storage.take_back("shop/web", held)
    (_, again) = await inventory(registry.storage).of("shop", "", {"shop/web": {held: ("app hello",)}})
    assert (again.deleted, again.pushed is None) == (False, False)


async def test_a_configuration_of_another_project_is_not_read(registry: RegistryDouble):
    put(registry, "bank/vault", "1", "2026-01-01T00:00:00Z")
    secret = digest(json.dumps({"created": "2026-01-01T00:00:00Z"}).encode())
    registry.push_manifest("shop/web", "1", {"config": {"digest": secret, "size": 10}})
    (spied,) = await inventory(registry.storage).of("shop", "", {})
    assert spied.created is None


async def test_a_folder_that_cannot_be_read_is_no_empty_list(registry: RegistryDouble, monkeypatch: pytest.MonkeyPatch):
    def fails(self: RegistryStorage, project: str) -> tuple[str, ...]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(RegistryStorage, "repositories", fails)
    with pytest.raises(Problem, match="cannot be read"):
        await inventory(registry.storage).of("shop", "", {})
    with pytest.raises(Problem, match="no image registry of its own"):
        await inventory(RegistryStorage()).of("shop", "", {})
