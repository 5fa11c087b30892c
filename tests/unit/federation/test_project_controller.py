"""A project's namespaces: labels that nobody changes for long, contents as listed, no namespace of anybody else, no remains."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from pincompute.api import template_hash
from pincompute.api.builtin import (
    LIMITRANGES,
    NAMESPACES,
    NETWORKPOLICIES,
    RESOURCEQUOTAS,
    ROLEBINDINGS,
    LimitRange,
    Namespace,
    NamespaceStatus,
    NetworkPolicy,
    ResourceQuota,
    RoleBinding,
)
from pincompute.api.conditions import Condition
from pincompute.api.labels import HOST, MANAGED_BY, NAMESPACES_FINALIZER, PINCOMPUTE, PROJECT, PROJECT_UID
from pincompute.api.meta import Key, Manifest, ObjectMeta
from pincompute.api.projects import (
    PROJECTS,
    AllowedProject,
    PodSecurity,
    Project,
    ProjectLimits,
    ProjectNetwork,
    ProjectSpec,
    ProjectStatus,
    SidecarRoom,
)
from pincompute.api.sidecars import PINSIDECARS, PinSidecar, PinSidecarSpec, SidecarContainer
from pincompute.api.workloads import PINAPPS, PinApp, PinAppSpec
from pincompute.domain import namespace_quotas, pod_security_defaults, project_limits, project_namespace, project_roles
from pincompute.domain.namespace_quotas import LIMIT_RANGE, PODS_QUOTA
from pincompute.engine.plan import Apply, Confirm, Create, Delete, Patch, Plan, Replace
from pincompute.federation.project import namespace_objects, project_controller, project_namespaces
from pincompute.federation.project.project_namespaces import ObservedProject, ProjectNamespace
from pincompute.kube.object_store import ObjectStore

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FOUNDED = NOW - timedelta(days=2)
UNCLAIMED = {MANAGED_BY: PINCOMPUTE, PROJECT: "shop"}
OURS = {**UNCLAIMED, PROJECT_UID: "p"}
WHOLE = {**OURS, **pod_security_defaults.namespace_labels()}
ENFORCE = "pod-security.kubernetes.io/enforce"
NAMESPACE_LABELS: dict[str, tuple[dict[str, str] | None, list[type], str]] = {
    "missing": (None, [Create], "Preparing"),
    "as it should be": (WHOLE, [], "Prepared"),
    "with a label of somebody else": ({**WHOLE, "team": "web"}, [], "Prepared"),
    "of a version without the standard": (OURS, [Apply], "Preparing"),
    "of a version without uids, which is adopted": ({**WHOLE, PROJECT_UID: ""}, [Apply], "Preparing"),
    "with the standard lowered": ({**WHOLE, ENFORCE: "privileged"}, [Apply], "Preparing"),
    "with another version of the standard": ({**WHOLE, f"{ENFORCE}-version": "v1.0"}, [Apply], "Preparing"),
    "of somebody else": ({"team": "web"}, [], "NameTaken"),
    "of the platform, for another purpose": ({MANAGED_BY: PINCOMPUTE}, [], "NameTaken"),
    "of somebody else who knows the uid": ({PROJECT: "shop", PROJECT_UID: "p"}, [], "NameTaken"),
    "of another project": ({**WHOLE, PROJECT: "bank"}, [], "NameTaken"),
    "of a former project of the name": ({**WHOLE, PROJECT_UID: "former"}, [], "FormerNamespace"),
}

WITHOUT_UID: dict[str, tuple[timedelta | None, str]] = {
    "made after its project": (timedelta(seconds=1), "Preparing"),
    "made after its project, by a clock that runs late": (timedelta(minutes=-4), "Preparing"),
    "left behind by a former project": (timedelta(minutes=-6), "FormerNamespace"),
    "of an unknown age": (None, "FormerNamespace"),
}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Namespaces need hold nothing."""

    def nothing(_project: Project, _cluster: str) -> tuple[Manifest, ...]:
        return ()

    monkeypatch.setattr(namespace_objects, "of", nothing)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("case", NAMESPACE_LABELS)
