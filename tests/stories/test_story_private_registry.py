"""Images of a registry that asks for a password: two commands from a refused deploy to one that runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import private_registry
import pytest
import saved_image
from live_region import Region
from pincompute_sdk.images import image_archive
from pincompute_sdk.images.image_name import ImageName
from private_registry import HOST, PASSWORD, USER
from terminal_user import TerminalUser

REPOSITORY = "team/hello"
APP = f"""\
kind: App
name: guarded
replicas: 1
zones: [a]
terminationGracePeriod: 1s
containers:
- {{name: web, image: '{HOST}/{REPOSITORY}:{{version}}', args: ['8080'], resources: {{cpu: 10m, memory: 32Mi}}}}
"""


@pytest.fixture
def version(region: Region, shop: str, dev: TerminalUser, tmp_path: Path) -> Iterator[str]:
    """Of an image in a private registry. No node has it from an earlier run."""
    with dev.client() as pin:
        file = saved_image.save(pin, "hello:1", tmp_path / "hello.tar", called=f"{REPOSITORY}:1", marked="acme")
    image, version = image_archive.unpack(file, tmp_path).image(), str(time.time_ns())
    with private_registry.serving(region, "a", tmp_path, image, ImageName(REPOSITORY, version)):
        yield version
        dev.pin("delete", "guarded", "--yes", "--wait", status=None)
        dev.pin("registry", "logout", HOST, status=None)


def test_a_project_pulls_from_a_registry_with_its_login(region: Region, shop: str, dev: TerminalUser, version: str):
    """Without one the deploy fails at once and names the remedy."""
    dev.write("guarded.yaml", APP.replace("{version}", version))
    refused = dev.pin("deploy", "-f", "guarded.yaml", status=1)
    assert f"registry {HOST} asks for credentials" in refused.out + refused.err
    assert f"`pin registry login {HOST}`" in refused.out + refused.err

    dev.pin("registry", "login", HOST, "--user", USER, stdin=PASSWORD)
    dev.pin("deploy", "-f", "guarded.yaml")
    region.settled(shop, "guarded", replicas=1)
    assert "app guarded" in dev.pin("registry", "list").out
    assert "is used by app guarded" in dev.pin("registry", "logout", HOST, status=5).err
    for shown in (("registry", "list", "-o", "yaml"), ("secret", "list", "-o", "yaml"), ("status", "guarded", "-o", "yaml")):
        assert PASSWORD not in dev.pin(*shown).out
