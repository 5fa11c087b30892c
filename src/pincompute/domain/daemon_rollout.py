"""Decides which member runs which version of a daemon now, and how many of its nodes may be without a ready copy for it.

A version comes to one zone after the other; until then, a member has the version that served before. Within the zone, and
for members that are behind, the disruption account of the daemon is divided: a number of nodes over all members, of which those
that lack a ready copy already use their part, and all nodes of a member that does not answer. What one member may have is given
to another one only when it has confirmed that it no longer uses it. A zone is complete when every node that lives has had the
version ready for the bake time. When a copy cannot start or crashes, or no more copies have become ready until the deadline,
the version before comes back, the last zone first. A node that is lost, or an account that is used up, says nothing about the
version: the rollout waits. The record is in the status, so everything survives a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import msgspec

from pincompute.api import daemons
from pincompute.api.daemons import DaemonRollout, DaemonVersion, PinDaemon, PinDaemonShard, PinDaemonShardStatus
from pincompute.domain import rollout_steps
from pincompute.domain.rollout_steps import MemberReplicas


@dataclass(frozen=True, slots=True)
class DaemonMemberState:
    """One member: its `shard` of the daemon, and how many nodes it had. `known`: it answers now."""

    name: str
    zone: str
    shard: PinDaemonShard | None = None
    known: bool = True
    former_nodes: int = 0

    @property
    def status(self) -> PinDaemonShardStatus:
        return self.shard.status if self.shard is not None else PinDaemonShardStatus()

    @property
    def nodes(self) -> int:
        """Returns the nodes that should have a copy, as last known."""
        return self.status.nodes if self.known else max(self.former_nodes, self.status.nodes)

    @property
    def down(self) -> int:
        """Returns the nodes without a ready copy; all of a member that does not answer."""
        return self.nodes - self.status.ready if self.known else self.nodes

    @property
    def held(self) -> int:
        """Returns how many nodes its update may still leave without a ready copy, as far as it has not confirmed less."""
        if self.shard is None:
            return 0
        given = self.shard.spec.max_unavailable
        return given if self.settled else max(given, self.status.observed_max_unavailable)

    @property
    def settled(self) -> bool:
        return self.shard is not None and self.shard.status.observed_generation >= self.shard.metadata.generation

    @property
    def unreported(self) -> bool:
        """Returns whether nobody knows how many nodes the member has, because it has not said so yet."""
        return not self.status.observed_generation and (self.known or not self.nodes)

    def outstanding(self, revision: str) -> int:
        """Returns the nodes that do not have the version, as far as is known."""
        return self.nodes - self.status.updated if self.status.revision == revision else self.nodes

    def has(self, revision: str) -> bool:
        """Returns whether every node that lives has the version ready. The member must have said so of this very shard."""
        if not self.known or self.shard is None or not self.settled or self.shard.spec.version.revision != revision:
            return False
        return self.status.updated_ready >= self.nodes - self.status.not_ready_nodes


@dataclass(frozen=True, slots=True)
class MemberAssignment:
    """The version that a member is brought to, and how many of its nodes may be without a ready copy for that."""

    version: DaemonVersion
    max_unavailable: int


@dataclass(frozen=True, slots=True)
class DaemonProgress:
    """What every member is to run now. `stable` is the version that served before, or `version` once it is everywhere."""

    version: DaemonVersion
    stable: DaemonVersion | None
    history: tuple[DaemonVersion, ...]
    record: DaemonRollout
    assignments: Mapping[str, MemberAssignment]
    message: str = ""
    wake_after: float | None = None

    @property
    def target(self) -> DaemonVersion:
        """Returns the version that nodes are brought to in the end."""
        back = self.record.state in ("RollingBack", "RolledBack")
        return self.stable if back and self.stable is not None else self.version


@dataclass(frozen=True, slots=True)
class _Fleet:
    daemon: PinDaemon
    members: tuple[DaemonMemberState, ...]
    version: DaemonVersion
    record: DaemonRollout
    now: datetime
    blocked: str

    @property
    def stable(self) -> DaemonVersion:
        return self.daemon.status.stable or self.version

    @property
    def is_another(self) -> bool:
        """Returns whether the version is not the one that serves, so that it has to prove itself."""
        return self.version.revision != self.stable.revision

    @property
    def back(self) -> bool:
        return self.record.state in ("RollingBack", "RolledBack")

    @property
    def zone(self) -> str:
        """Returns the zone that the rollout has come to."""
        zones = self.record.zones
        return zones[min(self.record.zone_index, len(zones) - 1)] if zones else ""

    @property
    def of_zone(self) -> tuple[DaemonMemberState, ...]:
        """Returns the members of that zone."""
        return tuple(member for member in self.members if member.zone == self.zone)

    @property
    def reached(self) -> tuple[DaemonMemberState, ...]:
        """Returns the members of that zone and of those before, whose nodes may have the version."""
        return tuple(member for member in self.members if self.place(member) <= self.record.zone_index)

    def place(self, member: DaemonMemberState) -> int:
        return self.record.zones.index(member.zone)

    def wanted(self, member: DaemonMemberState) -> DaemonVersion:
        """Returns the version for a member. Until the rollout comes to it, that is the stable one, whatever it had before."""
        return self.version if self.may_update(member) and not self.back else self.stable

    def may_update(self, member: DaemonMemberState) -> bool:
        """Returns whether the update, or the way back, has come to the member: only then may it end copies that serve."""
        if self.record.state in ("Complete", "RolledBack"):
            return True
        place, present = self.place(member), self.record.zone_index
        return place >= present if self.back else place <= present

    def kept(self, member: DaemonMemberState) -> DaemonVersion | None:
        """Returns the version that a member keeps where nothing may change; none where no version has served yet."""
        return member.shard.spec.version if member.shard is not None else self.daemon.status.stable

    @property
    def limit(self) -> int:
        """Returns how many nodes over all members may be without a ready copy."""
        return self._limit(sum(member.nodes for member in self.members))

    def most(self, member: DaemonMemberState) -> int:
        """Returns how many nodes of one member may be without a ready copy for the update: of a percentage, no more than that
        of its own nodes, so that a member which reports nodes that it does not have takes none from others.
        """
        return min(member.nodes, self._limit(member.nodes))

    def _limit(self, count: int) -> int:
        given = self.daemon.spec.update.max_unavailable
        if isinstance(given, str) and given.endswith("%"):
            return max(1, count * int(given.removesuffix("%")) // 100)
        return max(1, int(given))

    def recorded(self, **changes: object) -> _Fleet:
        return replace(self, record=msgspec.structs.replace(self.record, **changes))


def decide(daemon: PinDaemon, members: Sequence[DaemonMemberState], now: datetime, blocked: str = "") -> DaemonProgress:
    """`blocked` is why the rollout may not go on, whatever the members report; empty where nothing is in its way."""
    version, record = daemons.version(daemon.spec), daemon.status.rollout
    if record is None:
        record = DaemonRollout(revision=version.revision, since=now)
    elif record.revision != version.revision and not daemon.spec.paused and not blocked:
        record = DaemonRollout(revision=version.revision, since=now, zones=record.zones)
    fleet = _Fleet(daemon, tuple(members), version, record, now, blocked)
    fleet = fleet.recorded(zones=_zones(fleet))
    if why := blocked or ("is paused: nodes keep the version that they have" if daemon.spec.paused else ""):
        return _made(_stopped(fleet), why, halted=True)
    match record.state:
        case "RollingBack":
            return _undoing(fleet)
        case "Complete" | "RolledBack":
            return _made(fleet)
        case _:
            return _progressing(fleet)


def _stopped(fleet: _Fleet) -> _Fleet:
    """Returns the fleet with its times stopped. A pause ends a hold: when it is over, the version is tried again."""
    released = fleet.daemon.spec.paused and fleet.record.state == "Progressing"
    return fleet.recorded(since=None, healthy_since=None, failure="" if released else fleet.record.failure)


def _zones(fleet: _Fleet) -> tuple[str, ...]:
    """Returns the zones in order. A zone whose nodes are not known yet counts as well: it is to have a shard."""
    replicas = [MemberReplicas(member.name, member.zone, max(1, member.nodes)) for member in fleet.members]
    return rollout_steps.zone_order(replicas, fleet.daemon.spec.update.zone_order, fleet.record.zones)


def _progressing(fleet: _Fleet) -> DaemonProgress:
    failing = (f"in zone {m.zone}: {m.status.message}" for m in fleet.reached if _fails(fleet, m))
    failure = fleet.record.failure or next(failing, "")  # a version that has failed once stays held
    if failure and fleet.is_another:
        return _failed(fleet, failure)
    if all(member.has(fleet.version.revision) for member in fleet.of_zone):
        return _baked(fleet)
    if silent := sorted(member.name for member in fleet.of_zone if not member.known):
        waits = f"waits for cluster {', '.join(silent)} of zone {fleet.zone}, which does not answer"
        return _made(fleet.recorded(since=None, healthy_since=None), waits)
    unavailable = sum(member.status.updated_unavailable for member in fleet.reached if _is_of_version(fleet, member))
    if not unavailable and (waits := _account_used_up(fleet)):
        return _made(fleet.recorded(since=None, healthy_since=None), waits)
    since = _progressed(fleet)
    fleet = fleet.recorded(since=since, healthy_since=None, ready=max(fleet.record.ready, _ready(fleet)))
    deadline = fleet.daemon.spec.update.progress_deadline_seconds
    left = _left(since, deadline, fleet.now)
    if left > 0:
        return replace(_made(fleet, failure), wake_after=left)
    if not unavailable or not fleet.is_another:
        return _made(fleet, failure or _idle_operators(fleet))
    why = next((m.status.message for m in fleet.reached if m.known and m.status.message), "")
    because = f" ({why})" if why else ""
    return _failed(fleet, f"it is not ready on {nodes(unavailable)} of zone {fleet.zone}{because} within {deadline} s")


def _progressed(fleet: _Fleet) -> datetime:
    """Returns since when no more copies have become ready. Bake time and waits are not part of the deadline."""
    record = fleet.record
    if record.since is None or record.healthy_since is not None or _ready(fleet) > record.ready:
        return fleet.now
    return record.since


def _ready(fleet: _Fleet) -> int:
    """Returns how many nodes of the zone that the rollout has come to have the version ready."""
    return sum(member.status.updated_ready for member in fleet.of_zone if _is_of_version(fleet, member))


def _idle_operators(fleet: _Fleet) -> str:
    """Returns which members' operators have not acted on what they are to do, and report nothing that explains it."""
    late = (m for m in fleet.members if m.known and m.shard is not None and not m.settled and not m.status.message)
    names = ", ".join(sorted(member.name for member in late))
    return f"waits for the operator of cluster {names}, which has not acted on its part: see whether it runs" if names else ""


