"""The pool counts what sidecars of the platform request in each replica, and a sidecar that changes moves nothing by itself."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from federation.cached_region import CachedRegion
from federation.object_builders import NOW, capacity, template
from hypothesis import given, settings
from hypothesis import strategies as st

from pincompute.api import labels
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Manifest, ObjectMeta
from pincompute.api.sidecars import PINSIDECARS, PinSidecar, PinSidecarSpec, SidecarContainer, SidecarSelector
from pincompute.api.workloads import Scheduling
from pincompute.federation.project import project_controller
from pincompute.federation.scheduling import pool_controller, scheduling_queue
from pincompute.federation.scheduling.demand import demand

ONE_NODE = capacity(nodes=1)  # 4 cores: room for 8 replicas of half a core
DEMO = SidecarSelector(projects=("demo",))


@pytest.fixture
def region() -> CachedRegion:
    made = CachedRegion()
    made.join("a1", ONE_NODE)
    return made


def write(region: CachedRegion, cpu: str = "500m", name: str = "metrics", **spec: Any) -> None:
    container = SidecarContainer(image="metrics:1", cpu=cpu, memory="32Mi")
    found = region.stores[HOST, PINSIDECARS].get(Key("", name))
    uid = found.metadata.uid if found is not None else f"uid-{region.version}"
    made = PinSidecar(metadata=ObjectMeta(name=name, uid=uid), spec=PinSidecarSpec(container=container, **spec))
    region.put(HOST, PINSIDECARS, made)


def remove(region: CachedRegion, name: str = "metrics") -> None:
    if (found := region.stores[HOST, PINSIDECARS].get(Key("", name))) is not None:
        region.stores[HOST, PINSIDECARS].bury(found.key, found.metadata.uid)


def naming(named: str = "metrics") -> Manifest:
    return {"metadata": {"annotations": {labels.SIDECARS: named}}, **template()}


@pytest.mark.parametrize("selector", [None, DEMO], ids=["named", "selected"])
def test_a_replica_needs_room_for_its_sidecars(region: CachedRegion, selector: SidecarSelector | None) -> None:
    write(region, selector=selector)
    region.submit("web", replicas=6, pod=template() if selector else naming())
    region.reconcile()
    assert region.placed("web") == 4
    (sentence,) = (each.message for each in region.app("web").status.scheduling.rejections)
    assert sentence == (
        "has no room for another replica, which asks for cpu 1 "
        "(cpu 500m of each replica is for sidecars of the platform: metrics)"
    )


def test_two_in_one_batch_never_get_the_same_room(region: CachedRegion) -> None:
    write(region)
    region.submit("first", replicas=3, pod=naming())
    region.submit("second", replicas=3, seconds=1)
    region.reconcile()
    assert (region.placed("first"), region.placed("second")) == (3, 2)


def test_what_is_decided_stays_promised_with_its_sidecars(region: CachedRegion) -> None:
    write(region)
    region.submit("first", replicas=3, pod=naming())
    region.reconcile()
    region.submit("second", replicas=3)
    region.reconcile()
    assert region.placed("second") == 2


def test_a_sidecar_that_asks_for_more_moves_nothing_and_counts_in_later_decisions(region: CachedRegion) -> None:
    write(region)
    region.submit("first", replicas=2, pod=naming())
    region.reconcile()
    before = region.app("first")
    write(region, cpu="1")
    assert region.reconcile().settled
    assert region.app("first") is before
    region.submit("second", replicas=2, pod=naming())
    region.reconcile()
    assert region.placed("second") == 1


def test_another_version_of_a_sidecar_is_no_other_demand(region: CachedRegion) -> None:
    write(region)
    region.submit("web", replicas=1, pod=naming())
    region.reconcile()
    before = demand(scheduling_queue.read(region.app("web"))).hash
    write(region, cpu="2")
    assert demand(scheduling_queue.read(region.app("web"))).hash == before == region.app("web").status.scheduling.demand


def test_another_sidecar_that_the_template_names_is_decided(region: CachedRegion) -> None:
    write(region)
    region.submit("web", replicas=1)
    region.reconcile()
    assert region.app("web").status.scheduling.sidecars == ()
    region.edit("web", template=naming())
    region.reconcile()
    assert [each.name for each in region.app("web").status.scheduling.sidecars] == ["metrics"]


SELECTED_LABELS = {
    # the selector, whether another label of the pods is decided
    "by this label": (SidecarSelector(match_labels={"tier": "front"}), True),
    "by another label": (SidecarSelector(match_labels={"team": "web"}), True),
    "by label in another project": (SidecarSelector(projects=("bank",), match_labels={"tier": "front"}), False),
    "by project": (DEMO, False),
    "nothing": (None, False),
}


@pytest.mark.parametrize("what", SELECTED_LABELS)
def test_another_label_is_decided_where_a_sidecar_selects(region: CachedRegion, what: str) -> None:
    """A label that gave pods a sidecar counted nowhere, neither in room nor in the limits of their project."""
    selector, decided = SELECTED_LABELS[what]
    write(region, selector=selector)
    region.submit("web", replicas=2)
    region.reconcile()
    before = region.app("web").status.scheduling
    region.edit("web", template={"metadata": {"labels": {"tier": "front"}}, **template()})
    region.reconcile()
    after = region.app("web").status.scheduling
    assert before is not None
    assert after is not None
    assert (after is not before) == decided
    assert after.placement == before.placement or decided
    assert [each.name for each in after.sidecars] == (["metrics"] if what in ("by this label", "by project") else [])
    write(region, cpu="10m", selector=selector)
    region.reconcile()
    assert region.app("web").status.scheduling is after


def test_labels_are_no_demand_before_a_sidecar_selects_by_them(region: CachedRegion) -> None:
    region.submit("web", replicas=2)
    region.reconcile()
    before = region.app("web").status.scheduling
    write(region, selector=SidecarSelector(match_labels={"tier": "front"}))
    region.reconcile()
    assert region.app("web").status.scheduling is before


CHANGES = {
    "its sidecar asks for less": lambda region: write(region, cpu="10m", selector=DEMO),
    "the selector no longer selects it": lambda region: write(region, cpu="4"),
    "the sidecar allows its project no longer": lambda region: write(region, cpu="4", selector=DEMO, allowed_projects=()),
    "the sidecar is gone": remove,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_no_room_because_of_a_sidecar_is_in_line_again_when(region: CachedRegion, change: str) -> None:
    write(region, cpu="4", selector=DEMO)
    for name, label in (("web", "front"), ("api", "back")):
        region.submit(name, replicas=1, pod={"metadata": {"labels": {"tier": label}}, **template()})
    for _ in region.settle():
        pass
    assert (region.placed("web"), region.placed("api")) == (0, 0)
    assert region.seen().waiting == ()
    CHANGES[change](region)
    for _ in region.settle():
        pass
    assert (region.placed("web"), region.placed("api")) == (1, 1)


def test_a_sidecar_that_one_begins_to_have_hides_no_room_from_the_others(region: CachedRegion) -> None:
    region.submit("full", replicas=8)
    region.submit("web", replicas=1, seconds=1, pod={"metadata": {"labels": {"tier": "front"}}, **template()})
    region.submit("api", replicas=1, seconds=2)
    for _ in region.settle():
        pass
    write(region, cpu="4", selector=SidecarSelector(match_labels={"tier": "front"}))
    region.delete("full")
    for _ in region.settle():
        pass
    assert (region.placed("web"), region.placed("api")) == (0, 1)
    assert region.seen().waiting == ()


@pytest.mark.parametrize("first", ["api", "web"])
def test_a_sidecar_of_one_app_hides_no_room_from_the_others_of_its_class(region: CachedRegion, first: str) -> None:
    write(region, name="all", cpu="10m", selector=DEMO)
    region.submit("full", replicas=7, tier="Reserved")
    for seconds, name in enumerate(sorted(("web", "api"), key=first.__ne__)):
        region.submit(name, replicas=1, seconds=seconds)
    for _ in region.settle():
        pass
    write(region, name="one", cpu="4", selector=SidecarSelector(match_labels={labels.APP: "web"}))
    region.delete("full")
    for _ in region.settle():
        pass
    assert (region.placed("web"), region.placed("api")) == (0, 1)
    assert region.seen().waiting == ()


SIDECAR_PARTS = {
    # what changes of the sidecar, whether a pool and the projects read it
    "status": ({"status": {"pods": 9, "observed_generation": 4}}, False, False),
    "payer": ({"spec": {"paid_by": "Project"}}, False, True),
    "image": ({"container": {"image": "metrics:2"}}, False, False),
    "cpu": ({"container": {"cpu": "2"}}, True, True),
    "selector": ({"spec": {"selector": None}}, True, True),
    "projects": ({"spec": {"allowed_projects": ()}}, True, True),
    "deleted": ({"metadata": {"deletion_timestamp": NOW}}, True, True),
}


@pytest.mark.parametrize("what", SIDECAR_PARTS)
def test_only_what_is_counted_of_a_sidecar_wakes_pools_and_projects(what: str) -> None:
    """A fleet writes its status with every pod that changes."""
    changes, pools, projects = SIDECAR_PARTS[what]
    container = SidecarContainer(image="metrics:1", cpu="1")
    spec = PinSidecarSpec(container=container, selector=DEMO)
    one = PinSidecar(metadata=ObjectMeta(name="metrics", uid="o"), spec=spec)
    wanted = msgspec.structs.replace(spec, container=msgspec.structs.replace(container, **changes.get("container", {})))
    other = PinSidecar(
        metadata=msgspec.structs.replace(one.metadata, **changes.get("metadata", {})),
        spec=msgspec.structs.replace(wanted, **changes.get("spec", {})),
        status=msgspec.structs.replace(one.status, **changes.get("status", {})),
    )
    for controller, woken in ((pool_controller.CONTROLLER, pools), (project_controller.CONTROLLER, projects)):
        (read,) = (read for read in controller.card.reads if read.resource is PINSIDECARS)
        assert read.part is not None
        assert (read.part(one) != read.part(other)) == woken


def test_too_large_a_sidecar_is_told_with_its_name(region: CachedRegion) -> None:
    largest = {"cpu": 4000, "memory": 16 << 30, "pods": 110}
    region.measure("a1", msgspec.structs.replace(ONE_NODE, largest=largest))
    write(region, cpu="4")
    region.submit("web", replicas=1, pod=naming())
    region.reconcile()
    (told,) = (each for each in region.app("web").status.scheduling.rejections)
    assert told.reason == "TooLarge"
    assert told.message.endswith("a node has cpu 4 (cpu 4 of each replica is for sidecars of the platform: metrics)")


def test_a_sidecar_with_a_broken_amount_stops_no_decision(region: CachedRegion) -> None:
    write(region, cpu="much")
    region.submit("web", replicas=1, pod=naming())
    assert not region.reconcile().failed
    assert region.placed("web") == 1


AMOUNTS = ("10m", "100m", "500m", "1500m")
APPS, MEMBERS = ("web", "api", "db"), ("a1", "b1")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("sidecar"), st.sampled_from(AMOUNTS), st.sampled_from((None, DEMO))),
        st.tuples(st.just("scale"), st.sampled_from(APPS), st.integers(0, 12)),
        st.tuples(st.just("name"), st.sampled_from(APPS), st.booleans()),
        st.tuples(st.just("remove"), st.just(""), st.just(0)),
    ),
    max_size=12,
)


class Promises:
    """What each placed replica takes: its container and the sidecars that it had when it was placed, or less if its workload is
    decided again with less, because no replica is made yet.
    """

    def __init__(self, region: CachedRegion) -> None:
        self.region = region
        self.taken = {(name, member): list[int]() for name in APPS for member in MEMBERS}
        self.decided = dict[str, Scheduling]()

    def follow(self, cpu: int, *, selected: bool) -> None:
        for name in APPS:
            obj = self.region.app(name)
            made = obj.status.scheduling
            if made is None or made == self.decided.get(name):
                continue
            self.decided[name] = made
            each = 500 + (cpu if selected or "metadata" in obj.spec.template else 0)
            rows = {row.cluster: row.replicas for row in made.placement}
            for member in MEMBERS:
                kept = [min(each, before) for before in self.taken[name, member]][: rows.get(member, 0)]
                self.taken[name, member] = kept + [each] * (rows.get(member, 0) - len(kept))

    def of(self, member: str) -> int:
        return sum(sum(self.taken[name, member]) for name in APPS)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_no_history_promises_more_than_the_nodes_have(steps: list[tuple[str, str, Any]]) -> None:
    region = CachedRegion()
    for member in MEMBERS:
        region.join(member, ONE_NODE)
    for name in APPS:
        region.submit(name, replicas=2)
    promises, cpu, selected = Promises(region), 0, False
    for step, what, value in (*steps, ("scale", "web", 12), ("scale", "api", 12)):
        match step:
            case "sidecar":
                write(region, cpu=what, selector=value)
                cpu, selected = int(what.removesuffix("m")), value is not None
            case "remove":
                remove(region)
                cpu, selected = 0, False
            case "scale":
                region.edit(what, replicas=value)
            case _:
                region.edit(what, template=naming() if value else template())
        for _ in region.settle():
            promises.follow(cpu, selected=selected)
        assert all(promises.of(member) <= 4000 for member in MEMBERS)
