"""The sum of a project's image bytes: remembered for seconds, and never waited for long."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from gateway.registry_double import RegistryDouble
from gateway.served_gateway import WITHIN

from pincompute.domain.registry_access import Access
from pincompute.gateway.images import image_limit, stored_bytes
from pincompute.gateway.images.registry_storage import ImageBytes, RegistryStorage
from pincompute.gateway.images.stored_bytes import FRESH, StoredBytes
from pincompute.gateway.problems import Problem


async def contents(stored: StoredBytes, project: str) -> tuple[int, int]:
    found = await stored.of(project)
    assert found is not None
    return found.named, found.removed


async def test_a_sum_is_remembered_for_seconds_and_until_something_is_deleted(tmp_path: Path):
    registry, clock = RegistryDouble(tmp_path), 0.0
    stored = StoredBytes(registry.storage, now=lambda: clock)
    registry.push_layer("shop/web", "sha256:" + "a" * 64, 10)
    assert await contents(stored, "shop") == (10, 0)
    assert await contents(stored, "absent") == (0, 0)
    registry.push_layer("shop/web", "sha256:" + "b" * 64, 1)
    assert await contents(stored, "shop") == (10, 0)
    clock = FRESH
    assert await contents(stored, "shop") == (11, 0)
    registry.storage.remove_layer("shop/web", "sha256:" + "a" * 64)
    stored.outdate("shop")
    assert await contents(stored, "shop") == (1, 10)
    assert await StoredBytes(RegistryStorage()).of("shop") is None


async def test_nobody_waits_long_and_a_sum_that_takes_long_counts_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stored_bytes, "PATIENCE", 0.01)
    registry, goes_on, sum_up = RegistryDouble(tmp_path), threading.Event(), RegistryStorage.stored_bytes
    registry.push_layer("shop/web", "sha256:" + "a" * 64, 10)

    def slow(self: RegistryStorage, project: str) -> ImageBytes:
        goes_on.wait(WITHIN)
        return sum_up(self, project)

    monkeypatch.setattr(RegistryStorage, "stored_bytes", slow)
    stored = StoredBytes(registry.storage)
    assert await stored.of("shop") is None
    assert await stored.of("shop") is None
    goes_on.set()
    async with asyncio.timeout(WITHIN):
        while await stored.of("shop") is None:  # noqa: ASYNC110 - the sum is another task's
            await asyncio.sleep(0.01)
    await stored.close()


async def test_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(self: RegistryStorage, project: str) -> ImageBytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(RegistryStorage, "stored_bytes", fails)
    assert await StoredBytes(RegistryDouble(tmp_path).storage).of("shop") is None


class Limits:
    def allowed(self, _project: str) -> dict[str, int]:
        return {"images": 10}


async def test_the_last_sum_counts_until_there_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A deletion, also one that was only judged, dropped the sum, and without one every push was allowed."""
    monkeypatch.setattr(stored_bytes, "PATIENCE", 0.01)
    registry, fails, sum_up = RegistryDouble(tmp_path), False, RegistryStorage.stored_bytes
    registry.push_layer("shop/web", "sha256:" + "a" * 64, 10)

    def sometimes(self: RegistryStorage, project: str) -> ImageBytes:
        if fails:
            raise OSError(5, "Input/output error")
        return sum_up(self, project)

    monkeypatch.setattr(RegistryStorage, "stored_bytes", sometimes)
    stored, limits = StoredBytes(registry.storage), Limits()

    async def push() -> str:
        given: Any = limits
        with pytest.raises(Problem) as refused:
            await image_limit.judge([Access("shop/web", "push")], given, stored)
        return refused.value.code

    assert await push() == "limit-exceeded"
    fails = True
    stored.outdate("shop")
    assert await push() == "limit-exceeded"
    stored = StoredBytes(registry.storage)
    assert await push() == "unavailable"
