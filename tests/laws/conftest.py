"""Two profiles: quick, derandomised, for every run; deep with `--law-profile deep` or LAW_PROFILE=deep."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.large_base_example)
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)

settings.register_profile(
    "quick", max_examples=150, derandomize=True, deadline=None, database=None, suppress_health_check=SLOW, phases=PHASES
)
settings.register_profile(
    "deep", max_examples=3000, deadline=None, database=None, suppress_health_check=SLOW, phases=PHASES, print_blob=True
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--law-profile", choices=("quick", "deep"), default=None)


@pytest.fixture(scope="session", autouse=True)
def law_profile(request: pytest.FixtureRequest) -> str:
    chosen: str | None = request.config.getoption("--law-profile", default=None)  # absent when run from the whole tree
    profile = chosen or os.environ.get("LAW_PROFILE", "quick")
    settings.load_profile(profile)
    return profile
