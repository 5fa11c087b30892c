"""HTTP handlers of sidecars, which administrators write: containers of the platform in users' pods, and their fleets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from pincompute.api import object_validation, sidecars
from pincompute.api.labels import FLEET_FINALIZER, HOST, MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Key, Manifest, Struct, doc
from pincompute.api.sidecars import PINSIDECARS, PinSidecar, PinSidecarSpec, SidecarContainer
from pincompute.domain import program_rollout
from pincompute.gateway import NAME, problems
from pincompute.gateway.cache_reads import BY_SIDECAR, CacheReads
from pincompute.gateway.call_context import Call, Verb, may
from pincompute.gateway.images.image_digests import ImageDigests, ImageQuestion
from pincompute.gateway.model import codecs
from pincompute.gateway.problems import FieldError
from pincompute.gateway.workloads.responses import DryRun
from pincompute.kube import api_errors, write_requests

_PATH = "/v1/admin/sidecars"
_ONE = _PATH + "/{name:str}"
MOST_NAMED = 10  # users that a refusal names


class NewSidecar(PinSidecarSpec, forbid_unknown_fields=True):
    """A sidecar: what is injected, into which pods, and how another version reaches them."""


class SidecarZone(Struct):
    """The pods of one zone that have the sidecar."""

    zone: Annotated[str, doc("The zone.")]
    pods: Annotated[int, doc("Pods that have it.")] = 0
    updated: Annotated[int, doc("Of these, pods with the wanted version.")] = 0
    ready: Annotated[int, doc("Of these, pods in which it is ready.")] = 0
    unreachable: Annotated[bool, doc("The zone does not answer, at least in part; its last figures are shown.")] = False
    message: Annotated[str, doc("What waits or is wrong there.")] = ""


class Sidecar(Struct):
    """A container of the platform in users' pods, and which pods have which version."""

    name: Annotated[str, doc("Name, by which workloads ask for it.")]
    spec: Annotated[PinSidecarSpec, doc("What an administrator has written.")]
    state: Annotated[
        str, doc("Pending, Progressing, Held, AwaitingApproval, Complete, RollingBack, RolledBack, Paused or Deleting.")
    ]
    revision: Annotated[str, doc("The version that the spec asks for.")] = ""
    stable: Annotated[str, doc("The version that reached all pods last.")] = ""
    stable_image: Annotated[str, doc("Image of that version.")] = ""
    step: Annotated[int, doc("Steps of the rollout that are complete.")] = 0
    steps: Annotated[int, doc("Steps in all.")] = 0
    since: Annotated[datetime | None, doc("When the step or state began.")] = None
    pods: Annotated[int, doc("Pods that have it.")] = 0
    updated: Annotated[int, doc("Of these, pods with the wanted version.")] = 0
    skipped: Annotated[int, doc("Pods that take the wanted version only when they are made anew.")] = 0
    zones: Annotated[tuple[SidecarZone, ...], doc("The pods by zone.")] = ()
    users: Annotated[tuple[str, ...], doc("Workloads that have it, as PROJECT/NAME; the first of them.")] = ()
    message: Annotated[str, doc("What waits or is wrong, and what to do.")] = ""


class SidecarPage(Struct):
    items: Annotated[tuple[Sidecar, ...], doc("By name.")]


def _does(verb: Verb, operation: str) -> dict[str, Any]:
    return {"opt": may("sidecars", verb, noun="sidecar"), "operation_id": operation, "tags": ["admin"]}


@get(_PATH, **_does("list", "listSidecars"))
async def list_sidecars(reads: NamedDependency[CacheReads]) -> SidecarPage:
    """The region's sidecars and their fleets."""
    found = sorted(reads.host(PINSIDECARS).list(), key=lambda each: each.metadata.name)
    return SidecarPage(items=tuple(describe(each) for each in found))


@get(_ONE, **_does("get", "getSidecar"))
async def get_sidecar(name: FromPath[str], reads: NamedDependency[CacheReads]) -> Sidecar:
    """One sidecar, and which pods have which version of it."""
    return describe(_existing(reads, name))


