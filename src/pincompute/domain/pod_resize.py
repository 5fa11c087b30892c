"""Resizes the containers of a running pod: they get other amounts of CPU and memory, and no other pod is made (S-150, S-151).

The API server takes such a change by itself, through the pod's subresource `resize`, so an update takes several writes. The
first one records in the pod what it is to have. As long as the pod's spec has something else, the next write resizes it. Images
that change in the same update follow when the node has accepted the new amounts, so a new program never starts with the former
ones. Each step follows from the pod alone: a crash between two of them and a rollback in the middle leave nothing half.

A resize is done when the node says so (S-153): it has seen the pod's present generation and reports the amounts as allocated,
and no condition says that a resize waits or is in progress.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from pincompute.api import conditions, labels, resizable_resources, resource_requests, template_hash
from pincompute.api.builtin import Container, ContainerStatus, Pod, ResourceRequirements
from pincompute.api.conditions import Condition
from pincompute.api.meta import Manifest, Struct
from pincompute.api.resizable_resources import RESIZABLE, Amounts
from pincompute.domain import pod_resources

V = TypeVar("V")

RESIZE_TIMEOUT = timedelta(minutes=2)  # until a replica whose node has no room for its new amounts gets another pod
_PENDING, _IN_PROGRESS = "PodResizePending", "PodResizeInProgress"


class Resize(Struct):
    """The record in the pod: what containers are to have, images that are held until the node has accepted the amounts, and ids
    of containers that restart by the resize.
    """

    resources: dict[str, ResourceRequirements] = {}
    held_images: dict[str, str] = {}
    restarting: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why the node has not resized a container yet, and since when."""

    reason: Literal["ResizeInfeasible", "ResizeDeferred", "ResizeError"]
    message: str
    since: datetime | None

    @property
    def final(self) -> bool:
        """Returns whether the node never will."""
        return self.reason == "ResizeInfeasible"


ResourcesByContainer: TypeAlias = Mapping[str, ResourceRequirements]
"""Amounts of CPU and memory by container."""


def template_resources(template: Manifest) -> ResourcesByContainer:
    """Returns the amounts that a pod of the template is made with."""
    spec = pod_resources.completed(template_hash.normalise(template)["spec"])
    return {
        container["name"]: _amounts(container.get("resources") or {})
        for where, container in template_hash.containers({"spec": spec})
        if template_hash.is_replaceable(where, container)
    }


def record(pod: Pod, template: Manifest) -> Resize:
    """Returns what the pod is to have as one of this template: of containers that differ, or that the pod has a record of."""
    before, amounts = recorded(pod).resources, template_resources(template)
    present = _present(pod)
    differ = {name: made for name, made in amounts.items() if name in present and not _same(present[name], made)}
    resources = {name: made for name, made in amounts.items() if name in differ or name in before}
    ids = {status.name: status.container_id for status in _statuses(pod)}
    restarting = {name: ids[name] for name in _restarted(template, present, differ) if ids.get(name)}
    return Resize(resources=resources, restarting=restarting)


def obstacle(pod: Pod, amounts: ResourcesByContainer, allocatable: Amounts) -> str:
    """Returns why the pod, which has the template's shape, cannot get these amounts; empty where it can.

    `allocatable` is what its node has for all pods together. Containers that the platform injected count as well.
    """
    present = _present(pod)
    changed = {name for name, made in amounts.items() if name in present and not _same(present[name], made)}
    if not changed:
        return ""
    if any(status.name in changed and _is_down(status) for status in _statuses(pod)):
        return "a container does not run, and its node would start it with the former limit of the replica"
    if pod.spec.resources is not None and (pod.spec.resources.requests or pod.spec.resources.limits):
        return "it requests resources as a whole"
    if not pod.status.observed_generation:  # before Kubernetes 1.34 nobody could tell when the resize is done
        return "its node does not report which change of the replica it has seen"
    reported = {status.name for status in _statuses(pod) if status.resources is not None}
    if not present.keys() <= reported:
        return "its node does not report the resources of its containers"
    if not all(_keeps(made, amounts[name]) for name, made in present.items() if name in amounts):
        return "a request or limit would go"
    if _quality(pod, {}) != _quality(pod, amounts):
        return "its quality of service would change"
    return "" if _fits(pod, amounts, allocatable) else "its node is too small for the new amounts"


