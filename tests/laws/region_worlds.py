"""Generates regions: members in zones, with much or little room, fast or slow, with apps and pods of all tiers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, partial

import promised_availability
import region_checks
from hypothesis import strategies as st
from kubelets import Kubelets
from region_edits import CRAMPED, ROOMY, AppEdit, Edit, PodEdit, apply, begin

from pincompute.api.kinds import KINDS
from pincompute.api.labels import HOST, LOCAL
from pincompute.federation import federation_process as federation
from pincompute.federation.project import project_namespaces
from pincompute.federation.scheduling import scheduling_queue
from pincompute.federation.workload import workload_controller as workload
from pincompute.federation.workload import workload_model
from pincompute.operator import operator_process as operator
from pincompute.operator.replicas.replicas_controller import INDEXES
from pincompute.testing.laws import Case, Scenario, SimulatedProcess, SimulatedWorld

NOBODY = 9


@dataclass(frozen=True)
class Hardship:
    """PinPods beside the apps, whether the nodes are cramped, the number of the member whose caches are behind, and how slow
    kubelets are."""

    pods: dict[str, PodEdit] = field(default_factory=dict)
    cramped: bool = False
    slow: int = NOBODY
    kubelets: Kubelets = Kubelets()  # noqa: RUF009 - immutable


TIERS = ("OnDemand", "Reserved", "Preemptible")
OF_WORKLOADS = {
    kind.workload: {**scheduling_queue.INDEXES[kind.workload], **workload_model.INDEXES[kind.workload]} for kind in KINDS
}
ALL_INDEXES = {**INDEXES, **workload.INDEXES, **project_namespaces.INDEXES, **OF_WORKLOADS}


def processes(members: tuple[str, ...]) -> tuple[SimulatedProcess, ...]:
    return (
        SimulatedProcess(federation.CONTROLLERS, {name: name for name in (HOST, *members)}),
        *(SimulatedProcess(operator.CONTROLLERS, {LOCAL: member}) for member in members),
    )


tiers = st.sampled_from(TIERS)
limits = st.sampled_from((None, None, 0, 1, 2, "50%"))
apps = st.builds(AppEdit, st.integers(0, 4), tiers, limits, limits, st.booleans()).filter(
    lambda app: (app.unavailable, app.surge) != (0, 0)
)
pods = st.builds(PodEdit, st.sampled_from(("Always", "Never", "OnFailure")), tiers)
calm = st.one_of(
    st.builds(Edit, st.just("submit"), st.sampled_from(("web", "db")), st.integers(0, 4)),
    st.builds(Edit, st.just("scale"), st.just("web"), st.integers(0, 6)),
    st.builds(Edit, st.sampled_from(("image", "env")), st.just("web"), st.integers(1, 3)),
    st.builds(Edit, st.sampled_from(("pause", "resume")), st.just("web")),
    st.builds(Edit, st.just("delete"), st.just("web")),
    st.builds(Edit, st.just("delete pod"), st.just("one")),
    st.builds(Edit, st.just("kill"), st.just(""), st.integers(0, 2)),
    st.builds(Edit, st.sampled_from(("crash", "drain")), st.just(""), st.integers(0, 5)),
    st.builds(Edit, st.just("bad image"), st.just("web")),
)
stormy = st.builds(
    Edit, st.sampled_from(("cordon", "leave", "silence", "restore", "lose node")), st.just(""), st.integers(0, 5)
)
HISTORY = ("submit", "kill", "crash", "drain", "bad image", "lose node", "leave", "silence", "cordon", "delete pod")
"""After these it matters how far the controllers have got."""


def mended(edits: list[Edit], *, storms: bool) -> tuple[Edit, ...]:
    """The edits, and what brings the region back to where it can come to rest as it should."""
    done = {edit.what for edit in edits}
    resumed = (Edit("resume"),) if "pause" in done else ()
    repaired = (Edit("image", number=2),) if "bad image" in done else ()
    restored = (Edit("restore"),) if storms or "drain" in done else ()
    return (*edits, *resumed, *repaired, *restored)


def promised(world: SimulatedWorld, *, cramped: bool) -> None:
    promised_availability.check(world, cramped=cramped)
    region_checks.check_ready_counts(world, world.changes[-1].cluster)


PLAIN = Hardship()
hardships = st.one_of(
    st.just(PLAIN),
    st.builds(
        Hardship,
        st.dictionaries(st.just("one"), pods, max_size=1),
        st.booleans(),
        st.sampled_from((NOBODY, NOBODY, NOBODY, 0, 1)),
        st.builds(Kubelets, st.sampled_from((0.0, 0.0, 2.0, 8.0)), st.sampled_from((0.0, 0.0, 3.0))),
    ),
)
memberships = st.sampled_from((("a1",), ("a1", "b1"), ("a1", "b1", "c1"), ("a1", "a2", "b1")))
beginnings = st.dictionaries(st.sampled_from(("web", "db")), apps, min_size=1, max_size=2)


@lru_cache
def edits_of(*, storms: bool, most: int) -> st.SearchStrategy[list[Edit]]:
    return st.lists(st.one_of(calm, stormy) if storms else calm, max_size=most)


@st.composite
def regions(draw: st.DrawFn, *, storms: bool = False, most: int = 3, sure: tuple[Edit, ...] = ()) -> Case:
    """Members in zones with apps and pods in them, and up to `most` edits; with storms also members that go silent or leave,
    and nodes that are lost. `sure` are edits that certainly happen, last."""
    members = draw(memberships)
    started = draw(beginnings)
    edits = draw(edits_of(storms=storms, most=most))
    edits = [*edits, *sure]
    hardship = draw(hardships)
    single, cramped, kubelets = hardship.pods, hardship.cramped, hardship.kubelets
    slow = () if cramped else members[hardship.slow : hardship.slow + 1]  # room that is seen late is promised twice
    steps = mended(edits, storms=storms)
    scenario = Scenario(
        (HOST, *members),
        partial(begin, members=members, apps=started, pods=single, room=CRAMPED if cramped else ROOMY, slow=slow),
        tuple(partial(apply, edit=edit, members=members) for edit in steps),
        kubelets.tick,
        region_checks.invariant,
        (lambda _world: None) if storms else partial(region_checks.goal, even=not cramped),
        partial(promised, cramped=cramped),
        region_checks.outcome,
    )
    history_free = hardship == PLAIN and not any(e.what in HISTORY for e in edits)
    return Case(processes(members), scenario, ALL_INDEXES, collapses=history_free)