@pytest.mark.parametrize("cluster", [HOST, "a1"])
def test_a_namespace_is_brought_to_the_standard_only_if_it_is_the_projects(case: str, cluster: str) -> None:
    labels, kinds, reason = NAMESPACE_LABELS[case]
    made = project_controller.decide(observed(found(cluster, labels)))
    writes: list[Any] = [a for a in made.actions if isinstance(a, Create | Apply)]
    assert [type(write) for write in writes] == kinds
    assert all(write.ref.cluster == cluster for write in writes)
    assert all(write.body["metadata"]["labels"] == WHOLE for write in writes)
    assert ready(made).reason == reason


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("case", WITHOUT_UID)
@pytest.mark.parametrize("cluster", [HOST, "a1"])
def test_a_namespace_without_uid_is_adopted_only_if_it_was_made_for_this_project(case: str, cluster: str) -> None:
    """A version that wrote no uid left the namespaces of deleted projects behind, with secrets and volumes."""
    age, reason = WITHOUT_UID[case]
    made_at = None if age is None else FOUNDED + age
    made = project_controller.decide(observed(found(cluster, UNCLAIMED, made_at=made_at)))
    assert ready(made).reason == reason
    assert any(isinstance(action, Apply) for action in made.actions) == (reason == "Preparing")


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("labels", [{"team": "web"}, {**WHOLE, PROJECT_UID: "former"}, {PROJECT: "bank"}])
def test_the_message_has_the_command_that_hands_a_namespace_over(labels: dict[str, str]) -> None:
    message = ready(project_controller.decide(observed(found("a1", labels)))).message
    (command,) = re.findall(r"kubectl label --overwrite namespace shop (.*)", message)
    handed = {**labels, **dict(pair.split("=") for pair in command.split())}
    made = project_controller.decide(observed(found("a1", handed, made_at=FOUNDED - timedelta(days=9))))
    assert ready(made).reason in ("Preparing", "Prepared")


LATER = "2026-11-02T00:00:00Z"  # a day after NOW
LEVELS: dict[str, tuple[dict[str, Any], str, float | None]] = {
    "not lowered": ({}, "restricted", None),
    "lowered for good": ({"level": "baseline"}, "baseline", None),
    "lowered until later": ({"level": "baseline", "until": LATER}, "baseline", 86_400.0),
    "privileged until later": ({"level": "privileged", "until": LATER}, "privileged", 86_400.0),
    "privileged until now": ({"level": "privileged", "until": "2026-11-01T00:00:00Z"}, "restricted", None),
    "privileged until a day that is not": ({"level": "privileged", "until": "2026-11-31T00:00:00Z"}, "restricted", None),
    "privileged until a time without a zone": ({"level": "privileged", "until": "2999-01-01"}, "restricted", None),
    "restricted until later": ({"level": "restricted", "until": LATER}, "restricted", None),
}


@pytest.mark.parametrize("case", LEVELS)
def test_a_lowered_level_holds_until_its_end(case: str) -> None:
    security, level, wakes = LEVELS[case]
    lowered = msgspec.structs.replace(project(), spec=ProjectSpec(pod_security=PodSecurity(**security)))
    labels = {**OURS, ENFORCE: level, f"{ENFORCE}-version": "v1.36"}
    made = project_controller.decide(observed(found(HOST, labels), found("a1", None), of=lowered))
    assert made.wake_after == wakes
    (created,) = [a for a in made.actions if isinstance(a, Create | Apply) and a.ref.resource == NAMESPACES]
    assert (created.ref.cluster, created.body["metadata"]["labels"]) == ("a1", labels)
    (status,) = [action for action in made.actions if isinstance(action, Replace)]
    assert status.body["status"].get("podSecurity", "restricted") == level


def test_nothing_is_written_before_the_project_is_proved_to_be_there() -> None:
    """A stale view of a deleted project would otherwise leave a namespace that nobody removes."""
    made = project_controller.decide(observed(found("a1", None)))
    assert [type(action) for action in made.stages[0]] == [Confirm]


