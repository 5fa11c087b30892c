"""Generates regions: members in zones, with much or little room, fast or slow, with apps and pods of all tiers."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import promised_availability
import region_checks
from hypothesis import strategies as st
from kubelets import Kubelets
from region_edits import CRAMPED, ROOMY, AppEdit, Edit, PodEdit, apply, begin

from pincompute.api.labels import HOST, LOCAL
from pincompute.api.meta import Resource
from pincompute.federation import federation_process as federation
from pincompute.federation.project import project_namespaces
from pincompute.federation.scheduling import scheduling_queue
from pincompute.federation.settings import setting_references
from pincompute.federation.sidecar import sidecar_references
from pincompute.federation.workload import workload_controller as workload
from pincompute.operator import operator_process as operator
from pincompute.testing.laws import Case, Scenario, SimulatedProcess, SimulatedWorld
from pincompute.testing.laws.simulated_world import Indexes

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


def united(*tables: Indexes) -> Indexes:
    """The tables as one: a kind may be in several."""
    found: dict[Resource[Any], dict[str, Any]] = {}
    for table in tables:
        for resource, indexes in table.items():
            found.setdefault(resource, {}).update(indexes)
    return found


ALL_INDEXES = united(
    *operator.INDEXES,
    workload.INDEXES,
    project_namespaces.INDEXES,
    scheduling_queue.INDEXES,
    setting_references.ON_HOST,
    setting_references.IN_MEMBERS,
    sidecar_references.INDEXES,
)


def processes(members: tuple[str, ...]) -> tuple[SimulatedProcess, ...]:
    return (
        SimulatedProcess(federation.CONTROLLERS, {name: name for name in (HOST, *members)}),
        *(SimulatedProcess(operator.CONTROLLERS, {LOCAL: member}) for member in members),
    )


tiers = st.sampled_from(TIERS)
limits = st.sampled_from((None, None, 0, 1, 2, "50%"))
PLAIN_UPDATE = st.just({})
updates = st.one_of(
    PLAIN_UPDATE,
    st.fixed_dictionaries(
        {"strategy": st.sampled_from(("ZoneByZone", "Canary", "Parallel", "Recreate"))},
        optional={
            "onFailure": st.just("Rollback"),
            "bakeSeconds": st.sampled_from((0, 3)),
            "steps": st.sampled_from(([1], ["30%", "60%"], [2, 3])),
            "zoneOrder": st.just(["b"]),
        },
    ),
)


def apps_of(*, stepwise: bool) -> st.SearchStrategy[AppEdit]:
    how = updates if stepwise else PLAIN_UPDATE
    made = st.builds(AppEdit, st.integers(0, 4), tiers, limits, limits, st.booleans(), update=how)
    return made.filter(lambda app: (app.unavailable, app.surge) != (0, 0))


apps_with_settings = st.builds(AppEdit, st.integers(1, 4), settings=st.sampled_from(("NextStart", "Roll")))
pods = st.builds(PodEdit, st.sampled_from(("Always", "Never", "OnFailure")), tiers)
calm = st.one_of(
    st.builds(Edit, st.just("submit"), st.sampled_from(("web", "db")), st.integers(0, 4)),
    st.builds(Edit, st.just("scale"), st.just("web"), st.integers(0, 6)),
    st.builds(Edit, st.sampled_from(("image", "env", "restart container")), st.just("web"), st.integers(1, 3)),
    st.builds(Edit, st.sampled_from(("pause", "resume")), st.just("web")),
    st.builds(Edit, st.just("delete"), st.just("web")),
    st.builds(Edit, st.just("delete pod"), st.just("one")),
    st.builds(Edit, st.just("kill"), st.just(""), st.integers(0, 2)),
    st.builds(Edit, st.sampled_from(("crash", "drain")), st.just(""), st.integers(0, 5)),
    st.builds(Edit, st.sampled_from(("bad image", "crashing image")), st.just("web")),
)
of_settings = st.builds(Edit, st.sampled_from(("set", "set", "roll back", "forget", "drop")))
stormy = st.builds(
    Edit, st.sampled_from(("cordon", "leave", "silence", "restore", "lose node")), st.just(""), st.integers(0, 5)
)
FAILING = {"bad image", "crashing image"}
HISTORY = {"submit", "kill", "crash", "drain", "lose node", "leave", "silence", "cordon", "delete pod", *FAILING}
"""After these it matters how far the controllers have got."""


def mended(edits: list[Edit], *, storms: bool) -> tuple[Edit, ...]:
    """The edits, and what brings the region back to where it can come to rest as it should."""
    done = {edit.what for edit in edits}
    resumed = (Edit("resume"),) if "pause" in done else ()
    repaired = (Edit("image", number=2),) if done & FAILING else ()
    restored = (Edit("restore"),) if storms or "drain" in done else ()
    return (*edits, *resumed, *repaired, *restored)


def promised(world: SimulatedWorld, *, cramped: bool, calm: bool) -> None:
    promised_availability.check(world, cramped=cramped)
    if calm and not cramped:
        region_checks.check_canary(world)
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
beginnings, beginnings_in_steps = (
    st.dictionaries(st.sampled_from(("web", "db")), apps_of(stepwise=stepwise), min_size=1, max_size=2)
    for stepwise in (False, True)
)
beginnings_with_settings = st.fixed_dictionaries({"web": apps_with_settings}, optional={"db": apps_with_settings})
MOMENTARY = {"kill", "crash", "drain"}  # after these an update may find that nothing serves


@lru_cache
def edits_of(*, storms: bool, most: int, settings: bool) -> st.SearchStrategy[list[Edit]]:
    anybody = st.one_of(calm, stormy) if storms else calm
    return st.lists(st.one_of(of_settings, anybody) if settings else anybody, max_size=most)


@st.composite
def regions(
    draw: st.DrawFn,
    *,
    storms: bool = False,
    most: int = 3,
    sure: tuple[Edit, ...] = (),
    settings: bool | None = None,
    stepwise: bool = False,
) -> Case:
    """Members in zones with apps and pods in them, and up to `most` edits; with storms also members that go silent or leave,
    and nodes that are lost. `sure` are edits that certainly happen, last. In every sixth world, or as `settings` says, the apps
    name a secret and a config, which change and go. `stepwise` apps have rollouts in steps."""
    members = draw(memberships)
    named = draw(st.integers(0, 5)) == 0 if settings is None else settings
    started = draw(beginnings_with_settings if named else beginnings_in_steps if stepwise else beginnings)
    edits = [*draw(edits_of(storms=storms, most=most, settings=named)), *sure]
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
        partial(promised, cramped=cramped, calm=not storms and not any(e.what in MOMENTARY for e in edits)),
        partial(region_checks.outcome, even=not cramped),
    )
    history_free = hardship == PLAIN and not any(e.what in HISTORY for e in edits)
    return Case(processes(members), scenario, ALL_INDEXES, collapses=history_free)
