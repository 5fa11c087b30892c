"""Decides the rollout: each member's revisions with their replicas, and its part of the disruption account.

A *mix* is the list of (revision, replicas) that one member should run; an *budget* is how many replicas may be disrupted
there. Every change is a new mix and a new budget. Nothing remembers an update in progress: the rollout compares what runs
with what should run, so another change in the middle of one, a rollback included, is only another comparison (S-124).

A new revision first runs as a **canary**, in one replica: a surge replica if the account has surge, else one that does not
serve, else one from the account. Until a replica of it is available all others keep what they have, so a bad image stops after
the first. Then the others follow, as many at a time as the account allows, and as many of each member as the present step of
the rollout allows (`rollout_progress`). Where nothing serves, nothing needs protection: all replicas take the new revision at
once (S-159). A paused workload keeps its revisions, replica by replica (S-258).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from pincompute.api import resource_requests, template_hash
from pincompute.api.member_clusters import Capacity
from pincompute.api.meta import Manifest
from pincompute.api.shards import DisruptionRequests, RevisionStatus, Shard, ShardBudget, Share
from pincompute.api.workloads import Scheduling
from pincompute.domain import disruption_account, replica_fit, surge_placement, zone_text
from pincompute.domain.disruption_account import Account, Part
from pincompute.domain.surge_placement import SurgeCandidate
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.workload_model import Workload

PROOF = 10  # seconds a canary, or a replica of a step, without a health check must run before it has proved its revision
MOST_SHARES = 16  # revisions of one mix; a shard takes no more


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one member should have now; an empty mix means no shard. The rollout asks for `min_ready_seconds` at least."""

    site: MemberShard
    mix: tuple[Share, ...]
    budget: ShardBudget
    min_ready_seconds: int = 0

    @property
    def replicas(self) -> int:
        return sum(share.replicas for share in self.mix)


@dataclass(frozen=True, slots=True)
class Rollout:
    """The decision. `account` is the sum that the members' budgets may reach. `without_surge` is the revision that goes
    on without surge, because no node took its surge replica. `waiting`: replicas that wait for the account. `lacks_room`: no
    node has room for a replica of the target, and none is known to have it when one that serves leaves. `room_unknown`: it is
    not known whether one has. `blocked`: what an update waits for besides the account, in a sentence.
    """

    assignments: tuple[Assignment, ...]
    account: Account
    without_surge: str = ""
    waiting: int = 0
    lacks_room: bool = False
    room_unknown: bool = False
    blocked: str = ""


@dataclass(frozen=True, slots=True)
class _State:
    """What runs, sorted by what should run.

    `serving` counts ready replicas of other revisions by member, `updated` available ones of the target. `proven`: a replica of
    the target is available, or there is nothing that it could harm. `changing`: something else than the target runs or is
    wanted. `in_place`: revisions whose pods become pods of the target in place. `limits`: how many replicas
    of each member may have the target now; None where nothing limits them. `stepwise`: every replica of the target has to
    prove it, not only the canary.
    """

    workload: Workload
    sites: tuple[MemberShard, ...]
    wanted: Mapping[str, int]
    templates: Mapping[str, Manifest]
    old: Mapping[str, tuple[RevisionStatus, ...]]
    serving: Mapping[str, int]
    updated: Mapping[str, int]
    proven: bool
    changing: bool
    in_place: frozenset[str]
    limits: Mapping[str, int] | None = None
    stepwise: bool = False

    @property
    def target(self) -> str:
        return self.workload.rendered.revision

    @property
    def reachable(self) -> list[MemberShard]:
        return [site for site in self.sites if site.known and not site.deleting]

    def limit(self, site: MemberShard) -> int:
        """Returns how many replicas there may have the target now."""
        wanted = self.wanted.get(site.name, 0)
        return wanted if self.limits is None else min(wanted, self.limits.get(site.name, 0))

    def is_limited(self, site: MemberShard) -> bool:
        """Returns whether replicas there keep what they have, also those that are on their way to another member."""
        return self.limits is not None and (self.limit(site) < self.wanted.get(site.name, 0) or not self.wanted.get(site.name))

    def in_turn(self, site: MemberShard) -> bool:
        """Returns whether the target may run there now."""
        return self.limits is None or self.limit(site) > 0


