from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from workload_gateway import Running, running


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as found:
        yield found
