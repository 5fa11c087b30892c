"""Lists the limits of a project, and computes what each allows and what workloads and settings take of it.

A limit is one row of `LIMITS` and one field of `spec.limits`. The defaults stand beside these fields (`api/projects.py`). The
gateway admits requests within the limits (`gateway/project_limit_admission.py`). The quotas that API servers enforce behind it
are derived from them (`domain/namespace_quotas.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec

from pincompute.api import quantity, resource_requests, settings, sidecars, template_hash
from pincompute.api.identity_memo import remembered
from pincompute.api.kinds import WorkloadKind, WorkloadObject
from pincompute.api.meta import Manifest
from pincompute.api.projects import DEFAULT_LIMITS, LARGEST_COUNTS, Amount, Project, ProjectLimits, SidecarRoom
from pincompute.api.quantity import InvalidQuantityError, Quantity
from pincompute.api.resource_requests import CPU, MEMORY, NOTHING, PODS, STORAGE, Requests
from pincompute.api.settings import Setting
from pincompute.api.sidecars import PinSidecar
from pincompute.api.validation_rules import LEAST
from pincompute.api.workloads import Ended
from pincompute.domain import sidecar_injection, sidecar_requests

UNLIMITED_CONTAINERS = "containers-without-storage-limit"
"""Containers that say nothing of ephemeral storage. Each may write what its project lets them."""

_BY_SIDECAR = " of sidecar "
"""Between a resource and a sidecar: the replicas that have it, whose requests `with_sidecars` adds."""

_SIDECARS_REQUEST = (CPU, MEMORY)

PODS_AHEAD = 4
"""Pods with a sidecar that quotas have room for beyond those that are counted, because they follow what the gateway admits."""

WORKLOADS, VOLUMES, DOCUMENTS, SETTINGS, IMAGES = "workloads", "volume-claims", "documents", "settings", "images"


@dataclass(frozen=True, slots=True)
class Limit:
    """`name`: in `spec.limits`, in messages, and as an option of `pin admin limits`. `resource`: name in `resource_requests`.
    `field`: what a user lowers in the simple form to need less of it.
    """

    name: str
    resource: str
    field: str

    def set_by(self, project: Project | None) -> Amount | None:
        """Returns the amount that an administrator set; None where the default holds."""
        return getattr(project.spec.limits, self.name) if project is not None else None


STORED_DOCUMENTS = Limit("documents", DOCUMENTS, "containers")
"""Bytes in the host's API server: the documents of workloads, and the revisions that are kept of them."""

STORED_SETTINGS = Limit("settings", SETTINGS, "data")
"""Bytes in the host's API server. No workload takes of it: a new version of a secret or config does."""

STORED_IMAGES = Limit("images", IMAGES, "images")
"""Bytes in the region's registry. No workload takes of it: a push does."""

LIMITS = (
    Limit("workloads", WORKLOADS, "name"),
    Limit("pods", PODS, "replicas"),
    Limit("cpu", CPU, "containers[0].resources.cpu"),
    Limit("memory", MEMORY, "containers[0].resources.memory"),
    Limit("storage", STORAGE, "containers[0].resources.storage"),
    Limit("volumes", VOLUMES, "volumes"),
    STORED_DOCUMENTS,
    STORED_SETTINGS,
    STORED_IMAGES,
)
LEAST_STORAGE = resource_requests.amount(STORAGE, LEAST[STORAGE])
_OF_WORKLOADS = tuple(limit for limit in LIMITS if limit not in (STORED_DOCUMENTS, STORED_SETTINGS, STORED_IMAGES))
_LARGEST = 1 << 60  # an amount that every API server can store


@dataclass(frozen=True, slots=True)
class ExceededLimit:
    """A limit that does not allow `needed` more: `used` of `allowed` are taken already. Of what is needed, `of_sidecars` is for
    sidecars of the platform.
    """

    limit: Limit
    allowed: int
    used: int
    needed: int
    of_sidecars: int = 0

    @property
    def left(self) -> int:
        return max(0, self.allowed - self.used)


def allowed(project: Project | None) -> Mapping[str, int]:
    """Returns the amount that each limit allows, by resource. A value that is no quantity, which an API server refuses, allows
    nothing.
    """
    return {limit.resource: allows(limit, project) for limit in LIMITS}


