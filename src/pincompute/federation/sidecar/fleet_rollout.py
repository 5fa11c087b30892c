"""Decides how far another version of a sidecar may go now: to how many pods of each member.

The steps are those of a workload's rollout (`domain/rollout_steps.py`), counted over the pods of all workloads and members. A
step is complete when its pods have the version and the sidecar in them is ready, and its bake time has passed. It fails when
the sidecar cannot start or crashes in one of them, when a registry says that the image does not exist, or when
at its deadline the sidecar is not ready in a pod that has the version, or nodes have failed to pull its image; then the fleet
goes back to the version before, or holds. Nodes that pull the image are waited for: the deadline counts from when no node pulls
any more. A pod that cannot take the version yet, since its workload is paused, has no room or has spent its disruption account,
or since its project has no room for what pulls, says nothing about it: at the deadline the rollout goes on, and the pod follows
later. A member that does not answer at its turn is waited for: silence is neither success nor failure. The record is in the
status, so everything survives a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from pincompute.api import sidecars
from pincompute.api.sidecars import (
    PinSidecar,
    PinSidecarShard,
    SidecarRollout,
    SidecarVersion,
    VersionStatus,
)
from pincompute.domain import rollout_steps
from pincompute.domain.rollout_steps import MemberReplicas

ALL = 1_000_000_000  # pods that a member may bring to the version when nothing limits them


@dataclass(frozen=True, slots=True)
class FleetMember:
    """One member: its `shard` of the sidecar, and what was last known of its pods. `known`: it answers now. `doubt` is what of
    its report is not believed.
    """

    name: str
    zone: str
    shard: PinSidecarShard | None = None
    known: bool = True
    former_pods: int = 0
    doubt: str = ""

    @property
    def pods(self) -> int:
        """Returns the pods that can take the target without being made anew."""
        if self.shard is None or not self.known:
            return self.former_pods
        return self.shard.status.pods - self.shard.status.skipped

    @property
    def settled(self) -> bool:
        return self.shard is not None and self.shard.status.observed_generation >= self.shard.metadata.generation

    def of(self, revision: str) -> VersionStatus:
        """Returns the pods of a version, as last reported."""
        rows = self.shard.status.versions if self.shard is not None else ()
        return next((row for row in rows if row.revision == revision), VersionStatus(revision=revision))


@dataclass(frozen=True, slots=True)
class FleetProgress:
    """`target` is the version that pods are brought to: in each member as many as `allowed`, ALL where nothing limits them.

    `stable` is the version that served before, or the target once it has reached all pods.
    """

    version: SidecarVersion
    target: SidecarVersion
    stable: SidecarVersion
    former: SidecarVersion | None
    record: SidecarRollout
    allowed: Mapping[str, int]
    message: str = ""
    wake_after: float | None = None


@dataclass(frozen=True, slots=True)
class _Fleet:
    sidecar: PinSidecar
    members: tuple[FleetMember, ...]
    version: SidecarVersion
    stable: SidecarVersion
    record: SidecarRollout
    now: datetime

    @property
    def replicas(self) -> tuple[MemberReplicas, ...]:
        return tuple(MemberReplicas(member.name, member.zone, member.pods) for member in self.members)

    @property
    def totals(self) -> tuple[int, ...]:
        """Returns the steps; one for a way back, which harms nobody."""
        spec, update = self.sidecar.spec, self.sidecar.spec.update
        if not self.is_another:
            return (sum(member.pods for member in self.members),)
        made = rollout_steps.totals(update.strategy, update.steps, self.replicas, self.record.zones)
        return (1, *made) if spec.channel == "Canary" and len(made) == 1 and made[0] > 1 else made

    @property
    def final(self) -> bool:
        return self.record.step >= len(self.totals) - 1

    @property
    def total(self) -> int:
        return self.totals[min(self.record.step, len(self.totals) - 1)]

    @property
    def is_another(self) -> bool:
        """Returns whether the version is not the one that serves, so that it has to prove itself."""
        return self.version.revision != self.stable.revision

    @property
    def held_as_canary(self) -> bool:
        """Returns whether the version stays at the share of the first step."""
        return self.sidecar.spec.channel == "Canary" and not self.final

    @property
    def limits(self) -> Mapping[str, int]:
        if self.final:
            return {member.name: ALL for member in self.members}
        strategy = self.sidecar.spec.update.strategy
        found = rollout_steps.limits(self.total, strategy, self.replicas, self.record.zones)
        whole = strategy == "ZoneByZone"  # a zone that is complete gives its new pods the version too
        return {m.name: ALL if whole and 0 < m.pods <= found[m.name] else found[m.name] for m in self.members}

    @property
    def unreachable(self) -> tuple[FleetMember, ...]:
        """Returns the members that the step needs and that do not answer."""
        return tuple(member for member in self.members if not member.known and self.limits[member.name])

    @property
    def failure(self) -> str:
        """Returns why a pod of the version cannot run it; empty where none fails."""
        if not self.is_another:
            return ""
        return next((f"in zone {member.zone}: {row.message}" for member, row in self._reports if row.failing), "")

    @property
    def unhealthy(self) -> str:
        """Returns where the version is not healthy when its time is over; empty where it is in all pods that have it."""
        return next((why for member, row in self._reports if (why := _unhealthy(row, member.zone))), "")

    @property
    def waiting(self) -> int:
        """Returns the pods of the step that have not taken the version."""
        limits = self.limits
        allowed = (min(limits[member.name], member.pods) for member in self.members)
        return sum(allowed) - sum(row.pods for _, row in self._reports)

    @property
    def pulling(self) -> str:
        """Returns which pods of the step wait for nodes that pull; empty where no node pulls."""
        rows = [row for _, row in self._reports]
        if not any(row.pulling for row in rows):
            return ""
        return f"waits until the nodes of {pods(sum(row.awaiting_image for row in rows))} have pulled its image"

    @property
    def _reports(self) -> list[tuple[FleetMember, VersionStatus]]:
        """Returns what the members that answer, and may have the version now, report of it."""
        limits = self.limits
        asked = [member for member in self.members if member.known and limits[member.name]]
        return [(member, member.of(self.version.revision)) for member in asked]

    @property
    def complete(self) -> bool:
        return all(self._has(member, self.version, self.limits[member.name]) for member in self.members)

    @property
    def undone(self) -> bool:
        return all(self._has(member, self.stable, ALL) for member in self.members)

    def _has(self, member: FleetMember, version: SidecarVersion, allowed: int) -> bool:
        """Returns whether as many pods as allowed have the version, with the sidecar ready. The member must have said so of
        its shard as it is to be now."""
        if not allowed:
            return True
        shard = member.shard
        if not member.known or shard is None or not member.settled:
            return False
        dispatched = shard.spec.target == version.revision and shard.spec.updated >= min(allowed, member.pods)
        row = member.of(version.revision)
        return dispatched and row.ready + row.unplaced >= min(allowed, member.pods)

    def recorded(self, **changes: object) -> _Fleet:
        return replace(self, record=msgspec.structs.replace(self.record, **changes))


def decide(sidecar: PinSidecar, members: Sequence[FleetMember], now: datetime) -> FleetProgress:
    version = sidecars.version(sidecar.spec.container)
    stable, record = sidecar.status.stable or version, sidecar.status.rollout
    if record is None:
        record = SidecarRollout(revision=version.revision, state="Complete", since=now)
    elif record.revision != version.revision:
        record = SidecarRollout(revision=version.revision, since=now)
    fleet = _Fleet(sidecar, tuple(members), version, stable, record, now)
    zones = rollout_steps.zone_order(fleet.replicas, sidecar.spec.update.zone_order, record.zones)
    fleet = fleet.recorded(zones=zones)
    match record.state:
        case "RollingBack":
            return _undoing(fleet)
        case "Complete" | "RolledBack":
            return _made(fleet)
        case _:
            return _progressing(fleet)


def _progressing(fleet: _Fleet) -> FleetProgress:
    if fleet.sidecar.spec.paused:
        return _made(fleet.recorded(healthy_since=None, since=None), "is paused: pods keep the version that they have")
    fleet = fleet.recorded(state="Progressing", since=fleet.record.since or fleet.now, failure="")
    if fleet.failure:
        return _failed(fleet, fleet.failure)
    if fleet.complete:
        return _baked(fleet)
    if fleet.unreachable:
        zones = ", ".join(sorted({member.zone for member in fleet.unreachable}))
        return _made(fleet.recorded(since=None, healthy_since=None), f"waits for zone {zones}, which does not answer")
    if fleet.pulling and not fleet.unhealthy:
        return _made(fleet.recorded(since=None, healthy_since=None), fleet.pulling)
    deadline = fleet.sidecar.spec.update.progress_deadline_seconds
    left = _left(fleet.record.since, deadline, fleet.now)
    if left <= 0 and not fleet.unhealthy:
        later = f"{pods(fleet.waiting)} did not take it within {deadline} s"
        return _baked(fleet, f"{later} and will when their apps allow it and their nodes have its image")
    if fleet.record.healthy_since is not None:  # bake time is not part of the deadline
        fleet, left = fleet.recorded(healthy_since=None, since=fleet.now), float(deadline)
    if left <= 0:
        return _failed(fleet, f"{fleet.unhealthy}, {deadline} s after step {fleet.record.step + 1} began")
    return replace(_made(fleet), wake_after=left)


def _baked(fleet: _Fleet, message: str = "") -> FleetProgress:
    since = fleet.record.healthy_since or fleet.now
    fleet = fleet.recorded(healthy_since=since)
    left = _left(since, fleet.sidecar.spec.update.bake_seconds, fleet.now)
    if left > 0 and fleet.is_another:
        return replace(_made(fleet, message), wake_after=left)
    if fleet.held_as_canary:
        return _made(fleet.recorded(state="AwaitingApproval"), "stays at the canary's share until channel is Stable")
    if not fleet.final:
        return _made(fleet.recorded(step=fleet.record.step + 1, since=fleet.now, healthy_since=None), message)
    former = fleet.stable if fleet.is_another else fleet.sidecar.status.former
    done = fleet.recorded(state="Complete", since=fleet.now, healthy_since=None, step=len(fleet.totals))
    return replace(_made(replace(done, stable=fleet.version), message), former=former)


def _failed(fleet: _Fleet, failure: str) -> FleetProgress:
    if fleet.sidecar.spec.update.on_failure == "Hold":
        return _made(fleet.recorded(failure=failure), f"holds: {failure}")
    return _undoing(fleet.recorded(state="RollingBack", since=fleet.now, healthy_since=None, failure=failure))


def _undoing(fleet: _Fleet) -> FleetProgress:
    if fleet.undone:
        return _made(fleet.recorded(state="RolledBack", since=fleet.now))
    return _made(fleet)


def _made(fleet: _Fleet, message: str = "") -> FleetProgress:
    back = fleet.record.state in ("RollingBack", "RolledBack")
    finished = fleet.record.state in ("RollingBack", "RolledBack", "Complete")
    allowed = dict.fromkeys((member.name for member in fleet.members), ALL) if finished else fleet.limits
    totals = fleet.totals
    record = msgspec.structs.replace(
        fleet.record, steps=len(totals), pods=totals[-1] if finished else fleet.total if not fleet.final else totals[-1]
    )
    said = message or (f"went back to the version before: {record.failure}" if back else "")
    former = fleet.sidecar.status.former
    target = fleet.stable if back else fleet.version
    return FleetProgress(fleet.version, target, fleet.stable, former, record, allowed, said)


def _unhealthy(row: VersionStatus, zone: str) -> str:
    """Returns why a version whose time is over is not healthy in a zone. Pods whose nodes are yet to pull its image, after
    others that have it, say nothing about it.
    """
    unready = row.pods - row.unplaced - row.ready
    if unready > 0:
        return f"it is not ready in {pods(unready)} of zone {zone}"
    if row.awaiting_image and (row.message or not row.pods):
        because = f" ({row.message})" if row.message else ""
        return f"the nodes of {pods(row.awaiting_image)} of zone {zone} lack its image{because}"
    return ""


def pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"


def pods_that(count: int, does: str, do: str) -> str:
    """Returns the count with its verb, as in `1 pod waits` and `2 pods wait`."""
    return f"{pods(count)} {does if count == 1 else do}"


def _left(since: datetime | None, seconds: float, now: datetime) -> float:
    """Returns the seconds until a time has passed."""
    return (since + timedelta(seconds=seconds) - now).total_seconds() if since is not None else float(seconds)