def decide(
    workload: Workload,
    decision: Scheduling,
    sites: tuple[MemberShard, ...],
    earlier: Mapping[str, Manifest],
    without_surge: str,
    limits: Mapping[str, int] | None = None,
    *,
    stepwise: bool = False,
) -> Rollout:
    """Returns the rollout. `earlier` are templates by revision that no shard may hold any more; `without_surge` is the
    former result; `limits` says how many replicas of each member may have the target now, in one of several steps
    where it is `stepwise`.
    """
    state = _state(workload, _wanted(workload, decision, sites), sites, earlier)
    own = workload.account(sum(row.replicas for row in decision.placement))
    if any(state.serving.values()):
        state = replace(state, limits=_with_broken(state, limits, own), stepwise=stepwise)
    whole = own
    busy = state.changing or _requested_by_others(state) > 0
    if without_surge == state.target and busy:
        whole = whole.without_surge()
    extra = _surge(state, whole)
    kept = without_surge if busy and without_surge == state.target else ""
    if extra is None:
        if not _measured(state):
            return _held(state, whole, without_surge)
        kept = state.target if any(_is_full(site) for site in sites) else kept
        whole, extra = whole.without_surge(), {}
    extra |= _still_needed(state, extra)
    canary = _canary(state, extra)
    lacks_room = state.changing and not state.proven and canary is None and any(map(state.in_turn, sites)) and _measured(state)
    blocked = lacks_room or any(_is_full(site) for site in sites if site.name == canary)
    if blocked and _may_end_together(state, own):
        state, lacks_room = replace(state, proven=True), False
    elif lacks_room and (waiting := _waiting_surge(state)):
        extra, kept = waiting, ""
        canary = _canary(state, extra)
    before = [_part(state, site, extra.get(site.name, 0), canary) for site in sites]
    parts = disruption_account.allot(whole, before)
    assignments = tuple(
        _assignment(state, site, part, canary, extra.get(site.name, 0)) for site, part in zip(sites, parts, strict=True)
    )
    return Rollout(assignments, whole, kept, sum(_waiting(part) for part in parts), lacks_room)


def _wanted(workload: Workload, decision: Scheduling, sites: tuple[MemberShard, ...]) -> dict[str, int]:
    """Returns the wanted replicas by member. Members that the decision passed over keep what they have; what ran to its end
    runs nowhere again.
    """
    wanted = {row.cluster: row.replicas for row in decision.placement}
    if workload.status.ended is not None and workload.status.ended.revision == workload.rendered.revision:
        wanted = {site.name: wanted[site.name] for site in sites if site.shard is not None and site.name in wanted}
    return wanted | {site.name: site.replicas for site in sites if site.name in decision.passed_over}


def _state(
    workload: Workload, wanted: Mapping[str, int], sites: tuple[MemberShard, ...], earlier: Mapping[str, Manifest]
) -> _State:
    target = workload.rendered.revision
    known = {**earlier, **{share.revision: share.template for site in sites for share in site.mix}}
    old = {site.name: _old(site, target) for site in sites}
    reachable = [site for site in sites if site.known and not site.deleting]
    serving = {site.name: sum(row.ready for row in old[site.name]) for site in reachable}
    updated = {site.name: row.available for site in reachable if (row := site.figures.get(target)) is not None}
    asked = {share.revision for site in sites for share in site.mix if share.replicas}
    changing = not workload.paused and (any(old.values()) or bool(asked - {target}))
    return _State(
        workload=workload,
        sites=sites,
        wanted=wanted,
        templates=known,
        old=old,
        serving=serving,
        updated=updated,
        proven=any(updated.values()) or not any(serving.values()),
        changing=changing,
        in_place=_in_place(workload, known, old) if changing else frozenset(),
    )


def _with_broken(state: _State, limits: Mapping[str, int] | None, own: Account) -> Mapping[str, int] | None:
    """Returns the limits with which replicas that are in trouble may take the target before their turn, where they use up the
    account: nothing else could change then, and a correction would never reach them.
    """
    if limits is None or sum(site.ready for site in state.reachable) > own.promised:
        return limits
    broken = {site.name: _broken(state, site) for site in state.reachable if site.in_trouble}
    return {**limits, **{name: limits.get(name, 0) + count for name, count in broken.items() if count}}


def _broken(state: _State, site: MemberShard) -> int:
    """Returns the replicas of other revisions there that do not serve."""
    return sum(row.replicas - row.ready for row in state.old[site.name])