def default_container_storage(project: Project | None) -> int:
    """Returns how much a container may write that says nothing of it. Less than the policies of members accept is no amount."""
    given = project.spec.limits.default_container_storage if project is not None else None
    try:
        number = _bytes(DEFAULT_LIMITS["defaultContainerStorage"] if given is None else given)
    except InvalidQuantityError:
        number = 0
    return max(LEAST_STORAGE, number)


def with_default_container_storage(amounts: Requests, each: int) -> Requests:
    """Returns amounts in which every container that says nothing of storage takes so much of it."""
    left = {name: number for name, number in amounts.items() if name != UNLIMITED_CONTAINERS}
    return resource_requests.plus(left, {STORAGE: amounts.get(UNLIMITED_CONTAINERS, 0) * each})


def allows(limit: Limit, project: Project | None) -> int:
    given = limit.set_by(project)
    return _number(limit, DEFAULT_LIMITS[limit.name] if given is None else given)


def _number(limit: Limit, given: Amount) -> int:
    try:
        return resource_requests.amount(limit.resource, str(given))
    except InvalidQuantityError:
        return 0


def quota_basis(project: Project, used: Requests) -> ProjectLimits:
    """Returns the amounts from which quotas are derived: what each limit allows, or what an earlier one allowed and the project
    still uses, so that replicas can be made again after an administrator lowered the limit.

    Only a limit raises an amount, never use: with kubectl on the host, workloads may ask for more than the limits allow. Use is
    rounded up to a power of two, so that an amount falls in few steps.
    """
    counted = with_default_container_storage(used, default_container_storage(project))
    return msgspec.convert(
        {limit.name: _text_or_count(limit, _basis(limit, project, counted)) for limit in _OF_WORKLOADS}, ProjectLimits
    )


@remembered
def quotas_follow_use(project: Project) -> bool:
    """Returns whether `quota_basis` may change with what the project uses. It does not where its status holds exactly what the
    limits allow, as nearly every project's does.
    """
    recorded = project.status.quota_basis
    return any(getattr(recorded, each.name) != _text_or_count(each, allows(each, project)) for each in _OF_WORKLOADS)


def _basis(limit: Limit, project: Project, used: Requests) -> int:
    before = getattr(project.status.quota_basis, limit.name)
    if before is not None:
        earlier = _number(limit, before)
    elif project.status.observed_generation:  # of a version that wrote no basis: what runs may be more than a limit it brought
        earlier = LARGEST_COUNTS.get(limit.name, _LARGEST)
    else:
        earlier = 0
    return max(allows(limit, project), min(resource_requests.rounded_up(used.get(limit.resource, 0)), earlier))


def quota_amounts(project: Project) -> Mapping[str, int]:
    """Returns the amounts behind the quotas, by resource: what each limit allows, or the recorded basis if that is more."""
    recorded = project.status.quota_basis
    return {limit.resource: max(allows(limit, project), _number(limit, getattr(recorded, limit.name) or 0)) for limit in LIMITS}


def room_for_sidecars(project: Project, taken: Requests, known: Iterable[PinSidecar]) -> SidecarRoom:
    """Returns what sidecars may request in the pods that the project's workloads ask for, whoever pays for them. `taken` is the
    sum of `use_of_workload`.

    It follows the pods that have a sidecar, and not those that a limit allows, because quotas with room for the latter would
    hold nobody back. It has room for some pods more, and is rounded up to powers of two, so that quotas follow in few steps.
    """
    name, most, found = project.metadata.name, quota_amounts(project)[PODS], NOTHING
    for each in known:
        if sidecars.allows(each.spec.allowed_projects, name):
            wants = sidecar_requests.requests(each)
            pods = {resource: _pods_with(each, name, taken, resource) for resource in _SIDECARS_REQUEST}
            more = {resource: wants[resource] * min(most, pods[resource] + PODS_AHEAD) for resource in pods}
            found = resource_requests.plus(found, more)
    if not any(found.values()):
        return SidecarRoom()
    cpu, memory = (resource_requests.rounded_up(found.get(resource, 0)) for resource in _SIDECARS_REQUEST)
    return SidecarRoom(cpu=resource_requests.cores(cpu), memory=sidecar_requests.bytes_text(memory))


def basis_of_sidecar(sidecar: PinSidecar) -> tuple[object, ...]:
    """Returns all of a sidecar on which what projects take of their limits, and their room for sidecars, depend."""
    return *sidecar_requests.basis(sidecar), sidecar.spec.paid_by, sidecar_requests.of_container(sidecar.spec.container)


