"""The torturing server, one for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from torture import Torture


@pytest.fixture
async def server() -> AsyncIterator[Torture]:
    async with Torture() as torture:
        yield torture
