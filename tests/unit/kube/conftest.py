"""The torturing server, one for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hostile_server import HostileServer


@pytest.fixture
async def server() -> AsyncIterator[HostileServer]:
    async with HostileServer() as torture:
        yield torture
