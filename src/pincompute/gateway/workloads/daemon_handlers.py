"""HTTP handlers of daemons, which administrators write: programs of the platform with one copy per node."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from pincompute.api import daemons
from pincompute.api.daemons import PINDAEMONS, DaemonVersion, PinDaemon, PinDaemonSpec
from pincompute.api.meta import Struct, doc
from pincompute.api.sidecars import PINSIDECARS
from pincompute.gateway import problems
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call, Verb, may
from pincompute.gateway.images.image_digests import ImageDigests
from pincompute.gateway.problems import FieldError
from pincompute.gateway.workloads import platform_programs
from pincompute.gateway.workloads.responses import DryRun

_PATH = "/v1/admin/daemons"
_ONE = _PATH + "/{name:str}"


class NewDaemon(PinDaemonSpec, forbid_unknown_fields=True):
    """A daemon: what runs, on which nodes, and how another version reaches them."""


class DaemonZone(Struct):
    """The nodes of one zone."""

    zone: Annotated[str, doc("The zone.")]
    nodes: Annotated[int, doc("Nodes that should have a copy.")] = 0
    updated: Annotated[int, doc("Of these, nodes with the wanted version.")] = 0
    ready: Annotated[int, doc("Of these, nodes with a ready copy.")] = 0
    unreachable: Annotated[bool, doc("The zone does not answer, at least in part; its last figures are shown.")] = False
    message: Annotated[str, doc("What waits or is wrong there.")] = ""


class DaemonRevision(Struct):
    """A version that served before, to which a rollback can return."""

    revision: Annotated[str, doc("Names the version.")]
    image: Annotated[str, doc("What it runs.")]


class Daemon(Struct):
    """A program of the platform, and which nodes have which version."""

    name: Annotated[str, doc("Name.")]
    spec: Annotated[PinDaemonSpec, doc("What an administrator has written.")]
    state: Annotated[str, doc("Pending, Progressing, Held, Complete, RollingBack, RolledBack, Paused or Deleting.")]
    revision: Annotated[str, doc("The version that the spec asks for.")] = ""
    stable: Annotated[str, doc("The version that reached all nodes last.")] = ""
    stable_image: Annotated[str, doc("Image of that version.")] = ""
    zone: Annotated[str, doc("The zone that the rollout has come to.")] = ""
    since: Annotated[datetime | None, doc("When this zone or state began.")] = None
    nodes: Annotated[int, doc("Nodes that should have a copy.")] = 0
    ready: Annotated[int, doc("Of these, nodes with a ready copy.")] = 0
    updated: Annotated[int, doc("Of these, nodes with the wanted version.")] = 0
    zones: Annotated[tuple[DaemonZone, ...], doc("The nodes by zone, in the order in which the rollout comes to them.")] = ()
    history: Annotated[tuple[DaemonRevision, ...], doc("Versions to which a rollback can return, the newest first.")] = ()
    message: Annotated[str, doc("What waits or is wrong, and what to do.")] = ""


class DaemonPage(Struct):
    items: Annotated[tuple[Daemon, ...], doc("By name.")]


class DaemonRollback(Struct, forbid_unknown_fields=True):
    """Which version to bring back."""

    revision: Annotated[str, doc("A version of the history; empty for the one that served before.", maxLength=63)] = ""


def _does(verb: Verb, operation: str) -> dict[str, Any]:
    return {"opt": may("daemons", verb, noun="daemon"), "operation_id": operation, "tags": ["admin"]}


@get(_PATH, **_does("list", "listDaemons"))
async def list_daemons(reads: NamedDependency[CacheReads]) -> DaemonPage:
    """The region's daemons and their nodes."""
    found = sorted(reads.host(PINDAEMONS).list(), key=lambda each: each.metadata.name)
    return DaemonPage(items=tuple(describe(each) for each in found))


@get(_ONE, **_does("get", "getDaemon"))
async def get_daemon(name: FromPath[str], reads: NamedDependency[CacheReads]) -> Daemon:
    """One daemon, and which nodes have which version of it."""
    return describe(platform_programs.existing(reads, PINDAEMONS, name))


@put(_ONE, **_does("update", "putDaemon"))
async def put_daemon(
    name: FromPath[str],
    data: JSONBody[NewDaemon],
    reads: NamedDependency[CacheReads],
    digests: NamedDependency[ImageDigests],
) -> Daemon:
    """Create a daemon, or replace what is written of it. Another version reaches the nodes zone by zone."""
    _refuse_missing_sidecar(reads, data)
    return describe(await platform_programs.put(reads, digests, PINDAEMONS, name, data))


@post(f"{_ONE}/pause", **_does("pause", "pauseDaemon"), status_code=200)
async def pause_daemon(name: FromPath[str], reads: NamedDependency[CacheReads]) -> Daemon:
    """Nodes keep the version that they have, until it is resumed."""
    return describe(await platform_programs.pause(reads, PINDAEMONS, name, paused=True))


