"""Names, rendering and states of pods: S-024."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import msgspec
import pytest

from pincompute.api import labels
from pincompute.api.builtin import Pod, PodStatus
from pincompute.api.conditions import Condition
from pincompute.api.meta import ObjectMeta, OwnerReference
from pincompute.api.projects import PodSecurityLevel
from pincompute.api.shards import PINAPPSHARDS, PINPODSHARDS, Origin, PinAppShard, ShardSpec, Share
from pincompute.api.workloads import Tier
from pincompute.domain import pod_security_defaults, shard_pods

SHARE = Share(
    revision="r1",
    template={
        "metadata": {"labels": {"team": "a", labels.APP: "forged"}, "annotations": {"note": "n"}},
        "spec": {"containers": [{"name": "web", "image": "hello:1"}]},
    },
    replicas=2,
)


def shard(name: str = "hello") -> PinAppShard:
    return PinAppShard(
        metadata=ObjectMeta(name=name, namespace="demo", uid="shard-1"),
        spec=ShardSpec(origin=Origin(uid="origin-1", generation=3), cluster="a1", zone="a", mix=(SHARE,)),
    )


def free(resource, name: str = "hello", taken=(), count: int = 2) -> list[str]:
    return [found for _, found in shard_pods.free_names(resource, shard(name), taken, count)]


def test_names_are_derived_and_the_lowest_free_ordinals_come_first():
    assert free(PINAPPSHARDS, taken={"hello-a1-0", "hello-a1-2"}, count=3) == ["hello-a1-1", "hello-a1-3", "hello-a1-4"]


def test_a_single_unit_has_one_name_that_no_replica_of_an_app_can_have():
    assert free(PINPODSHARDS) == ["hello-a1"]
    assert free(PINPODSHARDS, taken={"hello-a1"}) == []


def test_long_names_are_cut_to_a_host_name_and_stay_different():
    """S-024."""
    one, other = free(PINAPPSHARDS, "x" * 70 + "1", count=1)[0], free(PINAPPSHARDS, "x" * 70 + "2", count=1)[0]
    assert one != other
    assert {len(one), len(other)} == {63}
    assert one.endswith("-0")


def test_a_rendered_pod():
    marks = shard_pods.metadata(PINAPPSHARDS, shard(), SHARE, "shape-1", 4)
    assert shard_pods.render(PINAPPSHARDS, shard(), SHARE, marks, "hello-a1-4") == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "hello-a1-4",
            "namespace": "demo",
            "labels": {
                "team": "a",
                "app.kubernetes.io/managed-by": "pincompute",
                "pincompute.io/app": "hello",
                "pincompute.io/workload": "PinApp",
                "pincompute.io/revision": "r1",
                "pincompute.io/tier": "OnDemand",
                "pincompute.io/zone": "a",
                "pincompute.io/cluster": "a1",
                "pincompute.io/shard-uid": "shard-1",
                "pincompute.io/origin-uid": "origin-1",
            },
            "annotations": {
                "note": "n",
                "pincompute.io/ordinal": "4",
                "pincompute.io/shape": "shape-1",
                "pincompute.io/template-keys": '{"labels":["pincompute.io/app","team"],"annotations":["note"]}',
            },
            "ownerReferences": [
                {
                    "apiVersion": "pincompute.io/v1alpha1",
                    "kind": "PinAppShard",
                    "name": "hello",
                    "uid": "shard-1",
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {
            **pod_security_defaults.filled_spec({"containers": [{"name": "web", "image": "hello:1"}]}),
            "priorityClassName": "pincompute-ondemand",
        },
    }


TIERS: dict[str, tuple[Tier, str]] = {
    "Reserved": ("Reserved", "pincompute-reserved"),
    "OnDemand": ("OnDemand", "pincompute-ondemand"),
    "Preemptible": ("Preemptible", "pincompute-preemptible"),
}


@pytest.mark.parametrize("case", TIERS)
def test_a_pod_has_the_priority_of_its_tier_whatever_an_old_template_says(case: str) -> None:
    tier, wanted = TIERS[case]
    of = shard()
    of = msgspec.structs.replace(of, spec=msgspec.structs.replace(of.spec, tier=tier))
    said = {"priorityClassName": "system-node-critical", "priority": 2_000_001_000}
    share = msgspec.structs.replace(SHARE, template={"spec": {**SHARE.template["spec"], **said}})
    spec = shard_pods.render(PINAPPSHARDS, of, share, shard_pods.metadata(PINAPPSHARDS, of, share, "s", 0), "p")["spec"]
    assert (spec["priorityClassName"], spec.get("priority")) == (wanted, None)
    assert share.template["spec"].keys() >= said.keys(), "the template stays as it is"


def test_tiers_share_a_priority_or_give_way_in_their_order() -> None:
    reserved, on_demand, preemptible = (labels.TIER_PRIORITIES[tier] for tier in ("Reserved", "OnDemand", "Preemptible"))
    assert reserved == on_demand > preemptible > labels.PLACEHOLDER_PRIORITY
    assert on_demand == 0, "the pods of a former version have no class, and none of them is preempted by an upgrade"
    assert set(labels.TIER_PRIORITIES) == set(get_args(Tier))


@pytest.mark.parametrize("level", ["baseline", "privileged"])
def test_a_lowered_project_has_nothing_filled_in_but_the_absent_token(level: PodSecurityLevel) -> None:
    marks = shard_pods.metadata(PINAPPSHARDS, shard(), SHARE, "s", 0)
    spec = shard_pods.render(PINAPPSHARDS, shard(), SHARE, marks, "p", level)["spec"]
    own = {"automountServiceAccountToken": False, "priorityClassName": "pincompute-ondemand"}
    assert spec == {**SHARE.template["spec"], **own}


BORN, LATER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
READY = {
    "no condition yet": ((), None),
    "not ready": ((Condition(type="Ready", status="False", last_transition_time=LATER),), None),
    "ready since the transition": ((Condition(type="Ready", status="True", last_transition_time=LATER),), LATER),
    "a simulator that gives no time counts from the start": ((Condition(type="Ready", status="True"),), BORN),
}


@pytest.mark.parametrize(("conditions", "since"), READY.values(), ids=READY.keys())
def test_ready_since(conditions, since):
    pod = Pod(metadata=ObjectMeta(name="p", creation_timestamp=BORN), status=PodStatus(conditions=conditions))
    assert shard_pods.ready_since(pod) == since


@pytest.mark.parametrize(("phase", "live"), [("Pending", True), ("Running", True), ("Failed", False), ("Succeeded", False)])
def test_a_pod_lives_until_it_has_ended(phase, live):
    assert shard_pods.is_live(Pod(metadata=ObjectMeta(name="p"), status=PodStatus(phase=phase))) is live


def test_only_the_controlling_owner_counts():
    owner = OwnerReference(kind="PinAppShard", name="hello", uid="u", controller=True)
    assert shard_pods.belongs_to(Pod(metadata=ObjectMeta(name="p", owner_references=(owner,))), "u")
    assert not shard_pods.belongs_to(Pod(metadata=ObjectMeta(name="p", labels={labels.SHARD_UID: "u"})), "u")
