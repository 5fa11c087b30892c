"""When waiting does not help, and what is said of replicas that are not ready over all zones."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from federation.object_builders import NOW, app, capacity, member, shard, template

from pincompute.api import conditions
from pincompute.api.conditions import Condition
from pincompute.api.kinds import PINAPP
from pincompute.api.member_clusters import CLUSTERCAPACITIES, ClusterCapacity, ClusterCapacityStatus
from pincompute.api.meta import ObjectMeta
from pincompute.api.workloads import PinApp, Scheduling, UnreadyCause, WorkloadStatus
from pincompute.federation.scheduling.placement import place
from pincompute.federation.workload import rollout, stalled_workload, workload_controller, workload_model, workload_status
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.stalled_workload import NOT_STALLED, ROOM_PATIENCE
from pincompute.federation.workload.workload_model import Workload

MEMBERS = (member("a1"), member("b1"), member("c1"))
IMAGE = "image r/x:1 of container web cannot be pulled"


def hello(**changes) -> Workload:
    return app(**changes, replicas=3, scheduling=place(app(replicas=3), MEMBERS, {}, now=NOW))


def cause(of: Workload, message: str = IMAGE, *, final: bool = True, revision: str | None = None) -> UnreadyCause:
    return UnreadyCause(
        reason="ErrImagePull", message=message, final=final, revision=of.rendered.revision if revision is None else revision
    )


def sites(of: Workload, **broken: UnreadyCause) -> tuple[MemberShard, ...]:
    """One replica in each member; those in `broken` are not ready."""
    found = []
    for there in MEMBERS:
        made = shard(of, there.name, 1, 0 if there.name in broken else 1)
        told = tuple(cause for name, cause in broken.items() if name == there.name)
        found.append(
            MemberShard(there, msgspec.structs.replace(made, status=msgspec.structs.replace(made.status, causes=told)))
        )
    return tuple(found)


def stall(of: Workload, there: tuple[MemberShard, ...], **more) -> stalled_workload.Stall:
    return stalled_workload.find(of, there, None, more.get("refused", ""), more.get("now", NOW))


def test_equal_causes_of_all_zones_are_one_sentence():
    of = hello()
    everywhere = sites(of, a1=cause(of), b1=cause(of), c1=cause(of, final=False))
    assert stalled_workload.message(of, everywhere, None) == f"0 of 3 replicas are ready: {IMAGE}"
    assert stall(of, everywhere).reason == "ErrImagePull"


def test_a_cause_of_some_zones_names_them():
    of = hello()
    assert stalled_workload.message(of, sites(of, b1=cause(of)), None) == f"2 of 3 replicas are ready: in zone b, {IMAGE}"
    two = sites(of, a1=cause(of), b1=cause(of, "no node takes it"))
    assert (
        stalled_workload.message(of, two, None) == f"1 of 3 replicas is ready: in zone a, {IMAGE}; in zone b, no node takes it"
    )


def test_what_lasts_is_a_stall_and_no_reason_to_undo_an_update():
    of = hello()
    lasting = msgspec.structs.replace(cause(of, final=False), lasting=True)
    assert stall(of, sites(of, a1=lasting)).message == IMAGE
    assert stalled_workload.final_cause(of, sites(of, a1=lasting)) == ""
    assert stall(of, sites(of, a1=lasting, b1=cause(of, "gone"))).message == "gone"


NOT_FINAL = {
    "what may heal by itself": lambda of: sites(of, a1=cause(of, final=False)),
    "a former revision's": lambda of: sites(of, a1=cause(of, revision="v1former")),
    "a member that speaks of a former generation": lambda of: tuple(
        MemberShard(
            site.member,
            msgspec.structs.replace(
                site.shard,
                spec=msgspec.structs.replace(
                    site.shard.spec, origin=msgspec.structs.replace(site.shard.spec.origin, generation=0)
                ),
            ),
        )
        for site in sites(of, a1=cause(of))
    ),
    "a silent member's": lambda of: tuple(
        MemberShard(site.member, site.shard, known=False) for site in sites(of, a1=cause(of))
    ),
}


@pytest.mark.parametrize("there", NOT_FINAL.values(), ids=NOT_FINAL.keys())
def test_waiting_may_help(there):
    of = hello()
    assert stall(of, there(of)).reason == ""


def unplaced(reason: str, **more) -> Workload:
    waiting = Condition(type="Scheduled", status="False", reason=reason, message="why", last_transition_time=NOW)
    decision = Scheduling(generation=1, unplaced=3, passed_over=more.get("passed_over", ()))
    return app(replicas=3, status=WorkloadStatus(scheduling=decision, conditions=(waiting,)))


@pytest.mark.parametrize(
    ("reason", "after", "stalled"),
    [
        ("NoClusterMatches", timedelta(), True),
        ("TooLarge", timedelta(), True),
        ("InsufficientCapacity", timedelta(), False),
        ("InsufficientCapacity", ROOM_PATIENCE, True),
    ],
)
def test_a_place_that_does_not_come(reason: str, after: timedelta, stalled: bool):
    found = stall(unplaced(reason), (), now=NOW + after)
    assert bool(found.reason) == stalled
    assert (found.wake_after is not None) == (not stalled)


def test_a_silent_cluster_may_have_the_place():
    assert stall(unplaced("TooLarge", passed_over=("c1",)), ()) == NOT_STALLED


def test_a_paused_workload_is_not_stalled():
    of = hello()
    paused = msgspec.structs.replace(of.obj, spec=msgspec.structs.replace(of.obj.spec, paused=True))
    assert stall(workload_model.read(PINAPP, paused), sites(of, a1=cause(of))) == NOT_STALLED


def test_what_a_member_refuses_is_a_stall():
    assert stall(hello(), (), refused="a1 does not take it: too long").reason == "Refused"


def test_a_workload_that_never_was_stalled_has_no_such_condition():
    """Healthy workloads cost no write more."""
    of = hello()
    assert stalled_workload.condition(of, NOT_STALLED) == ()
    (made,) = stalled_workload.condition(of, stall(of, sites(of, a1=cause(of))))
    assert (made.type, made.status, made.reason, made.observed_generation) == ("Stalled", "True", "ErrImagePull", 1)
    was = app(status=WorkloadStatus(conditions=conditions.merge((), (made,), NOW)))
    assert stalled_workload.condition(was, NOT_STALLED)[0].status == "False"


def larger(*, since: timedelta | None = None, cpu: str = "3") -> Workload:
    """An update to a request for which no node has room now; it waits for `since`."""
    of = app(replicas=1, pod=template("registry.internal/hello:2", cpu=cpu))
    scheduling = place(app(replicas=1), (FULL.member,), {}, now=NOW)
    waits = Condition(
        type="UpdateScheduled", status="False", last_transition_time=NOW - (since or timedelta()), reason="InsufficientCapacity"
    )
    status = WorkloadStatus(
        phase="Running",
        scheduling=scheduling,
        conditions=() if since is None else (waits,),
        last_update_time=NOW - timedelta(hours=1),
    )
    return workload_model.read(PINAPP, msgspec.structs.replace(of.obj, status=status))


FULL = MemberShard(
    member("a1", capacity=capacity(nodes=2, cpu=4000, used=3500)), shard(app(replicas=1, pod=template()), "a1", 1)
)


def rolled_out(of: Workload, there: MemberShard = FULL) -> rollout.Rollout:
    decision = of.status.scheduling
    assert decision is not None
    return rollout.decide(of, decision, (there,), {}, "")


@pytest.mark.parametrize(
    ("since", "reason"), [(None, ""), (ROOM_PATIENCE / 2, ""), (ROOM_PATIENCE, "InsufficientCapacity")], ids=str
)
def test_an_update_without_room_is_stalled_when_the_room_does_not_come(since: timedelta | None, reason: str):
    of = larger(since=since)
    made = rolled_out(of)
    assert made.lacks_room
    found = stalled_workload.find(of, (FULL,), made, "", NOW)
    assert found.reason == reason
    assert found.wake_after == (None if reason else (ROOM_PATIENCE - (since or timedelta())).total_seconds())


def test_an_update_that_no_node_can_ever_hold_is_stalled_at_once_and_does_not_ask_for_room():
    of = larger(cpu="300")
    measured = msgspec.structs.replace(capacity(nodes=2, cpu=4000, used=3500), largest={"cpu": 4000})
    there = MemberShard(member("a1", capacity=measured), FULL.shard)
    found = stalled_workload.find(of, (there,), rolled_out(of, there), "", NOW)
    assert found.reason == "TooLarge"
    assert (
        "no node is large enough for a replica of the new revision: each replica asks for cpu 300, a node has cpu 4"
        in found.message
    )
    assert found.message.endswith("; ask for less")


def test_an_update_without_room_says_so_in_a_condition_that_ends_with_it():
    of = larger()
    (write,) = workload_status.decide(of, (FULL,), rolled_out(of), NOW).write
    told = conditions.find(msgspec.convert(write.body["status"], WorkloadStatus).conditions, "UpdateScheduled")
    assert told is not None
    assert (told.status, told.reason) == ("False", "InsufficientCapacity")
    empty = MemberShard(member("a1", capacity=capacity(nodes=2, cpu=4000)), FULL.shard)
    waited = larger(since=ROOM_PATIENCE)
    (ended,) = stalled_workload.room_condition(waited, (empty,), rolled_out(waited, empty))
    assert ended.status == "True"
    assert stalled_workload.room_condition(larger(), (empty,), rolled_out(waited, empty)) == ()


def test_an_update_whose_room_is_not_known_says_so_and_is_not_stalled():
    back = MemberShard(member("a1", ready=False), FULL.shard)
    waited = larger(since=ROOM_PATIENCE)
    made = rolled_out(waited, back)
    (told,) = stalled_workload.room_condition(waited, (back,), made)
    assert (told.status, told.reason, told.message) == (
        "Unknown",
        "RoomUnknown",
        "the update waits until the room of zone a is known",
    )
    assert stalled_workload.find(waited, (back,), made, "", NOW).reason == ""


@pytest.mark.parametrize(("used", "woken"), [(3500, False), (500, True)])
def test_room_wakes_the_updates_that_wait_for_it_and_no_others(used: int, woken: bool):
    (reads,) = [
        reads
        for reads in workload_controller.CONTROLLERS[0].card.reads
        if reads.resource == CLUSTERCAPACITIES and reads.through is not None
    ]
    waits, others = larger(since=ROOM_PATIENCE), app("other", replicas=1)

    class Filed:
        """The host's workloads, filed as the caches file them; and the member's shards."""

        def by(self, index: str, value: str) -> list[PinApp]:
            file = workload_model.INDEXES[PINAPP.workload][index]
            return [of.obj for of in (waits, others) if value in file(of.obj)]

        def get(self, _key: object) -> object:
            return FULL.shard

        def view(self, _cluster: str, _resource: object) -> Filed:
            return self

    measured = ClusterCapacity(
        metadata=ObjectMeta(name="local"), status=ClusterCapacityStatus(capacity=capacity(nodes=2, cpu=4000, used=used))
    )
    assert list(reads.concerned("a1", measured, Filed())) == ([waits.key] if woken else [])
    assert list(reads.concerned("b1", measured, Filed())) == []
