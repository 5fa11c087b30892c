"""HTTP handlers of daemons, which administrators write: programs of the platform with one copy per node."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from pincompute.api import daemons, object_validation
from pincompute.api.daemons import PINDAEMONS, DaemonContainer, DaemonVersion, PinDaemon, PinDaemonSpec
from pincompute.api.labels import FLEET_FINALIZER, HOST, MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Key, Manifest, Struct, doc
from pincompute.api.sidecars import PINSIDECARS
from pincompute.domain import program_rollout
from pincompute.gateway import NAME, problems
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call, Verb, may
from pincompute.gateway.images.image_digests import ImageDigests, ImageQuestion
from pincompute.gateway.model import codecs
from pincompute.gateway.problems import FieldError
from pincompute.gateway.workloads.responses import DryRun
from pincompute.kube import api_errors, write_requests

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
    return describe(_existing(reads, name))


@put(_ONE, **_does("update", "putDaemon"))
async def put_daemon(
    name: FromPath[str],
    data: JSONBody[NewDaemon],
    reads: NamedDependency[CacheReads],
    digests: NamedDependency[ImageDigests],
) -> Daemon:
    """Create a daemon, or replace what is written of it. Another version reaches the nodes zone by zone."""
    _refuse_missing_sidecar(reads, data)
    present = reads.get(PINDAEMONS, "", name)
    after, before = _spec(data.container), _spec(present.spec.container) if present is not None else None
    async with digests.kept(ImageQuestion(after, before, locate=_located)) as images:
        image: str = images.pinned(after, before, whole=True)["template"]["spec"]["containers"][0]["image"]
        wanted = msgspec.structs.replace(data, container=msgspec.structs.replace(data.container, image=image))
        return describe(await _write(reads, name, lambda _present: wanted))


@post(f"{_ONE}/pause", **_does("pause", "pauseDaemon"), status_code=200)
async def pause_daemon(name: FromPath[str], reads: NamedDependency[CacheReads]) -> Daemon:
    """Nodes keep the version that they have, until it is resumed."""
    _existing(reads, name)
    return describe(await _write(reads, name, lambda present: msgspec.structs.replace(present, paused=True)))


@post(f"{_ONE}/resume", **_does("resume", "resumeDaemon"), status_code=200)
async def resume_daemon(name: FromPath[str], reads: NamedDependency[CacheReads]) -> Daemon:
    """The rollout goes on."""
    _existing(reads, name)
    return describe(await _write(reads, name, lambda present: msgspec.structs.replace(present, paused=False)))


@post(f"{_ONE}/rollback", **_does("rollback", "rollbackDaemon"), status_code=200)
async def rollback_daemon(
    name: FromPath[str],
    data: JSONBody[DaemonRollback],
    reads: NamedDependency[CacheReads],
    digests: NamedDependency[ImageDigests],
) -> Daemon:
    """Write a version again that served before: by default, in the middle of a rollout the stable one, else the one before."""
    found = _existing(reads, name)
    other = _former(found, data.revision)
    asked = ImageQuestion(_spec(other.container), _spec(found.spec.container), whole=False, locate=_located)
    async with digests.kept(asked):
        made = await _write(reads, name, lambda present: _with_version(present, other))
    return describe(made)


@delete(_ONE, **_does("delete", "deleteDaemon"), status_code=202)
async def delete_daemon(
    name: FromPath[str], reads: NamedDependency[CacheReads], call: NamedDependency[Call], dry_run: DryRun = False
) -> Daemon:
    """Delete a daemon: its copies end on every node."""
    found = _existing(reads, name)
    if call.judged_only(dry_run):
        return describe(found)
    cache, meta = reads.clusters.cache(HOST, PINDAEMONS), found.metadata
    try:
        left = await write_requests.delete(reads.clusters.client(HOST), PINDAEMONS, found.key, meta.uid)
    except api_errors.NotFound:
        left = None
    if left is None:
        cache.deleted(found.key, meta.uid)
    else:
        cache.written(left)
    return describe(left or found)


def describe(daemon: PinDaemon) -> Daemon:
    status, rollout, stable = daemon.status, daemon.status.rollout, daemon.status.stable
    zones = rollout.zones if rollout is not None else ()
    return Daemon(
        name=daemon.metadata.name,
        spec=daemon.spec,
        state=_state(daemon),
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


def _spec(container: DaemonContainer) -> Manifest:
    """Returns a spec of the form that workloads have, with the image of the daemon alone."""
    return {"template": {"spec": {"containers": [{"name": "daemon", "image": container.image}]}}}


def _located(_field: str) -> str:
    return "container.image"


def _state(daemon: PinDaemon) -> str:
    rollout = daemon.status.rollout
    if daemon.deleting:
        return "Deleting"
    if rollout is None or daemon.status.observed_generation < daemon.metadata.generation:
        return "Pending"
    return program_rollout.word(rollout, paused=daemon.spec.paused)


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


def _existing(reads: CacheReads, name: str) -> PinDaemon:
    found = reads.get(PINDAEMONS, "", name)
    if found is None:
        raise problems.not_found(f"daemon {name}")
    return found


async def _write(reads: CacheReads, name: str, change: Callable[[Any], PinDaemonSpec]) -> PinDaemon:
    """Creates the daemon, or changes it as `change` says of its spec. Raises Problem."""
    present = reads.get(PINDAEMONS, "", name)
    if present is not None and present.deleting:
        raise problems.conflict(f"daemon {name} is being deleted", "wait until it is gone, then write it again")
    spec: Manifest = codecs.json_data(change(present.spec if present is not None else None))
    body: Manifest = {
        "apiVersion": PINDAEMONS.api_version,
        "kind": PINDAEMONS.kind,
        "metadata": {"name": name, "labels": {MANAGED_BY: PINCOMPUTE}, "finalizers": [FLEET_FINALIZER]},
        "spec": spec,
    }
    found = object_validation.problems(body)
    if found:
        raise problems.invalid(*(FieldError(p.field.removeprefix("spec."), p.remedy, str(p)) for p in found))
    client, cache = reads.clusters.client(HOST), reads.clusters.cache(HOST, PINDAEMONS)
    if present is None:
        made = await write_requests.create(client, PINDAEMONS, body, NAME)
    else:
        body["metadata"] |= {"uid": present.metadata.uid, "resourceVersion": present.metadata.resource_version}
        made = await write_requests.update(client, PINDAEMONS, Key("", name), body, NAME)
    cache.written(made)
    return made


ROUTES = (
    list_daemons,
    get_daemon,
    put_daemon,
    pause_daemon,
    resume_daemon,
    rollback_daemon,
    delete_daemon,
)
