"""Brings a sidecar into every member, and another version of it to the pods there, step by step over all clusters.

A step of the fleet is one write per member, and makes no revision of any workload: the operator of the member injects the
sidecar into the pods that it makes, and asks the pods that run to take the version. A sidecar that is being deleted selects no
pod any more. The pods that its selector chose are replaced within the disruption accounts of their workloads, and it stays
until no pod has it and no workload names it (`sidecar_references`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from pincompute.api import conditions, sidecars
from pincompute.api.conditions import Condition
from pincompute.api.kinds import KINDS
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Object
from pincompute.api.shards import Origin
from pincompute.api.sidecars import (
    MOST_IMAGES,
    MOST_USERS,
    PINSIDECARS,
    PINSIDECARSHARDS,
    PinSidecar,
    PinSidecarShard,
    PinSidecarShardSpec,
    PinSidecarStatus,
    SidecarMember,
    SidecarVersion,
    VersionImage,
)
from pincompute.domain import program_rollout
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
from pincompute.federation.sidecar import fleet_rollout, member_reports, sidecar_references
from pincompute.federation.sidecar.fleet_rollout import ALL, FleetMember, FleetProgress, pods, pods_that
from pincompute.kube.cache_views import Unknown, Views

SHARDS = ProgramShards("sidecar", PINSIDECARS, PINSIDECARSHARDS)
DOUBTED = 10.0  # seconds until a report that is not believed is judged again: the cache may lack what was placed there


@dataclass(frozen=True, slots=True)
class ObservedFleet:
    """`users` are workloads that name the sidecar, a few of them. `strays` are shards of a former sidecar of the name."""

    sidecar: PinSidecar
    members: tuple[FleetMember, ...]
    users: tuple[str, ...]
    now: datetime
    strays: tuple[tuple[str, PinSidecarShard], ...] = ()

    @property
    def ref(self) -> Ref:
        return Ref(HOST, PINSIDECARS, self.sidecar.key)

    @property
    def all_users(self) -> tuple[str, ...]:
        reported = {user for m in self.members if m.shard is not None for user in m.shard.status.users}
        return tuple(sorted({*self.users, *reported})[:MOST_USERS])

    @property
    def pods(self) -> int:
        return sum(_pods(member, self.sidecar) for member in self.members)

    @property
    def ended(self) -> bool:
        """Returns whether no pod has it, and no member gives it to another pod."""
        there = [member.shard for member in self.members if member.known and member.shard is not None]
        ends = all(shard.deleting or _ends(shard) for shard in there)
        return self.sidecar.deleting and not self.users and not self.pods and ends


def decide(seen: ObservedFleet) -> Plan:
    if seen.ended:
        return SHARDS.cleared(seen.sidecar, seen.members, seen.strays)
    progress = fleet_rollout.decide(seen.sidecar, seen.members, seen.now)
    stray = SHARDS.strays_removed(seen.strays)
    taken = {name for name, _ in seen.strays}
    writes = tuple(w for m in seen.members if m.known and m.name not in taken and (w := _write(seen, m, progress)))
    meta = seen.sidecar.metadata
    guard: Stage = (Confirm(seen.ref, meta.uid, resource_version=meta.resource_version),) if stray or writes else ()
    doubted = (progress.wake_after, DOUBTED if any(member.doubt for member in seen.members) else None)
    wake = min((seconds for seconds in doubted if seconds is not None), default=None)
    # the record first: a version that reaches a member without it could not be taken back
    return plan(guard, _report(seen, progress), (*stray, *writes), wake_after=wake)


def _write(seen: ObservedFleet, member: FleetMember, progress: FleetProgress) -> Create | Replace | None:
    spec = _spec(seen.sidecar, member, progress)
    ref = Ref(member.name, PINSIDECARSHARDS, seen.sidecar.key)
    body = SHARDS.manifest(seen.sidecar.metadata.name, spec)
    if member.shard is None:
        if seen.sidecar.deleting and not seen.users:
            return None
        return Create(ref, body, f"{member.name} needs sidecar {seen.sidecar.metadata.name}")
    if member.shard.spec == spec or member.shard.deleting:
        return None
    count = "all pods" if spec.updated == ALL else pods(spec.updated)
    return update(ref, member.shard.metadata, body, f"{count} of {member.name} may have version {spec.target}")


def _spec(sidecar: PinSidecar, member: FleetMember, progress: FleetProgress) -> PinSidecarShardSpec:
    meta, spec = sidecar.metadata, sidecar.spec
    allowed = progress.allowed.get(member.name, 0)
    replaces = spec.other_changes == "Replace" and progress.target.shape != progress.stable.shape
    born = progress.target if allowed == ALL or (replaces and allowed) else progress.stable
    return PinSidecarShardSpec(
        origin=Origin(uid=meta.uid, generation=meta.generation),
        versions=_versions(progress),
        birth=born.revision,
        target=progress.target.revision,
        updated=allowed,
        allowed_projects=spec.allowed_projects,
        selector=None if sidecar.deleting else spec.selector,
        other_changes=spec.other_changes,
        paused=spec.paused,
        ending=sidecar.deleting,
    )


def _ends(shard: PinSidecarShard) -> bool:
    """Returns whether the member has seen that the sidecar is being deleted."""
    return shard.spec.ending and shard.status.observed_generation >= shard.metadata.generation


def _versions(progress: FleetProgress) -> tuple[SidecarVersion, ...]:
    found = {each.revision: each for each in (progress.stable, progress.target)}
    return tuple(found.values())


def _report(seen: ObservedFleet, progress: FleetProgress) -> tuple[Action, ...]:
    sidecar, target = seen.sidecar, progress.target.revision
    rows = tuple(_row(member, target, sidecar) for member in seen.members)
    skipped = sum(row.skipped for row in rows)
    later = f"{pods_that(skipped, 'takes', 'take')} it when made anew" if skipped else ""
    in_use = _in_use(seen) if sidecar.deleting else ""
    message = "; ".join(part for part in (in_use, progress.message, later) if part)
    status = PinSidecarStatus(
        observed_generation=sidecar.metadata.generation,
        revision=progress.version.revision,
        stable=progress.stable,
        former=progress.former,
        rollout=progress.record,
        images=_images(seen, progress),
        pods=sum(row.pods for row in rows),
        updated=sum(row.updated for row in rows),
        skipped=skipped,
        members=rows,
        users=seen.all_users,
        message=message,
        conditions=conditions.merge(sidecar.status.conditions, (_ready(seen, progress, message),), seen.now),
    )
    return status_update(seen.ref, sidecar.metadata, sidecar.status, status, message or "its pods changed")


def _in_use(seen: ObservedFleet) -> str:
    if seen.users:
        return f"is in use by {', '.join(seen.users)}, so it stays until they no longer name it"
    return f"{pods_that(seen.pods, 'has', 'have')} it and {'is' if seen.pods == 1 else 'are'} replaced by others without it"


def _images(seen: ObservedFleet, progress: FleetProgress) -> tuple[VersionImage, ...]:
    """Returns the images of the versions that pods have, may get, or may have in a member that has not said so."""
    present = tuple(v for v in (progress.former, progress.stable, progress.version) if v is not None)
    now = {version.revision: VersionImage(revision=version.revision, image=version.container.image) for version in present}
    before = (each for each in seen.sidecar.status.images if each.revision not in now)
    former = [each for each in before if any(_may_have(member, each.revision) for member in seen.members)]
    return (*former[-MOST_IMAGES:], *now.values())


def _may_have(member: FleetMember, revision: str) -> bool:
    if not member.known or (member.shard is not None and not member.settled):
        return True
    return member.of(revision).pods > 0


def _ready(seen: ObservedFleet, progress: FleetProgress, message: str) -> Condition:
    record, sidecar = progress.record, seen.sidecar
    complete = record.state == "Complete"
    reason = program_rollout.COMPLETE if complete else program_rollout.word(record, paused=sidecar.spec.paused)
    return program_rollout.ready(reason, sidecar.metadata.generation, message)


def _row(member: FleetMember, target: str, sidecar: PinSidecar) -> SidecarMember:
    """Of an unreachable member the last figures stay: unknown is not zero."""
    before = next((row for row in sidecar.status.members if row.cluster == member.name), None)
    if not member.known or member.shard is None:
        last = before or SidecarMember(cluster=member.name, zone=member.zone)
        message = "" if member.known else "does not answer; its last figures are shown"
        return msgspec.structs.replace(last, known=member.known, message=message)
    status, row = member.shard.status, member.of(target)
    pulls = f"{pods_that(row.awaiting_image, 'waits', 'wait')} for an image on its node" if row.awaiting_image else ""
    waits = f"{pods_that(status.asked, 'waits', 'wait')} for the disruption account of the app" if status.asked else ""
    return SidecarMember(
        cluster=member.name,
        zone=member.zone,
        pods=status.pods,
        updated=row.pods,
        ready=row.ready,
        skipped=status.skipped,
        message=member.doubt or row.message or pulls or waits,
    )


def _pods(member: FleetMember, sidecar: PinSidecar) -> int:
    """Returns the pods that have the sidecar, with the last figure of a member that does not answer."""
    if member.known:
        return member.shard.status.pods if member.shard is not None else 0
    return _pods_before(member.name, sidecar)


def _pods_before(member: str, sidecar: PinSidecar) -> int:
    return next((row.pods for row in sidecar.status.members if row.cluster == member), 0)


def observe(key: Key, views: Views, now: datetime) -> ObservedFleet | None:
    sidecar: PinSidecar | None = views.view(HOST, PINSIDECARS).get(key)
    if sidecar is None:
        return None
    before = {row.cluster: row.pods - row.skipped for row in sidecar.status.members}
    found = [_member(each, sidecar, views) for each in member_state.observe(views)]
    members = tuple(replace(member, former_pods=before.get(member.name, 0)) for member, _ in found)
    strays = tuple((member.name, stray) for member, stray in found if stray is not None and member.known)
    return ObservedFleet(sidecar, members, sidecar_references.users(key.name, views), now, strays)


def _member(member: MemberState, sidecar: PinSidecar, views: Views) -> tuple[FleetMember, PinSidecarShard | None]:
    """Returns the member, and a shard there that belongs to another sidecar of the name."""
    try:
        shard: PinSidecarShard | None = views.view(member.name, PINSIDECARSHARDS).get(sidecar.key)
    except Unknown:
        return FleetMember(member.name, member.zone, known=False), None
    if shard is not None and shard.spec.origin.uid != sidecar.metadata.uid:
        return FleetMember(member.name, member.zone, None, member.reachable), shard
    if shard is None:
        return FleetMember(member.name, member.zone, None, member.reachable), None
    placed = sidecar_references.placed(member.name, views)
    before = _pods_before(member.name, sidecar)
    believed = member_reports.plausible(shard, placed, lambda user: sidecar_references.exists(user, views), before)
    doubt = member_reports.doubt(shard, believed)
    return FleetMember(member.name, member.zone, believed, member.reachable, doubt=doubt), None


def _every(_cluster: str, _obj: Object, views: Views) -> Iterable[Key]:
    return _all(views)


def _all(views: Views) -> Iterable[Key]:
    return [each.key for each in views.view(HOST, PINSIDECARS).list()]


def _named(_cluster: str, obj: Any) -> Iterable[Key]:
    return [Key("", name) for name in sidecars.named_by(obj.spec.template)]


def _no_key(_cluster: str, _obj: Any) -> Iterable[Key]:
    return ()


CONTROLLER: Controller[Key, ObservedFleet] = Controller(
    Card(
        name="federation.sidecar-fleet",
        promise="Every member has each sidecar, and as many of its pods as the rollout allows have the wanted version.",
        key="PinSidecar",
        reads=(
            ReadAccess("host", PINSIDECARS, own_key),
            ReadAccess("members", PINSIDECARSHARDS, own_key),
            ReadAccess("host", MEMBERCLUSTERS, _no_key, _every),
            *(ReadAccess("host", kind.workload, _named) for kind in KINDS),
        ),
        writes=(
            WriteAccess("host", PINSIDECARS, ("patch", "status")),
            WriteAccess("members", PINSIDECARSHARDS, ("create", "update", "delete")),
        ),
        rest=0.5,
        contact=lambda _member, views: _all(views),
    ),
    observe,
    decide,
)
