"""What the folder of the registry says, and that nothing goes that was written meanwhile."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from gateway.registry_double import RegistryDouble, digest

from pincompute.gateway.images.registry_storage import BLOCK, RegistryStorage

DAY = 86_400.0


@pytest.fixture
def registry(tmp_path: Path) -> RegistryDouble:
    return RegistryDouble(tmp_path)


def test_all_that_is_stored_counts_once(registry: RegistryDouble):
    first = registry.push("shop/web", "1", ("base", 1000), ("a", 10))
    second = registry.push("shop/web", "1", ("base", 1000), ("b", 20))  # takes the tag
    registry.push("shop/deep/api", "1", ("base", 1000))
    registry.push_layer("shop/web", digest(b"left"), 5)
    registry.push_layer("shop/web", f"sha512:{'0' * 128}", 7)
    registry.upload("shop/up", 3)
    registry.push("shop-a/web", "1", ("other", 10_000))
    registry.push("shop", "1", ("platform", 10_000))  # the platform's, beside a project of this name
    storage = registry.storage
    assert storage.repositories("shop") == ("shop/deep/api", "shop/up", "shop/web")
    manifests = {each: storage.size(each) for name in storage.repositories("shop") for each in storage.read(name).manifests}
    assert {first, second} < manifests.keys()
    assert contents(storage, "shop") == (1000 + 10 + 20 + 5 + 7 + 3 + sum(manifests.values()), 0)
    assert contents(storage, "absent") == (0, 0)
    assert storage.read("shop/web").tags == {"1": second}


def test_an_image_lost_its_tag_when_the_next_one_was_pushed(registry: RegistryDouble):
    now, pushed = time.time(), list[str]()
    for number, registry.age in enumerate((3 * DAY, 2 * DAY, DAY)):
        pushed.append(registry.push("shop/web", "1", (str(number), 1)))
    registry.age = 2.5 * DAY
    registry.push("shop/web", "old", ("0", 1))
    registry.push("shop/web", "old", ("1", 1))
    lost = registry.storage.read("shop/web").untagged
    assert {each: round((now - when) / DAY, 1) for each, when in lost.items()} == {pushed[0]: 2.0, pushed[1]: 1.0}


def test_what_was_written_later_stays(registry: RegistryDouble):
    registry.age = DAY
    pushed = registry.push("shop/web", "1", ("a", 1))
    storage, layer = registry.storage, digest(b"a")
    assert not storage.remove_manifest("shop/web", pushed, lambda written: written >= time.time() - 2 * DAY)
    assert not storage.remove_layer("shop/web", layer, lambda written: written >= time.time() - 2 * DAY)
    assert storage.read("shop/web").manifests.keys() == {pushed}
    assert storage.read("shop/web").layers.keys() == {layer}
    assert storage.remove_layer("shop/web", layer, lambda written: written >= time.time())
    assert storage.remove_manifest("shop/web", pushed, lambda written: written >= time.time())
    assert not storage.remove_manifest("shop/web", pushed)
    assert not storage.read("shop/web").manifests


def test_what_is_removed_counts_until_its_bytes_are_freed(registry: RegistryDouble):
    """Otherwise a project could push its limit, remove it, and push again."""
    storage, removed = registry.storage, registry.push("shop/web", "1", ("own", 100), ("base", 1000))
    registry.push("other/web", "1", ("base", 1000))
    size = storage.size(removed)
    storage.remove_manifest("shop/web", removed)
    for name in (b"own", b"base"):
        storage.remove_layer("shop/web", digest(name))
    assert contents(storage, "shop") == (0, size + 1100)
    assert storage.remove_blobs(time.time() - DAY) == 0
    assert contents(storage, "shop") == (0, size + 100)  # another project needs the rest
    assert storage.remove_blobs(time.time() + 1) == 0
    assert contents(storage, "shop") == (0, size + 100)  # set aside, and on the disk
    registry.push_layer("shop/web", digest(b"own"), 100)
    assert contents(storage, "shop") == (100, size)
    assert storage.remove_blobs(time.time() + 1) == size
    assert contents(storage, "shop") == (100, 0)


def test_a_later_project_of_the_name_does_not_count_what_a_former_one_removed(registry: RegistryDouble):
    registry.push_layer("shop/web", digest(b"own"), 100)
    registry.storage.remove_layer("shop/web", digest(b"own"))
    registry.storage.remove_project("shop")
    assert contents(registry.storage, "shop") == (0, 0)


def test_a_content_is_deleted_at_the_second_look_unless_something_names_it_then(registry: RegistryDouble):
    registry.age = 2 * DAY
    for name in ("gone", "again"):
        registry.push_layer("shop/web", digest(name.encode()), 100)
        registry.storage.remove_layer("shop/web", digest(name.encode()))
    registry.push_layer("hello", digest(b"platform"), 100)
    registry.age = 0
    registry.push_layer("shop/web", digest(b"young"), 100)
    registry.storage.remove_layer("shop/web", digest(b"young"))
    storage = registry.storage
    assert storage.remove_blobs(time.time() - DAY) == 0
    assert storage.size(digest(b"gone")) == 0
    link = registry.folder / "docker/registry/v2/repositories/shop/web/_layers" / digest(b"again").replace(":", "/") / "link"
    link.parent.mkdir(parents=True)
    link.write_text(digest(b"again"))  # by a push that had found the content before
    assert storage.remove_blobs(time.time() - DAY) == 100
    sizes = [storage.size(digest(name)) for name in (b"gone", b"again", b"platform", b"young")]
    assert sizes == [0, 100, 100, 100]


def test_a_folder_that_cannot_be_read_frees_nothing(registry: RegistryDouble, monkeypatch: pytest.MonkeyPatch):
    registry.age = 2 * DAY
    registry.push("shop/web", "1", ("a", 1))
    scandir = os.scandir

    def fails(folder: Path) -> object:
        if folder.name == "web":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", fails)
    with pytest.raises(PermissionError):
        registry.storage.remove_blobs(time.time())
    monkeypatch.undo()
    assert registry.storage.size(digest(b"a")) == 1


def test_the_repositories_of_a_project_go_and_the_platforms_stay(registry: RegistryDouble):
    registry.push("hello", "1", ("platform", 1))
    for name in ("hello/web", "hello/deep/api", "hello-a/web"):
        registry.push(name, "1", ("a", 1))
    storage = registry.storage
    assert storage.projects() == ("hello", "hello-a")
    storage.remove_project("hello")
    storage.clear()
    assert [registry.holds(name) for name in ("hello", "hello/web", "hello/deep/api", "hello-a/web")] == [
        True,
        False,
        False,
        True,
    ]


def test_one_process_changes_the_folder_at_a_time(registry: RegistryDouble):
    with registry.storage.locked() as first, registry.storage.locked() as second:
        assert (first, second) == (True, False)
    with registry.storage.locked() as again:
        assert again


def contents(storage: RegistryStorage, project: str) -> tuple[int, int]:
    """The bytes of contents that the project names, and of those that it removed."""
    found = storage.stored_bytes(project)
    return found.named, found.removed


def test_what_costs_no_content_counts_what_it_takes_of_the_disk(registry: RegistryDouble):
    """Two thousand tags on one manifest took 56 MiB and counted as 400 bytes."""
    for number in range(50):
        registry.push("shop/web", f"t{number}", ("own", 1))
        registry.push(f"shop/web{number}", "", (f"tiny{number}", 1))
    for number in range(5):
        registry.push("shop/web", "moved", (f"former{number}", 1))
    registry.upload("shop/web", 1)
    on_disk = sum(-(-file.lstat().st_size // BLOCK) * BLOCK if file.is_file() else BLOCK for file in registry.folder.rglob("*"))
    assert on_disk <= registry.storage.stored_bytes("shop").total <= 1.3 * on_disk
