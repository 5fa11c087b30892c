"""An issuer for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from issuing import URL, Browser, Time

from pincompute.issuer.service import Service


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def service(tmp_path: Path, time: Time) -> Service:
    return Service.of(tmp_path, URL, time.clock)


@pytest.fixture
async def browser(service: Service) -> AsyncIterator[Browser]:
    made = Browser(service)
    async with made.client:
        yield made
