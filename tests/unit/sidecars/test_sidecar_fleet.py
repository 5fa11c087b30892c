"""Which pods of a member are asked to take a version, what is reported of them, and how far a rollout may go."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pincompute.api import sidecars
from pincompute.api.builtin import (
    PODS,
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    Pod,
    PodSpec,
    PodStatus,
)
from pincompute.api.labels import APP, MANAGED_BY, ORDINAL, PINCOMPUTE, SIDECARS
from pincompute.api.meta import ObjectMeta
from pincompute.api.shards import Origin
from pincompute.api.sidecars import (
    FleetUpdate,
    PinSidecar,
    PinSidecarShard,
    PinSidecarShardSpec,
    PinSidecarShardStatus,
    PinSidecarSpec,
    PinSidecarStatus,
    SidecarContainer,
    SidecarRollout,
    SidecarSelector,
    VersionImage,
    VersionStatus,
)
from pincompute.domain import sidecar_fleet, sidecar_injection
from pincompute.domain.sidecar_injection import Ending, Injected
from pincompute.engine.plan import Replace
from pincompute.federation.sidecar import fleet_controller as fleet_of_all
from pincompute.federation.sidecar import fleet_rollout
from pincompute.federation.sidecar.fleet_controller import ObservedFleet
from pincompute.federation.sidecar.fleet_rollout import ALL, FleetMember, FleetProgress
from pincompute.operator.sidecars import fleet_controller

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ONE = sidecars.version(SidecarContainer(image="metrics:1"))
TWO = sidecars.version(SidecarContainer(image="metrics:2"))
OTHER = sidecars.version(SidecarContainer(image="metrics:1", args=("x",)))


def shard(updated: int, **more: Any) -> PinSidecarShard:
    facts = {"versions": (ONE, TWO, OTHER), "birth": ONE.revision, "target": TWO.revision} | more
    spec = PinSidecarShardSpec(origin=Origin(uid="o", generation=1), updated=updated, **facts)
    return PinSidecarShard(metadata=ObjectMeta(name="metrics", uid="s", generation=3), spec=spec)


def pod(number: int, injected: Injected, *, waiting: str = "", says: str = "", app: str = "web") -> Pod:
    state = ContainerState(waiting=ContainerStateWaiting(reason=waiting, message=says)) if waiting else None
    running = ContainerState(running=ContainerStateRunning())
    status = ContainerStatus(name="platform-metrics", container_id="id", ready=not waiting, state=state or running)
    notes = sidecar_injection.annotation({"metrics": injected}) | {ORDINAL: str(number)}
    return Pod(
        metadata=ObjectMeta(
            name=f"{app}-{number}", namespace="shop", uid=f"{app}-{number}", labels={APP: app}, annotations=notes
        ),
        spec=PodSpec(init_containers=(Container(name="platform-metrics", image="metrics:9", restart_policy="Always"),)),
        status=PodStatus(init_container_statuses=(status,)),
    )


def has(version: sidecars.SidecarVersion, **more: Any) -> Injected:
    return Injected(revision=version.revision, shape=version.shape, **more)


OLD, NEW, ASKED = has(ONE), has(TWO), has(ONE, wanted=TWO.revision)
PENDING = has(ONE, ending=Ending(id="id", image="metrics:0"))


def asked(of: PinSidecarShard, *pods: Pod) -> dict[str, str]:
    return dict(sidecar_fleet.requests(of.spec, sidecar_fleet.pods_of(of, pods, NOW)))


@pytest.mark.parametrize(
    ("updated", "pods", "wanted"),
    [
        (0, [OLD, OLD], {}),
        (1, [OLD, OLD], {"web-0": TWO.revision}),
        (ALL, [OLD, OLD], {"web-0": TWO.revision, "web-1": TWO.revision}),
        (1, [NEW, OLD], {}),
        (1, [ASKED, OLD], {}),
        (2, [ASKED, OLD], {"web-1": TWO.revision}),
        (0, [ASKED, OLD], {"web-0": ""}),
        (1, [NEW, ASKED], {"web-1": ""}),
        (ALL, [PENDING], {}),  # S-160: its last update is not consistent yet
        (ALL, [has(OTHER)], {}),  # S-160: differs in more than the image
        (ALL, [has(TWO, wanted=ONE.revision)], {"web-0": ""}),
    ],
)
def test_as_many_pods_are_asked_as_the_fleet_allows_here(updated: int, pods: list[Injected], wanted: dict[str, str]) -> None:
    assert asked(shard(updated), *(pod(number, each) for number, each in enumerate(pods))) == wanted


def test_a_paused_fleet_asks_nobody_and_takes_requests_back() -> None:
    assert asked(shard(ALL, paused=True), pod(0, ASKED), pod(1, OLD)) == {"web-0": ""}


def test_pods_of_another_shape_are_replaced_where_the_sidecar_says_so() -> None:
    of = shard(ALL, other_changes="Replace", selector=SidecarSelector(projects=("*",)))
    assert asked(of, pod(0, has(OTHER))) == {"web-0": TWO.revision}


@pytest.mark.parametrize(
    ("facts", "withdrawn"),
    [
        ({"other_changes": "Replace"}, True),
        ({"other_changes": "Replace", "paused": True}, False),
        ({"other_changes": "Replace", "selector": SidecarSelector(projects=("shop",))}, False),
        ({}, False),  # it waits until the pod is made anew
        ({"ending": True, "paused": True}, True),
    ],
)
def test_a_pod_that_is_no_longer_selected_is_replaced_where_the_sidecar_says_so(facts: dict[str, Any], withdrawn: bool) -> None:
    of = shard(0, **facts)
    chosen, named = pod(0, OLD), pod(1, OLD)
    named.metadata.annotations[SIDECARS] = "proxy,metrics"
    assert asked(of, chosen, named) == ({"web-0": "withdrawn"} if withdrawn else {})
    again = pod(0, has(ONE, wanted="withdrawn"))
    assert asked(of, again) == ({} if withdrawn else {"web-0": ""})
    assert sidecar_injection.must_be_replaced(again, [of])
    assert sidecar_fleet.status(of, sidecar_fleet.pods_of(of, [chosen, named], NOW)).skipped == withdrawn


def test_the_first_replica_of_every_workload_comes_before_the_second_of_any() -> None:
    pods = [pod(number, OLD, app=app) for app in ("a", "b") for number in (0, 1)]
    assert set(asked(shard(2), *pods)) == {"a-0", "b-0"}


def test_a_corrected_version_goes_to_the_pods_in_which_the_sidecar_fails_and_then_to_the_others() -> None:
    """They have nothing to lose. A request to a healthy pod is taken back before one to a pod that fails."""
    crashes = pod(3, has(OTHER), waiting="CrashLoopBackOff")
    of = shard(1, other_changes="Replace", selector=SidecarSelector(projects=("*",)))
    assert asked(of, pod(0, OLD), pod(1, OLD), crashes) == {"web-3": TWO.revision}
    assert asked(shard(1), pod(0, ASKED), pod(3, ASKED, waiting="CrashLoopBackOff")) == {"web-0": ""}


def test_a_member_reports_its_pods_by_version_with_what_fails_and_what_is_skipped() -> None:
    of = shard(ALL)
    missing = pod(1, NEW, waiting="ImagePullBackOff", says="rpc error: code = NotFound desc = metrics:9: not found")
    pods = [pod(0, OLD), missing, pod(2, has(OTHER)), pod(3, ASKED)]
    status = sidecar_fleet.status(of, sidecar_fleet.pods_of(of, pods, NOW))
    assert (status.pods, status.asked, status.skipped, status.users) == (4, 1, 1, ("shop/web",))
    rows = {row.revision: row for row in status.versions}
    assert (rows[ONE.revision].pods, rows[ONE.revision].ready, rows[ONE.revision].failing) == (2, 2, 0)
    assert (rows[TWO.revision].ready, rows[TWO.revision].failing) == (0, 1)
    assert "metrics:9" in rows[TWO.revision].message


@pytest.mark.parametrize(("seconds", "failing"), {10: 0, 29: 0, 30: 1, 600: 1}.items())
def test_a_version_that_does_not_start_fails_where_the_kubelet_says_only_that_the_former_ended(seconds: int, failing: int):
    """It says nothing else of an init container that ended with exit code 0. Else no pod would ever be asked to go back."""
    ended = ContainerStateTerminated(exit_code=0, finished_at=NOW - timedelta(seconds=seconds))
    status = ContainerStatus(name="platform-metrics", container_id="id", state=ContainerState(terminated=ended))
    late = msgspec.structs.replace(
        pod(0, has(TWO, ending=Ending(id="id", image="metrics:1"))), status=PodStatus(init_container_statuses=(status,))
    )
    fleet = sidecar_fleet.pods_of(shard(ALL), [late], NOW)
    (row,) = sidecar_fleet.status(shard(ALL), fleet).versions
    assert (row.failing, "does not start" in row.message) == (failing, bool(failing))
    assert sidecar_fleet.wake_after(fleet) == (None if failing else 30 - seconds)
    back = shard(ALL, target=ONE.revision)
    asked_back = {late.metadata.uid: ONE.revision} if failing else {}
    assert sidecar_fleet.requests(back.spec, sidecar_fleet.pods_of(back, [late], NOW)) == asked_back
    assert sidecar_injection.is_pending(late, NOW) is not bool(failing)


def test_pods_that_the_platform_did_not_make_are_not_counted() -> None:
    """Else a foreign pod with our annotation would hold up every rollout of the sidecar, and its deletion."""
    index = fleet_controller.INDEXES[PODS][fleet_controller.BY_SIDECAR]
    foreign = pod(0, NEW)
    ours = msgspec.structs.replace(foreign, metadata=msgspec.structs.replace(foreign.metadata, labels={MANAGED_BY: PINCOMPUTE}))
    assert (list(index(foreign)), list(index(ours))) == ([], ["metrics"])
    assert list(index(msgspec.structs.replace(ours, spec=PodSpec()))) == []


def test_a_registry_that_does_not_answer_is_no_failure_of_the_version() -> None:
    of = shard(ALL)
    away = pod(0, NEW, waiting="ErrImagePull", says="dial tcp 10.0.0.1:443: connect: connection refused")
    (row,) = sidecar_fleet.status(of, sidecar_fleet.pods_of(of, [away], NOW)).versions
    assert (row.pods, row.ready, row.failing) == (1, 0, 0)


# -- the rollout over all members


@pytest.mark.parametrize(
    ("of", "known", "kept"),
    [
        (None, True, False),  # no pods there, ever
        (PinSidecarShardStatus(observed_generation=3), True, False),
        (PinSidecarShardStatus(observed_generation=3, versions=(VersionStatus(revision=OTHER.revision, pods=1),)), True, True),
        (PinSidecarShardStatus(observed_generation=2), True, True),  # it has not said so of what it is to run now
        (None, False, True),
    ],
)
def test_the_image_of_a_former_version_is_named_until_no_pod_can_have_it(
    of: PinSidecarShardStatus | None, known: bool, kept: bool
) -> None:
    """The registry would collect what a pod still runs, and what a silent member may run."""
    there = msgspec.structs.replace(shard(ALL), status=of) if of is not None else None
    before = VersionImage(revision=OTHER.revision, image="metrics:0")
    written = msgspec.structs.replace(sidecar(), status=msgspec.structs.replace(sidecar().status, images=(before,)))
    plan = fleet_of_all.decide(ObservedFleet(written, (FleetMember("a1", "a", there, known),), (), NOW))
    (status,) = [
        action.body["status"]
        for stage in plan.stages
        for action in stage
        if isinstance(action, Replace) and action.subresource == "status"
    ]
    images = [each["image"] for each in status["images"]]
    assert images == [*(["metrics:0"] if kept else []), "metrics:1", "metrics:2"]


def sidecar(image: str = "metrics:2", *, rollout: SidecarRollout | None = None, **spec: Any) -> PinSidecar:
    update = {"bake_seconds": 10, "strategy": "ZoneByZone"} | spec.pop("update", {})
    status = PinSidecarStatus(stable=ONE, rollout=rollout or SidecarRollout(revision=ONE.revision, state="Complete"))
    made = PinSidecarSpec(container=SidecarContainer(image=image), update=FleetUpdate(**update), **spec)
    return PinSidecar(metadata=ObjectMeta(name="metrics", uid="o", generation=2), spec=made, status=status)


def member(
    zone: str,
    pods: int = 4,
    *,
    new: int = 0,
    allowed: int = 0,
    failing: int = 0,
    starting: int = 0,
    unplaced: int = 0,
    awaiting: int = 0,
    pulling: int = 0,
    says: str = "",
    **more: Any,
) -> FleetMember:
    """Of the new pods, these many fail, start, or have no node. The nodes of others are `awaiting` the image, and so many
    are `pulling` it."""
    ready = max(0, new - failing - starting - unplaced)
    says = says or ("metrics crashes" if failing else "")
    rows = (
        VersionStatus(revision=ONE.revision, pods=pods - new, ready=pods - new),
        VersionStatus(
            revision=TWO.revision,
            pods=new,
            ready=ready,
            awaiting_image=awaiting,
            pulling=pulling,
            failing=failing,
            unplaced=unplaced,
            message=says,
        ),
    )
    of = shard(allowed)
    settled = PinSidecarShardStatus(observed_generation=3, pods=pods, versions=rows)
    return FleetMember(f"{zone}1", zone, msgspec.structs.replace(of, status=settled), former_pods=pods, **more)


def progressed(after: FleetProgress, **facts: Any) -> SidecarRollout:
    return msgspec.structs.replace(after.record, **facts)


def decided(*members: FleetMember, at: float = 0, **facts: Any) -> FleetProgress:
    return fleet_rollout.decide(sidecar(**facts), members, NOW + timedelta(seconds=at))


def allowed(after: FleetProgress) -> Iterable[int]:
    return [after.allowed[name] for name in sorted(after.allowed)]


def test_the_first_version_is_complete_at_once() -> None:
    new = msgspec.structs.replace(sidecar(), status=PinSidecarStatus())
    after = fleet_rollout.decide(new, (FleetMember("a1", "a"),), NOW)
    assert (after.record.state, after.stable.revision, allowed(after)) == ("Complete", TWO.revision, [ALL])


def test_another_version_begins_in_one_zone() -> None:
    """N1: the smallest zone first; a zone that is complete gives its new pods the version too."""
    after = decided(member("a"), member("b", 2), member("c"))
    assert (after.record.state, after.record.steps, after.target.revision) == ("Progressing", 3, TWO.revision)
    assert (after.record.zones, allowed(after)) == (("b", "a", "c"), [0, ALL, 0])


def test_a_step_ends_when_its_pods_are_healthy_and_have_baked() -> None:
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW)
    members = member("a", new=4, allowed=ALL), member("b")
    baking = decided(*members, rollout=begun)
    assert (baking.record.step, baking.record.healthy_since, baking.wake_after) == (0, NOW, 10.0)
    done = decided(*members, at=10, rollout=progressed(baking))
    assert (done.record.step, done.record.healthy_since) == (1, None)
    assert allowed(done) == [ALL, ALL]


@pytest.mark.parametrize(
    "members",
    [
        (member("a", new=3, allowed=ALL), member("b")),  # one pod lacks it
        (member("a", new=4, allowed=2), member("b")),  # the operator has not seen the step
        (member("a", new=4, allowed=ALL, known=False), member("b")),  # silence is no success
    ],
)
def test_a_step_does_not_end_before_that(members: tuple[FleetMember, ...]) -> None:
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW, healthy_since=NOW - timedelta(hours=1))
    after = decided(*members, rollout=begun)
    assert (after.record.step, after.record.healthy_since, after.record.state) == (0, None, "Progressing")


def test_a_version_that_fails_goes_back_everywhere_and_never_reaches_the_next_zone() -> None:
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW)
    after = decided(member("a", new=1, allowed=ALL, failing=1), member("b"), rollout=begun)
    assert (after.record.state, after.target.revision, after.stable.revision) == ("RollingBack", ONE.revision, ONE.revision)
    assert after.record.failure == "in zone a: metrics crashes"
    back = [
        msgspec.structs.replace(m.shard, spec=msgspec.structs.replace(m.shard.spec, target=ONE.revision, updated=ALL))
        for m in (member("a"), member("b"))
        if m.shard
    ]
    members = [FleetMember(f"{zone}1", zone, of) for zone, of in zip("ab", back, strict=True)]
    done = decided(*members, rollout=after.record)
    assert (done.record.state, done.target.revision) == ("RolledBack", ONE.revision)
    assert decided(*members, at=99999, rollout=done.record).record.state == "RolledBack"


def test_a_step_that_takes_too_long_fails_and_a_silent_member_is_waited_for() -> None:
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW)
    slow = decided(member("a", new=2, starting=1, allowed=ALL), member("b"), at=601, rollout=begun)
    assert slow.record.state == "RollingBack"
    assert slow.record.failure == "it is not ready in 1 pod of zone a, 600 s after step 1 began"
    silent = decided(member("a", new=1, allowed=ALL, known=False), member("b"), at=601, rollout=begun)
    assert (silent.record.state, silent.message) == ("Progressing", "waits for zone a, which does not answer")


def test_pods_that_cannot_take_the_version_yet_hold_up_a_step_until_its_deadline_and_undo_nothing() -> None:
    """A paused app, one without room, one that has spent its account: they say nothing about the version."""
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW)
    members = member("a", new=1, allowed=ALL), member("b")
    waits = decided(*members, at=599, rollout=begun)
    assert (waits.record.step, waits.record.state, waits.wake_after) == (0, "Progressing", 1.0)
    baking = decided(*members, at=600, rollout=begun)
    assert (baking.record.healthy_since, baking.wake_after) == (NOW + timedelta(seconds=600), 10.0)
    assert (
        baking.message == "3 pods did not take it within 600 s and will when their apps allow it and their nodes have its image"
    )
    done = decided(*members, at=610, rollout=baking.record)
    assert (done.record.step, done.record.state) == (1, "Progressing")


def test_an_image_that_a_node_cannot_pull_fails_the_step_before_any_pod_has_it() -> None:
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW)
    after = decided(member("a", awaiting=4, failing=1, allowed=ALL), member("b"), rollout=begun)
    assert (after.record.state, after.record.failure) == ("RollingBack", "in zone a: metrics crashes")


@pytest.mark.parametrize(
    ("facts", "failure"),
    [
        ({"awaiting": 4}, "the nodes of 4 pods of zone a lack its image, 600 s after step 1 began"),
        (
            {"new": 2, "awaiting": 2, "says": "no answer"},
            "the nodes of 2 pods of zone a lack its image (no answer), 600 s after step 1 began",
        ),
        ({"new": 2, "awaiting": 2}, ""),  # others have it, and these follow when their nodes have it
    ],
)
def test_a_step_whose_nodes_never_get_the_image_fails_at_its_deadline(facts: dict[str, Any], failure: str) -> None:
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW)
    members = member("a", allowed=ALL, **facts), member("b")
    assert decided(*members, at=599, rollout=begun).record.state == "Progressing"
    after = decided(*members, at=600, rollout=begun)
    assert (after.record.state, after.record.failure) == ("RollingBack" if failure else "Progressing", failure)


def test_a_step_waits_for_nodes_that_pull_however_many_there_are() -> None:
    """A member of 1,000 nodes pulls on 8 at a time, which takes longer than a deadline."""
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW)
    b = member("b", 2000)
    slow = decided(member("a", 1000, new=8, awaiting=992, pulling=8, allowed=ALL), b, at=600, rollout=begun)
    assert (slow.record.state, slow.record.step, slow.record.since) == ("Progressing", 0, None)
    assert slow.message == "waits until the nodes of 992 pods have pulled its image"
    refused = member("a", 1000, new=990, awaiting=10, allowed=ALL), b  # no room for what pulls: nothing comes any more
    last = decided(*refused, at=2000, rollout=slow.record)
    assert (last.record.since, last.record.healthy_since, last.wake_after) == (NOW + timedelta(seconds=2000), None, 600.0)
    assert decided(*refused, at=2600, rollout=last.record).record.healthy_since == NOW + timedelta(seconds=2600)


def test_nodes_that_pull_keep_no_step_from_failing() -> None:
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW)
    members = member("a", new=2, starting=1, awaiting=2, pulling=2, allowed=ALL), member("b")
    assert decided(*members, at=599, rollout=begun).record.state == "Progressing"
    assert decided(*members, at=600, rollout=begun).record.state == "RollingBack"


def test_a_pod_that_no_node_takes_is_no_sign_of_a_bad_version() -> None:
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW)
    after = decided(member("a", new=4, unplaced=1, allowed=ALL), member("b"), rollout=begun)
    assert after.record.healthy_since == NOW


def test_health_that_is_lost_in_the_bake_time_begins_the_deadline_anew() -> None:
    baking = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW, healthy_since=NOW + timedelta(seconds=50))
    members = member("a", new=4, starting=1, allowed=ALL), member("b")
    lost = decided(*members, at=700, rollout=baking, update={"bake_seconds": 3600})
    assert (lost.record.state, lost.record.since, lost.wake_after) == ("Progressing", NOW + timedelta(seconds=700), 600)
    late = decided(*members, at=1301, rollout=lost.record, update={"bake_seconds": 3600})
    assert late.record.state == "RollingBack"


def test_a_failed_step_holds_where_the_sidecar_says_so() -> None:
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW)
    members = member("a", new=1, allowed=ALL, failing=1), member("b")
    after = decided(*members, rollout=begun, update={"on_failure": "Hold"})
    assert (after.record.state, after.message) == ("Progressing", "holds: in zone a: metrics crashes")
    assert (after.record.failure, allowed(after)) == ("in zone a: metrics crashes", [ALL, 0])
    well = decided(member("a", new=4, allowed=ALL), member("b"), rollout=after.record, update={"on_failure": "Hold"})
    assert (well.record.failure, well.record.healthy_since) == ("", NOW)  # it goes on when the cause is gone


def test_a_paused_rollout_neither_advances_nor_fails() -> None:
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW)
    after = decided(member("a", new=4, allowed=ALL), member("b"), at=9999, rollout=begun, paused=True)
    assert (after.record.state, after.record.step) == ("Progressing", 0)


def test_the_canary_channel_stays_at_a_share_of_each_zone() -> None:
    """A share of 25 % of 8 pods: one in each zone; the version goes on when the channel is Stable."""
    how = {"strategy": "Canary", "steps": ("25%",), "bake_seconds": 0}
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW, healthy_since=NOW)
    members = member("a", new=1, allowed=1), member("b", new=1, allowed=1)
    after = decided(*members, at=60, rollout=begun, update=how, channel="Canary")
    assert (after.record.state, after.record.step, allowed(after)) == ("AwaitingApproval", 0, [1, 1])
    assert "canary" in after.message
    stable = decided(*members, at=60, rollout=after.record, update=how)
    assert (stable.record.step, allowed(stable)) == (1, [ALL, ALL])


def test_the_canary_channel_tries_one_pod_where_the_strategy_has_one_step() -> None:
    how = {"strategy": "Parallel", "bake_seconds": 0}
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW, healthy_since=NOW)
    begins = decided(member("a"), member("b"), rollout=begun, update=how, channel="Canary")
    assert allowed(begins) == [1, 0]
    stays = decided(member("a", new=1, allowed=1), member("b"), rollout=begun, update=how, channel="Canary")
    assert (stays.record.state, allowed(stays)) == ("AwaitingApproval", [1, 0])
    goes_on = decided(member("a", new=1, allowed=1), member("b"), rollout=stays.record, update=how)
    assert allowed(goes_on) == [ALL, ALL]


def test_going_back_by_hand_needs_no_steps() -> None:
    begun = SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW)
    after = decided(member("a", new=2, allowed=ALL), member("b"), image="metrics:1", rollout=begun)
    assert (after.target.revision, after.record.steps, allowed(after)) == (ONE.revision, 1, [ALL, ALL])


def test_the_last_step_makes_the_version_the_stable_one() -> None:
    begun = SidecarRollout(revision=TWO.revision, step=1, zones=("a", "b"), since=NOW, healthy_since=NOW - timedelta(minutes=1))
    after = decided(member("a", new=4, allowed=ALL), member("b", new=4, allowed=ALL), rollout=begun)
    assert (after.record.state, after.stable.revision) == ("Complete", TWO.revision)
    assert after.former is not None
    assert after.former.revision == ONE.revision


def test_a_fleet_without_pods_takes_a_version_without_waiting_for_any() -> None:
    none = member("a", 0, allowed=ALL), member("b", 0, allowed=ALL)
    begun = SidecarRollout(revision=TWO.revision, since=NOW, healthy_since=NOW - timedelta(minutes=1))
    assert decided(*none, rollout=begun).record.state == "Complete"
