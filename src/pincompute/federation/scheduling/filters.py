"""Filters: each says in words why a cluster cannot run a workload at all, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pincompute.api.meta import Manifest
from pincompute.api.workloads import Rejection
from pincompute.federation.members import Member
from pincompute.federation.workloads import Workload

Filter: TypeAlias = Callable[[Workload, Member], tuple[str, str] | None]
"""Returns (reason, message) when the cluster is out."""


def leaving(_workload: Workload, member: Member) -> tuple[str, str] | None:
    return ("Leaving", "is being removed from the region") if member.leaving else None


def zone(workload: Workload, member: Member) -> tuple[str, str] | None:
    zones = workload.obj.spec.placement.zones
    if not zones or member.zone in zones:
        return None
    return ("ZoneNotWanted", f"is in zone {member.zone}; spec.placement.zones allows {', '.join(zones)}")


def name(workload: Workload, member: Member) -> tuple[str, str] | None:
    clusters = workload.obj.spec.placement.clusters
    if not clusters or member.name in clusters:
        return None
    return ("ClusterNotWanted", f"is not in spec.placement.clusters ({', '.join(clusters)})")


def selector(workload: Workload, member: Member) -> tuple[str, str] | None:
    for label, value in workload.obj.spec.placement.cluster_selector.items():
        if member.labels.get(label) != value:
            return ("LabelMismatch", f"has {label}={member.labels.get(label, '')!r}, the workload selects {value!r}")
    return None


def taints(workload: Workload, member: Member) -> tuple[str, str] | None:
    spec: Manifest = workload.rendered.template.get("spec") or {}
    tolerations: list[Manifest] = spec.get("tolerations") or []
    for taint in member.taints:
        if not any(_tolerates(t, taint.key, taint.value, taint.effect) for t in tolerations):
            return ("Tainted", f"has the taint {taint.key}:{taint.effect}, which the pod template does not tolerate")
    return None


def _tolerates(toleration: Manifest, key: str, value: str, effect: str) -> bool:
    if toleration.get("effect") not in (None, "", effect):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", key)
    return toleration.get("key") == key and toleration.get("value", "") == value


FILTERS: tuple[Filter, ...] = (leaving, zone, name, selector, taints)


def silence(member: Member) -> tuple[str, str] | None:
    """Why a cluster that could run the workload receives nothing for the moment; not a rejection for good."""
    if not member.reachable:
        return ("Unreachable", "does not answer; what runs there is left alone, nothing new is placed")
    if not member.ready:
        return ("NotReady", "has not been healthy for long enough")
    if member.capacity is None:
        return ("CapacityUnknown", "has not reported its capacity yet")
    if not member.capacity.ready_nodes:
        return ("NoReadyNode", "has no node that is ready")
    return None


def reject(workload: Workload, member: Member) -> Rejection | None:
    """The first filter that the cluster does not pass."""
    for passes in FILTERS:
        if out := passes(workload, member):
            return Rejection(cluster=member.name, reason=out[0], message=f"{member.name} {out[1]}")
    return None
