"""Decides an update of the strategy Recreate: all replicas of the former revision end before the first of the new one starts.

It is the strategy of programs that bear no second version beside them, and it gives up the promise of the disruption account
for the time of the update. So it begins only where the new revision can start: its room, its settings and its namespaces are
there, and every member answers. The former shards are deleted, because a deleted shard stays until its member's API server
proves that none of its pods is left. A member that does not answer may still run a replica of the former revision. It is
waited for, and the replicas elsewhere stay as they are meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pincompute.api.shards import ShardBudget
from pincompute.api.workloads import Scheduling
from pincompute.domain import zone_text
from pincompute.federation.workload import rollout
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.rollout import PROOF, Assignment, Rollout
from pincompute.federation.workload.workload_model import Workload


def decide(workload: Workload, decision: Scheduling, sites: tuple[MemberShard, ...]) -> Rollout | None:
    """Returns the rollout while replicas of a former revision may run; None when all have ended."""
    former = [site for site in sites if _has_former(workload, site)]
    told = {line.cluster for line in workload.status.clusters} | {row.cluster for row in decision.placement}
    unreachable = [s for s in sites if not s.known and (s in former or (s.shard is None and s.name in told))]
    if not former and not unreachable:
        return None
    if unreachable:
        return _held(workload, sites, _unanswered(unreachable))
    if workload.paused:
        return _held(workload, sites, "")
    if any(row.ready for site in former for row in site.figures.values()) and (held := _unable(workload, decision, sites)):
        return held
    kept = tuple(rollout.present(site) if site not in former else Assignment(site, (), ShardBudget()) for site in sites)
    zones = zone_text.zones({site.member.zone for site in former})
    waits = f"the new revision starts when all replicas of the former one have ended, which still run in {zones}"
    return Rollout(kept, workload.account(0), blocked=waits)


def _unable(workload: Workload, decision: Scheduling, sites: tuple[MemberShard, ...]) -> Rollout | None:
    """Returns the present state where the new revision could not start if the former one ended; None where it can."""
    placed = {row.cluster for row in decision.placement if row.replicas}
    wanted = [site for site in sites if site.name in placed]
    if any(site.lacks or workload.rendered.revision in site.unready for site in wanted):
        return _held(workload, sites, "")  # the status says what is missing there
    if any(rollout.may_have_room(workload, site.member.capacity, site.shard) for site in wanted):
        return None
    return replace(_held(workload, sites, ""), lacks_room=all(site.member.capacity is not None for site in wanted))


def proving(workload: Workload, made: Rollout) -> Rollout:
    """Returns the rollout in which replicas without a health check have to run for a while before they count as available."""
    if rollout.is_checked(workload.rendered.template):
        return made
    return replace(made, assignments=tuple(replace(each, min_ready_seconds=PROOF) for each in made.assignments))


def _has_former(workload: Workload, site: MemberShard) -> bool:
    """Returns whether another revision than the wanted one is asked for or runs there, also in pods that are ending."""
    revisions = {share.revision for share in site.mix} | {row.revision for row in site.figures.values() if row.replicas}
    return bool(revisions - {workload.rendered.revision})


def _held(workload: Workload, sites: tuple[MemberShard, ...], blocked: str) -> Rollout:
    """Returns the present state, which stays."""
    placed = sum(site.replicas for site in sites)
    return Rollout(tuple(map(rollout.present, sites)), workload.account(placed), blocked=blocked)


def _unanswered(unreachable: Sequence[MemberShard]) -> str:
    zones = zone_text.zones({site.member.zone for site in unreachable})
    return f"{zones} may still run a replica of the former revision and does not answer; the update waits for it"