def _old(site: MemberShard, target: str) -> tuple[RevisionStatus, ...]:
    """Returns the pods of other revisions there, those that serve most first."""
    rows = [row for row in site.figures.values() if row.revision != target and row.replicas]
    return tuple(sorted(rows, key=lambda row: (-row.ready, row.revision)))


def _in_place(workload: Workload, known: Mapping[str, Manifest], old: Mapping[str, Sequence[RevisionStatus]]) -> frozenset[str]:
    if workload.obj.spec.update.in_place == "Never":
        return frozenset()
    shape = template_hash.shape(workload.rendered.template)
    revisions = {row.revision for rows in old.values() for row in rows} & known.keys()
    return frozenset(revision for revision in revisions if template_hash.shape(known[revision]) == shape)


def _requests(site: MemberShard) -> DisruptionRequests:
    return site.shard.status.disruption_requests if site.shard is not None else DisruptionRequests()


def _drains(state: _State) -> int:
    return sum(_requests(site).drains for site in state.reachable)


def _requested_by_others(state: _State) -> int:
    """Returns replicas that wait for a drain, or for a requested restart."""
    requested = [_requests(site) for site in state.reachable]
    restarts = 0 if state.changing else sum(waiting.evictions + waiting.updates for waiting in requested)
    return restarts + _drains(state)


def _surge(state: _State, whole: Account) -> dict[str, int] | None:
    """Returns surge replicas by member; None where one is needed and no member has room for it. A pause keeps them."""
    held = sum(site.budget.surge for site in state.sites) if state.workload.paused else 0
    needed = max(held, _surge_needed(state, whole))
    return surge_placement.divide(needed, [_candidate(state, site) for site in state.sites]) if needed else {}


def _still_needed(state: _State, extra: Mapping[str, int]) -> dict[str, int]:
    """Returns surge replicas that must stay until all others there serve, so that none of those goes in their place."""
    return {
        site.name: site.budget.surge
        for site in state.reachable
        if state.proven and site.budget.surge > extra.get(site.name, 0) and site.available < site.replicas
        if not _is_full(site) and all(share.revision == state.target for share in site.mix if share.replicas)
    }


def _surge_needed(state: _State, whole: Account) -> int:
    """Returns the surge that the update and requests need. A drain never waits for a change that makes no progress, nor for
    replicas that cannot come back where they were: it gets as many replicas elsewhere as it takes for one more to be
    missing.
    """
    update = min(whole.surge, _for_update(state, whole))
    if whole.single or not _requested_by_others(state):
        return update
    lost = sum(max(0, state.wanted.get(site.name, 0) - site.ready) for site in state.reachable)
    others = max(0, lost + 1 - whole.unavailable)
    return max(update, others) if state.proven else update + others


def _for_update(state: _State, whole: Account) -> int:
    """Returns the surge for the update. One replica is the canary. Replicas that change in place need more only where none
    may be missing; those that are replaced use all there may be, as a Deployment does.
    """
    if not state.changing or not any(state.serving.values()):
        return 0
    if not state.proven:
        return 1
    left = {site.name: max(0, state.limit(site) - state.updated.get(site.name, 0)) for site in state.reachable}
    remaining = [row for site in state.sites if state.in_turn(site) for row in state.old[site.name]]
    if all(row.revision in state.in_place for row in remaining):
        present = sum(site.budget.surge for site in state.sites)
        most = sum(row.replicas for row in remaining)
        return min(1, present) if whole.unavailable else most if state.limits is None else min(most, sum(left.values()))
    return sum(left.values())


def _candidate(state: _State, site: MemberShard) -> SurgeCandidate:
    concerned = state.in_turn(site) or _requested_by_others(state) > 0
    takes = concerned and site.known and not site.deleting and site.prepared and site.member.open and not _is_full(site)
    room = surge_placement.room_for(site.member.capacity, state.workload.requests) if takes else 0
    held = site.budget.surge if concerned and site.known and not _is_full(site) else 0
    return SurgeCandidate(site.name, state.wanted.get(site.name, 0), held, room)


def _is_full(site: MemberShard) -> bool:
    """Returns whether no node takes a pod that is there, whatever its capacity says."""
    return site.shard is not None and site.shard.status.unschedulable > 0


def _measured(state: _State) -> bool:
    return not _unmeasured(state)