def recorded(pod: Pod) -> Resize:
    """Returns the record, without what somebody else wrote: another form, or containers of the platform."""
    text = pod.metadata.annotations.get(labels.RESIZE)
    try:
        made = msgspec.json.decode(text, type=Resize) if text else Resize()
    except (msgspec.MsgspecError, RecursionError):
        return Resize()
    if not any(name.startswith(labels.OF_PLATFORM) for name in (*made.resources, *made.held_images)):
        return made
    return msgspec.structs.replace(made, resources=_of_user(made.resources), held_images=_of_user(made.held_images))


def _of_user(by_container: Mapping[str, V]) -> dict[str, V]:
    return {name: value for name, value in by_container.items() if not name.startswith(labels.OF_PLATFORM)}


def annotation(pod: Pod, made: Resize) -> dict[str, str | None]:
    """Returns the patch of the record; empty where nothing of it changes."""
    if made == recorded(pod):
        return {}
    return {labels.RESIZE: msgspec.json.encode(made).decode() if made.resources else None}


def differs(pod: Pod, made: Resize) -> bool:
    """Returns whether the pod's spec has other amounts."""
    if not made.resources:
        return False
    present = _present(pod)
    return any(not _same(present[name], amounts) for name, amounts in made.resources.items() if name in present)


def is_unsent(pod: Pod) -> bool:
    """Returns whether the pod's spec has other amounts than the record."""
    return differs(pod, recorded(pod))


def resize_patch(pod: Pod) -> Manifest:
    """Returns the strategic merge patch of the pod's subresource `resize`."""
    resources = recorded(pod).resources
    return in_containers(pod, {name: {"resources": msgspec.to_builtins(made)} for name, made in resources.items()})


def held_images(pod: Pod) -> dict[str, str]:
    """Returns the images that wait for the node, by container."""
    images = recorded(pod).held_images
    present = {container.name: container.image for container in _running(pod)} if images else {}
    return {name: image for name, image in images.items() if present.get(name, image) != image}


def is_pending(pod: Pod) -> bool:
    """Returns whether the pod does not have yet what it is to have, in its spec or on its node."""
    if not recorded(pod).resources:
        return False
    accepted = is_accepted(pod) and not held_images(pod)
    return not accepted or conditions.is_true(pod.status.conditions, _IN_PROGRESS)


def is_accepted(pod: Pod) -> bool:
    """Returns whether the node has given the pod the amounts of its present spec, whatever of them has taken effect."""
    if is_unsent(pod) or pod.status.observed_generation < pod.metadata.generation:
        return False
    if conditions.is_true(pod.status.conditions, _PENDING):
        return False
    resources = recorded(pod).resources
    return all(_allocates(status, resources[status.name]) for status in _statuses(pod) if status.name in resources)


def restarts(pod: Pod) -> bool:
    """Returns whether containers end by a resize that the pod was sent, so it serves less until that is done."""
    return bool(recorded(pod).restarting) and not is_unsent(pod)


def reported_obstacle(pod: Pod) -> Obstacle | None:
    """Returns what the node says against the resize."""
    if not recorded(pod).resources or is_unsent(pod):
        return None
    pending = _true(pod, _PENDING)
    if pending is not None:
        reason = "ResizeInfeasible" if pending.reason == "Infeasible" else "ResizeDeferred"
        return Obstacle(reason, pending.message, pending.last_transition_time)
    failing = _true(pod, _IN_PROGRESS)
    if failing is not None and failing.reason == "Error":
        return Obstacle("ResizeError", failing.message, failing.last_transition_time)
    return None


def fails_after(pod: Pod, now: datetime) -> float | None:
    """Returns the seconds until the replica needs another pod, 0 if it does now; None where nothing is against the resize."""
    found = reported_obstacle(pod)
    if found is None:
        return None
    if found.final or found.since is None:
        return 0.0
    return max(0.0, (RESIZE_TIMEOUT - (now - found.since)).total_seconds())


def _true(pod: Pod, kind: str) -> Condition | None:
    found = conditions.find(pod.status.conditions, kind)
    return found if found is not None and found.status == "True" else None


def _amounts(resources: Manifest) -> ResourceRequirements:
    requests: Manifest = resources.get("requests") or {}
    limits: Manifest = resources.get("limits") or {}
    return ResourceRequirements(requests=_resizable(requests), limits=_resizable(limits))


