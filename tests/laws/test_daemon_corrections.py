"""A daemon's version that fails in a later zone can be corrected and taken back, whatever is held there (N1)."""

from __future__ import annotations

from functools import partial

import pytest
from daemon_worlds import FIRST, SECOND, THIRD, WRITE, DaemonEdit, case, losses, others, rests, serves
from hypothesis import given, settings
from hypothesis import strategies as st
from kubelets import BAD_IN_B, CRASHING

from pincompute.testing.laws import Case
from pincompute.testing.laws.simulation import Simulation

HISTORIES, MANY = 15, 1000  # in the quick profile, and in the deep one
FAILS_IN_B = DaemonEdit("write", image=BAD_IN_B)
CORRECTED = {
    "a held version is corrected": case(FAILS_IN_B, WRITE, goal=partial(serves, SECOND, "Complete"), onFailure="Hold"),
    "a held version is taken back by hand": case(
        FAILS_IN_B, DaemonEdit("write", image=FIRST), goal=partial(serves, FIRST, "Complete"), onFailure="Hold"
    ),
    "one that is undone by itself": case(FAILS_IN_B, goal=partial(serves, FIRST, "RolledBack")),
}


@pytest.mark.parametrize("name", CORRECTED)
def test_a_correction(name: str) -> None:
    Simulation(CORRECTED[name]).run()


written = st.builds(DaemonEdit, st.just("write"), image=st.sampled_from((SECOND, THIRD, BAD_IN_B, CRASHING)))


@st.composite
def histories(draw: st.DrawFn) -> Case:
    """Versions of which some fail in a later zone, held or undone; in the end a good one is written."""
    edits = draw(st.lists(st.one_of(written, losses, others), min_size=1, max_size=4))
    last = (DaemonEdit("resume"), DaemonEdit("heal"), DaemonEdit("write", image="hello:4"))
    given_up = draw(st.sampled_from(("Hold", "Rollback")))
    return case(*edits, *last, goal=rests, onFailure=given_up, maxUnavailable=draw(st.integers(1, 3)))


@pytest.mark.parametrize("patient", [True, False])
def test_any_history_of_corrections(patient: bool, law_profile: str) -> None:
    @settings(max_examples=HISTORIES if law_profile == "quick" else MANY)
    @given(case=histories())
    def holds(case: Case) -> None:
        Simulation(case, patient=patient).run()

    holds()