def _fails(fleet: _Fleet, member: DaemonMemberState) -> bool:
    return _is_of_version(fleet, member) and member.status.failing > 0


def _is_of_version(fleet: _Fleet, member: DaemonMemberState) -> bool:
    """Returns whether the member's report is about the version that is rolled out."""
    return member.known and member.status.revision == fleet.version.revision


def _account_used_up(fleet: _Fleet) -> str:
    """Returns that nodes which the update of this zone has not touched use up the account; empty where they do not."""
    if unreported := sorted(member.name for member in fleet.members if member.unreported):
        return f"waits for the first report of cluster {', '.join(unreported)}"
    silent = sorted(member.name for member in fleet.members if not member.known and member.nodes)
    elsewhere = sum(member.down for member in fleet.members if member not in fleet.of_zone or not member.known)
    used = elsewhere + sum(member.status.not_ready_nodes for member in fleet.of_zone if member.known)
    if used < fleet.limit:
        return ""
    because = f" (cluster {', '.join(silent)} does not answer)" if silent else ""
    return (
        f"waits: {nodes(used)} {'lacks' if used == 1 else 'lack'} a ready copy for another reason{because}, and "
        f"update.maxUnavailable allows {fleet.limit}: bring them back, or raise it"
    )


def _baked(fleet: _Fleet) -> DaemonProgress:
    since = fleet.record.healthy_since or fleet.now
    fleet = fleet.recorded(healthy_since=since)
    left = _left(since, fleet.daemon.spec.update.bake_seconds, fleet.now)
    if left > 0 and fleet.is_another:
        return replace(_made(fleet), wake_after=left)
    if fleet.record.zone_index < len(fleet.record.zones) - 1:
        return _made(fleet.recorded(zone_index=fleet.record.zone_index + 1, since=fleet.now, healthy_since=None, ready=0))
    made = _made(fleet.recorded(state="Complete", since=fleet.now, healthy_since=None))
    return replace(made, stable=fleet.version, history=_history(fleet))