def _pods_with(sidecar: PinSidecar, project: str, taken: Requests, resource: str) -> int:
    """Returns how many pods may have the sidecar. One that selects counts in all pods of the project, because each that is made
    anew may get it, also without a decision.
    """
    selector = sidecar.spec.selector
    if selector is not None and not sidecar.deleting and sidecar_injection.selects_in(selector, project):
        return taken.get(PODS, 0)
    return taken.get(_of_sidecar(resource, sidecar.metadata.name), 0)


def sidecar_room(project: Project) -> Requests:
    """Returns what sidecars may request in all of the project's pods."""
    recorded = project.status.sidecar_room
    return resource_requests.amounts({CPU: recorded.cpu, MEMORY: recorded.memory})


def _text_or_count(limit: Limit, number: int) -> Amount:
    return number if limit.name in LARGEST_COUNTS else text(limit, number)


def use_of_workload(kind: WorkloadKind, obj: WorkloadObject, selected: Iterable[str] = ()) -> Requests:
    """Returns what the workload takes of its project's limits: itself, and unless it is stopped or has ended, what its replicas
    request with their volume claims, and of storage what they may write, which `with_default_container_storage` completes. A
    template whose amounts are no quantities takes pods alone. `with_sidecars` completes the sidecars of its replicas: those
    that it names, those that the last decision counted, and those that are `selected` besides.
    """
    replicas = _running(kind, obj)
    try:
        writes = _writable(obj.spec.template)
        wants = {**resource_requests.requests(obj.spec.template, resource_requests.DEFAULTS), STORAGE: 0, **writes}
        wants[VOLUMES] = _claimed(obj.spec.template)
        of_sidecars = tuple(_sidecar_amounts(obj, selected))
    except InvalidQuantityError:
        wants, of_sidecars = resource_requests.SLOT, ()
    counted = {name: wants.get(name, 0) * replicas for name in (*(limit.resource for limit in LIMITS), UNLIMITED_CONTAINERS)}
    counted |= dict.fromkeys(of_sidecars, replicas)
    return {name: number for name, number in {**counted, WORKLOADS: 1}.items() if number}


def of_selected(kind: WorkloadKind, obj: WorkloadObject, selected: Iterable[str]) -> Requests:
    """Returns what these sidecars add to the `counted_use` of a workload of which no decision has counted them yet."""
    besides = [name for name in selected if name not in (*sidecars.named_by(obj.spec.template), *_decided_sidecars(obj))]
    replicas = _running(kind, obj) if besides else 0
    return dict.fromkeys(_amounts_of(obj, besides), replicas) if replicas else NOTHING


def _running(kind: WorkloadKind, obj: WorkloadObject) -> int:
    return 0 if obj.spec.stopped or _has_ended(obj) else kind.replicas(obj)


def _sidecar_amounts(obj: WorkloadObject, selected: Iterable[str]) -> Iterator[str]:
    """Yields the names under which the sidecars in each replica are counted, by resource and sidecar."""
    return _amounts_of(obj, {*sidecars.named_by(obj.spec.template), *selected, *_decided_sidecars(obj)})


def _amounts_of(obj: WorkloadObject, names: Collection[str]) -> Iterator[str]:
    if not names:
        return
    whole = sidecar_requests.declared_for_the_pod(obj.spec.template)
    yield from (_of_sidecar(resource, name) for name in names for resource in _SIDECARS_REQUEST if resource not in whole)


def _decided_sidecars(obj: WorkloadObject) -> tuple[str, ...]:
    """Returns the names of the sidecars that the last decision counted."""
    made = obj.status.scheduling
    return tuple(each.name for each in made.sidecars) if made is not None else ()


def status_of_use(obj: WorkloadObject) -> tuple[Ended | None, tuple[str, ...]]:
    """Returns all that `use_of_workload` reads of the status, for sums that follow nothing else of it."""
    return obj.status.ended, _decided_sidecars(obj)


def _of_sidecar(resource: str, name: str) -> str:
    return f"{resource}{_BY_SIDECAR}{name}"


def with_sidecars(amounts: Requests, known: Iterable[PinSidecar]) -> Requests:
    """Returns amounts with what the sidecars request that projects pay for."""
    if not any(_BY_SIDECAR in name for name in amounts):
        return amounts
    left = {name: number for name, number in amounts.items() if _BY_SIDECAR not in name}
    return resource_requests.plus(left, of_sidecars(amounts, known))