def _unmeasured(state: _State) -> list[MemberShard]:
    """Returns the members that run a part and whose room is not known. Silence is no lack of room, and a member that has just
    answered again takes new replicas a moment later.
    """
    parts = [site for site in state.sites if state.wanted.get(site.name, 0)]
    return [site for site in parts if not site.known or not site.member.ready or site.member.capacity is None]


def _held(state: _State, whole: Account, without_surge: str) -> Rollout:
    """Returns the present state, which stays until it is known whether there is room."""
    zones = zone_text.zones({site.member.zone for site in _unmeasured(state)})
    waits = f"the update waits until the room of {zones} is known"
    return Rollout(tuple(map(present, state.sites)), whole, without_surge, room_unknown=True, blocked=waits)


def _canary(state: _State, extra: Mapping[str, int]) -> str | None:
    """Returns the member that runs the canary, always the same one; None once it is proven, where nothing changes, or where
    a replica that serves would be given up for one that is not known to have a place.
    """
    if not state.changing or state.proven:
        return None
    reachable = [site for site in state.reachable if state.in_turn(site)]
    spare = [site for site in reachable if extra.get(site.name)]
    begun = [site for site in spare or state.sites if _has_begun(state, site) and state.in_turn(site)]
    broken = [s for s in reachable if _attainable(s, state.wanted.get(s.name, 0)) > state.serving.get(s.name, 0)]
    able = [site for site in reachable if state.serving.get(site.name)]
    candidates = (*begun, *spare, *broken, *able)
    return next((s.name for s in candidates if s in spare or s in broken or _has_place(state, s)), None)


def _attainable(site: MemberShard, wanted: int) -> int:
    """Returns how many of the wanted replicas the member can have now: a namespace that is not prepared takes no more."""
    return wanted if site.prepared else min(wanted, site.replicas)


def _has_begun(state: _State, site: MemberShard) -> bool:
    return any(share.revision == state.target and share.replicas for share in site.mix)


def _part(state: _State, site: MemberShard, extra: int, canary: str | None) -> Part:
    target = _attainable(site, state.wanted.get(site.name, 0) + extra)
    if site.deleting or (site.member.leaving and not site.known):
        return Part(site.name, 0, site.replicas if site.deleting else 0, known=False)
    status = site.shard.status if site.shard is not None else None
    waiting = _waits_for(state, site, max(site.replicas, target), canary)
    surplus = extra if state.changing and state.proven else 0  # serving replicas go when the surge replicas have come
    return Part(
        cluster=site.name,
        target=target,
        replicas=site.replicas,
        ready=site.ready,
        available=site.available,
        unavailable=site.budget.unavailable,
        updating=site.budget.updating,
        guaranteed=status.guaranteed if status is not None else 0,
        settled=site.settled,
        known=site.known,
        evictions=max(0, waiting.evictions - surplus),
        updates=waiting.updates,
        drains=waiting.drains,
    )


def _waits_for(state: _State, site: MemberShard, replicas: int, canary: str | None) -> DisruptionRequests:
    """Returns what waits there for disruption: as reported, or predicted where the operator does not know the mix yet."""
    requested = _requests(site)
    mix = _counts(_mix(state, site, replicas, canary))
    if site.settled and mix == _counts(site.mix):
        return requested
    if not site.figures or state.workload.paused:
        return DisruptionRequests(drains=requested.drains)
    leaving = {row.revision: row.replicas - mix.get(row.revision, 0) for row in site.figures.values()}
    moving = {revision: count for revision, count in leaving.items() if count > 0}
    in_place = sum(count for revision, count in moving.items() if revision in state.in_place)
    return DisruptionRequests(drains=requested.drains, evictions=sum(moving.values()) - in_place, updates=in_place)


def _assignment(state: _State, site: MemberShard, part: Part, canary: str | None, extra: int) -> Assignment:
    changes = extra > 0 or part.updating + part.unavailable > 0 or _broken(state, site) > 0
    begins = canary == site.name and (changes or _has_canary(state, site))
    mix = _mix(state, site, part.replicas, canary if begins else None)
    over = max(0, part.replicas - state.wanted.get(site.name, 0))
    budget = ShardBudget(unavailable=part.unavailable, updating=part.updating, surge=min(over, extra))
    proves = begins or (state.stepwise and state.changing and state.in_turn(site))
    return Assignment(site, mix, budget, PROOF if proves and not is_checked(state.workload.rendered.template) else 0)