def _history(fleet: _Fleet) -> tuple[DaemonVersion, ...]:
    spec, status = fleet.daemon.spec, fleet.daemon.status
    former = (status.stable, *status.history) if status.stable is not None and fleet.is_another else status.history
    return tuple(each for each in former if each.revision != fleet.version.revision)[: spec.history_limit]


def _failed(fleet: _Fleet, failure: str) -> DaemonProgress:
    if fleet.daemon.spec.update.on_failure == "Hold":
        return _made(fleet.recorded(failure=failure, healthy_since=None), f"holds: {failure}", halted=True)
    return _undoing(fleet.recorded(state="RollingBack", since=fleet.now, healthy_since=None, failure=failure))


def _undoing(fleet: _Fleet) -> DaemonProgress:
    """Brings the stable version back, the last zone first. A member that does not answer uses the account and delays the end.
    Copies that do not serve are replaced in every zone at once, whatever is left of the account.
    """
    there = [member for member in fleet.of_zone if member.known]
    if not all(member.has(fleet.stable.revision) for member in there):
        return _undoing_zone(fleet)
    if fleet.record.zone_index > 0:
        return _made(fleet.recorded(zone_index=fleet.record.zone_index - 1, since=fleet.now))
    if all(member.has(fleet.stable.revision) for member in fleet.members):
        return _made(fleet.recorded(state="RolledBack", since=fleet.now))
    silent = ", ".join(sorted(member.name for member in fleet.members if not member.known))
    return _made(fleet, f"waits for cluster {silent}, which does not answer" if silent else "")


