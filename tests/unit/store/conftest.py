"""Every test of the store runs against both databases, the real ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from postgresql_server import PostgresServer

DATABASES = ("sqlite", pytest.param("postgresql", marks=pytest.mark.programs))
_numbers = count(1)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    server = PostgresServer()
    server.start()
    yield server
    server.stop()
    server.remove()


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/history.db"
    server: PostgresServer = request.getfixturevalue("postgresql")
    return server.create(f"test{next(_numbers)}")
