"""What uses the images of a project, grouped by repository, without a long hold of the event loop."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from pincompute.api.daemons import PINDAEMONS, DaemonContainer, DaemonVersion, PinDaemon, PinDaemonSpec, PinDaemonStatus
from pincompute.api.meta import Key, ObjectMeta
from pincompute.api.revisions import PINREVISIONS
from pincompute.api.sidecars import PINSIDECARS, PinSidecar, PinSidecarSpec, SidecarContainer
from pincompute.api.workloads import PINAPPS
from pincompute.gateway.images import image_references
from pincompute.gateway.problems import Problem

A = "sha256:" + "a" * 64


def template(image: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "web", "image": image}]}}


class Reads:
    """Apps `a0`, `a1`, …, each with one former revision."""

    def __init__(self, apps: int) -> None:
        self.kinds = (SimpleNamespace(noun="app", workload=object(), resource=PINAPPS),)
        self.unreadable: dict[Any, tuple[Key, ...]] = {}
        self.clusters = SimpleNamespace(answers=lambda _: self.answers, trouble=lambda _: "it is away")
        self.answers = True
        self.sidecars, self.daemons = list[PinSidecar](), list[PinDaemon]()
        self._apps = [
            SimpleNamespace(
                metadata=SimpleNamespace(name=f"a{number}"),
                spec=SimpleNamespace(template=template(f"registry.internal/shop/web{number % 2}:1@{A}")),
            )
            for number in range(apps)
        ]

    def host(self, resource: Any) -> Any:
        unreadable = self.unreadable.get(resource, ())
        return SimpleNamespace(
            list=lambda *_: {PINSIDECARS: self.sidecars, PINDAEMONS: self.daemons}.get(resource, self._apps),
            unreadable=lambda project: [key for key in unreadable if key.namespace == project],
        )

    def revisions(self, _: Any) -> Any:
        return (SimpleNamespace(spec=SimpleNamespace(revision="v1", template=template("registry.internal/shop/web0:old"))),)


async def test_users_stand_by_repository_and_version():
    reads: Any = Reads(2)
    assert await image_references.of_project(reads, "shop") == {
        "shop/web0": {A: ("app a0",), "old": ("app a0, revision v1", "app a1, revision v1")},
        "shop/web1": {A: ("app a1",)},
    }


async def test_a_sidecar_of_the_platform_uses_its_image():
    reads: Any = Reads(1)
    container = SidecarContainer(image=f"registry.internal/shop/web0:2@{A}")
    reads.sidecars = [PinSidecar(metadata=ObjectMeta(name="meter"), spec=PinSidecarSpec(container=container))]
    assert (await image_references.of_project(reads, "shop"))["shop/web0"][A] == ("app a0", "sidecar meter")


async def test_a_daemon_of_the_platform_uses_its_image_and_those_of_its_history():
    reads: Any = Reads(1)
    now, before = (DaemonContainer(image=f"registry.internal/shop/web0:{tag}") for tag in ("3", "2"))
    status = PinDaemonStatus(history=(DaemonVersion(revision="d1", container=before),))
    reads.daemons = [PinDaemon(metadata=ObjectMeta(name="logs"), spec=PinDaemonSpec(container=now), status=status)]
    used = (await image_references.of_project(reads, "shop"))["shop/web0"]
    assert (used["3"], used["2"]) == (("daemon logs",), ("daemon logs",))


async def test_a_sidecar_that_cannot_be_read_may_use_any_image():
    reads: Any = Reads(1)
    reads.unreadable = {PINSIDECARS: (Key("", "odd"),)}
    with pytest.raises(Problem, match="odd cannot be read"):
        await image_references.of_project(reads, "shop")


async def test_other_requests_have_turns_while_many_workloads_are_read():
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    reads: Any = Reads(10 * image_references.PIECE)
    task = asyncio.create_task(other())
    await image_references.of_project(reads, "shop")
    task.cancel()
    assert turns >= 9


@pytest.mark.parametrize("resource", [PINAPPS, PINREVISIONS], ids=str)
async def test_what_cannot_be_read_is_not_unused(resource: Any):
    """It was passed over, so its image could be deleted while it ran."""
    reads: Any = Reads(1)
    reads.unreadable = {resource: (Key("shop", "odd"),)}
    for ask in (image_references.of_project, image_references.as_cached):
        with pytest.raises(Problem, match="shop/odd cannot be read"):
            await ask(reads, "shop")
        assert await ask(reads, "bank")


async def test_a_host_that_does_not_answer_decides_nothing():
    reads: Any = Reads(1)
    reads.answers = False
    with pytest.raises(Problem, match="no contact with the host: it is away"):
        await image_references.of_project(reads, "shop")
    assert await image_references.as_cached(reads, "shop")