def present(site: MemberShard) -> Assignment:
    """Returns what the member has. One that does not answer is left alone in any case."""
    proof = site.shard.spec.min_ready_seconds if site.shard is not None else 0
    return Assignment(site, site.mix, site.budget, proof)


def is_checked(template: Manifest) -> bool:
    """Returns whether every container and sidecar has a check by which it becomes ready. One without is ready as soon as it
    starts.
    """
    spec: Manifest = template.get("spec") or {}
    containers: list[Manifest] = spec.get("containers") or []
    before: list[Manifest] = spec.get("initContainers") or []
    sidecars = [container for container in before if container.get("restartPolicy") == "Always"]
    return all(container.get("readinessProbe") for container in (*containers, *sidecars))


def _has_place(state: _State, site: MemberShard) -> bool:
    """Returns whether nothing there that serves is given up for a replica of the target that has no place."""
    if not state.serving.get(site.name):
        return True
    capacity = site.member.capacity
    if capacity is not None and _is_full(site):
        capacity = msgspec.structs.replace(capacity, free=())  # the scheduler there has found that no node takes a pod
    leaving = _old_templates(state, site)
    return bool(leaving) and _fits_in_place_of(state.workload, capacity, leaving)


def _old_templates(state: _State, site: MemberShard) -> list[Manifest]:
    """Returns the templates of the replicas there that have another revision; none unless all are known."""
    found = [template for row in state.old[site.name] if (template := state.templates.get(row.revision)) is not None]
    return found if len(found) == len(state.old[site.name]) else []


def _fits_in_place_of(workload: Workload, capacity: Capacity | None, leaving: Sequence[Manifest], count: int = 1) -> bool:
    """Returns whether it is certain that a replica of the wanted revision has a place there when `count` replicas leave,
    whichever of these templates they have.
    """
    if capacity is None:
        return False
    leaves = (resource_requests.requests(template, resource_requests.DEFAULTS) for template in leaving)
    return all(replica_fit.fits_after(capacity, left, workload.requests, count) for left in leaves)


def may_have_room(workload: Workload, capacity: Capacity | None, shard: Shard | None) -> bool:
    """Returns whether an update that has waited for room may go on with a member's room as it is now."""
    if capacity is None:
        return False
    if replica_fit.by_node(capacity, workload.requests):
        return True
    mix = shard.spec.mix if shard is not None else ()
    former = [share.template for share in mix if share.replicas and share.revision != workload.rendered.revision]
    count = sum(share.replicas for share in mix)
    return any(_fits_in_place_of(workload, capacity, [template], count) for template in former)


def _may_end_together(state: _State, own: Account) -> bool:
    """Returns whether the workload promises no replica, and one of the target has a place when all in a member have left."""
    if own.promised or own.single:
        return False
    return any(
        _fits_in_place_of(state.workload, site.member.capacity, leaving, sum(row.replicas for row in state.old[site.name]))
        for site in state.reachable
        if (leaving := _old_templates(state, site))
    )


def _waiting_surge(state: _State) -> dict[str, int]:
    """Returns the surge replicas that wait for a node. They stay, so that they start as soon as there is room."""
    return {site.name: site.budget.surge for site in state.reachable if site.budget.surge and _is_full(site)}


def _has_canary(state: _State, site: MemberShard) -> bool:
    """Returns whether a replica there is or can become the canary without any budget."""
    return _has_begun(state, site) or site.replicas > state.serving.get(site.name, 0)


def _mix(state: _State, site: MemberShard, replicas: int, canary: str | None) -> tuple[Share, ...]:
    """Returns a mix of that many replicas: of the target, except for those that keep what they have."""
    if replicas == 0:
        return ()
    if state.workload.paused:
        return _unchanged(state, site, replicas)
    kept = () if state.proven and not state.is_limited(site) else _kept(state, site, replicas, canary)
    rest = replicas - sum(share.replicas for share in kept)
    rendered = state.workload.rendered
    new = (Share(revision=rendered.revision, template=rendered.template, replicas=rest),) if rest else ()
    return (*kept, *new, *_former(state, site, kept))


