"""Images of a project: imported from a file, pinned at deploy, listed and removed."""

from __future__ import annotations

import os

from live_region import Region
from saved_image import save
from terminal_user import TerminalUser

from pincompute.gateway.images.registry_storage import RegistryStorage

DAY = 86_400
TALKER = "registry.internal/talker:1"


def _imported(dev: TerminalUser, marked: str, tag: str) -> str:
    with dev.client() as pin:
        file = save(pin, TALKER, dev.home / f"{marked}.tar", called="example.com/team/web:1", marked=marked)
    return dev.pin("image", "import", file.name, "--tag", tag).out.strip()


def _running(region: Region, project: str) -> set[str]:
    return {placed.pod.spec.containers[0].image for placed in region.pods(project, "web")}


def test_an_imported_image_runs_until_another_is_deployed(region: Region, shop: str, dev: TerminalUser):
    """A tag that is pushed again and a mistyped tag change nothing that runs; a deploy and a rollback do."""
    with dev.client() as pin:
        file = save(pin, TALKER, dev.home / "first.tar", called="example.com/team/web:1", marked="first")
    said = dev.pin("image", "import", file.name)
    assert said.out == f"registry.internal/{shop}/web:1\n"
    again = dev.pin("image", "import", file.name)
    assert "the registry had all" in again.err
    container = f"{{name: web, image: '{said.out.strip()}'}}"
    content = f"kind: App\nname: web\nreplicas: 2\nterminationGracePeriod: 2s\ncontainers:\n- {container}\n"
    dev.write("web.yaml", content)
    dev.pin("deploy", "-f", "web.yaml")
    (first,) = _running(region, shop)
    assert first.startswith(f"registry.internal/{shop}/web:1@sha256:")

    assert _imported(dev, "second", "web:1") == said.out.strip()
    dev.pin("scale", "web", "3")
    assert len(region.pods(shop, "web")) == 3
    assert _running(region, shop) == {first}
    dev.write("wrong.yaml", content.replace("web:1", "web:l"))
    refused = dev.pin("deploy", "-f", "wrong.yaml", status=2)
    assert "the nearest tags are 1: push it, for example with `pin image build`" in refused.err

    deployed = dev.pin("deploy", "-f", "web.yaml")
    assert "web:1 changed its content" in deployed.out
    (second,) = _running(region, shop)
    assert second != first
    assert "@sha256" not in dev.pin("status", "web").out
    dev.pin("rollback", "web", "--yes")
    assert _running(region, shop) == {first}

    listed = dev.pin("image", "list", "web").out
    assert "app web, revision" in listed
    assert "app web" in dev.pin("image", "list", "-o", "yaml").out
    used = dev.pin("image", "rm", f"web@{second.partition('@')[2]}", "--yes", status=5)
    assert "app web, revision" in used.err
    _imported(dev, "third", "web:3")
    assert dev.pin("image", "rm", "web:3", "--yes").out.endswith("is deleted\n")
    assert "web:3" not in dev.pin("image", "list", "-o", "name").out
    assert "its tags are 1" in dev.pin("image", "rm", "web:3", "--yes", status=3).err

    _imported(dev, "fourth", "web:4")
    storage = RegistryStorage(region.home / "registry" / "data")
    unused = storage.read(f"{shop}/web").tags["4"]
    _imported(dev, "fifth", "web:4")
    for file in storage.folder.rglob("*"):
        if shop in file.parts or unused.partition(":")[2] in file.parts:
            os.utime(file, (file.stat().st_mtime - 3 * DAY,) * 2)
    stored = f"{shop}/web"
    region.eventually("the image that nothing uses is collected", lambda: unused not in storage.read(stored).manifests)
    left = storage.read(stored)
    assert {image.partition("@")[2] for image in (first, second)} | set(left.tags.values()) <= left.manifests.keys()
    dev.pin("deploy", "-f", "web.yaml")  # what is used can be pulled as before
    assert _running(region, shop) == {second}