def _resizable(amounts: Amounts) -> dict[str, Any]:
    return {name: amounts[name] for name in RESIZABLE if name in amounts}


def _present(pod: Pod) -> dict[str, ResourceRequirements]:
    """Returns what the containers have that run for as long as the pod."""
    whole = pod.spec.resources
    shared = frozenset((*whole.requests, *whole.limits)) if whole is not None else frozenset[str]()
    return {c.name: _amounts(template_hash.with_defaults(msgspec.to_builtins(c.resources), shared)) for c in _running(pod)}


def _fits(pod: Pod, amounts: ResourcesByContainer, allocatable: Amounts) -> bool:
    """Returns whether the node could hold the pod if it were alone there."""
    containers = [_requests(amounts.get(c.name, c.resources)) for c in pod.spec.containers]
    init = [(c.restart_policy == "Always", _requests(amounts.get(c.name, c.resources))) for c in pod.spec.init_containers]
    needed = resource_requests.formula(containers, init, {}, resource_requests.amounts(pod.spec.overhead))
    return all(
        needed.get(name, 0) <= resource_requests.amount(name, str(allocatable[name]))
        for name in RESIZABLE
        if name in allocatable
    )


def _requests(made: ResourceRequirements) -> resource_requests.Requests:
    return resource_requests.amounts(made.requests)


def _restarted(template: Manifest, present: ResourcesByContainer, differ: ResourcesByContainer) -> Iterator[str]:
    """Yields the containers whose `resizePolicy` says that they restart when this resource changes."""
    for _, container in template_hash.containers(template):
        made = differ.get(container["name"])
        if made is None:
            continue
        rules: list[Manifest] = container.get("resizePolicy") or []
        names = tuple(rule.get("resourceName", "") for rule in rules if rule.get("restartPolicy") == "RestartContainer")
        if not _same(present[container["name"]], made, names):
            yield container["name"]


def _running(pod: Pod) -> tuple[Container, ...]:
    """Returns the containers that run for as long as the pod: a plain init container has ended long ago."""
    return (*pod.spec.containers, *(c for c in pod.spec.init_containers if c.restart_policy == "Always"))


def _statuses(pod: Pod) -> tuple[ContainerStatus, ...]:
    return (*pod.status.container_statuses, *pod.status.init_container_statuses)


def _is_down(status: ContainerStatus) -> bool:
    """Returns whether the container does not run, or only between two crashes. Seen with kubelet 1.36: a resize while it is
    down gives the container the new limit, and the control group of the pod keeps the former one.
    """
    runs = status.state is None or status.state.running is not None
    return not status.ready and (not runs or status.restart_count > 0)


def _same(one: ResourceRequirements, other: ResourceRequirements, names: tuple[str, ...] = RESIZABLE) -> bool:
    return _equal(one.requests, other.requests, names) and _equal(one.limits, other.limits, names)


def _allocates(status: ContainerStatus, made: ResourceRequirements) -> bool:
    """Returns whether the node has set the requests aside. It reports no limits as allocated."""
    return not status.allocated_resources or _equal(status.allocated_resources, made.requests, RESIZABLE)


def _equal(one: Amounts, other: Amounts, names: tuple[str, ...]) -> bool:
    return all(_amount(one, name) == _amount(other, name) for name in names)


def _amount(amounts: Amounts, name: str) -> int | None:
    return resizable_resources.nanos(str(amounts[name])) if name in amounts else None


def _keeps(present: ResourceRequirements, wanted: ResourceRequirements) -> bool:
    """Returns whether no request or limit goes."""
    pairs = ((present.requests, wanted.requests), (present.limits, wanted.limits))
    return all(name in after for before, after in pairs for name in RESIZABLE if name in before)


def _quality(pod: Pod, amounts: ResourcesByContainer) -> str:
    resources = [amounts.get(c.name, c.resources) for c in (*pod.spec.containers, *pod.spec.init_containers)]
    return resizable_resources.quality_of_service((made.requests, made.limits) for made in resources)


def in_containers(pod: Pod, changes: Mapping[str, Manifest]) -> Manifest:
    lists = (("containers", pod.spec.containers), ("initContainers", pod.spec.init_containers))
    named = {
        where: [{"name": c.name, **changes[c.name]} for c in containers if c.name in changes] for where, containers in lists
    }
    return {"spec": {where: changed for where, changed in named.items() if changed}}
