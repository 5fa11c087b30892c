"""Brings a daemon into every member, and another version of it to the nodes there, zone by zone over all clusters.

A step is one write per member at most. The operator of the member makes a DaemonSet of it, and Kubernetes replaces the copies
node by node, within the part of the daemon's account that this member has now. A daemon that is deleted stays until no member
has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from pincompute.api import conditions
from pincompute.api.conditions import Condition
from pincompute.api.daemons import (
    PINDAEMONS,
    PINDAEMONSHARDS,
    DaemonMember,
    DaemonVersion,
    PinDaemon,
    PinDaemonShard,
    PinDaemonShardSpec,
    PinDaemonStatus,
)
from pincompute.api.labels import HOST, PODS_FINALIZER
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Object
from pincompute.api.shards import Origin
from pincompute.api.sidecars import PINSIDECARS, VersionImage
from pincompute.domain import daemon_reports, daemon_rollout, program_rollout
from pincompute.domain.daemon_rollout import DaemonMemberState, DaemonProgress, MemberAssignment
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.plan import (
    Action,
    Confirm,
    Create,
    Plan,
    Ref,
    Replace,
    Stage,
    plan,
    status_update,
    update,
)
from pincompute.federation.member import member_state
from pincompute.federation.member.member_state import MemberState
from pincompute.federation.program.program_shards import ProgramShards
from pincompute.kube.cache_views import Unknown, Views

MOST_IMAGES = 32  # former images that a status names
SHARDS = ProgramShards("daemon", PINDAEMONS, PINDAEMONSHARDS)


@dataclass(frozen=True, slots=True)
class ObservedDaemon:
    """`strays` are shards of a former daemon of the name. `blocked`: why the rollout may not go on."""

    daemon: PinDaemon
    members: tuple[DaemonMemberState, ...]
    now: datetime
    strays: tuple[tuple[str, PinDaemonShard], ...] = ()
    blocked: str = ""

    @property
    def ref(self) -> Ref:
        return Ref(HOST, PINDAEMONS, self.daemon.key)


def decide(seen: ObservedDaemon) -> Plan:
    if seen.daemon.deleting:
        return SHARDS.cleared(seen.daemon, seen.members, seen.strays)
    progress = daemon_rollout.decide(seen.daemon, seen.members, seen.now, seen.blocked)
    stray = SHARDS.strays_removed(seen.strays)
    taken = {name for name, _ in seen.strays}
    there = (member for member in seen.members if member.known and member.name not in taken)
    given = ((member, progress.assignments.get(member.name)) for member in there)
    stable = progress.stable or progress.version
    writes = tuple(w for member, part in given if part is not None and (w := _write(seen.daemon, member, part, stable)))
    meta = seen.daemon.metadata
    guard: Stage = (Confirm(seen.ref, meta.uid, resource_version=meta.resource_version),) if stray or writes else ()
    # the record first: a version that reaches a member without it could not be taken back
    return plan(guard, _report(seen, progress), (*stray, *writes), wake_after=progress.wake_after)


def _write(
    daemon: PinDaemon, member: DaemonMemberState, assigned: MemberAssignment, stable: DaemonVersion
) -> Create | Replace | None:
    meta, revision = daemon.metadata, assigned.version.revision
    present = member.shard
    origin = Origin(uid=meta.uid, generation=meta.generation)
    proven = revision == stable.revision
    spec = PinDaemonShardSpec(origin=origin, version=assigned.version, max_unavailable=assigned.max_unavailable, proven=proven)
    ref, body = Ref(member.name, PINDAEMONSHARDS, daemon.key), SHARDS.manifest(meta.name, spec, (PODS_FINALIZER,))
    if present is None:
        return Create(ref, body, f"{member.name} needs daemon {meta.name}")
    if present.deleting or msgspec.structs.replace(spec, origin=present.spec.origin) == present.spec:
        return None
    count = daemon_rollout.nodes(assigned.max_unavailable)
    return update(ref, present.metadata, body, f"{count} of {member.name} may be without a ready copy for version {revision}")


def _report(seen: ObservedDaemon, progress: DaemonProgress) -> tuple[Action, ...]:
    daemon, target = seen.daemon, progress.target.revision
    rows = tuple(_row(member, target, daemon) for member in seen.members)
    problem = next((f"in zone {row.zone}: {row.message}" for row in rows if row.known and row.message), "")
    message = progress.message or problem
    status = PinDaemonStatus(
        observed_generation=daemon.metadata.generation,
        revision=progress.version.revision,
        stable=progress.stable,
        history=progress.history,
        rollout=progress.record,
        images=images(seen, progress),
        nodes=sum(row.nodes for row in rows),
        ready=sum(row.ready for row in rows),
        updated=sum(row.updated for row in rows),
        members=rows,
        message=message,
        conditions=conditions.merge(daemon.status.conditions, (_ready(seen, progress, message),), seen.now),
    )
    return status_update(seen.ref, daemon.metadata, daemon.status, status, message or "its nodes changed")


def images(seen: ObservedDaemon, progress: DaemonProgress) -> tuple[VersionImage, ...]:
    """Returns the images of the versions that nodes have, may get, or may have in a member that has not said so."""
    stable = (progress.stable,) if progress.stable is not None else ()
    parts = progress.assignments
    given = (each.version for each in parts.values())
    of_shards = (member.shard.spec.version for member in seen.members if member.shard is not None)
    now = {each.revision: each.container.image for each in (*stable, *given, *of_shards, progress.version)}
    behind = (m.name in parts and m.outstanding(parts[m.name].version.revision) > 0 for m in seen.members)
    unsettled = any(behind) or any(not member.known or not member.settled for member in seen.members)
    before = {each.revision: each.image for each in seen.daemon.status.images if unsettled and each.revision not in now}
    kept = {**dict(list(before.items())[-MOST_IMAGES:]), **now}
    return tuple(VersionImage(revision=revision, image=image) for revision, image in kept.items())


def _ready(seen: ObservedDaemon, progress: DaemonProgress, message: str) -> Condition:
    return program_rollout.ready(_reason(seen, progress), seen.daemon.metadata.generation, message)


def _reason(seen: ObservedDaemon, progress: DaemonProgress) -> str:
    if seen.blocked:
        return "SidecarMissing"
    if progress.record.state == "Complete" and progress.record.revision == progress.version.revision:
        return program_rollout.COMPLETE
    return program_rollout.word(progress.record, paused=seen.daemon.spec.paused)


def _row(member: DaemonMemberState, target: str, daemon: PinDaemon) -> DaemonMember:
    """Of an unreachable member the last figures stay: unknown is not zero."""
    if not member.known:
        before = next((row for row in daemon.status.members if row.cluster == member.name), None)
        last = before or DaemonMember(cluster=member.name, zone=member.zone)
        return msgspec.structs.replace(last, known=False, message="does not answer; its last figures are shown")
    status = member.status
    return DaemonMember(
        cluster=member.name,
        zone=member.zone,
        nodes=status.nodes,
        ready=status.ready,
        updated=status.updated if status.revision == target else 0,
        message=status.message,
    )


def observe(key: Key, views: Views, now: datetime) -> ObservedDaemon | None:
    daemon: PinDaemon | None = views.view(HOST, PINDAEMONS).get(key)
    if daemon is None:
        return None
    found = [_member(each, daemon, views) for each in member_state.observe(views)]
    members = tuple(member for member, _ in found)
    strays = tuple((member.name, stray) for member, stray in found if stray is not None and member.known)
    return ObservedDaemon(daemon, members, now, strays, _blocked(daemon, views))


def _blocked(daemon: PinDaemon, views: Views) -> str:
    """Returns that the sidecar is missing which does the part of the daemon that cannot be shared."""
    sharing = daemon.spec.sharing
    if sharing.mode != "Dual" or views.view(HOST, PINSIDECARS).get(Key("", sharing.sidecar)) is not None:
        return ""
    return f"waits: sidecar {sharing.sidecar} of spec.sharing does not exist: write it, or name another one"


def _member(member: MemberState, daemon: PinDaemon, views: Views) -> tuple[DaemonMemberState, PinDaemonShard | None]:
    """Returns the member, and a shard there that belongs to another daemon of the name."""
    before = next((row.nodes for row in daemon.status.members if row.cluster == member.name), 0)
    try:
        shard: PinDaemonShard | None = views.view(member.name, PINDAEMONSHARDS).get(daemon.key)
    except Unknown:
        return DaemonMemberState(member.name, member.zone, known=False, former_nodes=before), None
    if shard is not None and shard.spec.origin.uid != daemon.metadata.uid:
        return DaemonMemberState(member.name, member.zone, None, member.reachable, before), shard
    believed = daemon_reports.plausible(shard) if shard is not None else None
    return DaemonMemberState(member.name, member.zone, believed, member.reachable, before), None


def _all(views: Views) -> Iterable[Key]:
    return [each.key for each in views.view(HOST, PINDAEMONS).list()]


def _every(_cluster: str, _obj: Object, views: Views) -> Iterable[Key]:
    return _all(views)


def _of_sidecar(_cluster: str, obj: Object, views: Views) -> Iterable[Key]:
    return [each.key for each in views.view(HOST, PINDAEMONS).list() if each.spec.sharing.sidecar == obj.metadata.name]


def _no_key(_cluster: str, _obj: Object) -> Iterable[Key]:
    return ()


CONTROLLER: Controller[Key, ObservedDaemon] = Controller(
    Card(
        name="federation.daemon",
        promise="Every member has each daemon in the version for its zone, and an update takes no more nodes than its account.",
        key="PinDaemon",
        reads=(
            ReadAccess("host", PINDAEMONS, own_key),
            ReadAccess("members", PINDAEMONSHARDS, own_key),
            ReadAccess("host", MEMBERCLUSTERS, _no_key, _every),
            ReadAccess("host", PINSIDECARS, _no_key, _of_sidecar),
        ),
        writes=(
            WriteAccess("host", PINDAEMONS, ("patch", "status")),
            WriteAccess("members", PINDAEMONSHARDS, ("create", "update", "delete")),
        ),
        rest=0.5,
        contact=lambda _member, views: _all(views),
    ),
    observe,
    decide,
)
