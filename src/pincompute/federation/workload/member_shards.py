"""Gathers a workload's shard in each member, as far as the caches show it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from pincompute.api import conditions
from pincompute.api.kinds import WorkloadKind, WorkloadObject
from pincompute.api.shards import RevisionStatus, Shard, ShardBudget, Share
from pincompute.federation.member import member_state
from pincompute.federation.member.member_state import MemberState
from pincompute.federation.project import namespace_objects
from pincompute.federation.workload import shard_report, workload_model
from pincompute.federation.workload.workload_model import Workload
from pincompute.kube.cache_views import Unknown, Views

STARTING = ("Starting", "PodsMissing")  # reasons of a shard that is not ready although nothing is wrong


@dataclass(frozen=True, slots=True)
class MissingDependency:
    """A secret, config or sidecar without which a revision cannot run in a member yet: why, as a clause. `final`: waiting does
    not help.
    """

    message: str
    final: bool = True
    reason: Literal["SettingMissing", "SidecarMissing"] = "SettingMissing"


@dataclass(frozen=True, slots=True)
class MemberShard:
    """One member as far as this workload is concerned.

    `shard`: the workload's own, as it is or was when the member last answered; `orphan`: one that a deleted workload of the
    same name left. `known`: the member's shards can be seen right now. `lacks`: why no pod of the project may
    start there, because its namespace is missing, is not the project's own or does not hold what it must hold; empty when
    nothing is missing. `unready`: revisions that cannot run there yet, with what is missing.
    """

    member: MemberState
    shard: Shard | None
    orphan: Shard | None = None
    known: bool = True
    lacks: str = ""
    unready: Mapping[str, MissingDependency] = field(default_factory=dict[str, MissingDependency])

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def prepared(self) -> bool:
        return not self.lacks

    @property
    def mix(self) -> tuple[Share, ...]:
        return self.shard.spec.mix if self.shard is not None else ()

    @property
    def budget(self) -> ShardBudget:
        return self.shard.spec.budget if self.shard is not None else ShardBudget()

    @property
    def replicas(self) -> int:
        """Returns how many pods its shard asks for now."""
        return sum(share.replicas for share in self.mix)

    @property
    def settled(self) -> bool:
        """Returns whether the operator has acted on the shard as it is now."""
        return self.shard is None or self.shard.status.observed_generation >= self.shard.metadata.generation

    @property
    def figures(self) -> Mapping[str, RevisionStatus]:
        """Returns the pods there by revision, as last reported."""
        return {row.revision: row for row in self.shard.status.revisions} if self.shard is not None else {}

    @property
    def ready(self) -> int:
        return self.shard.status.ready_replicas if self.shard is not None and self.known else 0

    @property
    def available(self) -> int:
        return self.shard.status.available_replicas if self.shard is not None and self.known else 0

    @property
    def in_trouble(self) -> bool:
        """It says that something is wrong, and not only that pods are starting."""
        if self.shard is None or not self.known:
            return False
        if getattr(self.shard.status, "causes", ()):
            return True
        ready = conditions.find(self.shard.status.conditions, "Ready")
        return ready is not None and ready.status == "False" and ready.reason not in STARTING

    @property
    def deleting(self) -> bool:
        return self.shard is not None and self.shard.deleting


def observe(workload: Workload, views: Views) -> tuple[MemberShard, ...]:
    """Returns the members that should run a part of the workload, or may have one, by name; all members when the workload is
    being deleted.
    """
    concerned = workload_model.members_of(workload.obj)
    return tuple(
        _site(workload, member, views)
        for member in member_state.measured(views)
        if workload.deleting or member.name in concerned or _has_shard(workload, member, views)
    )


def _has_shard(workload: Workload, member: MemberState, views: Views) -> bool:
    with suppress(Unknown):
        return views.view(member.name, workload.kind.shard).get(workload.key) is not None
    return False


def _site(workload: Workload, member: MemberState, views: Views) -> MemberShard:
    try:
        shard: Shard | None = views.view(member.name, workload.kind.shard).get(workload.key)
        lacks = namespace_objects.lacking(workload.key.namespace, member.name, views)
    except Unknown:
        if member.leaving and member.ready and not workload.deleting:
            raise  # it moves away from a member that is not given up: what cannot be seen there may still run
        return MemberShard(member, None, known=False)
    own = workload_model.shard_of(workload, shard)
    if own is None:
        return MemberShard(member, None, shard, member.reachable, lacks)
    return MemberShard(member, shard_report.bounded(own), None, member.reachable, lacks)


def lacks_replicas(kind: WorkloadKind, obj: WorkloadObject, member: str, views: Views) -> bool:
    """Returns whether the member's shard asks for fewer replicas than the workload has placed there. A member that cannot be
    seen lacks none: when it can be, its contact concerns the workload anyway.
    """
    placed = sum(row.replicas for row in workload_model.placement(obj) if row.cluster == member)
    with suppress(Unknown):
        shard: Shard | None = views.view(member, kind.shard).get(obj.key)
        own = shard is not None and shard.spec.origin.uid == obj.metadata.uid
        return placed > (sum(share.replicas for share in shard.spec.mix) if shard is not None and own else 0)
    return False
