"""A daemon reaches every node zone by zone within its account, is undone when it fails, and outlives what goes wrong (N1)."""

from __future__ import annotations

import random

import pytest
from daemon_worlds import CASES, histories
from hypothesis import HealthCheck, Phase, given, settings
from mutants import planted

from pincompute.domain import daemon_rollout
from pincompute.testing.laws import LAWS, Broken, Case, Chance, uphold
from pincompute.testing.laws.simulation import Simulation

HISTORIES, MANY = 40, 3000  # in the quick profile, and in the deep one


@pytest.mark.parametrize("name", CASES)
def test_a_daemon(name: str) -> None:
    Simulation(CASES[name]).run()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    "name",
    ["another version reaches every node, zone by zone", "an image that nobody has stops in the first zone and is undone"],
)
def test_a_daemon_under_a_law(name: str, law: str) -> None:
    uphold(law, CASES[name], Chance(random.Random(0), few=2))


@pytest.mark.parametrize("patient", [True, False])
def test_any_history(patient: bool, law_profile: str) -> None:
    @settings(max_examples=HISTORIES if law_profile == "quick" else MANY)
    @given(case=histories())
    def holds(case: Case) -> None:
        Simulation(case, patient=patient).run()

    holds()


BUGS = {
    "forgets the nodes that others lack": ("max(member.down, member.held)", "member.held"),
    "begins before every member has said how many nodes it has": (" and not unknown)", ")"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_is_caught(bug: str) -> None:
    """A fixed case notices each, or else some history."""

    @settings(
        max_examples=300,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=histories())
    def holds(case: Case) -> None:
        Simulation(case, patient=False).run()

    def all_hold() -> None:
        for case in CASES.values():
            Simulation(case).run()
        holds()

    with planted(daemon_rollout, BUGS[bug]), pytest.raises(Broken):
        all_hold()
