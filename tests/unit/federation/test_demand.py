"""What a placement depends on, and when the last decision still stands."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from federation.object_builders import app, template

from pincompute.api.kinds import PINAPP
from pincompute.api.workloads import Placement, Scheduling
from pincompute.federation.scheduling.demand import decision, demand, stands
from pincompute.federation.workload import workload_model
from pincompute.federation.workload.workload_model import Workload


def asking(generation: int = 1, scheduling: Scheduling | None = None, pod: Any = None, **spec: Any) -> Workload:
    """Names are not reused, because what was worked out is remembered by uid and generation."""
    made = app(generation=generation, scheduling=scheduling, pod=pod)
    obj = msgspec.structs.replace(made.obj, spec=msgspec.structs.replace(made.obj.spec, **spec))
    return workload_model.read(PINAPP, obj)


def with_pod(**spec: Any) -> Any:
    given = template()
    return {"spec": {**given["spec"], **spec}}


PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
DEPENDS = {
    "replicas": {"replicas": 7},
    "tier": {"tier": "Reserved"},
    "zones": {"placement": Placement(zones=("a",))},
    "clusters": {"placement": Placement(clusters=("a1",))},
    "labels of clusters": {"placement": Placement(cluster_selector={"gpu": "yes"})},
    "requests": {"pod": template(cpu="600m")},
    "tolerations": {"pod": with_pod(tolerations=[{"key": "gpu", "operator": "Exists"}])},
    "the nodes it may use": {"pod": with_pod(nodeSelector={"disk": "fast"})},
    "affinity to nodes": {"pod": with_pod(affinity={"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": {}}]}})},
    "stopping": {"stopped": True},
}


@pytest.mark.parametrize("what", DEPENDS)
def test_a_placement_depends_on(what: str) -> None:
    assert demand(asking(1)).hash != demand(asking(2, **DEPENDS[what])).hash


ALIKE = {
    "the image": (asking(3), asking(4, pod=template(image="registry.internal/hello:2"))),
    "another notation of a request": (asking(5), asking(6, pod=template(cpu="0.5"))),
    "an empty node selector": (asking(7), asking(8, pod=with_pod(nodeSelector={}, tolerations=[]))),
    "the order of zones": (asking(9, placement=Placement(zones=("a", "b"))), asking(10, placement=Placement(zones=("b", "a")))),
    "what a toleration leaves out": (
        asking(11, pod=with_pod(tolerations=[{"key": "k", "operator": "Equal", "value": "v"}])),
        asking(12, pod=with_pod(tolerations=[{"key": "k", "value": "v", "effect": ""}])),
    ),
}


@pytest.mark.parametrize("what", ALIKE)
def test_a_placement_does_not_depend_on(what: str) -> None:
    one, other = ALIKE[what]
    assert demand(one).hash == demand(other).hash


def test_workloads_of_different_size_and_tier_are_alike_in_what_room_they_need():
    """S-038."""
    assert demand(asking(20)).alike == demand(asking(21, replicas=1, tier="Reserved")).alike
    assert demand(asking(22)).alike != demand(asking(23, pod=template(cpu="2"))).alike


MADE = Scheduling(generation=1, demand=demand(asking(1)).hash)

STANDS = {
    "no decision": (asking(2), False),
    "made for an older generation with the same demand": (asking(2, MADE, pod=template(image="hello:9")), True),
    "another demand": (asking(3, MADE, replicas=8), False),
    "made for this generation before demands had names": (asking(1, Scheduling(generation=1)), True),
    "made for an older one before demands had names": (asking(2, Scheduling(generation=1)), False),
    "paused, whatever it asks for since (S-258)": (asking(4, MADE, replicas=9, paused=True), True),
    "paused before the first decision": (asking(5, paused=True), False),
}


@pytest.mark.parametrize("case", STANDS)
def test_a_decision_stands(case: str) -> None:
    workload, standing = STANDS[case]
    assert stands(workload) is standing
    assert (decision(workload) is not None) is standing