def _undoing_zone(fleet: _Fleet) -> DaemonProgress:
    """The zone has another version still. After the deadline the message says who does nothing about it."""
    if waits := _account_used_up(fleet):
        return _made(fleet, waits)
    since = fleet.record.since or fleet.now
    left = _left(since, fleet.daemon.spec.update.progress_deadline_seconds, fleet.now)
    made = _made(fleet.recorded(since=since), _idle_operators(fleet) if left <= 0 else "")
    return replace(made, wake_after=left if left > 0 else None)


def _made(fleet: _Fleet, message: str = "", *, halted: bool = False) -> DaemonProgress:
    went_back = f"went back to the version before: {fleet.record.failure}" if fleet.back else ""
    status = fleet.daemon.status
    return DaemonProgress(
        fleet.version,
        status.stable,
        status.history[: fleet.daemon.spec.history_limit],
        fleet.record,
        _assignments(fleet, halted=halted),
        message if halted else "; ".join(filter(None, (went_back, message))),
    )


def _assignments(fleet: _Fleet, *, halted: bool = False) -> Mapping[str, MemberAssignment]:
    """Divides the account among the members that are behind, in the order of their zones: a member may have as many nodes
    without a ready copy as those that others lack or may still lose leave of the limit, no more than the limit gives its own
    nodes, and none while a member has not said how many nodes it has.
    """
    if halted:
        kept = {member.name: fleet.kept(member) for member in fleet.members}
        return {name: MemberAssignment(version, 0) for name, version in kept.items() if version is not None}
    wanted = {member.name: fleet.wanted(member) for member in fleet.members}
    given = {member.name: 0 for member in fleet.members}
    used = {member.name: max(member.down, member.held) for member in fleet.members}
    unknown = any(member.unreported for member in fleet.members)
    in_order = sorted(
        filter(fleet.may_update, fleet.members), key=lambda m: (-fleet.place(m) if fleet.back else fleet.place(m), m.name)
    )
    for member in (m for m in in_order if m.known and m.outstanding(wanted[m.name].revision) and not unknown):
        others = sum(count for name, count in used.items() if name != member.name)
        given[member.name] = max(0, min(fleet.most(member), fleet.limit - others))
        used[member.name] = max(given[member.name], used[member.name])
    return {name: MemberAssignment(version, given[name]) for name, version in wanted.items()}


def nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _left(since: datetime, seconds: float, now: datetime) -> float:
    """Returns the seconds until a time has passed."""
    return (since + timedelta(seconds=seconds) - now).total_seconds()
