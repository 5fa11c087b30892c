"""A program of one's own: from a folder with a Python web app to three zones, and on to the next version."""

from __future__ import annotations

import os
import re
import shutil
from urllib.request import urlopen

from live_region import Region
from pincompute_sdk.images.build import pip_settings
from terminal_user import TerminalUser

from pincompute.region import bundled_folders
from pincompute.region.build import binary_cache

BUILDING = 300.0  # seconds, of which packages of Debian take most when they are not kept yet


def builder(user: TerminalUser) -> TerminalUser:
    """The user on a machine whose pip reaches its index, and whose base is kept from run to run."""
    settings = {name: value for name, value in pip_settings.gather().environment.items() if name != "HOME"}
    return user.using(**settings, PINCOMPUTE_CACHE=str(binary_cache.cache_root(os.environ)))


def greetings(region: Region, project: str) -> set[str]:
    """What the pods in all zones say, before their names."""
    addresses = [found.pod.status.pod_ip for found in region.pods(project, "python-web") if found.ready]
    return {urlopen(f"http://{address}:8080/", timeout=10).read().decode().split(" from ")[0] for address in addresses}


def test_a_python_app_goes_from_a_folder_to_three_zones_and_on(region: Region, shop: str, dev: TerminalUser):
    ann, folder = builder(dev), dev.home / "python-web"
    shutil.copytree(bundled_folders.folder("examples") / "python-web", folder)
    (folder / "app.yaml").unlink(missing_ok=True)
    said = ann.pin("init", "python-web")
    assert "`pin image build python-web`, then `pin deploy python-web/app.yaml`" in said.out

    built = ann.pin("image", "build", "python-web", within=BUILDING)
    assert built.out == f"registry.internal/{shop}/python-web:1\n"
    assert "app.yaml names" in built.err
    ann.pin("deploy", "python-web/app.yaml", "--yes", within=BUILDING)
    assert region.spread(shop, "python-web") == {"a": 1, "b": 1, "c": 1}
    assert greetings(region, shop) == {"hello"}
    assert ann.pin("exec", "python-web", "--", "id", "-u").out.strip() == "65532"

    other = ann.pin("image", "build", "python-web", "--tag", "other:1")
    assert re.search(r"pushed \S+/other:1: [\d.]+ (B|KiB) uploaded, the registry had [\d.]+ MiB", other.err), other.err
    again = ann.pin("image", "build", "python-web")
    assert again.out == built.out
    assert "nothing has changed since version 1" in again.err
    edited = (folder / "app.py").read_text().replace("'hello'", "'good day'")
    (folder / "app.py").write_text(edited)
    built = ann.pin("image", "build", "python-web")
    assert built.out == f"registry.internal/{shop}/python-web:2\n"
    assert "the registry had" in built.err
    ann.pin("deploy", "python-web/app.yaml", "--yes", within=BUILDING)
    assert greetings(region, shop) == {"good day"}
    environment = ann.pin("exec", "python-web", "--", "env").out
    assert "PORT=8080" in environment
    assert "PIP_" not in environment
