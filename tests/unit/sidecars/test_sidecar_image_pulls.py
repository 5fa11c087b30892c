"""S-158: the image of a sidecar's version is on the node before the container that it replaces ends."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pincompute.api import sidecars, template_hash
from pincompute.api.builtin import (
    NAMESPACES,
    PODS,
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    Namespace,
    Pod,
    PodSpec,
    PodStatus,
)
from pincompute.api.conditions import Condition
from pincompute.api.kinds import KINDS
from pincompute.api.labels import IMAGE_PULL_SHARD_UID, MANAGED_BY, ORDINAL, PINCOMPUTE, POD_SECURITY, REVISION
from pincompute.api.meta import Key, Manifest, Object, ObjectMeta, OwnerReference, Resource
from pincompute.api.shards import PINAPPSHARDS, Origin, PinAppShard, ShardSpec, Share
from pincompute.api.sidecars import PINSIDECARSHARDS, PinSidecarShard, PinSidecarShardSpec, SidecarContainer
from pincompute.domain import sidecar_injection
from pincompute.domain.sidecar_injection import Injected
from pincompute.engine.plan import Confirm, Create, Delete, Patch, Plan, Replace
from pincompute.operator import image_pulls
from pincompute.operator.sidecars import fleet_controller
from pincompute.operator.sidecars.fleet_controller import BY_PULLS, INDEXES

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
ONE = sidecars.version(SidecarContainer(image="metrics:1", run_as_user=7))
TWO = sidecars.version(SidecarContainer(image="metrics:2", run_as_user=7))
ALL = 1000
GIVEN = {
    "containers": [{"name": "web", "image": "hello:1"}],
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "imagePullSecrets": [{"name": "login"}],
}
TEMPLATE = template_hash.normalise({"spec": GIVEN})
SHARE = Share(revision=template_hash.revision(TEMPLATE), template=TEMPLATE, replicas=9)
RUNNING = ContainerState(running=ContainerStateRunning())
PULLED = ContainerState(terminated=ContainerStateTerminated(exit_code=128, reason="StartError"))


def waiting(reason: str, message: str = "") -> ContainerState:
    return ContainerState(waiting=ContainerStateWaiting(reason=reason, message=message))


NOT_FOUND = waiting("ErrImagePull", 'failed to resolve reference "metrics:2": metrics:2: not found')
NO_LOGIN = waiting("ErrImagePull", "failed to authorize: 401 Unauthorized")
NO_ANSWER = waiting("ErrImagePull", "dial tcp 10.0.0.1:443: i/o timeout")


def fleet(updated: int = ALL, **facts: Any) -> PinSidecarShard:
    given = {"versions": (ONE, TWO), "birth": ONE.revision, "target": TWO.revision} | facts
    spec = PinSidecarShardSpec(origin=Origin(uid="o", generation=1), updated=updated, **given)
    return PinSidecarShard(metadata=ObjectMeta(name="metrics", uid="s", generation=3), spec=spec)


def app(name: str, project: str, share: Share = SHARE) -> PinAppShard:
    spec = ShardSpec(origin=Origin(uid="o", generation=1), cluster="a1", zone="a", mix=(share,))
    return PinAppShard(metadata=ObjectMeta(name=name, namespace=project, uid=f"{project}-{name}"), spec=spec)


def pod(
    number: int,
    *,
    node: str = "n1",
    has: sidecars.SidecarVersion = ONE,
    wanted: str = "",
    state: ContainerState = RUNNING,
    project: str = "shop",
) -> Pod:
    """A replica of the app `web` of its project, whose template is the newest."""
    name = f"web-{number}"
    injected = Injected(revision=has.revision, shape=has.shape, wanted=wanted)
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=project,
            uid=f"{project}-{name}",
            resource_version="1",
            labels={MANAGED_BY: PINCOMPUTE, REVISION: SHARE.revision},
            annotations=sidecar_injection.annotation({"metrics": injected}) | {ORDINAL: str(number)},
            owner_references=(OwnerReference(kind="PinAppShard", name="web", uid=f"{project}-web", controller=True),),
        ),
        spec=PodSpec(
            node_name=node,
            init_containers=(Container(name="platform-metrics", image=has.container.image, restart_policy="Always"),),
        ),
        status=PodStatus(
            phase="Running",
            init_container_statuses=(
                ContainerStatus(name="platform-metrics", container_id="id", ready=state is RUNNING, state=state),
            ),
        ),
    )


def pulling(body: Manifest, state: ContainerState | None, *, conditions: tuple[Condition, ...] = ()) -> Pod:
    """The pod that the plan made, with what its node reports."""
    meta, (container,) = body["metadata"], body["spec"]["containers"]
    statuses = (ContainerStatus(name=container["name"], state=state),) if state is not None else ()
    (owner,) = meta["ownerReferences"]
    return Pod(
        metadata=ObjectMeta(
            name=meta["name"],
            namespace=meta["namespace"],
            uid=f"u-{meta['name']}",
            labels=meta["labels"],
            owner_references=(OwnerReference(kind=owner["kind"], name=owner["name"], uid=owner["uid"], controller=True),),
        ),
        spec=PodSpec(containers=(Container(name=container["name"], image=container["image"]),)),
        status=PodStatus(phase="Pending", container_statuses=statuses, conditions=conditions),
    )


class Cache:
    """Views of one member in which all is known."""

    def __init__(self, objects: dict[Resource[Any], Iterable[Object]]) -> None:
        self._objects = objects

    def view(self, _cluster: str, resource: Resource[Any]) -> Any:
        return Table(resource, {obj.key: obj for obj in self._objects.get(resource, ())})


class Table:
    synced = True

    def __init__(self, resource: Resource[Any], objects: dict[Key, Object]) -> None:
        self._indexes, self._objects = INDEXES.get(resource, {}), objects

    def get(self, key: Key) -> Any:
        return self._objects.get(key)

    def by(self, index: str, value: str) -> list[Any]:
        return [obj for obj in self._objects.values() if value in self._indexes[index](obj)]


def decided(of: PinSidecarShard, *pods: Pod, share: Share = SHARE, now: datetime = NOW) -> Plan:
    projects = {each.metadata.namespace for each in pods}
    objects: dict[Resource[Any], Iterable[Object]] = {kind.shard: () for kind in KINDS}
    objects |= {PINSIDECARSHARDS: (of,), PODS: pods, PINAPPSHARDS: [app("web", project, share) for project in projects]}
    objects[NAMESPACES] = [Namespace(metadata=ObjectMeta(name=each, labels={POD_SECURITY: "restricted"})) for each in projects]
    views: Any = Cache(objects)
    seen = fleet_controller.observe(of.key, views, now)
    assert seen is not None
    return fleet_controller.decide(seen)


def made(plan: Plan) -> list[Manifest]:
    return [action.body for action in plan.actions if isinstance(action, Create)]


def asked(plan: Plan) -> list[str]:
    return [action.ref.key.name for action in plan.actions if isinstance(action, Patch)]


def row(plan: Plan) -> Manifest:
    """What the member reports of the target."""
    (status,) = [action.body["status"] for action in plan.actions if isinstance(action, Replace)]
    return next((each for each in status.get("versions", ()) if each["revision"] == TWO.revision), {})


def test_a_node_pulls_once_for_all_pods_of_a_project_on_it_and_nobody_is_asked_before() -> None:
    plan = decided(fleet(), pod(0), pod(1), pod(0, project="bank"), pod(2, node="n2"))
    assert asked(plan) == []
    assert sorted(body["metadata"]["namespace"] for body in made(plan)) == ["bank", "shop", "shop"]
    assert {body["metadata"]["labels"][IMAGE_PULL_SHARD_UID] for body in made(plan)} == {"s"}
    assert row(plan)["awaitingImage"] == 4
    assert isinstance(plan.stages[0][0], Confirm)


def test_what_pulls_is_scheduled_logged_in_and_confined_as_the_pod_that_needs_the_image() -> None:
    (body,) = made(decided(fleet(), pod(0)))
    spec = body["spec"]
    assert body["metadata"]["namespace"] == "shop"
    assert (spec["tolerations"], spec["imagePullSecrets"]) == (GIVEN["tolerations"], GIVEN["imagePullSecrets"])
    (container,) = spec["containers"]
    assert (container["name"], container["image"]) == ("sidecar", "metrics:2")  # the member refuses platform- in containers
    assert container["securityContext"]["runAsUser"] == 7
    assert spec["securityContext"]["runAsNonRoot"] is True


@pytest.mark.parametrize("where", ["containers", "initContainers"])
def test_no_container_of_the_user_takes_the_place_of_the_sidecar(where: str) -> None:
    """One that is never pulled would fail the step of the whole fleet."""
    theirs = {"name": "sidecar", "image": "hello:1", "imagePullPolicy": "Never", "securityContext": {"runAsUser": 9}}
    template = template_hash.normalise({"spec": {**GIVEN, where: [theirs]}})
    (body,) = made(decided(fleet(), pod(0), share=Share(revision=SHARE.revision, template=template, replicas=9)))
    (container,) = body["spec"]["containers"]
    assert (container["image"], container["securityContext"]["runAsUser"]) == ("metrics:2", 7)
    assert "imagePullPolicy" not in container


@pytest.mark.parametrize(
    ("state", "wanted", "awaiting", "pulling_now", "failing"),
    [
        (None, [], 1, 1, 0),
        (waiting("ContainerCreating"), [], 1, 1, 0),
        (NOT_FOUND, [], 1, 0, 1),
        (NO_ANSWER, [], 1, 0, 0),
        (PULLED, ["web-0"], 0, 0, 0),
        (waiting("CreateContainerConfigError", "runs as root"), ["web-0"], 0, 0, 0),
    ],
    ids=["nothing", "creating", "missing", "no-answer", "pulled", "root"],
)
def test_what_the_node_reports_decides(
    state: ContainerState | None, wanted: list[str], awaiting: int, pulling_now: int, failing: int
) -> None:
    (body,) = made(decided(fleet(), pod(0)))
    plan = decided(fleet(), pod(0), pulling(body, state))
    assert asked(plan) == wanted
    assert made(plan) == []
    told = tuple(row(plan).get(name, 0) for name in ("awaitingImage", "pulling", "failing"))
    assert told == (awaiting, pulling_now, failing)


def test_the_cause_is_told_of_the_version() -> None:
    (body,) = made(decided(fleet(), pod(0)))
    missing = row(decided(fleet(), pod(0), pulling(body, NOT_FOUND)))["message"]
    assert missing == "image metrics:2 of metrics cannot be pulled: registry docker.io says not found"
    silent = row(decided(fleet(), pod(0), pulling(body, NO_ANSWER)))["message"]
    assert silent.startswith("image metrics:2 of metrics cannot be pulled: registry docker.io cannot be reached")


def test_a_node_that_takes_no_pod_is_not_waited_for() -> None:
    full = Condition(
        type="PodScheduled", status="False", reason="Unschedulable", message="0/3 nodes are available: 3 Too many pods."
    )
    (body,) = made(decided(fleet(), pod(0)))
    assert asked(decided(fleet(), pod(0), pulling(body, None, conditions=(full,)))) == ["web-0"]


@pytest.mark.parametrize("state", [waiting("CrashLoopBackOff"), waiting("ImagePullBackOff"), None])
def test_a_sidecar_that_does_not_run_has_nothing_to_lose(state: ContainerState | None) -> None:
    plan = decided(fleet(), pod(0, state=state) if state is not None else pod(0, node="", state=ContainerState()))
    assert (asked(plan), made(plan)) == (["web-0"], [])


def test_a_node_that_runs_the_version_pulls_nothing() -> None:
    plan = decided(fleet(), pod(0, has=TWO), pod(1))
    assert (asked(plan), made(plan)) == (["web-1"], [])


def test_the_image_that_one_project_has_on_a_node_is_not_yet_that_of_another() -> None:
    """A node gives an image only to pods whose login has pulled it."""
    plan = decided(fleet(), pod(0, has=TWO), pod(1, project="bank"))
    assert (asked(plan), [body["metadata"]["namespace"] for body in made(plan)]) == ([], ["bank"])


@pytest.mark.parametrize("refused", [3, 20])
def test_projects_whose_quota_refuses_pods_hold_up_their_own_alone(refused: int) -> None:
    """They come first in the order of names."""
    pods = [pod(number, node=f"n{number}", project=f"a{full}") for full in range(refused) for number in range(3)]
    ours = [pod(number, node=f"n{number}") for number in range(3)]
    pulls: list[Pod] = []
    for attempt in range(30):
        tried = made(decided(fleet(), *pods, *ours, *pulls, now=NOW + timedelta(seconds=attempt)))
        pulls += [pulling(body, PULLED) for body in tried if body["metadata"]["namespace"] == "shop"]
    assert len(pulls) == 3
    assert sorted(asked(decided(fleet(), *pods, *ours, *pulls))) == sorted(each.metadata.name for each in ours)


def test_a_project_without_a_login_fails_no_version_that_another_one_pulls() -> None:
    ours, theirs = pod(0), pod(1, project="bank")
    (of_bank, of_shop) = sorted(made(decided(fleet(), ours, theirs)), key=lambda body: body["metadata"]["namespace"])
    alone = row(decided(fleet(), ours, theirs, pulling(of_bank, NO_LOGIN), pulling(of_shop, None)))
    assert "asks for credentials" in alone["message"], "it may be a login that all lack"
    assert alone.get("failing", 0) == 0, "but nobody knows yet"
    plan = decided(fleet(), ours, theirs, pulling(of_bank, NO_LOGIN), pulling(of_shop, PULLED))
    assert asked(plan) == ["web-0"]
    assert (row(plan).get("failing", 0), row(plan).get("message", ""), row(plan)["awaitingImage"]) == (0, "", 1)


def test_a_project_that_cannot_pull_keeps_no_other_from_trying() -> None:
    many = [pod(number, node=f"n{number}", project="bank") for number in range(20)]
    failing = [pulling(body, NO_LOGIN) for body in made(decided(fleet(), *many))]
    assert len(failing) == image_pulls.AT_ONCE
    plan = decided(fleet(), *many, pod(0), *failing)
    assert [body["metadata"]["namespace"] for body in made(plan)] == ["shop"]


@pytest.mark.parametrize("forged", ["namespace", "image", "node"])
@pytest.mark.parametrize("state", [PULLED, NOT_FOUND])
def test_a_pod_that_passes_itself_off_as_one_that_pulls_decides_nothing(forged: str, state: ContainerState) -> None:
    (body,) = made(decided(fleet(), pod(0)))
    true = pulling(body, state)
    places = {"namespace": "bank", "image": "shop", "node": "shop"}
    images = {"namespace": "metrics:2", "image": "mine:1", "node": "metrics:2"}
    container = Container(name=true.spec.containers[0].name, image=images[forged])
    pull = msgspec.structs.replace(
        true,
        metadata=msgspec.structs.replace(true.metadata, namespace=places[forged]),
        spec=PodSpec(containers=(container,), node_name="n2" if forged == "node" else ""),
    )
    plan = decided(fleet(), pod(0), pull)
    assert asked(plan) == []
    assert (row(plan)["awaitingImage"], row(plan).get("failing", 0), row(plan).get("message", "")) == (1, 0, "")
    assert [action.ref.key for action in plan.actions if isinstance(action, Delete)] == [pull.key]


def test_only_nodes_of_pods_that_may_take_the_version_pull_and_some_at_the_same_time() -> None:
    pods = [pod(number, node=f"n{number}") for number in range(40)]
    assert len(made(decided(fleet(3), *pods))) == 3
    assert len(made(decided(fleet(), *pods))) == image_pulls.AT_ONCE
    assert made(decided(fleet(0), *pods)) == made(decided(fleet(paused=True), *pods)) == []


def test_nodes_that_pull_for_too_long_give_their_places_to_others_and_nothing_waits_for_them() -> None:
    """A tenant keeps nodes busy with images that never arrive."""
    pods = [pod(number, node=f"n{number}") for number in range(image_pulls.AT_ONCE + 3)]
    begun = [pulling(body, None) for body in made(decided(fleet(), *pods))]
    for each in begun:
        msgspec.structs.force_setattr(each.metadata, "creation_timestamp", NOW)
    young, slow = NOW + image_pulls.SLOW - timedelta(seconds=1), NOW + image_pulls.SLOW
    waits, goes_on = (decided(fleet(), *pods, *begun, now=now) for now in (young, slow))
    assert (made(waits), row(waits)["pulling"], waits.wake_after) == ([], image_pulls.AT_ONCE, 1.0)
    assert (len(made(goes_on)), row(goes_on).get("pulling", 0)) == (3, 0)
    assert not any(isinstance(action, Delete) for action in goes_on.actions)


def test_the_image_stays_on_the_node_until_the_pod_has_it_and_then_what_pulled_it_goes() -> None:
    (body,) = made(decided(fleet(), pod(0)))
    pull = pulling(body, PULLED)
    kept = decided(fleet(), pod(0, wanted=TWO.revision), pull)
    assert not any(isinstance(action, Delete) for action in kept.actions)
    for of, present in ((fleet(), pod(0, has=TWO)), (fleet(paused=True), pod(0)), (fleet(target=ONE.revision), pod(0))):
        plan = decided(of, present, pull)
        assert [action.ref.key for action in plan.actions if isinstance(action, Delete)] == [pull.key]


def test_a_pod_of_another_shape_pulls_for_itself_when_it_is_made_anew() -> None:
    other = sidecars.version(SidecarContainer(image="metrics:1", args=("x",)))
    assert made(decided(fleet(other_changes="Replace"), pod(0, has=other))) == []


def test_a_pod_that_the_platform_did_not_make_pulls_for_no_sidecar() -> None:
    (body,) = made(decided(fleet(), pod(0)))
    ours = pulling(body, NOT_FOUND)
    labels = {name: value for name, value in ours.metadata.labels.items() if name != MANAGED_BY}
    foreign = msgspec.structs.replace(ours, metadata=msgspec.structs.replace(ours.metadata, labels=labels))
    index = INDEXES[PODS][BY_PULLS]
    assert (list(index(ours)), list(index(foreign))) == (["metrics"], [])
