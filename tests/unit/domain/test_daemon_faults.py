"""What becomes of a daemon's rollout when versions are corrected, copies crash, and clusters fall silent (N1)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pincompute.api import daemons
from pincompute.api.daemons import (
    DaemonContainer,
    DaemonRollout,
    DaemonUpdate,
    DaemonVersion,
    PinDaemon,
    PinDaemonShard,
    PinDaemonShardSpec,
    PinDaemonShardStatus,
    PinDaemonSpec,
    PinDaemonStatus,
)
from pincompute.api.labels import FLEET_FINALIZER
from pincompute.api.meta import ObjectMeta
from pincompute.api.shards import Origin
from pincompute.domain import daemon_rollout
from pincompute.domain.daemon_rollout import DaemonMemberState, DaemonProgress
from pincompute.engine.plan import Create, Delete, Replace
from pincompute.federation.daemon import daemon_controller
from pincompute.federation.daemon.daemon_controller import ObservedDaemon

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)
V1, V2, V3 = (daemons.version(PinDaemonSpec(container=DaemonContainer(image=f"logs:{tag}"))) for tag in (1, 2, 3))
NONE: dict[str, Any] = {"updated": 0, "updated_ready": 0}


def daemon(wanted: DaemonVersion, state: str = "Progressing", zone_index: int = 0, **more: Any) -> PinDaemon:
    """A daemon of which the first version has served, and that is brought to another one."""
    record = {"since": NOW - timedelta(seconds=60)} | {
        k: more.pop(k) for k in ("since", "healthy_since", "failure", "ready") if k in more
    }
    paused = more.pop("paused", False)
    rollout = DaemonRollout(revision=wanted.revision, state=state, zone_index=zone_index, zones=("a", "b", "c"), **record)  # type: ignore[arg-type]
    spec = PinDaemonSpec(container=wanted.container, paused=paused, update=DaemonUpdate(**more))
    meta = ObjectMeta(name="logs", uid="d", finalizers=(FLEET_FINALIZER,))
    return PinDaemon(metadata=meta, spec=spec, status=PinDaemonStatus(stable=V1, rollout=rollout))


def member(name: str, version: DaemonVersion, *, known: bool = True, settled: bool = True, **figures: Any) -> DaemonMemberState:
    """A member with three nodes, all of which have the version of its shard ready unless the figures say otherwise."""
    figures = {"nodes": 3, "ready": 3, "updated": 3, "updated_ready": 3} | figures
    status = PinDaemonShardStatus(observed_generation=2 if settled else 1, revision=version.revision, **figures)
    spec = PinDaemonShardSpec(origin=Origin(uid="d", generation=1), version=version)
    shard = PinDaemonShard(metadata=ObjectMeta(name="logs", uid=name, generation=2), spec=spec, status=status)
    return DaemonMemberState(name, name[0], shard, known, former_nodes=figures["nodes"])


def decide(given: PinDaemon, *members: DaemonMemberState) -> DaemonProgress:
    return daemon_rollout.decide(given, members, NOW)


def parts(made: DaemonProgress) -> dict[str, tuple[DaemonVersion, int]]:
    return {name: (given.version, given.max_unavailable) for name, given in made.assignments.items()}


A, B, C = (member(f"{zone}1", V1) for zone in "abc")
ONE_CRASHES: dict[str, Any] = {
    "ready": 2,
    "updated": 1,
    "updated_ready": 0,
    "updated_unavailable": 1,
    "failing": 1,
    "message": "crashes",
}
ONE_HAS_IT: dict[str, Any] = {"nodes": 100, "ready": 100, "updated": 1, "updated_ready": 1}

PARTS: dict[str, tuple[PinDaemon, tuple[DaemonMemberState, ...], dict[str, tuple[DaemonVersion, int]]]] = {
    "a version that was given up reaches no further node": (
        daemon(V3, max_unavailable=10, healthy_since=NOW),
        (member("a1", V3), member("b1", V2, **ONE_HAS_IT), C),
        {"a1": (V3, 0), "b1": (V1, 0), "c1": (V1, 0)},
    ),
    "nor one that is undone, in the zones whose turn comes later": (
        daemon(V2, "RollingBack", 1, max_unavailable=10),
        (member("a1", V2, **ONE_HAS_IT), member("b1", V2), C),
        {"a1": (V1, 0), "b1": (V1, 3), "c1": (V1, 0)},
    ),
    "what crashes of a version that was given up is healed before its turn": (
        daemon(V3),
        (A, member("b1", V2, **ONE_CRASHES), C),
        {"a1": (V3, 0), "b1": (V1, 0), "c1": (V1, 0)},
    ),
    "a way back by hand heals it as well": (
        daemon(V1),
        (member("a1", V2), member("b1", V2, **ONE_CRASHES), C),
        {"a1": (V1, 0), "b1": (V1, 0), "c1": (V1, 0)},
    ),
    "the same version written again begins anew in the first zone": (
        daemon(V2),
        (A, member("b1", V2, **ONE_CRASHES), C),
        {"a1": (V2, 0), "b1": (V1, 0), "c1": (V1, 0)},
    ),
    "nothing that serves is ended while a silent member has never said how many nodes it has": (
        daemon(V2, max_unavailable=9),
        (A, B, DaemonMemberState("c1", "c", known=False)),
        {"a1": (V2, 0), "b1": (V1, 0), "c1": (V1, 0)},
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_who_gets_which_version(name: str) -> None:
    given, members, wanted = PARTS[name]
    assert parts(decide(given, *members)) == wanted


STARTING: dict[str, Any] = {"nodes": 1000, "ready": 999, "updated": 60, "updated_ready": 59, "updated_unavailable": 1}
WAITS_FOR_C = (
    "waits: 3 nodes lack a ready copy for another reason (cluster c1 does not answer), and update.maxUnavailable allows 1: "
    "bring them back, or raise it"
)
RUNS: dict[str, Any] = {"ready": 2, "updated": 1, "updated_ready": 0, "updated_unavailable": 1}
STEPS: dict[str, tuple[PinDaemon, tuple[DaemonMemberState, ...], tuple[str, str]]] = {
    "a large zone that goes on is not late": (
        daemon(V2, since=LONG_AGO, ready=58),
        (member("a1", V2, **STARTING), B),
        ("Progressing", ""),
    ),
    "one in which no more copies become ready is": (
        daemon(V2, since=LONG_AGO, ready=59),
        (member("a1", V2, **STARTING), B),
        ("RollingBack", "went back to the version before: it is not ready on 1 node of zone a within 600 s"),
    ),
    "a copy that was ready before is no progress when it is again": (
        daemon(V2, since=LONG_AGO, ready=70),
        (member("a1", V2, **STARTING), B),
        ("RollingBack", "went back to the version before: it is not ready on 1 node of zone a within 600 s"),
    ),
    "a held version stays held while its copy runs for a moment": (
        daemon(V2, on_failure="Hold", failure="in zone a: crashes"),
        (member("a1", V2, **RUNS), B),
        ("Progressing", "holds: in zone a: crashes"),
    ),
    "also when every copy is ready": (
        daemon(V2, on_failure="Hold", failure="in zone a: crashes", healthy_since=LONG_AGO),
        (member("a1", V2), B),
        ("Progressing", "holds: in zone a: crashes"),
    ),
    "until it is to be rolled back": (
        daemon(V2, failure="in zone a: crashes"),
        (member("a1", V2), B),
        ("RollingBack", "went back to the version before: in zone a: crashes"),
    ),
    "a way back says which cluster it waits for": (
        daemon(V2, "RollingBack", failure="x"),
        (member("a1", V2), B, member("c1", V1, known=False)),
        ("RollingBack", f"went back to the version before: x; {WAITS_FOR_C}"),
    ),
    "a cluster that never reported is named": (
        daemon(V2),
        (A, B, DaemonMemberState("c1", "c", known=False)),
        ("Progressing", "waits for the first report of cluster c1"),
    ),
    "an operator that does nothing is named": (
        daemon(V2, since=LONG_AGO),
        (member("a1", V2, settled=False, **NONE), B),
        ("Progressing", "waits for the operator of cluster a1, which has not acted on its part: see whether it runs"),
    ),
    "on the way back too": (
        daemon(V2, "RollingBack", since=LONG_AGO, failure="x"),
        (member("a1", V1, settled=False, **NONE), B),
        (
            "RollingBack",
            (
                "went back to the version before: x; "
                "waits for the operator of cluster a1, which has not acted on its part: see whether it runs"
            ),
        ),
    ),
    "but not before the deadline": (
        daemon(V2),
        (member("a1", V2, settled=False, **NONE), B),
        ("Progressing", ""),
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step(name: str) -> None:
    given, members, wanted = STEPS[name]
    made = decide(given, *members)
    assert (made.record.state, made.message) == wanted


def test_progress_begins_the_deadline_anew() -> None:
    made = decide(daemon(V2, since=LONG_AGO, ready=58), member("a1", V2, **STARTING), B)
    assert (made.record.since, made.record.ready, made.wake_after) == (NOW, 59, 600)
    assert decide(daemon(V2, healthy_since=LONG_AGO, ready=3), member("a1", V2), B).record.ready == 0  # the next zone begins


def test_a_pause_ends_a_hold() -> None:
    held: dict[str, Any] = {"on_failure": "Hold", "failure": "in zone a: crashes"}
    assert decide(daemon(V2, paused=True, **held), member("a1", V2), B).record.failure == ""
    assert decide(daemon(V2, "RolledBack", paused=True, **held), A, B).record.failure == "in zone a: crashes"


def written(seen: ObservedDaemon) -> dict[str, Any]:
    made = (each for stage in daemon_controller.decide(seen).stages for each in stage)
    return {each.ref.cluster: each.body["spec"] for each in made if isinstance(each, Create | Replace) and "spec" in each.body}


def test_a_member_is_told_which_version_has_proved_itself() -> None:
    given = written(ObservedDaemon(daemon(V3), (A, member("b1", V2, **ONE_CRASHES)), NOW))
    assert "proven" not in given["a1"] or not given["a1"]["proven"]
    assert given["b1"]["proven"]


def test_the_image_of_a_version_that_was_given_up_is_kept_while_a_node_may_have_it() -> None:
    given = daemon(V3)
    before = daemons.VersionImage(revision=V2.revision, image="logs:2")
    given = msgspec.structs.replace(given, status=msgspec.structs.replace(given.status, images=(before,)))
    behind = member("b1", V1, ready=2, updated=2, updated_ready=2)
    seen = ObservedDaemon(given, (member("a1", V3), behind), NOW)
    assert {each.image for each in daemon_controller.images(seen, decide(given, *seen.members))} == {
        "logs:1",
        "logs:2",
        "logs:3",
    }


def test_a_deletion_ends_what_a_former_daemon_of_the_name_left() -> None:
    """A member that was away rejoins with a shard of the former daemon."""
    given = daemon(V1)
    given = msgspec.structs.replace(given, metadata=msgspec.structs.replace(given.metadata, deletion_timestamp=NOW))
    stray = member("b1", V1).shard
    assert stray is not None
    plan = daemon_controller.decide(ObservedDaemon(given, (DaemonMemberState("b1", "b"),), NOW, (("b1", stray),)))
    deleted = [(each.ref.cluster, each.uid) for stage in plan.stages for each in stage if isinstance(each, Delete)]
    assert deleted == [("b1", "b1")]
    assert plan.why == "waits for b1"