def test_a_project_of_an_earlier_version_gets_the_finalizer_first() -> None:
    made = project_controller.decide(observed(found("a1", None), of=project(finalizers=())))
    [hold] = made.actions
    assert isinstance(hold, Patch)
    assert hold.body == {"metadata": {"finalizers": [NAMESPACES_FINALIZER]}}


# -- contents -----------------------------------------------------------------------------------------------------------------

WALL: Manifest = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "wall"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
}


@pytest.fixture
def walled(monkeypatch: pytest.MonkeyPatch) -> Project:
    def walls(_project: Project, cluster: str) -> tuple[Manifest, ...]:
        return () if cluster == HOST else (WALL,)

    monkeypatch.setattr(namespace_objects, "of", walls)
    return project()


def policy(name: str = "wall", spec: Manifest = WALL["spec"], uid: str = "p") -> NetworkPolicy:
    labels = {**OURS, PROJECT_UID: uid}
    meta = ObjectMeta(name=name, namespace="shop", uid=f"uid-{name}", resource_version="3", labels=labels)
    return NetworkPolicy(metadata=meta, spec=spec)


CONTENTS: dict[str, tuple[tuple[NetworkPolicy, ...], list[type]]] = {
    "nothing": ((), [Apply]),
    "as listed": ((policy(),), []),
    "changed": ((policy(spec={"podSelector": {}}),), [Replace]),
    "with a field more": ((policy(spec={**WALL["spec"], "egress": [{}]}),), [Replace]),
    "of a former project": ((policy(uid="former"),), [Replace]),
    "and one that is no longer listed": ((policy(), policy("old")), [Delete]),
}


def test_every_listed_name_may_be_taken_back() -> None:
    """An admission policy lets the federation write what lost its label only where the name is listed."""
    for cluster, table in ((HOST, namespace_objects.ON_HOST), ("a1", namespace_objects.IN_MEMBERS)):
        listed = [(made.resource, made.name) for made in namespace_objects.listed(project(), cluster)]
        assert listed == [(kind, name) for kind, names in table.items() for name in names]


BINDING: Manifest = project_roles.binding(project_roles.ON_HOST[0])
BINDINGS: dict[str, tuple[dict[str, Any] | None, list[type]]] = {
    "missing": (None, [Apply]),
    "as listed": ({}, []),
    "with a subject more": ({"subjects": [*BINDING["subjects"], {"kind": "User", "name": "eve"}]}, [Replace]),
    "of another role, which no API server changes": ({"role_ref": {**BINDING["roleRef"], "name": "edit"}}, [Delete]),
}


