"""Secrets and configs: which members need them, what is copied and removed in which order, and what their apps say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from federation.cached_region import FakeCache
from federation.object_builders import NOW, app, member, shard, template

from pincompute.api.kinds import KINDS, PINAPP
from pincompute.api.labels import COPIES_FINALIZER, HOST, SIDECARS
from pincompute.api.meta import Key, Manifest, ObjectMeta
from pincompute.api.revisions import PINREVISIONS
from pincompute.api.settings import (
    PINSECRETS,
    SECRET,
    PinSecret,
    PinSecretSpec,
    SettingCopy,
    SettingStatus,
    SettingVersion,
)
from pincompute.api.shards import PINAPPSHARDS, Share
from pincompute.api.sidecars import PINSIDECARS
from pincompute.api.workloads import ClusterReplicas, Scheduling
from pincompute.engine.api_refusals import ApiRefusal
from pincompute.engine.plan import Confirm, Copy, Delete, Discard, Plan, Replace
from pincompute.federation.settings import setting_controller, setting_needs, setting_references
from pincompute.federation.settings.setting_controller import MemberNeed, ObservedSetting
from pincompute.federation.workload import setting_readiness, stalled_workload
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.workload_model import Workload

DB = Key("demo", "db")
THERE = SettingCopy(cluster="a1", version=1, namespace="ns-a1")
MAKING = msgspec.structs.replace(THERE, making=True)
REMOVING = msgspec.structs.replace(THERE, removing=True)
PLACED = Scheduling(generation=1, placement=(ClusterReplicas(cluster="a1", zone="a", replicas=3),))


def secret(*copies: SettingCopy, version: int = 1, registry: str = "", deleting: bool = False, kept: int = 3) -> PinSecret:
    meta = ObjectMeta(
        name=DB.name,
        namespace=DB.namespace,
        uid="uid-db",
        resource_version="4",
        finalizers=(COPIES_FINALIZER,),
        deletion_timestamp=NOW if deleting else None,
    )
    versions = tuple(SettingVersion(number=number, time=NOW) for number in range(1, kept + 1))
    spec = PinSecretSpec(version=version, versions=versions, registry=registry)
    return PinSecret(metadata=meta, spec=spec, status=SettingStatus(copies=copies, stored=tuple(range(1, kept + 1))))


def needs(*versions: int, name: str = "a1", lacks: str = "") -> MemberNeed:
    return MemberNeed(name, f"ns-{name}", lacks, frozenset(versions))


def decided(setting: PinSecret, *members: MemberNeed, refusal: ApiRefusal = setting_controller.NO_REFUSAL) -> Plan:
    registered = frozenset(each.name for each in members)
    return setting_controller.decide(ObservedSetting(SECRET, setting, members, registered, "", refusal))


def recorded(plan: Plan) -> list[SettingCopy]:
    report = next(action for action in plan.actions if isinstance(action, Replace))
    return msgspec.convert(report.body["status"].get("copies", []), list[SettingCopy])


def moves(plan: Plan) -> list[str]:
    """Copies and removals, each as its name and member."""
    return [
        f"{'copy' if isinstance(action, Copy) else 'discard'} {action.ref.key.name} in {action.ref.cluster}"
        for action in plan.actions
        if isinstance(action, Copy | Discard)
    ]


@pytest.mark.parametrize(
    ("copies", "versions", "moved", "then"),
    [
        pytest.param((), (0,), [], [MAKING], id="a new copy is recorded before it is made"),
        pytest.param((MAKING,), (0,), ["copy db in a1"], [THERE], id="what is recorded is made"),
        pytest.param((THERE,), (), [], [REMOVING], id="a copy that nothing needs is marked before it goes"),
        pytest.param((MAKING,), (), [], [msgspec.structs.replace(MAKING, removing=True)], id="so is one that may be there"),
        pytest.param((REMOVING,), (), ["discard db in a1"], [], id="what is marked is removed"),
        pytest.param((REMOVING,), (0,), ["copy db in a1"], [THERE], id="a copy that is needed again is made again"),
    ],
)
def test_a_status_knows_every_copy(
    copies: tuple[SettingCopy, ...], versions: tuple[int, ...], moved: list[str], then: list[SettingCopy]
) -> None:
    """S-067: whenever the process dies, the status names each member that may hold the value."""
    plan = decided(secret(*copies), needs(*versions))
    assert (moves(plan), recorded(plan)) == (moved, then)
    assert all(isinstance(action, Confirm) for action in plan.stages[0]) or not moved


def test_a_member_that_refuses_says_why_and_holds_up_no_other() -> None:
    others = SettingCopy(cluster="b1", version=1, namespace="ns-b1", making=True)
    refusal = ApiRefusal("a1", "a Secret db is in the way", "")
    plan = decided(secret(MAKING, others), needs(0), needs(0, name="b1"), refusal=refusal)
    assert moves(plan) == ["copy db in b1", "copy db in a1"]
    assert isinstance(plan.stages[-1][0], Copy), "what is refused comes last, after the report"
    assert [(copy.cluster, copy.making, copy.problem) for copy in recorded(plan)] == [
        ("a1", True, refusal.text),
        ("b1", False, ""),
    ]
    mended = decided(secret(msgspec.structs.replace(MAKING, problem=refusal.text)), needs(0))
    assert recorded(mended) == [THERE]


def test_a_secret_that_is_removed_goes_when_no_member_has_it() -> None:
    assert moves(decided(secret(THERE, deleting=True), needs(0))) == []
    waits = decided(secret(REMOVING, deleting=True), needs())
    assert moves(waits) == ["discard db in a1"]
    silent = setting_controller.decide(ObservedSetting(SECRET, secret(THERE, deleting=True), (), frozenset({"a1"})))
    assert silent.settled, "a member that cannot be seen may hold it"
    gone = decided(secret(deleting=True))
    assert "finalizer" in str(gone.actions[0])


@pytest.mark.parametrize(("age", "gone"), [(0.0, False), (599.0, False), (600.0, True), (1e9, True)])
def test_a_setting_of_which_no_version_was_recorded_goes_when_nobody_can_be_about_to(age: float, gone: bool) -> None:
    """A gateway that crashed left it. Nobody sees it, so nobody else can remove it."""
    observed = ObservedSetting(SECRET, secret(version=0, kept=0), (), frozenset(), age=age)
    plan = setting_controller.decide(observed)
    assert [isinstance(action, Delete) for action in plan.actions] == ([True] if gone else [])
    assert gone or plan.wake_after == 600.0 - age
    used = setting_controller.decide(replace(observed, setting=secret()))
    assert not any(isinstance(action, Delete) for action in used.actions)


# -- who needs what


class Caches:
    def __init__(self) -> None:
        self.stores: dict[tuple[str, Any], FakeCache] = {}
        for resource, indexes in setting_references.ON_HOST.items():
            self.stores[HOST, resource] = FakeCache(indexes)
        self.stores[HOST, PINSIDECARS] = FakeCache({})
        for kind in KINDS:
            self.stores["a1", kind.shard] = FakeCache(setting_references.IN_MEMBERS[kind.shard])

    def view(self, where: str, resource: Any) -> FakeCache:
        return self.stores[where, resource]


def naming(*names: str, image: str = "ghcr.io/ann/web:1", pulls: tuple[str, ...] = ()) -> Manifest:
    made = template(image)
    made["spec"]["containers"][0]["env"] = [
        {"name": f"S{n}", "valueFrom": {"secretKeyRef": {"name": name, "key": "value"}}} for n, name in enumerate(names)
    ]
    return {"spec": {**made["spec"], "imagePullSecrets": [{"name": name} for name in pulls]}}


def workload(pod: Manifest, *, rolls: bool = False, deleting: bool = False) -> Workload:
    made = app("web", scheduling=PLACED, pod=pod, deleting=deleting)
    update = msgspec.structs.replace(made.obj.spec.update, settings="Roll" if rolls else "NextStart")
    return replace(made, obj=msgspec.structs.replace(made.obj, spec=msgspec.structs.replace(made.obj.spec, update=update)))


@pytest.mark.parametrize(
    ("pod", "rolls", "setting", "wanted"),
    [
        pytest.param(naming("db"), False, secret(version=2), {0}, id="the plain name"),
        pytest.param(naming("db"), True, secret(version=2), {2}, id="an app that rolls has the version in use"),
        pytest.param(naming("db.1"), True, secret(version=2), {1}, id="a version that is named is that version"),
        pytest.param(naming("db", "db.1"), True, secret(version=2), {1, 2}, id="both"),
        pytest.param(naming(pulls=("db",)), True, secret(version=2), {0}, id="a login is always the plain name"),
        pytest.param(naming(), True, secret(registry="ghcr.io"), {0}, id="a login at the registry of the image"),
        pytest.param(naming(), True, secret(registry="ghcr.io", deleting=True), set(), id="a login that goes is not used"),
        pytest.param(naming("other"), False, secret(registry="quay.io"), set(), id="nothing"),
    ],
)
def test_what_a_member_needs_where_an_app_is_placed(pod: Manifest, rolls: bool, setting: PinSecret, wanted: set[int]) -> None:
    caches = Caches()
    there = workload(pod, rolls=rolls)
    caches.view(HOST, PINAPP.workload).put(there.obj)
    assert setting_needs.wanted(SECRET, setting, caches) == ({"a1": frozenset(wanted)} if wanted else {})  # type: ignore[arg-type]
    going = Caches()
    going.view(HOST, PINAPP.workload).put(workload(pod, rolls=rolls, deleting=True).obj)
    assert setting_needs.wanted(SECRET, setting, going) == {}  # type: ignore[arg-type]


def test_what_replicas_still_use_stays() -> None:
    caches, there = Caches(), workload(naming("db"))
    old, new = (
        Share(revision="old", template=naming("db.1"), replicas=0),
        Share(revision="new", template=naming("db.2"), replicas=3),
    )
    held = shard(there, "a1", 3)
    settled = msgspec.structs.replace(held, spec=msgspec.structs.replace(held.spec, mix=(new,)))
    caches.view("a1", PINAPPSHARDS).put(settled)
    assert held_versions(caches) == {2}, "what the shard names"
    owner = {"apiVersion": "v1", "kind": "PinApp", "name": "web", "uid": "uid-web"}
    body = {
        "metadata": {"name": "pinapp-web-old", "namespace": "demo", "ownerReferences": [owner]},
        "spec": {"revision": "old", "number": 1, "template": old.template},
    }
    caches.view(HOST, PINREVISIONS).put(msgspec.convert(body, PINREVISIONS.type))
    assert held_versions(caches) == {2}, "a revision of which nothing runs needs nothing"
    rows = (*settled.status.revisions, msgspec.structs.replace(settled.status.revisions[0], revision="old", replicas=1))
    later = msgspec.structs.replace(settled.metadata, resource_version="9")
    status = msgspec.structs.replace(settled.status, revisions=rows)
    caches.view("a1", PINAPPSHARDS).put(msgspec.structs.replace(settled, metadata=later, status=status))
    assert held_versions(caches) == {1, 2}, "a replica of the former revision runs"


def held_versions(caches: Caches) -> frozenset[int]:
    return setting_needs.held(SECRET, DB, "a1", frozenset({0, 1, 2}), caches)  # type: ignore[arg-type]


def test_who_needs_a_secret_costs_nothing_for_each_app() -> None:
    caches = Caches()
    for number in range(50):
        made = workload(naming("db"))
        meta = msgspec.structs.replace(made.obj.metadata, name=f"web-{number}")
        caches.view(HOST, PINAPP.workload).put(msgspec.structs.replace(made.obj, metadata=meta))
    caches.view(HOST, PINAPP.workload).by = None  # type: ignore[method-assign]
    caches.view(HOST, PINAPP.workload).list = None  # type: ignore[method-assign]
    assert setting_needs.wanted(SECRET, secret(), caches) == {"a1": {0}}  # type: ignore[arg-type]


# -- what an app says


@pytest.mark.parametrize(
    ("setting", "says", "stalls"),
    [
        pytest.param(None, "secret db does not exist: set it with `pin secret set db`", True, id="never set"),
        pytest.param(secret(version=0, kept=0), "secret db does not exist", True, id="without a value"),
        pytest.param(secret(deleting=True), "secret db is being deleted", True, id="being deleted"),
        pytest.param(secret(), "secret db is not there yet", False, id="on its way"),
        pytest.param(secret(MAKING), "secret db is not there yet", False, id="being made"),
        pytest.param(
            secret(msgspec.structs.replace(MAKING, problem="a Secret db is in the way")),
            "secret db does not arrive: a Secret db is in the way",
            True,
            id="refused by the member",
        ),
        pytest.param(secret(THERE), "", False, id="there"),
        pytest.param(secret(REMOVING), "secret db is not there yet", False, id="being removed"),
    ],
)
@pytest.mark.parametrize("running", [0, 2], ids=["at a start", "when it is scaled"])
def test_an_app_says_which_secret_its_replicas_wait_for(
    setting: PinSecret | None, says: str, stalls: bool, running: int
) -> None:
    """An app that runs already and gets no more replicas says why, as one does that never started."""
    caches, wanted = Caches(), workload(naming("db"))
    if setting is not None:
        caches.view(HOST, PINSECRETS).put(setting)
    there = shard(wanted, "a1", running) if running else None
    judged = setting_readiness.judge(wanted, (MemberShard(member("a1"), there),), {}, caches)  # type: ignore[arg-type]
    found = setting_readiness.waits(wanted, judged.sites)
    assert [each.message[: len(says)] for each in found] == ([says] if says else [])
    stall = stalled_workload.find(wanted, judged.sites, None, "", NOW)
    assert stall.reason == ("SettingMissing" if stalls else "")


def test_an_app_whose_project_may_not_have_a_sidecar_says_so() -> None:
    named = naming()
    named["metadata"] = {"annotations": {SIDECARS: "metrics"}}
    wanted = workload(named)
    judged = setting_readiness.judge(wanted, (MemberShard(member("a1"), None),), {}, Caches())  # type: ignore[arg-type]
    stall = stalled_workload.find(wanted, judged.sites, None, "", NOW)
    assert (stall.reason, stall.message.partition(":")[0]) == ("SidecarMissing", "sidecar metrics does not exist")


def test_no_app_waits_for_what_it_does_not_ask_for() -> None:
    wanted = workload(naming("db"))
    full = MemberShard(member("a1"), shard(wanted, "a1", 3))
    judged = setting_readiness.judge(wanted, (full,), {}, Caches())  # type: ignore[arg-type]
    assert judged.sites[0].unready
    assert setting_readiness.waits(wanted, judged.sites) == ()
