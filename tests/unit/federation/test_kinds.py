"""What differs between kinds: demand, account, share and summary of each."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pincompute.api import kinds as table
from pincompute.api.meta import ObjectMeta
from pincompute.api.resource_requests import Requests
from pincompute.api.shards import PinAppShard, ShardBudget, ShardSpec, ShardStatus, Share
from pincompute.api.workloads import ClusterStatus, Ended, PinApp, PinPod, WorkloadStatus
from pincompute.domain.disruption_account import Account
from pincompute.federation import kinds
from pincompute.federation.kinds import MemberReport, ShardInput

SMALL: Requests = {"cpu": 100, "memory": 1 << 20}


def app(status: WorkloadStatus | None = None, **spec: Any) -> PinApp:
    said = {"template": {"spec": {"containers": [{"name": "web"}]}}, "replicas": 3, **spec}
    made = msgspec.convert({"metadata": {"name": "web", "uid": "u1", "generation": 7}, "spec": said}, PinApp)
    return msgspec.structs.replace(made, status=status or WorkloadStatus())


def unit(**pod: Any) -> PinPod:
    said: Any = {"template": {"spec": {"containers": [], **pod}}}
    return msgspec.convert({"metadata": {"name": "one"}, "spec": said}, PinPod)


def test_every_kind_of_the_table_behaves_and_in_the_same_order() -> None:
    assert [behaviour.kind for behaviour in kinds.BEHAVIOURS] == list(table.KINDS)


@pytest.mark.parametrize(
    ("obj", "replicas"),
    [
        pytest.param(app(), 3, id="an app demands its replicas"),
        pytest.param(app(stopped=True), 0, id="a stopped app demands none"),
        pytest.param(unit(), 1, id="a unit demands one pod"),
    ],
)
def test_demand(obj: PinApp | PinPod, replicas: int) -> None:
    kind = table.of_object(obj)
    assert kind is not None
    (found,) = kinds.of(kind).demand(obj, (SMALL,))
    assert (found.replicas, found.requests, found.placement) == (replicas, SMALL, obj.spec.placement)
    assert found.pod == obj.spec.template["spec"]


@pytest.mark.parametrize(
    ("obj", "account"),
    [
        pytest.param(app(), Account(10, 2, 3), id="the update's limits by default"),
        pytest.param(app(disruption={"maxUnavailable": 0}), Account(10, 0, 3), id="a disruption of zero counts as said"),
        pytest.param(
            app(update={"maxSurge": 0}, disruption={"maxUnavailable": 2}), Account(10, 2, 0), id="disruption speaks for all"
        ),
        pytest.param(unit(), Account(10, 1, 0, single=True), id="a unit is never doubled"),
    ],
)
def test_account(obj: PinApp | PinPod, account: Account) -> None:
    kind = table.of_object(obj)
    assert kind is not None
    assert kinds.of(kind).account(obj, 10) == account


def test_a_share_is_the_mix_and_the_budget_of_one_member() -> None:
    mix, budget = (Share(revision="r1", template={}, replicas=2),), ShardBudget(unavailable=1)
    spec = kinds.of(table.PINAPP).share(app(tier="Reserved", paused=True), ShardInput("a1", "a", {"pod": 2}, mix, budget))
    assert isinstance(spec, ShardSpec)
    assert (spec.origin.uid, spec.origin.generation) == ("u1", 7)
    assert (spec.cluster, spec.zone, spec.mix, spec.budget) == ("a1", "a", mix, budget)
    assert (spec.tier, spec.paused) == ("Reserved", True)


def _shard(generation: int, **status: Any) -> PinAppShard:
    spec = kinds.of(table.PINAPP).share(app(), ShardInput("a1", "a"))
    assert isinstance(spec, ShardSpec)
    return PinAppShard(metadata=ObjectMeta(name="web", generation=generation), spec=spec, status=ShardStatus(**status))


def test_a_summary_has_a_line_a_member_and_keeps_the_last_figures_of_a_silent_one() -> None:
    last = ClusterStatus(cluster="b1", zone="b", replicas=2, ready_replicas=2)
    reports = (
        MemberReport("b1", "b", None, known=False),
        MemberReport(
            "a1", "a", _shard(2, observed_generation=2, origin_generation=7, replicas=1, ready_replicas=1), known=True
        ),
        MemberReport("c1", "c", _shard(2, observed_generation=1, origin_generation=7, replicas=4), known=True),
    )
    found = kinds.of(table.PINAPP).summarise(app(WorkloadStatus(clusters=(last,))), "r1", reports)
    assert [(line.cluster, line.replicas, line.known, line.observed_generation) for line in found.clusters] == [
        ("a1", 1, True, 7),
        ("b1", 2, False, 0),
        ("c1", 4, True, 0),
    ]
    assert found.ended is None


def test_the_end_of_a_unit_is_that_of_its_present_revision() -> None:
    ended = Ended(revision="r1", phase="Succeeded")
    report = MemberReport("a1", "a", _shard(2, ended=ended), known=True)
    summarise = kinds.of(table.PINPOD).summarise
    assert summarise(unit(), "r1", (report,)).ended == ended
    assert summarise(unit(), "r2", (report,)).ended is None
