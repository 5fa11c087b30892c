"""Which sidecars a workload's replicas may have, what these request, and how a bad amount is met."""

from __future__ import annotations

from typing import Any

import pytest

from pincompute.api import labels, sidecars
from pincompute.api.kinds import PINAPP
from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.api.sidecars import PinSidecar, PinSidecarSpec, PinSidecarStatus, SidecarContainer, SidecarSelector
from pincompute.api.workloads import CountedSidecar, PinApp, PinAppSpec, Scheduling
from pincompute.domain import sidecar_requests


def sidecar(name: str = "metrics", *, deleting: Any = None, stable: SidecarContainer | None = None, **spec: Any) -> PinSidecar:
    container = SidecarContainer(image="metrics:1", cpu=spec.pop("cpu", "20m"), memory=spec.pop("memory", "32Mi"))
    status = PinSidecarStatus(stable=sidecars.version(stable) if stable is not None else None)
    meta = ObjectMeta(name=name, uid=f"uid-{name}", deletion_timestamp=deleting)
    return PinSidecar(metadata=meta, spec=PinSidecarSpec(container=container, **spec), status=status)


def app(named: str = "", project: str = "shop", **pod_labels: str) -> PinApp:
    notes = {labels.SIDECARS: named} if named else {}
    template: Manifest = {"metadata": {"labels": pod_labels, "annotations": notes}, "spec": {"containers": [{"name": "web"}]}}
    return PinApp(metadata=ObjectMeta(name="web", namespace=project), spec=PinAppSpec(template=template))


def names(obj: PinApp, *known: PinSidecar) -> list[str]:
    return [each.name for each in sidecar_requests.counted(PINAPP, obj, known)]


TIERED = SidecarSelector(match_labels={"tier": "front"})


@pytest.mark.parametrize(
    ("obj", "one", "counts"),
    [
        (app(), sidecar(), False),
        (app("metrics"), sidecar(), True),
        (app("proxy,metrics"), sidecar(), True),
        (app("metrics"), sidecar(allowed_projects=("demo",)), False),
        (app(), sidecar(selector=SidecarSelector()), False),
        (app(), sidecar(selector=SidecarSelector(projects=("*",))), True),
        (app(), sidecar(selector=SidecarSelector(projects=("shop",))), True),
        (app(), sidecar(selector=SidecarSelector(projects=("demo",))), False),
        (app(), sidecar(selector=SidecarSelector(projects=("*",)), allowed_projects=()), False),
        (app(), sidecar(selector=TIERED), False),
        (app(tier="front"), sidecar(selector=TIERED), True),
        (app(tier="back"), sidecar(selector=TIERED), False),
        (app(), sidecar(selector=SidecarSelector(match_labels={labels.APP: "web"})), True),
        (app(), sidecar(selector=SidecarSelector(match_labels={labels.APP: "api"})), False),
        (app(), sidecar(selector=SidecarSelector(match_labels={labels.WORKLOAD: "PinApp"})), True),
        (app(), sidecar(selector=SidecarSelector(match_labels={labels.ZONE: "a"})), True),
        (app(), sidecar(selector=SidecarSelector(match_labels={labels.ZONE: "a", "tier": "front"})), False),
        (app(), sidecar(selector=SidecarSelector(projects=("*",)), deleting="2026-11-21T12:00:00Z"), False),
        (app("metrics"), sidecar(deleting="2026-11-21T12:00:00Z"), True),
    ],
    ids=[
        "nobody asks for it",
        "named",
        "named beside another",
        "named by a project that it does not allow",
        "an empty selector",
        "selected in every project",
        "selected by project",
        "another project is selected",
        "selected in a project that it does not allow",
        "a label that pods lack",
        "a label that pods carry",
        "another value of the label",
        "a label of the platform",
        "another value of a label of the platform",
        "the kind of the workload",
        "a label that only the cluster knows",
        "a label that only the cluster knows beside one that pods lack",
        "one that is deleted selects nothing",
        "one that is deleted stays for who names it",
    ],
)
def test_a_sidecar_counts(obj: PinApp, one: PinSidecar, counts: bool) -> None:
    assert names(obj, one) == (["metrics"] if counts else [])


def test_sidecars_count_in_one_order() -> None:
    assert names(app("b,a"), sidecar("b"), sidecar("a")) == ["a", "b"]


@pytest.mark.parametrize(
    ("cpu", "memory", "stable", "counted"),
    [
        ("20m", "32Mi", None, ("20m", "32Mi")),
        (1, "1Gi", None, ("1", "1Gi")),
        ("20m", "64Mi", SidecarContainer(image="metrics:0", cpu="50m", memory="32Mi"), ("50m", "64Mi")),
    ],
    ids=["one version", "whole units", "the larger amount of two versions"],
)
def test_a_sidecar_requests(cpu: Any, memory: Any, stable: SidecarContainer | None, counted: tuple[str, str]) -> None:
    (found,) = sidecar_requests.counted(PINAPP, app("metrics"), [sidecar(cpu=cpu, memory=memory, stable=stable)])
    assert (found.cpu, found.memory) == counted


ROWS = (CountedSidecar("a", "20m", "32Mi"), CountedSidecar("b", "1", "1Mi"))


@pytest.mark.parametrize(
    ("whole", "added"),
    [
        ({}, {"cpu": 1020, "memory": 33 << 20}),
        ({"requests": {"cpu": "4"}}, {"memory": 33 << 20}),
        ({"limits": {"cpu": "4", "memory": "1Gi"}}, {}),
    ],
    ids=["nothing declared", "cpu of the whole pod", "both of the whole pod"],
)
def test_counted_sidecars_add_to_a_pod(whole: Manifest, added: dict[str, int]) -> None:
    template: Manifest = {"spec": {"resources": whole, "containers": []}}
    assert dict(sidecar_requests.total(template, ROWS)) == added
    assert dict(sidecar_requests.of_decision(template, Scheduling(generation=1, sidecars=ROWS))) == added


@pytest.mark.parametrize("decision", [None, Scheduling(generation=1)], ids=["no decision", "no sidecar"])
def test_nothing_is_added_without_sidecars(decision: Scheduling | None) -> None:
    assert sidecar_requests.of_decision({"spec": None}, decision) == {}


@pytest.mark.parametrize("amount", ["", "much", "1.2.3"])
def test_an_amount_that_is_no_quantity_counts_nothing(amount: str) -> None:
    """API servers refuse it, in a sidecar as in a pod, so nothing runs that requests it."""
    (found,) = sidecar_requests.counted(PINAPP, app("metrics"), [sidecar(cpu=amount)])
    assert (found.cpu, found.memory) == ("0", "0")
