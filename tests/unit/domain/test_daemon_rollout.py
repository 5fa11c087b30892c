"""Which member runs which version of a daemon, and how the account over all nodes is divided (N1, M-42)."""

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
    PinDaemon,
    PinDaemonShard,
    PinDaemonShardSpec,
    PinDaemonShardStatus,
    PinDaemonSpec,
    PinDaemonStatus,
)
from pincompute.api.meta import ObjectMeta
from pincompute.api.shards import Origin
from pincompute.domain import daemon_reports, daemon_rollout
from pincompute.domain.daemon_rollout import DaemonMemberState, DaemonProgress

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=1)
OLD, NEW = (daemons.version(PinDaemonSpec(container=DaemonContainer(image=f"logs:{tag}"))) for tag in ("1", "2"))
ZONES = ("a", "b", "c")


def daemon(
    state: str = "Progressing", zone_index: int = 0, *, stable: Any = OLD, paused: bool = False, **more: Any
) -> PinDaemon:
    """A daemon whose new version is under way, since a minute ago."""
    record = {"since": NOW - timedelta(seconds=60)} | {
        k: more.pop(k) for k in ("since", "healthy_since", "failure") if k in more
    }
    status = PinDaemonStatus(
        stable=stable,
        rollout=DaemonRollout(revision=NEW.revision, state=state, zone_index=zone_index, zones=ZONES, **record),  # type: ignore[arg-type]
    )
    spec = PinDaemonSpec(container=NEW.container, paused=paused, update=DaemonUpdate(**more))
    return PinDaemon(metadata=ObjectMeta(name="logs", uid="d"), spec=spec, status=status)


def member(
    name: str, version: Any, *, known: bool = True, cap: int = 0, settled: bool = True, **figures: Any
) -> DaemonMemberState:
    """A member with three nodes, all of which have the version of its shard ready unless the figures say otherwise."""
    figures = {"nodes": 3, "ready": 3, "updated": 3, "updated_ready": 3, "observed_max_unavailable": cap} | figures
    status = PinDaemonShardStatus(observed_generation=2 if settled else 1, revision=version.revision, **figures)
    spec = PinDaemonShardSpec(origin=Origin(uid="d", generation=1), version=version, max_unavailable=cap)
    shard = PinDaemonShard(metadata=ObjectMeta(name="logs", uid="s", generation=2), spec=spec, status=status)
    return DaemonMemberState(name, name[0], shard, known, former_nodes=3)


BEHIND: dict[str, Any] = {"updated": 0, "updated_ready": 0}
A, B, C = (member(f"{zone}1", OLD) for zone in ZONES)
DONE = member("a1", NEW)


def decide(given: PinDaemon, *members: DaemonMemberState, blocked: str = "") -> DaemonProgress:
    return daemon_rollout.decide(given, members, NOW, blocked)


def parts(made: DaemonProgress) -> dict[str, tuple[str, int]]:
    """By member: the tag that it is brought to, and its part of the account."""
    return {
        n: (given.version.container.image.rpartition(":")[2], given.max_unavailable) for n, given in made.assignments.items()
    }


