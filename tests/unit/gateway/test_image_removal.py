"""Which images the gateway deletes, and which it refuses to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway.registry_double import RegistryDouble, digest, quiet, quiet_gateway
from gateway.served_gateway import Running

from pincompute.api.workloads import PINAPPS
from pincompute.gateway.images import image_removal
from pincompute.gateway.images.image_inventory import ImageInventory, ImageUser, StoredImage
from pincompute.gateway.images.image_leases import ImageLeases
from pincompute.gateway.images.image_removal import NamedImages, RemovalTarget
from pincompute.gateway.images.registry_storage import Pushed, Released
from pincompute.gateway.problems import Problem
from pincompute.gateway.workloads.object_writer import ObjectWriter

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def image(digest: str, *tags: str, used: str = "", by_tag: str = "") -> StoredImage:
    users = (ImageUser(name=used, tag=by_tag),) if used else ()
    return StoredImage(name="web", image="registry.internal/shop/web", digest=digest, tags=tags, used_by=users)


USED, FREE = image(A, "1", "stable", used="app hello"), image(B, "2")
PULLED = image(A, "1", "stable", used="app other", by_tag="1")
ALONE = image(A, "1", used="app hello, revision v1")

# what is there, the tag and the digest that are named: what is deleted, or a part of the refusal
CASES = {
    "a tag of an image that nothing uses": ((USED, FREE), "2", "", [RemovalTarget(B, ("2",))]),
    "one name of several of a used image": ((USED, FREE), "stable", "", [RemovalTarget(A, ("stable",), whole=False)]),
    "the only name of a used image": ((ALONE, FREE), "1", "", "shop/web:1 is in use: used by app hello, revision v1"),
    "one name of several that a workload pulls": ((PULLED, FREE), "1", "", "used by app other by tag 1"),
    "one name of several beside the one that a workload pulls": (
        (PULLED, FREE),
        "stable",
        "",
        [RemovalTarget(A, ("stable",), whole=False)],
    ),
    "all images, of which one is pulled by tag": ((PULLED, FREE), "", "", "used by app other by tag 1"),
    "a used image by its digest": ((USED, FREE), "", A, "used by app hello"),
    "all images, of which one is used": ((USED, FREE), "", "", "used by app hello"),
    "all images": ((FREE, image(A, "3")), "", "", [RemovalTarget(B, ("2",)), RemovalTarget(A, ("3",))]),
    "a tag that is not there": ((USED, FREE), "9", "", "there is no image shop/web:9; its tags are 1, stable, 2"),
    "a tag with another digest": ((USED, FREE), "2", A, "its tags are 1, stable, 2"),
}


@pytest.mark.parametrize(("there", "tag", "digest", "expected"), CASES.values(), ids=CASES)
def test_what_is_used_stays(there: tuple[StoredImage, ...], tag: str, digest: str, expected: list[RemovalTarget] | str):
    wanted = NamedImages("shop", "web", tag, digest)
    if isinstance(expected, str):
        with pytest.raises(Problem) as refusal:
            image_removal.targets(there, wanted)
        assert expected in refusal.value.detail
    else:
        assert list(image_removal.targets(there, wanted)) == expected


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Running, RegistryDouble]]:
    async with quiet_gateway(tmp_path, monkeypatch) as found:
        yield found


async def rm(gateway: Running, query: str = "") -> tuple[int, Any]:
    status, body, _ = await gateway.ask("alice", "DELETE", f"/v1/projects/shop/images?name=web{query}")
    return status, body


async def deploy(gateway: Running) -> tuple[int, Any]:
    body = {"kind": "App", "name": "hello", "containers": [{"name": "web", "image": "registry.internal/shop/web:1"}]}
    status, answer, _ = await gateway.ask("dan", "POST", "/v1/projects/shop/apps", body)
    return status, answer


async def test_what_a_deploy_resolved_stays_until_the_workload_is_stored(
    served: tuple[Running, RegistryDouble], monkeypatch: pytest.MonkeyPatch
):
    """The digest was resolved, and then the image was deleted: the app was accepted and could not start."""
    gateway, registry = served
    registry.push("shop/web", "1", ("own", 10))
    answers, create = list[tuple[int, Any]](), ObjectWriter.create

    async def slow(self: ObjectWriter, *given: Any) -> Any:
        answers.append(await rm(gateway))
        return await create(self, *given)

    monkeypatch.setattr(ObjectWriter, "create", slow)
    assert (await deploy(gateway))[0] == 201
    ((status, refused),) = answers
    assert (status, "used by a deploy that is under way" in refused["detail"]) == (409, True)
    assert "used by app hello" in (await rm(gateway))[1]["detail"]
    assert registry.holds("shop/web")


async def test_a_deploy_that_comes_while_its_image_is_deleted_is_refused(
    served: tuple[Running, RegistryDouble], monkeypatch: pytest.MonkeyPatch
):
    gateway, registry = served
    registry.push("shop/web", "1", ("own", 10))
    inventory, deploys = ImageInventory.of, list[asyncio.Task[tuple[int, Any]]]()
    resolved, taken = asyncio.Event(), ImageLeases.taken

    def noted(self: ImageLeases, wanted: Any) -> Any:
        resolved.set()
        return taken(self, wanted)

    async def during(self: ImageInventory, *given: Any) -> Any:
        found = await inventory(self, *given)
        deploys.append(asyncio.create_task(deploy(gateway)))
        await resolved.wait()
        return found

    monkeypatch.setattr(ImageLeases, "taken", noted)
    monkeypatch.setattr(ImageInventory, "of", during)
    assert (await rm(gateway))[0] == 200
    status, refused = await deploys[0]
    assert (status, refused["errors"][0]["field"]) == (422, "containers[0].image")


async def test_a_write_that_the_cache_does_not_show_yet_counts(
    served: tuple[Running, RegistryDouble], monkeypatch: pytest.MonkeyPatch
):
    """Another gateway made it."""
    gateway, registry = served
    registry.push("shop/web", "1", ("own", 10))
    assert (await deploy(gateway))[0] == 201
    monkeypatch.setattr(gateway.gateway.clusters.cache("host", PINAPPS), "list", lambda _: ())
    assert "used by app hello" in (await rm(gateway))[1]["detail"]


async def test_a_tag_that_moved_since_the_judgement_stays(
    served: tuple[Running, RegistryDouble], monkeypatch: pytest.MonkeyPatch
):
    gateway, registry = served
    first = registry.push("shop/web", "latest", ("one", 10))
    inventory = ImageInventory.of

    async def outdated(self: ImageInventory, *given: Any) -> Any:
        found = await inventory(self, *given)
        registry.push("shop/web", "latest", ("two", 10))
        return found

    monkeypatch.setattr(ImageInventory, "of", outdated)
    assert (await rm(gateway, "&digest=" + first))[1]["items"] == [f"registry.internal/shop/web@{first}"]
    stored = registry.storage.read("shop/web")
    assert (stored.manifests.keys(), stored.tags.keys()) == (set(stored.tags.values()), {"latest"})
    assert first not in stored.manifests


async def test_a_deletion_cuts_no_push_that_found_a_part(served: tuple[Running, RegistryDouble]):
    """What a push may have found goes when no push can be under way; what it needed then stays, and counts again."""
    gateway, registry = served
    registry.age = 7200.0
    first = registry.push("shop/web", "1", ("base", 100), ("own", 10))
    registry.push("shop/web", "2", ("other", 1))
    assert (await gateway.ask("dan", "GET", "/v1/registry/token?scope=repository:shop/web:pull,push"))[0] == 200
    assert (await rm(gateway, "&tag=1"))[0] == 200
    _, listed, _ = await gateway.ask("vera", "GET", "/v1/projects/shop/images?name=web")
    assert [image["tags"] for image in listed["items"]] == [["2"]]
    stored = registry.storage.read("shop/web")
    base, own = digest(b"base"), digest(b"own")
    assert (stored.manifests[first], stored.layers[base], stored.layers[own]) == (Released(), Released(), Released())
    assert registry.storage.stored_bytes("shop").removed == 110 + registry.storage.size(first)
    registry.push_manifest("shop/web", "3", {"layers": [{"digest": base, "size": 100}]})
    quiet(registry)
    await gateway.gateway.garbage_collector.collect()
    stored = registry.storage.read("shop/web")
    assert (first in stored.manifests, base in stored.layers, own in stored.layers) == (False, True, False)
    assert isinstance(stored.layers[base], Pushed)


async def test_without_a_folder_for_leases_nothing_is_deleted_and_deploys_go_on(served: tuple[Running, RegistryDouble]):
    gateway, registry = served
    registry.push("shop/web", "1", ("own", 10))
    (registry.folder / "pincompute/leases").write_text("as a disk that is full")
    status, refused = await rm(gateway)
    assert (status, "folder of the image registry cannot be changed" in refused["detail"]) == (503, True)
    assert registry.holds("shop/web")
    assert (await deploy(gateway))[0] == 201