@put(_ONE, **_does("update", "putSidecar"))
async def put_sidecar(
    name: FromPath[str],
    data: JSONBody[NewSidecar],
    reads: NamedDependency[CacheReads],
    digests: NamedDependency[ImageDigests],
) -> Sidecar:
    """Create a sidecar, or replace what is written of it. Another version reaches the pods step by step."""
    _refuse_left_out(reads, name, data)
    present = reads.get(PINSIDECARS, "", name)
    after, before = _spec(data.container), _spec(present.spec.container) if present is not None else None
    async with digests.kept(ImageQuestion(after, before, locate=_located)) as images:
        image: str = images.pinned(after, before, whole=True)["template"]["spec"]["containers"][0]["image"]
        wanted = msgspec.structs.replace(data, container=msgspec.structs.replace(data.container, image=image))
        return describe(await _write(reads, name, lambda _present: wanted))


@post(f"{_ONE}/pause", **_does("pause", "pauseSidecar"), status_code=200)
async def pause_sidecar(name: FromPath[str], reads: NamedDependency[CacheReads]) -> Sidecar:
    """Pods keep the version that they have, until it is resumed."""
    _existing(reads, name)
    return describe(await _write(reads, name, lambda present: msgspec.structs.replace(present, paused=True)))


@post(f"{_ONE}/resume", **_does("resume", "resumeSidecar"), status_code=200)
async def resume_sidecar(name: FromPath[str], reads: NamedDependency[CacheReads]) -> Sidecar:
    """The rollout goes on."""
    _existing(reads, name)
    return describe(await _write(reads, name, lambda present: msgspec.structs.replace(present, paused=False)))


@post(f"{_ONE}/rollback", **_does("rollback", "rollbackSidecar"), status_code=200)
async def rollback_sidecar(
    name: FromPath[str], reads: NamedDependency[CacheReads], digests: NamedDependency[ImageDigests]
) -> Sidecar:
    """Write the version again that served before: in the middle of a rollout the stable one, else the one before it."""
    found = _existing(reads, name)
    stable, present = found.status.stable, sidecars.version(found.spec.container)  # the status may not have observed it yet
    other = stable if stable is not None and stable.revision != present.revision else found.status.former
    if other is None:
        raise problems.wrong_state(f"sidecar {name} has no version before the present one", "write the version you want")
    asked = ImageQuestion(_spec(other.container), _spec(found.spec.container), whole=False, locate=_located)
    async with digests.kept(asked):
        made = await _write(reads, name, lambda present: msgspec.structs.replace(present, container=other.container))
    return describe(made)


@delete(_ONE, **_does("delete", "deleteSidecar"), status_code=202)
async def delete_sidecar(
    name: FromPath[str], reads: NamedDependency[CacheReads], call: NamedDependency[Call], dry_run: DryRun = False
) -> Sidecar:
    """Delete a sidecar that no workload has."""
    found = _existing(reads, name)
    users = sorted({*_naming(reads, name), *found.status.users})
    if users:
        more = " and others" if len(users) > MOST_NAMED else ""
        raise problems.wrong_state(
            f"sidecar {name} is in use by {', '.join(users[:MOST_NAMED])}{more}",
            "deploy those that name it without it; for those that it selects, empty its selector with otherChanges: Replace, "
            "which replaces their pods within their disruption accounts",
        )
    if call.judged_only(dry_run):
        return describe(found)
    cache, meta = reads.clusters.cache(HOST, PINSIDECARS), found.metadata
    try:
        left = await write_requests.delete(reads.clusters.client(HOST), PINSIDECARS, found.key, meta.uid)
    except api_errors.NotFound:
        left = None
    if left is None:
        cache.deleted(found.key, meta.uid)
    else:
        cache.written(left)
    return describe(left or found)


def describe(sidecar: PinSidecar) -> Sidecar:
    status, rollout = sidecar.status, sidecar.status.rollout
    stable = status.stable
    return Sidecar(
        name=sidecar.metadata.name,
        spec=sidecar.spec,
        state=_state(sidecar),
        revision=sidecars.version(sidecar.spec.container).revision,
        stable=stable.revision if stable is not None else "",
        stable_image=stable.container.image if stable is not None else "",
        step=rollout.step if rollout is not None else 0,
        steps=rollout.steps if rollout is not None else 0,
        since=rollout.since if rollout is not None else None,
        pods=status.pods,
        updated=status.updated,
        skipped=status.skipped,
        zones=_zones(sidecar),
        users=status.users,
        message=status.message,
    )