OLD_B, OLD_C = {"b1": ("1", 0)}, {"c1": ("1", 0)}
DIVIDED: dict[str, tuple[PinDaemon, tuple[DaemonMemberState, ...], dict[str, tuple[str, int]]]] = {
    "the first zone begins, with the whole account": (daemon(), (A, B, C), {"a1": ("2", 1), **OLD_B, **OLD_C}),
    "a member has no more than its nodes": (
        daemon(max_unavailable=9),
        (A, member("a2", OLD), B, C),
        {"a1": ("2", 3), "a2": ("2", 3), **OLD_B, **OLD_C},
    ),
    "the members of a zone share it in order": (
        daemon(max_unavailable=4),
        (A, member("a2", OLD), B, C),
        {"a1": ("2", 3), "a2": ("2", 1), **OLD_B, **OLD_C},
    ),
    "a percentage is of all nodes of all members, and of its own for each, rounded down": (
        daemon(max_unavailable="70%"),
        (A, B, C),
        {"a1": ("2", 2), **OLD_B, **OLD_C},
    ),
    "the smallest percentage is still one node": (daemon(max_unavailable="1%"), (A, B, C), {"a1": ("2", 1), **OLD_B, **OLD_C}),
    "a node that lacks a copy elsewhere uses the account": (
        daemon(max_unavailable=2),
        (A, member("b1", OLD, ready=2), C),
        {"a1": ("2", 1), **OLD_B, **OLD_C},
    ),
    "all nodes of a silent member use it": (
        daemon(max_unavailable=2),
        (A, B, member("c1", OLD, known=False)),
        {"a1": ("2", 0), **OLD_B, **OLD_C},
    ),
    "its own nodes that are down keep a member no part from itself": (
        daemon(),
        (member("a1", NEW, ready=2, updated=1, updated_ready=0, updated_unavailable=1, cap=1), B, C),
        {"a1": ("2", 1), **OLD_B, **OLD_C},
    ),
    "a member that has it all gives its part back": (
        daemon(),
        (member("a1", NEW, cap=1), member("a2", NEW, **BEHIND), B, C),
        {"a1": ("2", 0), "a2": ("2", 0), **OLD_B, **OLD_C},
    ),
    "a part is given on only when the member has confirmed less": (
        daemon(),
        (member("a1", NEW, settled=False, observed_max_unavailable=1), member("a2", NEW, **BEHIND), B, C),
        {"a1": ("2", 0), "a2": ("2", 0), **OLD_B, **OLD_C},
    ),
    "and then it is": (daemon(), (DONE, member("a2", NEW, **BEHIND), B, C), {"a1": ("2", 0), "a2": ("2", 1), **OLD_B, **OLD_C}),
    "nothing moves before a member has said how many nodes it has": (
        daemon(),
        (A, B, DaemonMemberState("c1", "c")),
        {"a1": ("2", 0), **OLD_B, **OLD_C},
    ),
    "a paused one leaves all as it is": (daemon(paused=True), (A, B, C), {"a1": ("1", 0), **OLD_B, **OLD_C}),
    "a paused one that never ran does not begin": (daemon(paused=True, stable=None), (DaemonMemberState("a1", "a"),), {}),
    "a member that joins in a later zone gets the stable version": (
        daemon(),
        (A, B, C, DaemonMemberState("d1", "d", former_nodes=0)),
        {"a1": ("2", 0), **OLD_B, **OLD_C, "d1": ("1", 0)},
    ),
    "a member that returns after its turn catches up": (
        daemon(zone_index=1),
        (A, B, C),
        {"a1": ("2", 1), "b1": ("2", 0), **OLD_C},
    ),
    "a way back begins in the last zone": (
        daemon("RollingBack", zone_index=1, failure="x"),
        (DONE, member("b1", NEW), C),
        {"a1": ("1", 0), "b1": ("1", 1), **OLD_C},
    ),
}


@pytest.mark.parametrize("name", DIVIDED)
def test_the_account_is_divided(name: str) -> None:
    given, members, wanted = DIVIDED[name]
    assert parts(decide(given, *members)) == wanted


