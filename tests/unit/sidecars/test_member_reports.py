"""What is believed of a member's report: a member in other hands neither ends nor holds the rollout of all others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from pincompute.api import sidecars
from pincompute.api.meta import ObjectMeta
from pincompute.api.shards import Origin
from pincompute.api.sidecars import (
    PinSidecar,
    PinSidecarShard,
    PinSidecarShardSpec,
    PinSidecarShardStatus,
    PinSidecarSpec,
    PinSidecarStatus,
    SidecarContainer,
    SidecarRollout,
    VersionStatus,
)
from pincompute.domain import report_bounds
from pincompute.federation.sidecar import fleet_rollout, member_reports
from pincompute.federation.sidecar.fleet_rollout import ALL, FleetMember

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
ONE = sidecars.version(SidecarContainer(image="metrics:1"))
TWO = sidecars.version(SidecarContainer(image="metrics:2"))


def shard(updated: int = 0, **status: Any) -> PinSidecarShard:
    spec = PinSidecarShardSpec(
        origin=Origin(uid="o", generation=1), versions=(ONE, TWO), birth=ONE.revision, target=TWO.revision, updated=updated
    )
    told = PinSidecarShardStatus(observed_generation=3, **status)
    return PinSidecarShard(metadata=ObjectMeta(name="metrics", uid="s", generation=3), spec=spec, status=told)


def believed(of: PinSidecarShard, placed: int = 4) -> PinSidecarShardStatus:
    return member_reports.plausible(of, placed, lambda user: user == "shop/web").status


def row(**facts: Any) -> VersionStatus:
    return VersionStatus(revision=TWO.revision, **facts)


def test_a_true_report_is_believed_as_it_is() -> None:
    """With as many surge replicas as there are replicas."""
    told = shard(
        pods=8, asked=1, skipped=2, versions=(row(pods=8, ready=7, failing=1, message="crashes"),), users=("shop/web",)
    )
    assert member_reports.plausible(told, 4, lambda _: True) is told
    assert member_reports.doubt(told, told) == ""


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"pods": 10**30}, {"pods": 8}),
        ({"pods": -(10**30)}, {"pods": 0}),
        ({"pods": 4, "skipped": 10**30, "asked": -1}, {"pods": 4, "skipped": 4, "asked": 0}),
        ({"pods": 4, "versions": (row(pods=9, ready=9),)}, {"pods": 4, "versions": (row(pods=4, ready=4),)}),
        ({"pods": 4, "versions": (row(pods=4, ready=-9),)}, {"pods": 4, "versions": (row(pods=4),)}),
        ({"pods": 4, "versions": (row(pods=4, ready=4, unplaced=4),)}, {"pods": 4, "versions": (row(pods=4, unplaced=4),)}),
        ({"pods": 4, "versions": (row(failing=3, message="x"),)}, {"pods": 4, "versions": (row(message="x"),)}),
        (
            {"pods": 4, "versions": (row(pods=1, awaiting_image=10**30, pulling=10**30, failing=9, message="x"),)},
            {"pods": 4, "versions": (row(pods=1, awaiting_image=3, pulling=3, failing=4, message="x"),)},
        ),
        ({"pods": 4, "versions": (row(pods=1), row(pods=4, failing=4))}, {"pods": 4, "versions": (row(pods=1),)}),
        ({"users": ("shop/web", "shop/invented", "x" * 10**6)}, {"users": ("shop/web",)}),
    ],
)
def test_what_cannot_be_is_not_believed(told: dict[str, Any], expected: dict[str, Any]) -> None:
    """A number that the host's API server does not take, or a text too long for it, would stop the status of the fleet."""
    assert believed(shard(**told)) == PinSidecarShardStatus(observed_generation=3, **expected)


def test_a_text_of_a_member_is_one_short_line() -> None:
    (found,) = believed(shard(pods=1, versions=(row(pods=1, failing=1, message="a\n\x1b[31mb" + "c" * 10**6),))).versions
    assert (found.message[:9], len(found.message)) == ("a  [31mbc", report_bounds.LONGEST_LINE)


def test_a_member_has_no_more_versions_than_its_pods_and_a_few() -> None:
    many = tuple(VersionStatus(revision=f"s{number}", pods=1) for number in range(10_000))
    assert len(believed(shard(pods=8, versions=many)).versions) == member_reports.MOST_VERSIONS
    assert sum(each.pods for each in believed(shard(pods=8, versions=many)).versions) == 8


def test_an_administrator_reads_that_a_report_is_not_believed() -> None:
    told = shard(pods=10**30)
    doubt = member_reports.doubt(told, member_reports.plausible(told, 4, lambda _: True))
    assert doubt == "its figures are not believed: it was given at most 8 pods, and reports another number"


def test_the_pods_of_a_member_that_is_drained_are_believed_until_they_have_ended() -> None:
    """Nothing is placed there any more, and what was believed before still ends. More than that is not believed."""
    told = shard(pods=6, versions=(row(pods=6, ready=6),))
    assert member_reports.plausible(told, 0, lambda _: True, before=6) is told
    more = shard(pods=7)
    found = member_reports.plausible(more, 0, lambda _: True, before=6)
    assert (found.status.pods, bool(member_reports.doubt(more, found))) == (6, True)


def rollout(*members: FleetMember) -> fleet_rollout.FleetProgress:
    """In its first step, in zone a."""
    status = PinSidecarStatus(stable=ONE, rollout=SidecarRollout(revision=TWO.revision, zones=("a", "b"), since=NOW))
    spec = PinSidecarSpec(container=TWO.container)
    of = PinSidecar(metadata=ObjectMeta(name="metrics", uid="o", generation=2), spec=spec, status=status)
    return fleet_rollout.decide(of, members, NOW)


def test_a_member_whose_turn_has_not_come_cannot_say_that_the_version_fails() -> None:
    """It has no pod with the version, whatever it reports."""
    honest = FleetMember("a1", "a", shard(ALL, pods=4, versions=(row(pods=4, ready=4),)))
    lies = FleetMember("b1", "b", shard(0, pods=4, versions=(row(pods=4, failing=4, message="it crashes"),)))
    assert rollout(honest, lies).record.state == "Progressing"
    assert rollout(honest, lies).record.healthy_since == NOW
    true = (
        msgspec.structs.replace(lies.shard, metadata=ObjectMeta(name="metrics", uid="s", generation=3)) if lies.shard else None
    )
    assert rollout(FleetMember("a1", "a", true), FleetMember("b1", "b", shard(0, pods=4))).record.state == "RollingBack"