@pytest.mark.parametrize("case", BINDINGS)
@pytest.mark.parametrize("cluster", [HOST, "a1"])
def test_a_binding_of_the_platform_is_kept_as_listed(case: str, cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def bindings(_project: Project, _cluster: str) -> tuple[Manifest, ...]:
        return (BINDING,)

    monkeypatch.setattr(namespace_objects, "of", bindings)
    changes, kinds = BINDINGS[case]
    content = {"role_ref": BINDING["roleRef"], "subjects": BINDING["subjects"], **(changes or {})}
    name = BINDING["metadata"]["name"]
    meta = ObjectMeta(name=name, namespace="shop", uid="b", resource_version="3", labels={**OURS, PROJECT_UID: "p"})
    objects = {(ROLEBINDINGS, name): RoleBinding(metadata=meta, **content)} if changes is not None else {}
    made = project_controller.decide(observed(replace(found(cluster, WHOLE), objects=objects)))
    writes = [a for a in made.actions if isinstance(a, Apply | Replace | Delete) and a.ref.resource == ROLEBINDINGS]
    assert [type(write) for write in writes] == kinds


@pytest.mark.parametrize("case", CONTENTS)
def test_a_members_namespace_holds_what_is_listed(case: str, walled: Project) -> None:
    there, kinds = CONTENTS[case]
    objects = {(NETWORKPOLICIES, obj.metadata.name): obj for obj in there}
    made = project_controller.decide(observed(replace(found("a1", WHOLE), objects=objects), of=walled))
    writes = [a for a in made.actions if isinstance(a, Apply | Replace | Delete) and a.ref.resource == NETWORKPOLICIES]
    assert [type(write) for write in writes] == kinds
    assert ready(made).reason == ("Preparing" if kinds else "Prepared")


def test_the_hosts_namespace_holds_none_of_it(walled: Project) -> None:
    assert ready(project_controller.decide(observed(found(HOST, WHOLE), of=walled))).reason == "Prepared"


class OneCluster:
    """Shows one project and one namespace with its contents."""

    def __init__(self, of: Project | None, namespace: Namespace | None, *objects: NetworkPolicy) -> None:
        self.held = {PROJECTS: [of], NAMESPACES: [namespace], NETWORKPOLICIES: objects, ROLEBINDINGS: ()}

    def view(self, _cluster: str, resource: Any) -> Any:
        return _One({obj.key: obj for obj in self.held[resource] if obj is not None})


class _One(dict[Key, Any]):
    def list(self, _namespace: str = "") -> Any:
        return self.values()


LACKING: dict[str, tuple[dict[str, str] | None, tuple[NetworkPolicy, ...], str]] = {
    "its own, with its walls": (WHOLE, (policy(),), ""),
    "missing": (None, (policy(),), "namespace shop is missing"),
    "its own, without its walls": (WHOLE, (), "namespace shop lacks NetworkPolicy wall"),
    "its own, with a hole in its walls": (
        WHOLE,
        (policy(spec={"podSelector": {}}),),
        "namespace shop lacks NetworkPolicy wall",
    ),
    "of somebody else": ({"team": "web"}, (policy(),), "namespace shop is not the platform's"),
    "not adopted yet": (UNCLAIMED, (policy(),), "namespace shop is not adopted yet"),
    "of a former project": ({**WHOLE, PROJECT_UID: "former"}, (policy(),), "namespace shop is a former project's"),
}


@pytest.mark.parametrize("case", LACKING)
def test_a_member_takes_shards_only_in_the_projects_own_walled_namespace(case: str, walled: Project) -> None:
    labels, there, lacking = LACKING[case]
    views: Any = OneCluster(walled, found("a1", labels).there, *there)
    assert namespace_objects.lacking("shop", "a1", views) == lacking


def test_a_namespace_without_a_project_takes_no_shards(walled: Project) -> None:
    del walled
    views: Any = OneCluster(None, found("a1", WHOLE).there, policy())
    assert namespace_objects.lacking("shop", "a1", views) == "Project shop does not exist"


# -- limits --------------------------------------------------------------------------------------------------------------------


def limited(pods: int, basis: int) -> Project:
    """A project whose quotas follow from this many pods."""
    of = msgspec.structs.replace(project(), spec=ProjectSpec(limits=ProjectLimits(pods=pods)))
    made = msgspec.structs.replace(project_limits.quota_basis(of, {}), pods=basis)
    return msgspec.structs.replace(of, status=ProjectStatus(observed_generation=1, quota_basis=made))


LIMITS, QUOTA = (LIMITRANGES, LIMIT_RANGE), (RESOURCEQUOTAS, PODS_QUOTA)


def limit_range(of: Project) -> LimitRange:
    """The LimitRange of the project's limits, as it is in a member."""
    meta = ObjectMeta(name=LIMIT_RANGE, namespace="shop", uid="l", resource_version="3", labels=OURS)
    return LimitRange(metadata=meta, spec=namespace_quotas.limit_range(of)["spec"])


def pods_quota(of: Project, used: int) -> tuple[str, Any]:
    """What the member's quota of pods becomes, and the status that says why."""
    there = replace(found("a1", WHOLE), objects={LIMITS: limit_range(of)})
    made = project_controller.decide(replace(observed(there, of=of), used={"pods": used}))
    (quota,) = (a for a in made.actions if isinstance(a, Apply) and a.body["metadata"]["name"] == PODS_QUOTA)
    return quota.body["spec"]["hard"]["pods"], status_of(made)["quotaBasis"]["pods"]


def test_a_lowered_limit_leaves_quota_for_what_runs_until_it_falls() -> None:
    assert pods_quota(limited(10, basis=100), 90) == ("300", 100)
    assert pods_quota(limited(10, basis=100), 64) == ("192", 64)
    assert pods_quota(limited(10, basis=64), 65) == ("192", 64)
    assert pods_quota(limited(10, basis=64), 8) == ("30", 10)


def storing(each: str) -> Project:
    """A project whose containers may each write so much."""
    return msgspec.structs.replace(project(), spec=ProjectSpec(limits=ProjectLimits(default_container_storage=each)))


PAIRS: dict[str, tuple[str, bool, set[Any]]] = {
    "neither is there": ("", False, {LIMITS}),
    "containers may write more": ("1Gi", True, {QUOTA}),
    "containers may write less": ("9Gi", True, {LIMITS}),
    "the first is written": ("2Gi", False, {QUOTA}),
}


@pytest.mark.parametrize("case", PAIRS)
def test_what_fills_in_requests_and_the_quota_that_counts_them_are_written_one_after_the_other(case: str) -> None:
    """Half of the pair must refuse no pod: a quota counts no pod without amounts, and no larger ones than it was made for."""
    each, counted, first = PAIRS[case]
    meta = ObjectMeta(name=PODS_QUOTA, namespace="shop", uid="q", resource_version="3", labels=OURS)
    limits = {LIMITS: limit_range(storing(each))} if each else {}
    quota = {QUOTA: ResourceQuota(metadata=meta, spec={"hard": {}})} if counted else {}
    made = namespace_objects.writes(storing("2Gi"), "a1", limits | quota)
    assert {(write.ref.resource, write.ref.key.name) for write in made} & {LIMITS, QUOTA} == first


def test_a_limit_range_that_somebody_has_emptied_is_mended_before_the_quota() -> None:
    emptied = msgspec.structs.replace(limit_range(storing("2Gi")), spec={"limits": []})
    made = namespace_objects.writes(storing("2Gi"), "a1", {LIMITS: emptied})
    assert {(write.ref.resource, write.ref.key.name) for write in made} & {LIMITS, QUOTA} == {LIMITS}


class Uses:
    """Shows a project, and what its apps take of its limits."""

    def __init__(self, of: Project, pods: int) -> None:
        self.of, self.pods = of, pods

    def view(self, _cluster: str, resource: Any) -> Any:
        return _One({self.of.key: self.of}) if resource == PROJECTS else self if resource == PINAPPS else _NoUse()

    def total(self, _name: str, _group: str) -> dict[str, int]:
        return {"pods": self.pods}


class _NoUse:
    def list(self) -> list[Any]:
        return []

    def total(self, _name: str, _group: str) -> dict[str, int]:
        return {}


@pytest.mark.parametrize(("pods", "concerned"), [(9, True), (64, True), (65, False), (128, False), (5000, False)])
def test_a_workload_concerns_its_project_only_when_its_quotas_change(pods: int, concerned: bool) -> None:
    views: Any = Uses(limited(10, basis=128), pods)
    app = PinApp(metadata=ObjectMeta(name="web", namespace="shop"), spec=PinAppSpec(template={}))
    (read,) = (read for read in project_controller.CONTROLLER.card.reads if read.resource == PINAPPS)
    assert bool(list(read.concerned(HOST, app, views))) is concerned


class Pays:
    """Shows a project whose apps have 5 replicas with a sidecar, and this sidecar."""

    def __init__(self, of: Project, sidecar: PinSidecar) -> None:
        self.shown: dict[Any, list[Any]] = {PROJECTS: [of], PINSIDECARS: [sidecar]}

    def view(self, _cluster: str, resource: Any) -> Any:
        used = {"pods": 5, "cpu of sidecar metrics": 5} if resource == PINAPPS else {}
        shown = self.shown.get(resource, [])
        return SimpleNamespace(list=lambda: shown, get=lambda _key: shown[0], total=lambda *_: used)


ROOM = SidecarRoom(cpu="32m", memory="32Mi")


@pytest.mark.parametrize(
    ("cpu", "paid_by", "recorded", "basis", "concerned"),
    [
        ("20m", "Platform", SidecarRoom(), 1, True),
        ("20m", "Platform", SidecarRoom("256m", "128Mi"), 1, False),
        ("28m", "Platform", SidecarRoom("256m", "128Mi"), 1, False),
        ("40m", "Platform", SidecarRoom("256m", "128Mi"), 1, True),
        ("1.6", "Project", SidecarRoom("16.384", "128Mi"), "16.384", True),
        ("1.6", "Project", SidecarRoom("16.384", "128Mi"), "8.192", False),
    ],
    ids=["a new one", "the same", "a little more", "more than rounded up", "another use", "the same use"],
)
def test_sidecars_and_apps_that_have_them_concern_a_project_only_when_its_quotas_change(
    cpu: str, paid_by: Any, recorded: SidecarRoom, basis: Any, concerned: bool
) -> None:
    of = msgspec.structs.replace(project(), spec=ProjectSpec(limits=ProjectLimits(cpu=1)))
    before = msgspec.structs.replace(project_limits.quota_basis(of, {}), cpu=str(basis))
    status = ProjectStatus(observed_generation=1, sidecar_room=recorded, quota_basis=before)
    container = SidecarContainer(image="i", cpu=cpu)
    sidecar = PinSidecar(metadata=ObjectMeta(name="metrics"), spec=PinSidecarSpec(container=container, paid_by=paid_by))
    views: Any = Pays(msgspec.structs.replace(of, status=status), sidecar)
    app = PinApp(metadata=ObjectMeta(name="web", namespace="shop"), spec=PinAppSpec(template={}))
    for changed, resource in ((sidecar, PINSIDECARS), (app, PINAPPS)):
        (read,) = (read for read in project_controller.CONTROLLER.card.reads if read.resource == resource)
        assert bool(list(read.concerned(HOST, changed, views))) is concerned


def test_the_quotas_of_members_follow_the_room_for_sidecars() -> None:
    there = replace(found("a1", WHOLE), objects={LIMITS: limit_range(project())})
    made = project_controller.decide(replace(observed(there), sidecar_room=ROOM))
    assert status_of(made)["sidecarRoom"] == {"cpu": "32m", "memory": "32Mi"}
    (quota,) = (a for a in made.actions if isinstance(a, Apply) and a.ref.key.name == PODS_QUOTA)
    wanted = msgspec.structs.replace(project(), status=ProjectStatus(sidecar_room=ROOM))
    assert quota.body["spec"] == namespace_quotas.quotas(wanted)[0]["spec"] != namespace_quotas.quotas(project())[0]["spec"]


# -- deletion -----------------------------------------------------------------------------------------------------------------


def test_the_hosts_namespace_goes_first() -> None:
    made = project_controller.decide(observed(found(HOST, WHOLE), found("a1", WHOLE), of=project(deleting=True)))
    assert [(a.ref.cluster, a.uid) for a in made.actions if isinstance(a, Delete)] == [(HOST, "ns-host")]
    assert ready(made).reason == "Deleting"


def test_then_those_of_the_members_go_by_uid_and_only_the_projects_own() -> None:
    spaces = (
        found(HOST, None),
        found("a1", WHOLE),
        found("b1", {"team": "web"}),
        found("c1", {**WHOLE, PROJECT_UID: "former"}),
        found("d1", UNCLAIMED),
        found("e1", WHOLE, deleting=True),
        found("f1", UNCLAIMED, made_at=FOUNDED - timedelta(days=9)),
    )
    made = project_controller.decide(observed(*spaces, of=project(deleting=True)))
    assert [(a.ref.cluster, a.uid) for a in made.actions if isinstance(a, Delete)] == [("a1", "ns-a1"), ("d1", "ns-d1")]
    assert not any(isinstance(action, Patch) for action in made.actions)


def test_the_status_says_what_blocks() -> None:
    stuck = found(HOST, WHOLE, deleting=True, why="Some content has finalizers remaining: x in 2 instances")
    seen = replace(observed(stuck, of=project(deleting=True)), unreachable=("b1",), zones={"b1": "b"})
    message = ready(project_controller.decide(seen)).message
    assert "the host: Some content has finalizers remaining: x in 2 instances" in message
    assert "zone b: it does not answer" in message


@pytest.mark.parametrize("unseen", [{"unreachable": ("b1",)}, {"unsynced": ("b1",)}])
def test_a_member_that_cannot_be_seen_holds_the_project(unseen: dict[str, Any]) -> None:
    seen = replace(observed(found(HOST, None), found("a1", None), of=project(deleting=True)), **unseen)
    assert not any(isinstance(action, Patch) for action in project_controller.decide(seen).actions)


def test_the_project_goes_once_every_cluster_proves_that_it_holds_no_namespace_of_it() -> None:
    spaces = (found(HOST, None), found("a1", None), found("b1", {"team": "web"}))
    proofs, release = project_controller.decide(observed(*spaces, of=project(deleting=True))).stages
    assert [(p.ref.cluster, p.uid) for p in proofs if isinstance(p, Confirm)] == [(HOST, ""), ("a1", "")]
    assert isinstance(release[0], Patch)
    assert release[0].body == {"metadata": {"finalizers": []}}


def test_a_project_that_is_released_is_left_to_those_who_still_hold_it() -> None:
    """Another finalizer than ours may keep it: a namespace of its name then may be that of nobody we know."""
    released = project(deleting=True, finalizers=("team.example/backup",))
    assert project_controller.decide(observed(found(HOST, WHOLE), found("a1", WHOLE), of=released)).actions == ()


# -- the network --------------------------------------------------------------------------------------------------------------


def test_a_later_project_of_an_allowed_name_stays_outside_until_it_is_allowed_anew() -> None:
    first, second = {"web": "first"}, {"web": "second"}
    before = allowing(project(), "web")
    allowed, told = _allowed(before, first)
    assert (allowed, told.status) == ([{"name": "web", "uid": "first"}], "True")
    open_to_first = msgspec.structs.replace(before, status=ProjectStatus(allowed_projects=(AllowedProject(**_named(first)),)))
    allowed, told = _allowed(open_to_first, second)
    assert (allowed, told.status, told.reason) == ([{"name": "web", "uid": "first"}], "False", "LaterProject")
    assert "remove the name from network.allowFrom" in told.message
    closed = msgspec.structs.replace(allowing(open_to_first), status=open_to_first.status)
    made = project_controller.decide(replace(observed(found(HOST, WHOLE), of=closed), uids={}))
    assert "allowedProjects" not in status_of(made)
    allowed, _ = _allowed(before, second)
    assert allowed == [{"name": "web", "uid": "second"}]


def test_the_policy_that_is_written_is_already_that_of_the_status() -> None:
    """Else an upgrade would close what is open, until its status is written."""
    seen = replace(observed(found(HOST, WHOLE), found("a1", WHOLE), of=allowing(project(), "web")), uids={"web": "first"})
    actions = project_controller.decide(seen).actions
    (wall,) = [a for a in actions if isinstance(a, Apply) and a.ref.cluster == "a1" and a.ref.resource == NETWORKPOLICIES]
    assert wall.body["spec"]["ingress"][0]["from"][1]["namespaceSelector"]["matchLabels"][PROJECT_UID] == "first"


def test_projects_that_name_another_one_are_reconciled_with_it() -> None:
    (by_name,) = project_namespaces.INDEXES[PROJECTS].values()
    assert list(by_name(allowing(project(), "web", "bank"))) == ["web", "bank"]
    assert list(by_name(project())) == []


STATUSES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    # a later status of the same generation, what the project uses then
    "its end": ({"ended": {"revision": template_hash.revision({}), "phase": "Succeeded"}}, {"workloads": 1}),
    "the sidecars of its decision": (
        {"scheduling": {"generation": 1, "sidecars": [{"name": "metrics", "cpu": "20m", "memory": "32Mi"}]}},
        {"workloads": 1, "pods": 2, "cpu of sidecar metrics": 2, "memory of sidecar metrics": 2},
    ),
    "a count of replicas": ({"replicas": 2}, {"workloads": 1, "pods": 2}),
}


