"""HTTP handlers of sidecars, which administrators write: containers of the platform in users' pods, and their fleets."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from pincompute.api import sidecars
from pincompute.api.meta import Struct, doc
from pincompute.api.sidecars import PINSIDECARS, PinSidecar, PinSidecarSpec
from pincompute.gateway import problems
from pincompute.gateway.cache_reads import BY_SIDECAR, CacheReads
from pincompute.gateway.call_context import Call, Verb, may
from pincompute.gateway.images.image_digests import ImageDigests
from pincompute.gateway.workloads import platform_programs
from pincompute.gateway.workloads.responses import DryRun

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
    return describe(platform_programs.existing(reads, PINSIDECARS, name))


@put(_ONE, **_does("update", "putSidecar"))
async def put_sidecar(
    name: FromPath[str],
    data: JSONBody[NewSidecar],
    reads: NamedDependency[CacheReads],
    digests: NamedDependency[ImageDigests],
) -> Sidecar:
    """Create a sidecar, or replace what is written of it. Another version reaches the pods step by step."""
    _refuse_left_out(reads, name, data)
    return describe(await platform_programs.put(reads, digests, PINSIDECARS, name, data))


@post(f"{_ONE}/pause", **_does("pause", "pauseSidecar"), status_code=200)
async def pause_sidecar(name: FromPath[str], reads: NamedDependency[CacheReads]) -> Sidecar:
    """Pods keep the version that they have, until it is resumed."""
    return describe(await platform_programs.pause(reads, PINSIDECARS, name, paused=True))


@post(f"{_ONE}/resume", **_does("resume", "resumeSidecar"), status_code=200)
async def resume_sidecar(name: FromPath[str], reads: NamedDependency[CacheReads]) -> Sidecar:
    """The rollout goes on."""
    return describe(await platform_programs.pause(reads, PINSIDECARS, name, paused=False))


@post(f"{_ONE}/rollback", **_does("rollback", "rollbackSidecar"), status_code=200)
async def rollback_sidecar(
    name: FromPath[str], reads: NamedDependency[CacheReads], digests: NamedDependency[ImageDigests]
) -> Sidecar:
    """Write the version again that served before: in the middle of a rollout the stable one, else the one before it."""
    found = platform_programs.existing(reads, PINSIDECARS, name)
    stable, present = found.status.stable, sidecars.version(found.spec.container)  # the status may not have observed it yet
    other = stable if stable is not None and stable.revision != present.revision else found.status.former
    if other is None:
        raise problems.wrong_state(f"sidecar {name} has no version before the present one", "write the version you want")
    made = await platform_programs.bring_back(
        reads, digests, PINSIDECARS, found, lambda present: msgspec.structs.replace(present, container=other.container)
    )
    return describe(made)


@delete(_ONE, **_does("delete", "deleteSidecar"), status_code=202)
async def delete_sidecar(
    name: FromPath[str], reads: NamedDependency[CacheReads], call: NamedDependency[Call], dry_run: DryRun = False
) -> Sidecar:
    """Delete a sidecar that no workload has."""
    found = platform_programs.existing(reads, PINSIDECARS, name)
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
    return describe(await platform_programs.delete(reads, PINSIDECARS, found))


def describe(sidecar: PinSidecar) -> Sidecar:
    status, rollout = sidecar.status, sidecar.status.rollout
    stable = status.stable
    return Sidecar(
        name=sidecar.metadata.name,
        spec=sidecar.spec,
        state=platform_programs.state(sidecar),
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


ROUTES = (
    list_sidecars,
    get_sidecar,
    put_sidecar,
    pause_sidecar,
    resume_sidecar,
    rollback_sidecar,
    delete_sidecar,
)
