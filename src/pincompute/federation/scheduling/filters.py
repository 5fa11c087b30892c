"""Holds the filters. Each returns why a cluster cannot run a workload at all, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from pincompute.api.meta import Manifest
from pincompute.federation.member.member_state import MemberState
from pincompute.federation.scheduling.demand import Demand


class RejectionReason(NamedTuple):
    """Why a cluster is rejected: one word for programs, and the end of a sentence that begins with the cluster's name."""

    word: str
    sentence: str


Filter: TypeAlias = Callable[[Demand, MemberState], RejectionReason | None]


def leaving(_demand: Demand, member: MemberState) -> RejectionReason | None:
    return RejectionReason("Leaving", "is being removed from the region") if member.leaving else None


def zone(demand: Demand, member: MemberState) -> RejectionReason | None:
    zones = demand.placement.zones
    if not zones or member.zone in zones:
        return None
    return RejectionReason("ZoneNotWanted", f"is not in `zones` ({', '.join(zones)})")


def name(demand: Demand, member: MemberState) -> RejectionReason | None:
    clusters = demand.placement.clusters
    if not clusters or member.name in clusters:
        return None
    return RejectionReason("ClusterNotWanted", f"is not in `clusters` ({', '.join(clusters)})")


def selector(demand: Demand, member: MemberState) -> RejectionReason | None:
    for label, value in demand.placement.cluster_selector.items():
        if member.labels.get(label) != value:
            return RejectionReason(
                "LabelMismatch", f"has {label}={member.labels.get(label, '')!r}, the workload selects {value!r}"
            )
    return None


def taints(demand: Demand, member: MemberState) -> RejectionReason | None:
    for taint in member.taints:
        if not any(_tolerates(t, taint.key, taint.value, taint.effect) for t in demand.tolerations):
            return RejectionReason("Tainted", f"has the taint {taint.key}:{taint.effect}, which its tolerations do not cover")
    return None


def _tolerates(toleration: Manifest, key: str, value: str, effect: str) -> bool:
    if toleration.get("effect") not in (None, "", effect):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", key)
    return toleration.get("key") == key and toleration.get("value", "") == value


FILTERS: tuple[Filter, ...] = (leaving, zone, name, selector, taints)


def reject(demand: Demand, member: MemberState) -> RejectionReason | None:
    """Returns the rejection by the first filter that the cluster fails."""
    return next((out for passes in FILTERS if (out := passes(demand, member))), None)


def unavailability(member: MemberState) -> RejectionReason | None:
    """Returns why a feasible cluster receives nothing for the moment; this is no rejection."""
    if not member.reachable:
        return RejectionReason("Unreachable", "does not answer; what runs there is left alone, nothing new is placed")
    if not member.ready:
        return RejectionReason("NotReady", "has not been healthy for long enough")
    if member.capacity is None:
        return RejectionReason("CapacityUnknown", "has not reported its capacity yet")
    if not member.capacity.ready_nodes:
        return RejectionReason("NoReadyNode", "has no node that is ready")
    return None