@pytest.mark.parametrize("what", STATUSES)
def test_the_use_of_a_project_follows_a_status(what: str) -> None:
    status, taken = STATUSES[what]
    store: ObjectStore[PinApp] = ObjectStore(project_namespaces.INDEXES[PINAPPS])
    for version, said in enumerate(({}, status), 1):
        meta = {"name": "web", "namespace": "shop", "uid": "u", "generation": 1, "resourceVersion": str(version)}
        store.put(msgspec.convert({"metadata": meta, "spec": {"replicas": 2, "template": {}}, "status": said}, PinApp))
    found = store.total(project_namespaces.BY_PROJECT, "shop")
    assert {name: found[name] for name in found if name in ("workloads", "pods") or " of sidecar " in name} == taken


def allowing(of: Project, *names: str) -> Project:
    return msgspec.structs.replace(of, spec=ProjectSpec(network=ProjectNetwork(allow_from=names)))


def _named(uids: dict[str, str]) -> dict[str, str]:
    ((name, uid),) = uids.items()
    return {"name": name, "uid": uid}


def _allowed(of: Project, uids: dict[str, str]) -> tuple[list[dict[str, str]], Condition]:
    status = status_of(project_controller.decide(replace(observed(found(HOST, WHOLE), of=of), uids=uids)))
    (told,) = [each for each in status["conditions"] if each["type"] == project_controller.NETWORK_ALLOWED]
    return list(status["allowedProjects"]), msgspec.convert(told, Condition)


