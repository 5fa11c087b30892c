"""What faults of the gateway begin with, and what each must leave behind."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from live_region import Region
from terminal_user import TerminalUser, talker


@pytest.fixture(scope="module")
def running(dev: TerminalUser, shop: str) -> str:
    """The project in which the app `talker` runs."""
    dev.write("app.yaml", talker())
    dev.pin("deploy", "-f", "app.yaml")
    return shop


@pytest.fixture
def calm(region: Region, dev: TerminalUser) -> Generator[None, None, None]:
    """Afterwards every program runs, and the gateway is there again and knows the user."""
    yield
    region.all_ready()
    region.eventually("the gateway answers", lambda: dev.pin("whoami", status=None).status == 0)
