"""What is believed of a member's report: nonsense from a member in other hands does not stop a workload in the others."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from pincompute.api.meta import ObjectMeta
from pincompute.api.shards import DisruptionRequests, Origin, PinAppShard, RevisionStatus, ShardSpec, ShardStatus
from pincompute.api.workloads import Ended, EndedContainer, UnreadyCause
from pincompute.domain import report_bounds
from pincompute.federation.workload import shard_report

HUGE, LONG = 2**63 - 1, "x" * 300_000


def shard(**status: Any) -> PinAppShard:
    spec = ShardSpec(origin=Origin(uid="o", generation=1), cluster="a1", zone="a", mix=())
    return PinAppShard(metadata=ObjectMeta(name="web", uid="s", generation=3), spec=spec, status=ShardStatus(**status))


def test_a_true_report_is_believed_as_it_is() -> None:
    told = shard(
        observed_generation=3,
        replicas=4,
        ready_replicas=3,
        revisions=(RevisionStatus("v1", replicas=4, ready=3, restarts=12),),
        causes=(UnreadyCause("CrashLoop", "it crashes"),),
        reported_at=datetime(2026, 11, 30, tzinfo=UTC),
    )
    assert shard_report.bounded(told) is told


COUNTS = [field for field, kind in msgspec.structs.asdict(ShardStatus()).items() if isinstance(kind, int)]


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize(("told", "believed"), [(-1, 0), (HUGE, report_bounds.LARGEST_COUNT)])
def test_every_count_is_one_that_the_host_takes(field: str, told: int, believed: int) -> None:
    assert getattr(shard_report.bounded(shard(**{field: told})).status, field) == believed


def test_the_parts_are_bounded_as_the_whole_is() -> None:
    told = shard(
        revisions=(RevisionStatus(LONG, HUGE, -1, HUGE, HUGE),) * 100,
        causes=(UnreadyCause(LONG, LONG, HUGE, LONG),) * 100,
        disruption_requests=DisruptionRequests(HUGE, -1, HUGE),
        ended=Ended(LONG, "Failed", LONG, LONG, containers=(EndedContainer(LONG, HUGE, LONG, LONG),) * 100),
        message=LONG,
    )
    status = shard_report.bounded(told).status
    assert len(msgspec.json.encode(status)) < 200_000, "the host takes texts of 32768 characters, and objects of 1.5 MB"
    assert status.disruption_requests == DisruptionRequests(report_bounds.LARGEST_COUNT, 0, shard_report.LARGEST_COUNT)
    assert (status.revisions[0].ready, status.revisions[0].replicas) == (0, report_bounds.LARGEST_COUNT)