def _spec(container: SidecarContainer) -> Manifest:
    """Returns a spec of the form that workloads have, with the image of the sidecar alone."""
    return {"template": {"spec": {"containers": [{"name": "sidecar", "image": container.image}]}}}


def _located(_field: str) -> str:
    return "container.image"


def _state(sidecar: PinSidecar) -> str:
    rollout = sidecar.status.rollout
    if sidecar.deleting:
        return "Deleting"
    if rollout is None or sidecar.status.observed_generation < sidecar.metadata.generation:
        return "Pending"
    return program_rollout.word(rollout, paused=sidecar.spec.paused)


def _zones(sidecar: PinSidecar) -> tuple[SidecarZone, ...]:
    made: dict[str, SidecarZone] = {}
    for row in sidecar.status.members:
        before = made.get(row.zone, SidecarZone(zone=row.zone))
        made[row.zone] = SidecarZone(
            zone=row.zone,
            pods=before.pods + row.pods,
            updated=before.updated + row.updated,
            ready=before.ready + row.ready,
            unreachable=before.unreachable or not row.known,
            message=before.message or row.message,
        )
    return tuple(made[zone] for zone in sorted(made))


def _naming(reads: CacheReads, name: str) -> list[str]:
    return [str(obj.key) for kind in reads.workloads for obj in reads.host(kind.workload).by(BY_SIDECAR, name)]


def _refuse_left_out(reads: CacheReads, name: str, wanted: PinSidecarSpec) -> None:
    """Raises Problem where workloads name the sidecar whose projects could no longer have it: they could not heal."""
    users = [user for user in _naming(reads, name) if not sidecars.allows(wanted.allowed_projects, user.partition("/")[0])]
    if users:
        more = " and others" if len(users) > MOST_NAMED else ""
        message = f"allowedProjects leaves out projects whose workloads name it: {', '.join(sorted(users)[:MOST_NAMED])}{more}"
        raise problems.wrong_state(message, "deploy these without it first, or add their projects to allowedProjects")


def _existing(reads: CacheReads, name: str) -> PinSidecar:
    found = reads.get(PINSIDECARS, "", name)
    if found is None:
        raise problems.not_found(f"sidecar {name}")
    return found


async def _write(reads: CacheReads, name: str, change: Callable[[Any], PinSidecarSpec]) -> PinSidecar:
    """Creates the sidecar, or changes it as `change` says of its spec. Raises Problem."""
    present = reads.get(PINSIDECARS, "", name)
    if present is not None and present.deleting:
        raise problems.conflict(f"sidecar {name} is being deleted", "wait until it is gone, then write it again")
    wanted = change(present.spec if present is not None else None)
    spec: Manifest = codecs.json_data(wanted)
    body: Manifest = {
        "apiVersion": PINSIDECARS.api_version,
        "kind": PINSIDECARS.kind,
        "metadata": {"name": name, "labels": {MANAGED_BY: PINCOMPUTE}, "finalizers": [FLEET_FINALIZER]},
        "spec": spec,
    }
    found = object_validation.problems(body)
    if found:
        raise problems.invalid(*(FieldError(p.field.removeprefix("spec."), p.remedy, str(p)) for p in found))
    client, cache = reads.clusters.client(HOST), reads.clusters.cache(HOST, PINSIDECARS)
    if present is None:
        made = await write_requests.create(client, PINSIDECARS, body, NAME)
    else:
        body["metadata"] |= {"uid": present.metadata.uid, "resourceVersion": present.metadata.resource_version}
        made = await write_requests.update(client, PINSIDECARS, Key("", name), body, NAME)
    cache.written(made)
    return made


ROUTES = (
    list_sidecars,
    get_sidecar,
    put_sidecar,
    pause_sidecar,
    resume_sidecar,
    rollback_sidecar,
    delete_sidecar,
)
