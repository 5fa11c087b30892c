"""The quotas behind a project's limits: how far behind, and written as an API server writes them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pincompute.api import quantity, settings
from pincompute.api.meta import ObjectMeta
from pincompute.api.projects import Project, ProjectLimits, ProjectSpec, ProjectStatus, SidecarRoom
from pincompute.domain import namespace_quotas, project_limits
from pincompute.domain.namespace_quotas import HEADROOM


def hard(**limits: Any) -> dict[str, str]:
    project = Project(metadata=ObjectMeta(name="shop"), spec=ProjectSpec(limits=ProjectLimits(**limits)))
    pods, objects = namespace_quotas.quotas(project)
    return {**pods["spec"]["hard"], **objects["spec"]["hard"]}


AMOUNTS = [
    ({"pods": 7}, "pods", "21"),
    ({"pods": 1000}, "pods", "3k"),
    ({"pods": 0}, "pods", "0"),
    ({"cpu": "500m"}, "requests.cpu", "1500m"),
    ({"cpu": 2000}, "requests.cpu", "6k"),
    ({"memory": "8Ti"}, "requests.memory", "24Ti"),
    ({"memory": "100M"}, "requests.memory", "300M"),
    ({"memory": "1.5Gi"}, "requests.memory", "4608Mi"),
    ({"storage": "1Gi", "pods": 0}, "requests.ephemeral-storage", "3Gi"),
    ({"storage": "1Gi", "pods": 0}, "limits.ephemeral-storage", "3Gi"),
    ({"storage": "1Gi", "pods": 10}, "requests.ephemeral-storage", "3192Mi"),  # with four sidecars of the platform in each
    ({"storage": "1Gi", "pods": 10, "default_container_storage": "2Gi"}, "limits.ephemeral-storage", "243Gi"),
    ({"workloads": 5}, "services", "15"),
    ({"volumes": "2Ti"}, "requests.storage", "6Ti"),
    ({}, "requests.storage", "48Ti"),
]


@pytest.mark.parametrize(("limits", "key", "amount"), AMOUNTS)
def test_an_amount_is_the_limit_with_headroom(limits: dict[str, Any], key: str, amount: str) -> None:
    assert hard(**limits)[key] == amount


@pytest.mark.parametrize(
    ("room", "cpu", "memory"),
    [(SidecarRoom(), "6", "3Gi"), (SidecarRoom(cpu="32m", memory="32Mi"), "6096m", "3168Mi")],
    ids=["no sidecars", "sidecars"],
)
def test_sidecars_of_the_platform_have_room_beside_the_limits(room: SidecarRoom, cpu: str, memory: str) -> None:
    pods, _ = namespace_quotas.quotas(limited(ProjectStatus(sidecar_room=room), pods=10, cpu=2, memory="1Gi"))
    assert (pods["spec"]["hard"]["requests.cpu"], pods["spec"]["hard"]["requests.memory"]) == (cpu, memory)


NEW, OLD = ProjectStatus(), ProjectStatus(observed_generation=1)  # OLD: of a version that wrote no basis


def limited(status: ProjectStatus = NEW, **limits: Any) -> Project:
    return Project(metadata=ObjectMeta(name="shop"), spec=ProjectSpec(limits=ProjectLimits(**limits)), status=status)


def recorded(project: Project, used: dict[str, int]) -> Project:
    """The project after its controller has written what its quotas follow from."""
    status = msgspec.structs.replace(
        project.status, observed_generation=1, quota_basis=project_limits.quota_basis(project, used)
    )
    return msgspec.structs.replace(project, status=msgspec.json.decode(msgspec.json.encode(status), type=ProjectStatus))


def pods_quota(project: Project) -> int:
    pods, _ = namespace_quotas.quotas(project)
    return quantity.parse(pods["spec"]["hard"]["pods"]).whole


STEPS: dict[str, list[tuple[int, int, int]]] = {
    # the limit, use, the quota of pods that follows
    "a lowered limit leaves quota for what runs, until that falls": [
        (100, 90, 300), (10, 90, 300), (10, 65, 300), (10, 64, 192), (10, 65, 192), (10, 33, 192), (10, 10, 48), (10, 0, 30),
    ],
    "use that no limit allowed raises no quota": [(10, 5000, 30), (10, 1 << 31, 30), (5, 1 << 31, 30), (5, 5, 24), (5, 4, 15)],
    "a raised limit raises the quota": [(10, 5, 30), (200, 5, 600), (20, 150, 600), (20, 64, 192), (100, 64, 300)],
    "a limit of zero leaves quota for what runs": [(7, 7, 21), (0, 7, 21), (0, 1, 3), (0, 0, 0), (0, 1, 0)],
}  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_what_an_earlier_limit_allowed_can_be_made_again(name: str) -> None:
    project = limited()
    for limit, used, quota in STEPS[name]:
        project = recorded(limited(project.status, pods=limit), {"pods": used})
        assert pods_quota(project) == quota, (limit, used)


@pytest.mark.parametrize(
    ("status", "used", "quota"), [(OLD, 100, 384), (OLD, 10, 48), (OLD, 1 << 40, 30_000_000), (NEW, 100, 30)]
)
def test_an_upgrade_leaves_quota_once_for_what_ran_before_there_were_limits(
    status: ProjectStatus, used: int, quota: int
) -> None:
    project = recorded(limited(status, pods=10), {"pods": used})
    assert pods_quota(project) == quota
    assert pods_quota(recorded(project, {"pods": used * 4})) == quota


def test_a_limit_that_is_set_holds_before_it_is_recorded() -> None:
    """Shards wait for the quotas that are listed, so these never follow from less than the status or the limit says."""
    project = recorded(limited(pods=10), {"pods": 10})
    assert pods_quota(limited(project.status, pods=20)) == 60
    assert pods_quota(limited(project.status, pods=5)) == 30


@pytest.mark.parametrize(
    ("name", "resource", "key"),
    [
        ("cpu", "cpu", "requests.cpu"),
        ("memory", "memory", "requests.memory"),
        ("storage", "ephemeral-storage", "requests.ephemeral-storage"),
        ("storage", "ephemeral-storage", "limits.ephemeral-storage"),
    ],
)
def test_every_amount_is_kept(name: str, resource: str, key: str) -> None:
    for number in (1, 999, 123_457, 5 << 40):
        project = recorded(limited(OLD, **{name: 0}), {resource: number})
        pods, _ = namespace_quotas.quotas(project)
        found = quantity.parse(pods["spec"]["hard"][key])
        assert (found.millis if name == "cpu" else found.whole) >= HEADROOM * number
        assert recorded(project, {resource: number}).status == project.status


def test_every_amount_is_written_as_an_api_server_writes_it() -> None:
    """Another notation would count as a change by somebody else, and be put back for ever."""
    for limits in ({}, {"cpu": "0.3", "memory": "1e9", "storage": 3_000_000_000}, {"memory": "123456789"}):
        assert all(amount == quantity.canonical(amount) for amount in hard(**limits).values())


@pytest.mark.parametrize(
    ("said", "filled_in"), [(None, "1Gi"), ("2Gi", "2Gi"), (3_000_000_000, "3G"), ("0", "1Mi"), ("nothing", "1Mi")]
)
def test_a_container_that_says_nothing_may_write_a_bounded_amount(said: Any, filled_in: str) -> None:
    """A limit of 0 limits nothing, and the policies of members refuse less than 1Mi."""
    (limits,) = namespace_quotas.limit_range(limited(default_container_storage=said))["spec"]["limits"]
    assert limits["default"] == {"ephemeral-storage": filled_in}
    assert limits["defaultRequest"]["ephemeral-storage"] == "1Mi"  # it takes no room that pods were not placed for
    assert "max" not in limits


def on_host() -> dict[str, str]:
    return namespace_quotas.host_quota()["spec"]["hard"]


@pytest.mark.parametrize("limit", ["0", "64Mi", "1500M"])
@pytest.mark.parametrize("kind", ["count/secrets", "count/configmaps"])
def test_no_quota_refuses_a_version_that_the_gateway_accepts(kind: str, limit: str) -> None:
    """Each version is an object on the host, and a copy in a member beside the one of the plain name. A limit may be lowered
    later. Kubernetes keeps a ConfigMap of its own there.
    """
    accepted = settings.MOST * (settings.MOST_VERSIONS + 1) + 1
    for amounts in (hard(settings=limit), on_host()):
        assert quantity.parse(amounts[kind]).whole >= accepted
        assert all(amount == quantity.canonical(amount) for amount in amounts.values())


def test_the_quota_on_the_host_makes_no_app_slower() -> None:
    """An API server writes a quota for each object that it counts: 7 to 9 % of what an app costs."""
    assert not [name for name in on_host() if "pincompute.io" in name]


def test_no_quota_is_below_what_the_gateway_accepts() -> None:
    """All replicas in one member, and as many again in an update."""
    allowed = project_limits.allowed(None)
    found = hard()
    assert quantity.parse(found["pods"]).whole >= 2 * allowed["pods"]
    assert quantity.parse(found["requests.cpu"]).millis >= 2 * allowed["cpu"]
    assert HEADROOM > 2


def test_a_container_that_says_nothing_gets_requests_and_no_limits_but_of_storage() -> None:
    (item,) = namespace_quotas.limit_range(limited())["spec"]["limits"]
    requests = {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "1Mi"}
    assert item == {"type": "Container", "default": {"ephemeral-storage": "1Gi"}, "defaultRequest": requests}
