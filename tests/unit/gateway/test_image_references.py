"""What uses the images of a project, grouped by repository, without a long hold of the event loop."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from pincompute.gateway.images import image_references

A = "sha256:" + "a" * 64


def template(image: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "web", "image": image}]}}


class Reads:
    """Apps `a0`, `a1`, …, each with one former revision."""

    def __init__(self, apps: int) -> None:
        self.kinds = (SimpleNamespace(noun="app", workload=object(), resource=None),)
        self._apps = [
            SimpleNamespace(
                metadata=SimpleNamespace(name=f"a{number}"),
                spec=SimpleNamespace(template=template(f"registry.internal/shop/web{number % 2}:1@{A}")),
            )
            for number in range(apps)
        ]

    def host(self, _: Any) -> Any:
        return SimpleNamespace(list=lambda _: self._apps)

    def revisions(self, _: Any) -> Any:
        return (SimpleNamespace(spec=SimpleNamespace(revision="v1", template=template("registry.internal/shop/web0:old"))),)


async def test_users_stand_by_repository_and_version():
    reads: Any = Reads(2)
    assert await image_references.of_project(reads, "shop") == {
        "shop/web0": {A: ("app a0",), "old": ("app a0, revision v1", "app a1, revision v1")},
        "shop/web1": {A: ("app a1",)},
    }


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