def _kept(state: _State, site: MemberShard, replicas: int, canary: str | None) -> tuple[Share, ...]:
    """Returns the revisions that replicas keep: all but the canary, or as many as the limit allows, and those that have the
    target already. A missing one is created again with the revision that serves most there, or elsewhere where there is none.
    """
    own = state.limit(site) if state.proven else 1 if canary == site.name else 0
    targets = max(_with_target(state, site), own, _asked_in_vain(state, site))
    left = max(0, replicas - targets, min(replicas - own, state.serving.get(site.name, 0)))
    shares: list[Share] = []
    for row in state.old[site.name][: MOST_SHARES - 1]:
        template, count = state.templates.get(row.revision), min(left, row.replicas)
        if template is not None and count > 0:
            shares.append(Share(revision=row.revision, template=template, replicas=count))
            left -= count
    if shares:
        shares[0] = msgspec.structs.replace(shares[0], replicas=shares[0].replicas + left)
    elif left and (former := _running_elsewhere(state, site)) is not None:
        shares.append(msgspec.structs.replace(former, replicas=left))
    return tuple(shares)


def _with_target(state: _State, site: MemberShard) -> int:
    """Returns how many replicas there have the target and may keep it. One that does not serve keeps it only as long as the
    mix says so: a report is behind what the operator has done since.
    """
    there = site.figures.get(state.target)
    return max(there.ready, min(there.replicas, _asked(site, state.target))) if there is not None else 0


def _asked(site: MemberShard, revision: str) -> int:
    return sum(share.replicas for share in site.mix if share.revision == revision)


def _asked_in_vain(state: _State, site: MemberShard) -> int:
    """Returns how many replicas there are asked to have the target where none serves. A report is behind what the operator has
    done since, so a mix that follows it would turn replicas of two failing revisions into each other for ever.
    """
    if not site.settled or state.serving.get(site.name):
        return 0
    return _asked(site, state.target)


def _running_elsewhere(state: _State, site: MemberShard) -> Share | None:
    """Returns a revision other than the target, of this member or else of another."""
    sites = (site, *(other for other in state.sites if other is not site))
    return next((share for s in sites for share in s.mix if share.revision != state.target and share.replicas), None)


def _former(state: _State, site: MemberShard, kept: tuple[Share, ...]) -> tuple[Share, ...]:
    """Returns templates that a former version of this program named, without replicas; the operator uses them to compare
    shapes anew.
    """
    requested = {share.revision for share in kept}
    return tuple(
        Share(revision=row.revision, template=template, replicas=0)
        for row in state.old[site.name][: MOST_SHARES - 1 - len(kept)]
        if row.revision not in requested and not template_hash.is_named_by_this_version(row.revision)
        if (template := state.templates.get(row.revision)) is not None
    )


def _unchanged(state: _State, site: MemberShard, replicas: int) -> tuple[Share, ...]:
    """Returns what the member runs of a paused workload, revision by revision; for a new member, what others run."""
    rows = [row for row in site.figures.values() if row.replicas and row.revision in state.templates][:MOST_SHARES]
    if rows and site.settled and sum(row.replicas for row in rows) == replicas:
        return tuple(
            Share(revision=row.revision, template=state.templates[row.revision], replicas=row.replicas) for row in rows
        )
    if site.replicas == replicas:
        return site.mix
    rendered = state.workload.rendered
    own = Share(revision=rendered.revision, template=rendered.template, replicas=replicas)
    held = next((share for s in state.sites for share in s.mix if share.replicas), own)
    return _resized(site, site.mix or (held,), replicas)


def _resized(site: MemberShard, mix: tuple[Share, ...], replicas: int) -> tuple[Share, ...]:
    """Returns the mix resized: what serves most grows, what serves least shrinks first."""
    available = {row.revision: row.available for row in site.figures.values()}
    shares = sorted(mix, key=lambda share: -available.get(share.revision, 0))
    more = replicas - sum(share.replicas for share in shares)
    counts = [share.replicas for share in shares]
    counts[0] += max(0, more)
    for place in reversed(range(len(counts))):
        less = min(counts[place], max(0, -more))
        counts[place] -= less
        more += less
    return tuple(msgspec.structs.replace(share, replicas=n) for share, n in zip(shares, counts, strict=True) if n)


def _counts(mix: Sequence[Share]) -> dict[str, int]:
    return {share.revision: share.replicas for share in mix if share.replicas}


def _waiting(part: Part) -> int:
    return max(0, part.updates - part.updating) + max(0, part.evictions - part.unavailable)
