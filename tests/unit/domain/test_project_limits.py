"""What a workload takes of its project's limits, and when a limit refuses it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pincompute.api import template_hash
from pincompute.api.kinds import PINAPP, PINPOD
from pincompute.api.meta import ObjectMeta
from pincompute.api.projects import DEFAULT_LIMITS, Project, ProjectLimits, ProjectSpec
from pincompute.domain import project_limits
from pincompute.domain.project_limits import LIMITS, UNLIMITED_CONTAINERS, exceeded_limits, text, use_of_workload

GI = 1 << 30


def pod(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    made = [{"name": f"c{n}", "image": "i", "resources": resources} for n, resources in enumerate(containers)]
    return {"spec": {"containers": made, **more}}


def ended(template: dict[str, Any]) -> dict[str, Any]:
    return {"ended": {"revision": template_hash.revision(template), "phase": "Failed"}}


ONE = pod({"requests": {"cpu": "500m", "memory": "1Gi", "ephemeral-storage": "2Gi"}})
DEMANDS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, int]]] = {
    # spec, status, what is taken
    "its replicas": (
        {"template": ONE, "replicas": 3},
        {},
        {"workloads": 1, "pods": 3, "cpu": 1500, "memory": 3 * GI, "ephemeral-storage": 6 * GI},
    ),
    "nothing but itself without replicas": ({"template": ONE, "replicas": 0}, {}, {"workloads": 1}),
    "nothing but itself while it is stopped": ({"template": ONE, "replicas": 3, "stopped": True}, {}, {"workloads": 1}),
    "nothing but itself after its end": ({"template": ONE}, ended(ONE), {"workloads": 1}),
    "its replicas while its status is of a template that ended": (
        {"template": ONE},
        ended(pod({})),
        {"workloads": 1, "pods": 1, "cpu": 500, "memory": GI, "ephemeral-storage": 2 * GI},
    ),
    "what is filled in where nothing is said": (
        {"template": pod({}), "replicas": 2},
        {},
        {"workloads": 1, "pods": 2, "cpu": 200, "memory": 256 << 20, UNLIMITED_CONTAINERS: 2},
    ),
    "what may be written, and not what is requested of storage": (
        {"template": pod({"requests": {"ephemeral-storage": "1Mi"}, "limits": {"ephemeral-storage": "2Gi"}}), "replicas": 2},
        {},
        {"workloads": 1, "pods": 2, "cpu": 200, "memory": 256 << 20, "ephemeral-storage": 4 * GI},
    ),
    "storage of an earlier version, which limits nothing": (
        {"template": pod({"requests": {"ephemeral-storage": "0"}, "limits": {"ephemeral-storage": 1}})},
        {},
        {"workloads": 1, "pods": 1, "cpu": 100, "memory": 128 << 20, UNLIMITED_CONTAINERS: 1},
    ),
    "limits where no requests are said": (
        {"template": pod({"limits": {"cpu": 2, "memory": "1Gi"}})},
        {},
        {"workloads": 1, "pods": 1, "cpu": 2000, "memory": GI, UNLIMITED_CONTAINERS: 1},
    ),
    "the resources of the pod as a whole": (
        {"template": pod({}, {}, resources={"requests": {"cpu": "1", "memory": "1Gi"}})},
        {},
        {"workloads": 1, "pods": 1, "cpu": 1000, "memory": GI, UNLIMITED_CONTAINERS: 2},
    ),
    "pods alone where an amount is no quantity": (
        {"template": pod({"requests": {"cpu": "much"}}), "replicas": 4},
        {},
        {"workloads": 1, "pods": 4},
    ),
}


@pytest.mark.parametrize(("spec", "status", "taken"), DEMANDS.values(), ids=DEMANDS.keys())
def test_a_workload_takes(spec: dict[str, Any], status: dict[str, Any], taken: dict[str, int]) -> None:
    app = msgspec.convert({"metadata": {"name": "ant"}, "spec": spec, "status": status}, PINAPP.workload.type)
    assert use_of_workload(PINAPP, app) == taken


def test_a_container_that_says_nothing_takes_what_its_project_lets_it_write() -> None:
    use = {"pods": 2, "ephemeral-storage": GI, UNLIMITED_CONTAINERS: 3}
    for given, each in ((None, GI), ("2Gi", 2 * GI), ("0", 1 << 20), ("nothing", 1 << 20)):
        found = project_limits.with_container_storage(use, project_limits.container_storage(project(container_storage=given)))
        assert found == {"pods": 2, "ephemeral-storage": GI + 3 * each}


def test_a_unit_takes_one_pod() -> None:
    unit = msgspec.convert({"metadata": {"name": "u"}, "spec": {"template": ONE}}, PINPOD.workload.type)
    assert use_of_workload(PINPOD, unit)["pods"] == 1


def project(**limits: Any) -> Project:
    return Project(metadata=ObjectMeta(name="shop"), spec=ProjectSpec(limits=ProjectLimits(**limits)))


REFUSALS: dict[str, tuple[dict[str, int], dict[str, int], dict[str, int], list[str]]] = {
    # used, taken before, taken after, the limits that refuse it
    "what fits exactly": ({"pods": 7}, {}, {"pods": 3}, []),
    "one too many": ({"pods": 8}, {}, {"pods": 3}, ["pods"]),
    "its own share counts once": ({"pods": 10}, {"pods": 5}, {"pods": 5}, []),
    "more of what it has": ({"pods": 10}, {"pods": 5}, {"pods": 6}, ["pods"]),
    "less while the project is beyond the limit": ({"pods": 50}, {"pods": 5}, {"pods": 4}, []),
    "more of one and less of another": ({"pods": 10, "cpu": 9000}, {"pods": 2, "cpu": 100}, {"pods": 1, "cpu": 900}, []),
    "several at once": ({"pods": 10, "cpu": 10_000}, {}, {"pods": 1, "cpu": 1}, ["pods", "cpu"]),
}


@pytest.mark.parametrize(("used", "before", "after", "refusing"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_limit_refuses(used: dict[str, int], before: dict[str, int], after: dict[str, int], refusing: list[str]) -> None:
    limits = project_limits.allowed(project(pods=10, cpu=10))
    assert [each.limit.name for each in exceeded_limits(limits, used, before, after)] == refusing


@pytest.mark.parametrize(("used", "left"), [(0, 10), (7, 3), (10, 0), (50, 0)])
def test_a_refusal_says_how_much_is_left(used: int, left: int) -> None:
    (found,) = exceeded_limits(project_limits.allowed(project(pods=10)), {"pods": used}, {}, {"pods": 11})
    assert (found.allowed, found.used, found.needed, found.left) == (10, used, 11, left)


def test_zero_is_a_limit_and_absence_is_the_default() -> None:
    limits = project_limits.allowed(project(pods=0))
    assert (limits["pods"], limits["workloads"]) == (0, DEFAULT_LIMITS["workloads"])
    assert project_limits.allowed(None) == project_limits.allowed(project())


def test_every_field_of_the_limits_is_one_row() -> None:
    names = [field.encode_name for field in msgspec.structs.fields(ProjectLimits)]
    assert names == list(DEFAULT_LIMITS)
    assert [limit.name for limit in LIMITS] == [
        name for name in names if name != "containerStorage"
    ]  # which nothing adds up to


@pytest.mark.parametrize(
    ("name", "number", "written"),
    [
        ("cpu", 1500, "1500m"),
        ("cpu", 2_000_000, "2000"),
        ("memory", 64 << 30, "64Gi"),
        ("storage", 0, "0"),
        ("pods", 2000, "2000"),
    ],
)
def test_amounts_for_people(name: str, number: int, written: str) -> None:
    assert text(next(limit for limit in LIMITS if limit.name == name), number) == written