def of_sidecars(amounts: Requests, known: Iterable[PinSidecar]) -> Requests:
    """Returns the part of the amounts that sidecars request for which projects pay."""
    found = NOTHING
    for each in known:
        if each.spec.paid_by == "Project":
            wants = sidecar_requests.of_container(each.spec.container)
            pods = {name: amounts.get(_of_sidecar(name, each.metadata.name), 0) for name in _SIDECARS_REQUEST}
            found = resource_requests.plus(found, {name: wants[name] * pods[name] for name in _SIDECARS_REQUEST if pods[name]})
    return found


def _claimed(template: Manifest) -> int:
    """Returns how many bytes the volume claims request that are made for one pod. Raises InvalidQuantityError."""
    spec: Manifest = template.get("spec") or {}
    volumes: list[Manifest] = spec.get("volumes") or []
    return sum(map(_claimed_by, volumes))


def _claimed_by(volume: Manifest) -> int:
    found: Manifest = volume
    for field in ("ephemeral", "volumeClaimTemplate", "spec", "resources", "requests"):
        found = found.get(field) or {}
    return _bytes(found.get("storage") or 0)


def _writable(template: Manifest) -> Requests:
    """Returns how much one pod may write of ephemeral storage, and how many of its containers say nothing of it. A container
    may write what it requests, unless it has a limit. Raises InvalidQuantityError.
    """
    running: list[Requests] = []
    init: list[tuple[bool, Requests]] = []
    for where, container in template_hash.containers(template):
        resources: Manifest = container.get("resources") or {}
        limits: Manifest = resources.get("limits") or {}
        requests: Manifest = resources.get("requests") or {}
        given = [part[STORAGE] for part in (limits, requests) if STORAGE in part]
        said = [number for number in map(_bytes, given) if number >= LEAST_STORAGE]
        writes = {STORAGE: max(said)} if said else {UNLIMITED_CONTAINERS: 1}
        if where == "containers":
            running.append(writes)
        else:
            init.append((template_hash.is_replaceable(where, container), writes))
    found = resource_requests.formula(running, init, NOTHING, NOTHING)
    return {name: number for name, number in found.items() if name != PODS}


def _bytes(value: Amount) -> int:
    return resource_requests.amount(STORAGE, str(value))


def counted_use(kind: WorkloadKind, obj: WorkloadObject) -> Requests:
    """Returns the same for the sum in a cache, which must not fail because of one object. A workload that is being deleted
    counts until it is gone, because its pods run until then.
    """
    try:
        return use_of_workload(kind, obj)
    except Exception:  # noqa: BLE001 - see above
        return {WORKLOADS: 1}


def use_of_setting(setting: Setting) -> Requests:
    """Returns what a secret or config takes of its project's limits."""
    return {SETTINGS: settings.total_size(setting.spec.versions)}


def _has_ended(obj: WorkloadObject) -> bool:
    """Returns whether the present template has run to its end. Another one runs, also while the status is of the former."""
    ended = obj.status.ended
    try:
        return ended is not None and ended.revision == template_hash.revision(obj.spec.template)
    except InvalidQuantityError:
        return False


def exceeded_limits(
    limits: Mapping[str, int], used: Requests, before: Requests, after: Requests, more_of_sidecars: Requests = NOTHING
) -> tuple[ExceededLimit, ...]:
    """Returns the limits that refuse a workload that took `before` and is to take `after`; `used` holds `before`.
    `more_of_sidecars` is the part of what is needed that sidecars request.

    A change that takes less of something, or as much, is allowed even while the project is beyond the limit.
    """
    made: list[ExceededLimit] = []
    for limit in LIMITS:
        needed = after.get(limit.resource, 0) - before.get(limit.resource, 0)
        taken = used.get(limit.resource, 0)
        if needed > 0 and taken + needed > limits[limit.resource]:
            made.append(ExceededLimit(limit, limits[limit.resource], taken, needed, more_of_sidecars.get(limit.resource, 0)))
    return tuple(made)


def text(limit: Limit, number: int) -> str:
    """Returns an amount for people and as `spec.limits` takes it: "1.5", "64Gi", "2000"."""
    match limit.resource:
        case "cpu":
            return resource_requests.cores(number)
        case "memory" | "ephemeral-storage" | "volume-claims" | "documents" | "settings" | "images":
            return quantity.shortest(Quantity(number * quantity.UNIT))
        case _:
            return str(number)


def used_text(limit: Limit, number: int) -> str:
    """Returns a used amount for people: bytes of images are rounded up to MiB."""
    return text(limit, -(-number // _MIB) * _MIB if limit is STORED_IMAGES else number)


_MIB = 1 << 20
