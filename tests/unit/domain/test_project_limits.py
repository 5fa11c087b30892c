"""What a workload takes of its project's limits, and when a limit refuses it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pincompute.api import labels, resource_requests, template_hash
from pincompute.api.kinds import PINAPP, PINPOD
from pincompute.api.meta import ObjectMeta
from pincompute.api.projects import DEFAULT_LIMITS, Project, ProjectLimits, ProjectSpec, SidecarRoom
from pincompute.api.sidecars import PinSidecar, PinSidecarSpec, SidecarContainer, SidecarSelector
from pincompute.domain import project_limits
from pincompute.domain.project_limits import LIMITS, UNLIMITED_CONTAINERS, exceeded_limits, text, use_of_workload

GI = 1 << 30


def pod(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    made = [{"name": f"c{n}", "image": "i", "resources": resources} for n, resources in enumerate(containers)]
    return {"spec": {"containers": made, **more}}


def claim(storage: str | int | None) -> dict[str, Any]:
    resources = {} if storage is None else {"requests": {"storage": storage}}
    return {"name": "d", "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": resources}}}}


def ended(template: dict[str, Any]) -> dict[str, Any]:
    return {"ended": {"revision": template_hash.revision(template), "phase": "Failed"}}


def naming(sidecars: str, requests: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"metadata": {"annotations": {labels.SIDECARS: sidecars}}, **pod({"requests": requests}, **more)}


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
    "what volume claims of its replicas request": (
        {"template": pod({}, volumes=[{"name": "n", "emptyDir": {}}, claim("2Ti"), claim(5), claim(None)]), "replicas": 3},
        {},
        {
            "workloads": 1,
            "pods": 3,
            "cpu": 300,
            "memory": 384 << 20,
            UNLIMITED_CONTAINERS: 3,
            "volume-claims": 3 * ((2 << 40) + 5),
        },
    ),
    "pods alone where a claim is no quantity": (
        {"template": pod({}, volumes=[claim("much")]), "replicas": 4},
        {},
        {"workloads": 1, "pods": 4},
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
        found = project_limits.with_default_container_storage(
            use, project_limits.default_container_storage(project(default_container_storage=given))
        )
        assert found == {"pods": 2, "ephemeral-storage": GI + 3 * each}


def test_a_unit_takes_one_pod() -> None:
    unit = msgspec.convert({"metadata": {"name": "u"}, "spec": {"template": ONE}}, PINPOD.workload.type)
    assert use_of_workload(PINPOD, unit)["pods"] == 1


COUNTED = {"scheduling": {"generation": 1, "sidecars": [{"name": "proxy", "cpu": "1", "memory": "1Gi"}]}}
SMALL = {"cpu": "100m", "memory": "1Gi"}
SIDECARS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...], dict[str, int]]] = {
    # template, status, selected, what its 3 replicas take of KNOWN
    "none": (pod({"requests": SMALL}), {}, (), {"cpu": 300, "memory": 3 * GI}),
    "one that it names": (naming("metrics", SMALL), {}, (), {"cpu": 360, "memory": 3 * GI + 3 * (32 << 20)}),
    "one that the platform pays for": (naming("logs", SMALL), {}, (), {"cpu": 300, "memory": 3 * GI}),
    "one that does not exist": (naming("unknown", SMALL), {}, (), {"cpu": 300, "memory": 3 * GI}),
    "one that its decision counted, by its present amounts": (
        pod({"requests": SMALL}),
        COUNTED,
        (),
        {"cpu": 450, "memory": 3 * GI + 3 * (64 << 20)},
    ),
    "one that selects it": (pod({"requests": SMALL}), {}, ("proxy",), {"cpu": 450, "memory": 3 * GI + 3 * (64 << 20)}),
    "each once": (naming("proxy", SMALL), COUNTED, ("proxy",), {"cpu": 450, "memory": 3 * GI + 3 * (64 << 20)}),
    "within the amount of the pod as a whole": (
        naming("metrics", SMALL, resources={"requests": {"cpu": "1"}}),
        {},
        (),
        {"cpu": 3000, "memory": 3 * GI + 3 * (32 << 20)},
    ),
}


def sidecar(name: str, cpu: str, memory: str, paid_by: Any, **spec: Any) -> PinSidecar:
    container = SidecarContainer(image="i", cpu=cpu, memory=memory)
    return PinSidecar(metadata=ObjectMeta(name=name), spec=PinSidecarSpec(container=container, paid_by=paid_by, **spec))


KNOWN = (
    sidecar("metrics", "20m", "32Mi", "Project"),
    sidecar("proxy", "50m", "64Mi", "Project"),
    sidecar("logs", "1", "1Gi", "Platform"),
)


@pytest.mark.parametrize(("template", "status", "selected", "taken"), SIDECARS.values(), ids=SIDECARS.keys())
def test_a_workload_takes_what_sidecars_request_that_projects_pay_for(
    template: dict[str, Any], status: dict[str, Any], selected: tuple[str, ...], taken: dict[str, int]
) -> None:
    spec = {"template": template, "replicas": 3}
    app = msgspec.convert({"metadata": {"name": "ant"}, "spec": spec, "status": status}, PINAPP.workload.type)
    found = project_limits.with_sidecars(use_of_workload(PINAPP, app, selected), KNOWN)
    assert found == {"workloads": 1, "pods": 3, UNLIMITED_CONTAINERS: 3, **taken}


def test_a_stopped_workload_takes_nothing_of_sidecars() -> None:
    spec = {"template": naming("metrics", SMALL), "replicas": 3, "stopped": True}
    app = msgspec.convert({"metadata": {"name": "ant"}, "spec": spec}, PINAPP.workload.type)
    assert use_of_workload(PINAPP, app) == {"workloads": 1}


def having(pods: int, *names: str) -> dict[str, int]:
    return {"pods": pods, **{f"{resource} of sidecar {name}": pods for name in names for resource in ("cpu", "memory")}}


def metrics(**spec: Any) -> PinSidecar:
    return sidecar("metrics", "20m", "32Mi", spec.pop("paid_by", "Platform"), **spec)


def selecting(*projects: str, **match_labels: str) -> SidecarSelector:
    return SidecarSelector(projects=projects, match_labels=match_labels)


ROOMS: dict[str, tuple[dict[str, int], tuple[PinSidecar, ...], SidecarRoom]] = {
    # what is taken, the sidecars, the room; the project may have 100 pods
    "no sidecar": (having(10), (), SidecarRoom()),
    "one that no pod has, for the first pods": (having(90), (metrics(),), SidecarRoom("128m", "128Mi")),
    "the pods that have it, and some more": (having(12, "metrics"), (metrics(),), SidecarRoom("512m", "512Mi")),
    "whoever pays": (having(12, "metrics"), (metrics(paid_by="Project"),), SidecarRoom("512m", "512Mi")),
    "no more pods than the limit": (having(5000, "metrics"), (metrics(),), SidecarRoom("2.048", "4Gi")),
    "one of another project": (having(10, "metrics"), (metrics(allowed_projects=("demo",)),), SidecarRoom()),
    "one that selects pods, in all of them": (having(60), (metrics(selector=selecting("*")),), SidecarRoom("2.048", "2Gi")),
    "one that selects by label": (having(60), (metrics(selector=selecting(tier="front")),), SidecarRoom("2.048", "2Gi")),
    "one that selects in another project": (having(60), (metrics(selector=selecting("demo")),), SidecarRoom("128m", "128Mi")),
    "one with an empty selector": (having(60), (metrics(selector=selecting()),), SidecarRoom("128m", "128Mi")),
    "several": (
        having(12, "metrics", "logs"),
        (metrics(), sidecar("logs", "1", "1Gi", "Platform")),
        SidecarRoom("16.384", "32Gi"),
    ),
    "one whose amount is no quantity": (having(12, "metrics"), (sidecar("metrics", "much", "1Mi", "Platform"),), SidecarRoom()),
}


@pytest.mark.parametrize(("taken", "known", "room"), ROOMS.values(), ids=ROOMS.keys())
def test_quotas_have_room_for_sidecars(taken: dict[str, int], known: tuple[PinSidecar, ...], room: SidecarRoom) -> None:
    assert project_limits.room_for_sidecars(project(pods=100), taken, known) == room


def test_a_sidecar_that_no_pod_has_leaves_the_quotas_close_to_the_limits() -> None:
    of = project(cpu=10, memory="32Gi", pods=5000)
    room = project_limits.room_for_sidecars(of, {"pods": 5000}, [metrics()])
    assert resource_requests.amounts({"cpu": room.cpu, "memory": room.memory}) == {"cpu": 128, "memory": 128 << 20}


@pytest.mark.parametrize("named", [True, False])
def test_quotas_refuse_nothing_that_the_gateway_admits(named: bool) -> None:
    """Whatever number of pods with a sidecar runs, the room is for all of them, and for the next ones before it follows."""
    of, each = project(pods=5000), metrics(selector=None if named else selecting("*"))
    rooms = [
        project_limits.room_for_sidecars(of, having(pods, *(["metrics"] if named else [])), [each]) for pods in range(5000)
    ]
    for pods, room in enumerate(rooms):
        assert resource_requests.amounts({"cpu": room.cpu})["cpu"] >= 20 * min(5000, pods + project_limits.PODS_AHEAD)
    assert len({room.cpu for room in rooms}) <= 12


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
        name for name in names if name != "defaultContainerStorage"
    ]  # which nothing adds up to


@pytest.mark.parametrize(
    ("name", "number", "written"),
    [
        ("cpu", 250, "250m"),
        ("cpu", 1500, "1.5"),
        ("cpu", 1_998_890, "1998.89"),
        ("cpu", 0, "0"),
        ("cpu", 2_000_000, "2000"),
        ("memory", 64 << 30, "64Gi"),
        ("storage", 0, "0"),
        ("volumes", 100 << 40, "100Ti"),
        ("pods", 2000, "2000"),
    ],
)
def test_amounts_for_people(name: str, number: int, written: str) -> None:
    assert text(next(limit for limit in LIMITS if limit.name == name), number) == written
