"""Computes what the sidecars of the platform request in a workload's replicas.

A placement counts these requests and records them (`Scheduling.sidecars`), so whatever reads the decision counts the same
amounts. They are no part of the demand: another version of a sidecar moves no replica, and later decisions count its requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pincompute.api import labels, quantity, resource_requests, sidecars
from pincompute.api.kinds import WorkloadKind, WorkloadObject
from pincompute.api.meta import Manifest
from pincompute.api.quantity import InvalidQuantityError, Quantity
from pincompute.api.resource_requests import CPU, MEMORY, NOTHING, Requests
from pincompute.api.sidecars import PinSidecar, SidecarContainer
from pincompute.api.workloads import CountedSidecar, Scheduling
from pincompute.domain import sidecar_injection

_LATER_KNOWN = frozenset(
    (labels.REVISION, labels.ZONE, labels.CLUSTER, labels.SHARD_UID, labels.ORIGIN_UID)
)  # labels of pods that differ between the replicas of a workload


def counted(kind: WorkloadKind, obj: WorkloadObject, known: Iterable[PinSidecar]) -> tuple[CountedSidecar, ...]:
    """Returns the sidecars that replicas of the workload may have, by name, with their requests. `known`: those of the region.

    A selector on a label that only the cluster knows counts as one that matches.
    """
    return tuple(_counted(each) for each in sorted(known, key=lambda each: each.metadata.name) if _may_have(kind, obj, each))


def _may_have(kind: WorkloadKind, obj: WorkloadObject, sidecar: PinSidecar) -> bool:
    project = obj.metadata.namespace
    if not sidecars.allows(sidecar.spec.allowed_projects, project):
        return False
    if sidecar.metadata.name in sidecars.named_by(obj.spec.template):
        return True
    if sidecar.deleting or sidecar.spec.selector is None:
        return False
    return sidecar_injection.selects(sidecar.spec.selector, project, _pod_labels(kind, obj, sidecar.spec.selector.match_labels))


def basis(sidecar: PinSidecar) -> tuple[object, ...]:
    """Returns all of a sidecar that decides whether replicas have it, and what it requests in them."""
    spec = sidecar.spec
    return sidecar.deleting, spec.allowed_projects, spec.selector, requests(sidecar)


def may_select_in(project: str, sidecar: PinSidecar) -> bool:
    """Returns whether some pods of the project may get the sidecar without naming it."""
    selector = sidecar.spec.selector
    if selector is None or sidecar.deleting or not sidecars.allows(sidecar.spec.allowed_projects, project):
        return False
    return sidecar_injection.selects_in(selector, project)


def may_select_by_label(project: str, sidecar: PinSidecar) -> bool:
    """Returns whether it depends on the labels of the project's pods whether they get the sidecar."""
    selector = sidecar.spec.selector
    return selector is not None and bool(selector.match_labels) and may_select_in(project, sidecar)


def may_select_by_name(sidecar: PinSidecar) -> bool:
    """Returns whether it depends on the name or the kind of a workload whether its pods get the sidecar."""
    selector = sidecar.spec.selector
    return selector is not None and not selector.match_labels.keys().isdisjoint((labels.APP, labels.WORKLOAD))


def _pod_labels(kind: WorkloadKind, obj: WorkloadObject, selected: Mapping[str, str]) -> Mapping[str, str]:
    """Returns the labels of the workload's pods, and of those that are known later the values that a selector asks for."""
    metadata: Manifest = obj.spec.template.get("metadata") or {}
    return {
        **(metadata.get("labels") or {}),
        labels.MANAGED_BY: labels.PINCOMPUTE,
        labels.APP: obj.metadata.name,
        labels.WORKLOAD: kind.workload.kind,
        labels.TIER: obj.spec.tier,
        **{name: value for name, value in selected.items() if name in _LATER_KNOWN},
    }


def requests(sidecar: PinSidecar) -> Requests:
    """Returns what the sidecar requests in a pod: the larger amount of the versions that new pods may have."""
    stable = sidecar.status.stable
    wanted = of_container(sidecar.spec.container)
    return wanted if stable is None else resource_requests.at_least(wanted, of_container(stable.container))


def of_container(container: SidecarContainer) -> Requests:
    """Returns what the container requests; nothing where an amount is no quantity, because no API server makes a pod of it."""
    try:
        return resource_requests.amounts({CPU: container.cpu, MEMORY: container.memory})
    except InvalidQuantityError:
        return {CPU: 0, MEMORY: 0}


def _counted(sidecar: PinSidecar) -> CountedSidecar:
    wants = requests(sidecar)
    memory = bytes_text(wants[MEMORY])
    return CountedSidecar(name=sidecar.metadata.name, cpu=resource_requests.cores(wants[CPU]), memory=memory)


def bytes_text(number: int) -> str:
    return quantity.shortest(Quantity(number * quantity.UNIT))


def total(template: Manifest, counted_sidecars: Iterable[CountedSidecar]) -> Requests:
    """Returns what counted sidecars add to the requests of a pod. Amounts that the template declares for the pod as a whole
    include them. Raises InvalidQuantityError.
    """
    whole = declared_for_the_pod(template)
    found = NOTHING
    for each in counted_sidecars:
        amounts = resource_requests.amounts({CPU: each.cpu, MEMORY: each.memory})
        found = resource_requests.plus(found, {name: number for name, number in amounts.items() if name not in whole})
    return found


def declared_for_the_pod(template: Manifest) -> frozenset[str]:
    """Returns the resources of which the template declares an amount for the pod as a whole."""
    spec: Manifest = template.get("spec") or {}
    resources: Manifest = spec.get("resources") or {}
    return frozenset((*(resources.get("limits") or ()), *(resources.get("requests") or ())))


def of_decision(template: Manifest, decision: Scheduling | None) -> Requests:
    """Returns what the sidecars that a decision counted add to the requests of a pod."""
    return total(template, decision.sidecars) if decision is not None and decision.sidecars else NOTHING