def test_a_project_says_which_hooks_its_updates_may_name() -> None:
    """By this the gateway refuses another name when it is submitted; none is also an answer."""
    seen = observed(found("a1", WHOLE))
    for hooks in ((), ("board", "freeze")):
        assert status_of(project_controller.decide(replace(seen, allowed_hooks=hooks)))["allowedHooks"] == hooks


# -- the objects --------------------------------------------------------------------------------------------------------------


def project(*, deleting: bool = False, finalizers: tuple[str, ...] = (NAMESPACES_FINALIZER,)) -> Project:
    meta = ObjectMeta(name="shop", uid="p", generation=1, resource_version="1", finalizers=finalizers)
    times = {"creation_timestamp": FOUNDED, "deletion_timestamp": NOW if deleting else None}
    return Project(metadata=msgspec.structs.replace(meta, **times))


def found(
    cluster: str,
    labels: dict[str, str] | None,
    *,
    deleting: bool = False,
    why: str = "",
    made_at: datetime | None = FOUNDED,
) -> ProjectNamespace:
    if labels is None:
        return ProjectNamespace(cluster, None)
    told = (Condition(type="NamespaceFinalizersRemaining", status="True", reason="SomeFinalizersRemain", message=why),)
    times = {"creation_timestamp": made_at, "deletion_timestamp": NOW if deleting else None}
    meta = msgspec.structs.replace(ObjectMeta(name="shop", uid=f"ns-{cluster}", labels=labels), **times)
    there = Namespace(metadata=meta, status=NamespaceStatus(conditions=told if why else ()))
    return ProjectNamespace(cluster, there, project_namespace.owner(there, project().metadata))


def observed(*namespaces: ProjectNamespace, of: Project | None = None) -> ObservedProject:
    return ObservedProject(NOW, of or project(), namespaces)


def ready(made: Plan) -> Condition:
    return msgspec.convert(status_of(made)["conditions"][0], Condition)


def status_of(made: Plan) -> dict[str, Any]:
    return next(a for a in made.actions if isinstance(a, Replace) and a.subresource == "status").body["status"]
