"""Computes what a placement depends on, and whether the last decision still satisfies it.

A decision is bound to its demand and not to the object's generation: another image, label or environment variable needs no
decision and waits in no queue. A paused workload keeps its last decision, whatever its spec asks for since (S-258).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from pincompute.api.kinds import Strategy
from pincompute.api.meta import Manifest
from pincompute.api.resource_requests import Requests
from pincompute.api.workloads import Placement, Scheduling, Tier
from pincompute.federation.workload.workload_model import Rendered, Workload

REMEMBERED = 50_000  # workloads whose demand is kept; that of older ones is computed again


@dataclass(frozen=True, slots=True)
class Demand:
    """Pods of one kind that a workload wants, and where they may run.

    `hash` identifies all of it. `alike` identifies the part that decides which clusters have room for one pod of it: where
    one workload found no room, none with the same `alike` will (S-038).
    """

    strategy: Strategy
    tier: Tier
    replicas: int
    requests: Requests
    placement: Placement
    tolerations: Sequence[Manifest]
    hash: str
    alike: str


@dataclass(frozen=True, slots=True)
class _KnownDemand:
    """A demand, with what it was computed from."""

    rendered: Rendered
    rest: tuple[Any, ...]
    demand: Demand


_demands: dict[str, _KnownDemand] = {}  # by uid


def demand(workload: Workload) -> Demand:
    """Returns the workload's demand, computed once per generation."""
    spec = workload.obj.spec
    rest = (workload.generation, workload.replicas, workload.kind, spec.tier, spec.placement)
    known = _demands.get(workload.uid)
    if known is not None and known.rendered is workload.rendered and known.rest == rest:
        return known.demand
    _demands.pop(workload.uid, None)
    if len(_demands) >= REMEMBERED:
        del _demands[next(iter(_demands))]
    made = _demand(workload)
    _demands[workload.uid] = _KnownDemand(workload.rendered, rest, made)
    return made


def stands(workload: Workload) -> bool:
    """Returns whether the last decision satisfies the present demand; it may be incomplete all the same.

    A decision from before demands had names, or for this very generation, stands without comparing names, so that an upgrade
    decides nothing anew.
    """
    made = workload.status.scheduling
    if made is None:
        return False
    if workload.paused or made.generation == workload.generation:
        return True
    return made.demand == demand(workload).hash


def decision(workload: Workload) -> Scheduling | None:
    """Returns the decision that the workload's shards follow; None while one has to be made first (S-048)."""
    return workload.status.scheduling if stands(workload) else None


def _demand(workload: Workload) -> Demand:
    spec: Manifest = workload.rendered.template.get("spec") or {}
    given = workload.obj.spec.placement
    placement = Placement(
        zones=tuple(sorted(given.zones)), clusters=tuple(sorted(given.clusters)), cluster_selector=given.cluster_selector
    )
    tolerations = sorted(map(_toleration, spec.get("tolerations") or ()), key=_encode)
    wants = dict(workload.rendered.requests)
    alike = _name([workload.kind.strategy, wants, placement, tolerations, _nodes(spec)])
    return Demand(
        strategy=workload.kind.strategy,
        tier=workload.obj.spec.tier,
        replicas=workload.replicas,
        requests=wants,
        placement=placement,
        tolerations=tolerations,
        hash=_name([alike, workload.replicas, workload.obj.spec.tier]),
        alike=alike if workload.kind.strategy == "spread" else _name([alike, workload.replicas]),
    )


def _toleration(given: Manifest) -> Manifest:
    """Returns a toleration without what the API server would fill in."""
    return {name: part for name, part in given.items() if part not in (None, "") and (name, part) != ("operator", "Equal")}


def _nodes(spec: Manifest) -> list[Any]:
    """Returns which nodes it may use."""
    affinity: Manifest = spec.get("affinity") or {}
    return [spec.get("nodeSelector") or {}, affinity.get("nodeAffinity") or {}]


def _encode(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def _name(value: Any) -> str:
    return hashlib.blake2b(_encode(value), digest_size=8).hexdigest()
