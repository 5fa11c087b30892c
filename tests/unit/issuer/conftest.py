"""An issuer for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from issuer_fixtures import URL, Browser, Time

from pincompute.issuer.endpoints import IssuerService


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def service(tmp_path: Path, time: Time) -> IssuerService:
    return IssuerService(tmp_path, URL, time.clock)


@pytest.fixture
async def browser(service: IssuerService) -> AsyncIterator[Browser]:
    made = Browser(service)
    async with made.client:
        yield made
