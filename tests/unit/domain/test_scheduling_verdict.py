"""What kube-scheduler's verdict on a pod means: whether room would help, whether waiting does, and what to do."""

from __future__ import annotations

from typing import Any

import pytest

from pincompute.api.builtin import Pod, PodStatus
from pincompute.api.conditions import Condition
from pincompute.api.meta import ObjectMeta
from pincompute.domain import scheduling_verdict

TEMPLATE: dict[str, Any] = {
    "spec": {
        "volumes": [
            {"name": "v", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "s", "secret": {"secretName": "s"}},
            {"name": "w", "persistentVolumeClaim": {"claimName": "cache"}},
        ]
    }
}
NONE = "0/3 nodes are available: "
PREEMPTION = ". preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
UNBOUND = "claims data, cache: an administrator looks at its storage class"
VERDICTS = {
    # the scheduler's reasons, whether room would help, whether somebody must change something, part of the remedy
    "room": ("3 Insufficient cpu", True, False, "ask for less, or add nodes"),
    "one node lacks room": ("1 Insufficient cpu, 2 node(s) had untolerated taint(s)", True, False, "ask for less"),
    "cordoned": ("3 node(s) were unschedulable", True, False, "uncordon a node"),
    "no node is selected": ("3 node(s) didn't match Pod's node affinity/selector", False, True, "remove nodeSelector"),
    "the selected node lacks room": (
        "1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector", True, False, "remove nodeSelector",
    ),
    "a port is taken": ("3 node(s) didn't have free ports for the requested pod ports", True, False, "remove hostPort"),
    "a claim is missing": (
        'persistentvolumeclaim "data" not found', False, True, "creates claim data in each zone, or you correct its name",
    ),
    "a claim is going": ('persistentvolumeclaim "data" is being deleted', False, False, "no node can use claim data: an"),
    "a lost claim": (
        'persistentvolumeclaim "data" bound to non-existent persistentvolume "pv1"', False, False, "can use claim data",
    ),
    "claims that are not bound": ("pod has unbound immediate PersistentVolumeClaims", False, False, UNBOUND),
    "no volume for a claim": ("3 node(s) didn't find available persistent volumes to bind", False, False, UNBOUND),
    "a volume on a node that left": ("3 node(s) didn't match PersistentVolume's node affinity", False, False, UNBOUND),
    "a volume on a node that is full": (
        "1 Insufficient cpu, 2 node(s) didn't match PersistentVolume's node affinity", True, False, UNBOUND,
    ),
    "a volume elsewhere than the selected node": (
        "1 node(s) didn't match Pod's node affinity/selector, 2 node(s) didn't match PersistentVolume's node affinity",
        False, False, "remove nodeSelector",
    ),
    "a claim that another pod holds": (
        "3 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",
        True, False, "maxSurge: 0",
    ),
    "words that nobody knows": ("no node has room", True, False, "ask for less"),
}  # fmt: skip


def pod(*conditions: Condition) -> Pod:
    return Pod(metadata=ObjectMeta(name="web-0"), status=PodStatus(conditions=conditions))


def verdict(message: str) -> scheduling_verdict.SchedulingVerdict:
    scheduled = Condition(type="PodScheduled", status="False", reason="Unschedulable", message=message)
    found = scheduling_verdict.of(pod(scheduled))
    assert found is not None
    return found


@pytest.mark.parametrize("name", VERDICTS)
def test_a_verdict_says_whether_room_helps_and_what_to_do(name: str) -> None:
    reasons, needs_room, final, remedy = VERDICTS[name]
    for message in (f"{NONE}{reasons}{PREEMPTION}", f"{NONE}{reasons}."):
        found = verdict(message)
        assert (found.needs_room, found.is_final) == (needs_room, final)
        assert remedy in found.remedy(TEMPLATE)
        assert found.text == f"{NONE}{reasons}"


def test_claims_that_the_template_does_not_name_are_told_without_names() -> None:
    assert (
        verdict(f"{NONE}pod has unbound immediate PersistentVolumeClaims").remedy({}).startswith("no node can use its claims")
    )


def test_a_pod_that_has_a_node_or_was_not_looked_at_has_no_verdict() -> None:
    assert scheduling_verdict.of(pod()) is None
    assert scheduling_verdict.of(pod(Condition(type="PodScheduled", status="True"))) is None