FAILING = member("a1", NEW, ready=2, updated=1, updated_ready=0, updated_unavailable=1, failing=1, cap=1, message="no image")
UNREADY = member("a1", NEW, ready=2, updated=1, updated_ready=0, updated_unavailable=1, cap=1)
LOST = member("a1", NEW, ready=2, updated=2, updated_ready=2, not_ready_nodes=1, cap=1)
STEPS: dict[str, tuple[PinDaemon, tuple[DaemonMemberState, ...], tuple[str, int, str]]] = {
    "a zone that has it all is baked": (daemon(), (DONE, B, C), ("Progressing", 0, "")),
    "and then the next one begins": (daemon(healthy_since=LONG_AGO), (DONE, B, C), ("Progressing", 1, "")),
    "the last one completes it": (
        daemon(zone_index=2, healthy_since=LONG_AGO),
        (DONE, member("b1", NEW), member("c1", NEW)),
        ("Complete", 2, ""),
    ),
    "a copy that fails sends it back at once": (
        daemon(),
        (FAILING, B, C),
        ("RollingBack", 0, "went back to the version before: in zone a: no image"),
    ),
    "or holds it": (daemon(on_failure="Hold"), (FAILING, B, C), ("Progressing", 0, "holds: in zone a: no image")),
    "a copy that is not ready has until the deadline": (daemon(), (UNREADY, B, C), ("Progressing", 0, "")),
    "and sends it back then": (
        daemon(since=LONG_AGO),
        (UNREADY, B, C),
        ("RollingBack", 0, "went back to the version before: it is not ready on 1 node of zone a within 600 s"),
    ),
    "a node that is lost sends nothing back": (
        daemon(since=LONG_AGO, max_unavailable=2),
        (member("a1", NEW, ready=2, updated=1, updated_ready=1, not_ready_nodes=1, cap=2), B, C),
        ("Progressing", 0, ""),
    ),
    "and does not keep the zone from being complete": (
        daemon(healthy_since=LONG_AGO, max_unavailable=2),
        (LOST, B, C),
        ("Progressing", 1, ""),
    ),
    "where the account is used up, it waits and says so": (
        daemon(since=LONG_AGO),
        (A, member("b1", OLD, ready=2), C),
        (
            "Progressing",
            0,
            (
                "waits: 1 node lacks a ready copy for another reason, and update.maxUnavailable allows 1: "
                "bring them back, or raise it"
            ),
        ),
    ),
    "a silent member is waited for in its turn": (
        daemon(since=LONG_AGO),
        (member("a1", OLD, known=False), B, C),
        ("Progressing", 0, "waits for cluster a1 of zone a, which does not answer"),
    ),
    "a way back goes on to the zone before": (
        daemon("RollingBack", zone_index=1, failure="x"),
        (DONE, B, C),
        ("RollingBack", 0, "went back to the version before: x"),
    ),
    "and ends when every node has the stable version": (
        daemon("RollingBack", failure="x"),
        (A, B, C),
        ("RolledBack", 0, "went back to the version before: x"),
    ),
    "but not while a member is silent": (
        daemon("RollingBack", failure="x"),
        (A, B, member("c1", NEW, known=False)),
        ("RollingBack", 0, "went back to the version before: x; waits for cluster c1, which does not answer"),
    ),
    "a first version has nothing to go back to": (
        daemon(stable=None, since=LONG_AGO),
        (FAILING, B, C),
        ("Progressing", 0, "in zone a: no image"),
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step(name: str) -> None:
    given, members, wanted = STEPS[name]
    made = decide(given, *members)
    assert (made.record.state, made.record.zone_index, made.message) == wanted


def test_what_blocks_a_rollout_keeps_the_version_before() -> None:
    """M-107: without the sidecar that does its part, a daemon of mode Dual goes nowhere."""
    given = daemon()
    other = msgspec.structs.replace(given, spec=msgspec.structs.replace(given.spec, container=DaemonContainer(image="logs:3")))
    made = decide(other, A, B, C, blocked="waits: sidecar proxy is missing")
    assert made.message == "waits: sidecar proxy is missing"
    assert parts(made) == {"a1": ("1", 0), **OLD_B, **OLD_C}
    assert made.record.revision == NEW.revision


def test_a_complete_rollout_keeps_the_versions_before_it() -> None:
    done = (DONE, member("b1", NEW), member("c1", NEW))
    made = decide(daemon(zone_index=2, healthy_since=LONG_AGO), *done)
    assert made.stable == NEW
    assert made.history == (OLD,)


def test_a_report_of_nonsense_is_bounded() -> None:
    told = member(
        "a1",
        NEW,
        nodes=10**12,
        ready=-1,
        updated=10**12,
        failing=7,
        not_ready_nodes=-3,
        updated_unavailable=2,
        observed_max_unavailable=10**12,
    )
    assert told.shard is not None
    status = daemon_reports.plausible(told.shard).status
    assert (status.nodes, status.ready, status.updated, status.not_ready_nodes) == (100_000, 0, 100_000, 0)
    assert (status.failing, status.updated_unavailable, status.observed_max_unavailable) == (2, 2, 100_000)