@post(f"{_ONE}/resume", **_does("resume", "resumeDaemon"), status_code=200)
async def resume_daemon(name: FromPath[str], reads: NamedDependency[CacheReads]) -> Daemon:
    """The rollout goes on."""
    return describe(await platform_programs.pause(reads, PINDAEMONS, name, paused=False))


@post(f"{_ONE}/rollback", **_does("rollback", "rollbackDaemon"), status_code=200)
async def rollback_daemon(
    name: FromPath[str],
    data: JSONBody[DaemonRollback],
    reads: NamedDependency[CacheReads],
    digests: NamedDependency[ImageDigests],
) -> Daemon:
    """Write a version again that served before: by default, in the middle of a rollout the stable one, else the one before."""
    found = platform_programs.existing(reads, PINDAEMONS, name)
    other = _former(found, data.revision)
    made = await platform_programs.bring_back(reads, digests, PINDAEMONS, found, lambda present: _with_version(present, other))
    return describe(made)


@delete(_ONE, **_does("delete", "deleteDaemon"), status_code=202)
async def delete_daemon(
    name: FromPath[str], reads: NamedDependency[CacheReads], call: NamedDependency[Call], dry_run: DryRun = False
) -> Daemon:
    """Delete a daemon: its copies end on every node."""
    found = platform_programs.existing(reads, PINDAEMONS, name)
    if call.judged_only(dry_run):
        return describe(found)
    return describe(await platform_programs.delete(reads, PINDAEMONS, found))


def describe(daemon: PinDaemon) -> Daemon:
    status, rollout, stable = daemon.status, daemon.status.rollout, daemon.status.stable
    zones = rollout.zones if rollout is not None else ()
    return Daemon(
        name=daemon.metadata.name,
        spec=daemon.spec,
        state=platform_programs.state(daemon),
        revision=daemons.version(daemon.spec).revision,
        stable=stable.revision if stable is not None else "",
        stable_image=stable.container.image if stable is not None else "",
        zone=zones[min(rollout.zone_index, len(zones) - 1)] if rollout is not None and zones else "",
        since=rollout.since if rollout is not None else None,
        nodes=status.nodes,
        ready=status.ready,
        updated=status.updated,
        zones=_zones(daemon, zones),
        history=tuple(DaemonRevision(revision=each.revision, image=each.container.image) for each in status.history),
        message=status.message,
    )


def _former(daemon: PinDaemon, revision: str) -> DaemonVersion:
    """Returns the version to bring back. Raises Problem where there is none."""
    name, status = daemon.metadata.name, daemon.status
    present = daemons.version(daemon.spec).revision  # the status may not have observed it yet
    kept = [each for each in (status.stable, *status.history) if each is not None and each.revision != present]
    found = next((each for each in kept if revision in ("", each.revision)), None)
    if found is not None:
        return found
    known = ", ".join(each.revision for each in kept)
    remedy = f"name one of {known}" if known else "write the version you want"
    raise problems.wrong_state(f"daemon {name} has no such version before the present one", remedy)


def _with_version(spec: PinDaemonSpec, version: DaemonVersion) -> PinDaemonSpec:
    return msgspec.structs.replace(
        spec, container=version.container, node_selector=version.node_selector, tolerations=version.tolerations
    )


def _zones(daemon: PinDaemon, order: tuple[str, ...]) -> tuple[DaemonZone, ...]:
    made: dict[str, DaemonZone] = {}
    for row in daemon.status.members:
        before = made.get(row.zone, DaemonZone(zone=row.zone))
        made[row.zone] = DaemonZone(
            zone=row.zone,
            nodes=before.nodes + row.nodes,
            updated=before.updated + row.updated,
            ready=before.ready + row.ready,
            unreachable=before.unreachable or not row.known,
            message=before.message or row.message,
        )
    places = {zone: place for place, zone in enumerate(order)}
    return tuple(made[zone] for zone in sorted(made, key=lambda zone: (places.get(zone, len(places)), zone)))


def _refuse_missing_sidecar(reads: CacheReads, wanted: PinDaemonSpec) -> None:
    """Raises Problem where the sidecar does not exist that is to do what one copy per node cannot."""
    name = wanted.sharing.sidecar
    if wanted.sharing.mode != "Dual" or not name or reads.get(PINSIDECARS, "", name) is not None:
        return
    known = ", ".join(sorted(each.metadata.name for each in reads.host(PINSIDECARS).list())[:10])
    remedy = f"name one of {known}" if known else "write it first, with pin admin sidecar apply"
    raise problems.invalid(FieldError("sharing.sidecar", remedy, f"sharing.sidecar: sidecar {name} does not exist: {remedy}"))


ROUTES = (
    list_daemons,
    get_daemon,
    put_daemon,
    pause_daemon,
    resume_daemon,
    rollback_daemon,
    delete_daemon,
)
