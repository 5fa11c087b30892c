"""A fleet of a sidecar takes another version zone by zone, touches nothing else in the pods, and keeps every app's promise.

No sidecar ends for an image that its node has yet to pull. S-156, S-158, S-160, S-161, N1, N16.
"""

from __future__ import annotations

import random

import pytest
from sidecar_worlds import CASES

from pincompute.testing.laws import LAWS, Chance, uphold
from pincompute.testing.laws.simulation import Simulation


@pytest.mark.parametrize("name", CASES)
def test_a_fleet_takes_another_version(name: str) -> None:
    Simulation(CASES[name]).run()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    "name",
    [
        "another image reaches every pod",
        "an image that nobody has ends no sidecar",
        "a sidecar that is deleted leaves the pods that it selected",
    ],
)
def test_a_fleet_under_a_law(name: str, law: str) -> None:
    uphold(law, CASES[name], Chance(random.Random(0), few=2))
