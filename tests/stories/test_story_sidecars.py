"""A sidecar of the platform: written by an administrator, injected into a user's app, and updated without touching the app."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from live_region import Region
from terminal_user import IMAGES, TerminalUser, talker

from pincompute.api.builtin import PODS, Pod
from pincompute.api.labels import APP
from pincompute.api.revisions import PINREVISIONS
from pincompute.api.sidecars import PINSIDECARS
from pincompute.domain import image_pinning

USER, NAME = "metered", "meter"
CONTAINER = f"platform-{NAME}"
SIDECAR = """\
kind: Sidecar
name: meter
description: counts requests
container:
  image: registry.internal/hello:{version}
  args: ["9090"]
  cpu: 10m
  memory: 16Mi
update: {{strategy: ZoneByZone, bakeSeconds: 1}}
"""
WITHOUT = talker(USER)
WITH = f"{WITHOUT}sidecars: [{NAME}]\n"


@pytest.fixture
def metered(dev: TerminalUser, admin: TerminalUser, shop: str) -> Iterator[str]:
    yield shop
    dev.pin("delete", USER, "--yes", "--wait", status=None)
    admin.pin("admin", "sidecar", "delete", NAME, "--yes", status=None)


def pods(region: Region, project: str) -> list[Pod]:
    found = [pod for member in region.members.values() for pod in member.list(PODS, project)]
    return [pod for pod in found if pod.metadata.labels.get(APP) == USER and not pod.deleting]


def mains(region: Region, project: str) -> dict[str, tuple[str, object, int]]:
    """The containers of the user: their ids, since when they run, and how often they were restarted."""
    return {
        f"{pod.metadata.uid}/{status.name}": (
            status.container_id,
            status.state.running if status.state else None,
            status.restart_count,
        )
        for pod in pods(region, project)
        for status in pod.status.container_statuses
    }


def sidecar_ids(region: Region, project: str) -> dict[str, str]:
    """The containers of the sidecar, by pod (S-158: none ends for an image that its node cannot pull)."""
    return {
        pod.metadata.uid: status.container_id
        for pod in pods(region, project)
        for status in pod.status.init_container_statuses
        if status.name == CONTAINER
    }


def images(region: Region, project: str) -> set[str]:
    """What the sidecars are asked to run, by the names that people write."""
    return {
        image_pinning.unpinned(c.image)
        for pod in pods(region, project)
        for c in pod.spec.init_containers
        if c.name == CONTAINER
    }


def test_a_fleet_takes_another_version_and_the_mains_do_not_notice(
    region: Region, dev: TerminalUser, admin: TerminalUser, metered: str
) -> None:
    """N16, S-168: injected by name, shown as the platform's, updated zone by zone, undone when it fails, never cut in use."""
    admin.write("meter.yaml", SIDECAR.format(version=1))
    dev.write("app.yaml", WITH)
    refused = dev.pin("deploy", "-f", "app.yaml", status=2)
    assert f'sidecar "{NAME}" does not exist' in refused.err
    assert dev.pin("admin", "sidecar", "list", status=None).status != 0
    admin.pin("admin", "sidecar", "apply", "-f", "meter.yaml", within=60)
    dev.pin("deploy", "-f", "app.yaml", within=120)
    shown = dev.pin("status", USER).out
    assert f"{CONTAINER}  platform" in shown
    assert NAME not in dev.pin("status", USER, "-o", "jsonpath={.containers}").out
    in_use = admin.pin("admin", "sidecar", "delete", NAME, "--yes", status=None)
    assert f"is in use by {metered}/{USER}" in in_use.err

    before, revisions = mains(region, metered), len(region.host.list(PINREVISIONS, metered))
    admin.write("meter.yaml", SIDECAR.format(version=2))
    done = admin.pin("admin", "sidecar", "apply", "-f", "meter.yaml", within=120)
    assert "Complete" in done.out
    assert images(region, metered) == {"registry.internal/hello:2"}
    assert mains(region, metered) == before
    assert len(region.host.list(PINREVISIONS, metered)) == revisions

    admin.write("meter.yaml", SIDECAR.format(version="none"))
    refused = admin.pin("admin", "sidecar", "apply", "-f", "meter.yaml", status=None)
    assert refused.status != 0
    assert "container.image" in refused.err
    assert "hello:none" in refused.err

    running = sidecar_ids(region, metered)
    region.host.change(PINSIDECARS, "", NAME, {"spec": {"container": {"image": "registry.internal/hello:unpushed"}}})

    def is_undone() -> bool:
        said = admin.pin("admin", "sidecar", "status", NAME).out
        return "RolledBack" in said and "hello:unpushed of meter cannot be pulled" in said

    region.eventually("an image that cannot be pulled is undone", is_undone)
    assert sidecar_ids(region, metered) == running

    region.run("region", "image", "build", str(IMAGES / "faulty"), "--tag", "hello:faulty")  # it starts as root
    admin.write("meter.yaml", SIDECAR.format(version=2).replace("hello:2", "hello:faulty"))
    undone = admin.pin("admin", "sidecar", "apply", "-f", "meter.yaml", status=1, within=120)
    assert "RolledBack" in undone.out
    assert images(region, metered) == {"registry.internal/hello:2"}
    assert mains(region, metered) == before

    dev.write("app.yaml", WITHOUT)
    dev.pin("deploy", "-f", "app.yaml", "--yes", within=120)
    region.eventually("no pod has it", lambda: not images(region, metered))
    region.eventually("it can go", lambda: admin.pin("admin", "sidecar", "delete", NAME, "--yes", status=None).status == 0)


def test_the_names_of_the_platform_are_refused(dev: TerminalUser, shop: str) -> None:
    """A container of the user cannot pass for one of the platform."""
    dev.write("app.yaml", talker("forged").replace("name: web,", "name: platform-meter,"))
    refused = dev.pin("deploy", "-f", "app.yaml", status=2)
    assert "names that begin with platform- are those of the platform's sidecars" in refused.err
