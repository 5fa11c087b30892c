"""Computes what a placement depends on, and whether the last decision still satisfies it.

A decision is bound to its demand and not to the object's generation: another image, label or environment variable needs no
decision and waits in no queue. Only where sidecars select pods by label, another label may mean other sidecars, and needs one.
A paused workload keeps its last decision, whatever its spec asks for since (S-258).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from pincompute.api import resource_requests, sidecars
from pincompute.api.kinds import Strategy
from pincompute.api.meta import Manifest
from pincompute.api.resource_requests import Requests
from pincompute.api.sidecars import PinSidecar
from pincompute.api.workloads import CountedSidecar, Placement, Scheduling, Tier
from pincompute.domain import sidecar_requests
from pincompute.federation.workload.workload_model import Rendered, Workload

REMEMBERED = 50_000  # workloads whose demand is kept; that of older ones is computed again


@dataclass(frozen=True, slots=True)
class Demand:
    """Pods of one kind that a workload wants, and where they may run.

    `hash` identifies all of it. `labelled` identifies it with the labels of the pods, on which their sidecars depend. `alike`
    identifies the part that decides which clusters have room for one pod of it: where one workload found no room, none with
    the same `alike` will (S-038). `sidecars` are those of the platform that `requests` counts, with `of_sidecars` in all.
    """

    strategy: Strategy
    tier: Tier
    replicas: int
    requests: Requests
    placement: Placement
    tolerations: Sequence[Manifest]
    hash: str
    labelled: str
    alike: str
    sidecars: tuple[CountedSidecar, ...] = ()
    of_sidecars: Requests = field(default_factory=dict[str, int])


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
    wants = demand(workload)
    return made.demand in (wants.hash, wants.labelled)


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
    named = sidecars.named_by(workload.obj.spec.template)
    alike = _name([workload.kind.strategy, wants, placement, tolerations, _nodes(spec), *([named] if named else ())])
    whole = _name([alike, workload.replicas, workload.obj.spec.tier])
    return Demand(
        strategy=workload.kind.strategy,
        tier=workload.obj.spec.tier,
        replicas=workload.replicas,
        requests=wants,
        placement=placement,
        tolerations=tolerations,
        hash=whole,
        labelled=_name([whole, _pod_labels(workload)]),
        alike=alike if workload.kind.strategy == "spread" else _name([alike, workload.replicas]),
    )


def with_sidecars(wants: Demand, workload: Workload, counted: Sequence[CountedSidecar]) -> Demand:
    """Returns the demand with what these sidecars request in each replica. It keeps its `hash`, so that another version of a
    sidecar needs no decision. Which sidecars replicas have depends on their project and labels, so only workloads that
    share these are alike.
    """
    if not counted:
        return wants
    obj = workload.obj
    alike = [wants.alike, counted, obj.metadata.namespace, obj.spec.tier, _pod_labels(workload)]
    beside = sidecar_requests.total(obj.spec.template, counted)
    requests = resource_requests.plus(wants.requests, beside)
    return replace(wants, requests=requests, sidecars=tuple(counted), of_sidecars=beside, alike=_name(alike))


def name_of(wants: Demand, workload: Workload, known: Iterable[PinSidecar]) -> str:
    """Returns what a decision records as its demand, with these sidecars known. Another version of one is no other demand."""
    by_label = any(sidecar_requests.may_select_by_label(workload.obj.metadata.namespace, each) for each in known)
    return wants.labelled if by_label else wants.hash


def _pod_labels(workload: Workload) -> Manifest:
    metadata: Manifest = workload.obj.spec.template.get("metadata") or {}
    return metadata.get("labels") or {}


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
