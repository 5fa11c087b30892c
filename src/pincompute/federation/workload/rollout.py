"""Rollout: which revisions each member runs now, how many replicas of each, and its part of the account of disturbance.

Every change is a new mix and a new allotment. There is no memory of an update in progress: what runs is compared with what
should run, so another change in the middle of one, a rollback included, is only another comparison (S-124). A new revision
first proves itself in one replica: in one more than there should be if the account has surge, else in one that does not
serve, else in one from the account. Until a replica of it is available, all others keep what they have, so that a bad image
stops after the first. Then the others follow, as many at a time as the account allows.

The surprising rule: replicas that do not serve take the new revision without waiting for the account or a proof, so a broken
revision can always be left (S-159). A paused workload keeps the revisions it has, replica by replica (S-258).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from pincompute.api import templates
from pincompute.api.meta import Manifest
from pincompute.api.shards import Budget, RevisionStatus, Share
from pincompute.api.workloads import Scheduling
from pincompute.domain import budget, surge
from pincompute.domain.budget import Account, Part
from pincompute.domain.surge import Berth
from pincompute.federation.workload.model import Workload
from pincompute.federation.workload.sites import Site


@dataclass(frozen=True, slots=True)
class Assignment:
    """What one member should have now; an empty mix means no shard."""

    site: Site
    mix: tuple[Share, ...]
    budget: Budget

    @property
    def replicas(self) -> int:
        return sum(share.replicas for share in self.mix)


@dataclass(frozen=True, slots=True)
class Rollout:
    """`account`: what the members' allotments add up to at most. `refused`: the revision for which no cluster had room for one
    replica more, so that it goes on without. `waiting`: replicas that wait for the account."""

    assignments: tuple[Assignment, ...]
    account: Account
    refused: str = ""
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class _View:
    """What runs, sorted by what should run. `known` are the sites that answer and whose shard is not going."""

    workload: Workload
    sites: tuple[Site, ...]
    wanted: Mapping[str, int]
    templates: Mapping[str, Manifest]

    @property
    def target(self) -> str:
        return self.workload.rendered.revision

    @property
    def known(self) -> list[Site]:
        return [site for site in self.sites if site.known and not site.deleting]

    def old(self, site: Site) -> list[RevisionStatus]:
        """Pods of other revisions there, those that serve most first."""
        rows = [row for row in site.figures.values() if row.revision != self.target and row.replicas]
        return sorted(rows, key=lambda row: (-row.available, row.revision))

    def serving(self, site: Site) -> int:
        """Available replicas of other revisions."""
        return sum(row.available for row in self.old(site))

    def updated(self, site: Site) -> int:
        """Available replicas of the target."""
        row = site.figures.get(self.target)
        return row.available if row is not None else 0

    @property
    def proven(self) -> bool:
        """A replica of the target is available, or there is nothing that it could harm."""
        return any(self.updated(s) for s in self.known) or not any(self.serving(s) for s in self.known)

    @property
    def changing(self) -> bool:
        """Something else than the target runs or is asked for."""
        if self.workload.paused:
            return False
        return any(self.old(s) or any(share.revision != self.target for share in s.mix) for s in self.sites)

    def in_place(self, revision: str) -> bool:
        """Its pods can become pods of the target by changing images alone."""
        template = self.templates.get(revision)
        if template is None or self.workload.obj.spec.update.type == "Recreate":
            return False
        return templates.shape(template) == templates.shape(self.workload.rendered.template)


def decide(
    workload: Workload, decision: Scheduling, sites: tuple[Site, ...], earlier: Mapping[str, Manifest], refused: str
) -> Rollout:
    """`earlier` are templates by revision that no shard may hold any more; `refused` is what the last look came to."""
    view = _View(workload, sites, _wanted(workload, decision, sites), {**earlier, **_templates(sites)})
    whole = _account(workload, decision)
    if refused == view.target and _busy(view):
        whole = whole.without_surge()
    extra = surge.divide(_surge_needed(view, whole), [_berth(view, site) for site in sites])
    if extra is None:
        whole, extra, refused = whole.without_surge(), {}, view.target
    elif not _busy(view):
        refused = ""
    prover = _prover(view) if view.changing and not view.proven and not extra else None
    before = [_part(view, site, extra.get(site.name, 0), prover) for site in sites]
    parts = budget.allot(whole, before)
    assignments = tuple(
        _assignment(view, site, part, prover, extra.get(site.name, 0)) for site, part in zip(sites, parts, strict=True)
    )
    return Rollout(assignments, whole, refused, sum(_waiting(part) for part in parts))


def _account(workload: Workload, decision: Scheduling) -> Account:
    """Counted over what has a place: replicas that wait for room can neither be promised nor missed."""
    placed = sum(row.replicas for row in decision.placement)
    return replace(workload.account, replicas=min(workload.replicas, placed))


def _wanted(workload: Workload, decision: Scheduling, sites: tuple[Site, ...]) -> dict[str, int]:
    """Members that the decision passed over keep what they have; what ran to its end runs nowhere again."""
    wanted = {row.cluster: row.replicas for row in decision.placement}
    if workload.status.ended is not None and workload.status.ended.revision == workload.rendered.revision:
        wanted = {site.name: wanted[site.name] for site in sites if site.shard is not None and site.name in wanted}
    return wanted | {site.name: site.replicas for site in sites if site.name in decision.passed_over}


def _templates(sites: Sequence[Site]) -> dict[str, Manifest]:
    return {share.revision: share.template for site in sites for share in site.mix}


def _busy(view: _View) -> bool:
    return view.changing or _disturbed(view) > 0


def _disturbed(view: _View) -> int:
    """Replicas that wait for a drain, or for a restart that somebody asked for."""
    told = [_requests(site) for site in view.known]
    restarts = 0 if view.changing else sum(waiting.evictions + waiting.updates for waiting in told)
    return restarts + sum(waiting.drains for waiting in told)


def _surge_needed(view: _View, whole: Account) -> int:
    """Replicas there should be for a while beyond those asked for."""
    return min(whole.surge, max(_for_update(view, whole), 0 if whole.unavailable else _disturbed(view)))


def _for_update(view: _View, whole: Account) -> int:
    """One proves the revision. Replicas that change in place need more of them only where none may be missing; those that are
    replaced use all there may be, as a Deployment does."""
    if not view.changing or not any(view.serving(site) for site in view.known):
        return 0
    if not view.proven:
        return 0 if any(view.wanted.get(s.name, 0) > view.serving(s) for s in view.known) else 1
    remaining = [row for site in view.sites for row in view.old(site)]
    if all(view.in_place(row.revision) for row in remaining):
        present = sum(site.budget.surge for site in view.sites)
        return min(1, present) if whole.unavailable else sum(row.replicas for row in remaining)
    return sum(max(0, view.wanted.get(site.name, 0) - view.updated(site)) for site in view.known)


def _berth(view: _View, site: Site) -> Berth:
    shard = site.shard
    full = shard is not None and shard.status.unschedulable > 0
    takes = site.known and not site.deleting and site.prepared and site.member.open and not full
    room = surge.room_for(site.member.capacity, view.workload.rendered.requests) if takes else 0
    held = site.budget.surge if site.known and not full else 0
    return Berth(site.name, view.wanted.get(site.name, 0), held, room)


def _prover(view: _View) -> str | None:
    """The member whose replica proves the revision where no replica more may exist; the same one at every look."""
    able = [s for s in view.known if view.serving(s)]
    if any(view.wanted.get(s.name, 0) > view.serving(s) for s in view.known):
        return None  # a replica that does not serve proves it
    begun = [s for s in able if any(share.revision == view.target for share in s.mix)]
    return next((s.name for s in begun or able), None)


def _requests(site: Site) -> _Requests:
    if site.shard is None:
        return _Requests()
    given = site.shard.status.disruption_requests
    return _Requests(given.drains, given.evictions, given.updates)


@dataclass(frozen=True, slots=True)
class _Requests:
    drains: int = 0
    evictions: int = 0
    updates: int = 0


def _part(view: _View, site: Site, extra: int, prover: str | None) -> Part:
    target = view.wanted.get(site.name, 0) + extra
    if site.deleting:
        return Part(site.name, 0, site.replicas, known=False)
    status = site.shard.status if site.shard is not None else None
    waiting = _requested(view, site, max(site.replicas, target), prover)
    return Part(
        cluster=site.name,
        target=target,
        replicas=site.replicas,
        available=site.available,
        unavailable=site.budget.unavailable,
        updating=site.budget.updating,
        guaranteed=status.guaranteed if status is not None else 0,
        settled=site.settled,
        known=site.known and (site.shard is not None or site.prepared),
        evictions=max(0, waiting.evictions - (extra if view.changing else 0)),  # those go when the surplus ones have come
        updates=waiting.updates,
        drains=waiting.drains,
    )


def _requested(view: _View, site: Site, replicas: int, prover: str | None) -> _Requests:
    """What waits there to be disturbed: as reported, or foreseen where the operator does not know the mix yet."""
    told = _requests(site)
    mix = _counts(_mix(view, site, replicas, prover))
    if site.settled and mix == _counts(site.mix):
        return told
    if not site.figures or view.workload.paused:
        return replace(told, evictions=0, updates=0)
    leaving = {row.revision: row.replicas - mix.get(row.revision, 0) for row in site.figures.values()}
    moving = {revision: count for revision, count in leaving.items() if count > 0}
    in_place = sum(count for revision, count in moving.items() if view.in_place(revision))
    return _Requests(told.drains, sum(moving.values()) - in_place, in_place)


def _assignment(view: _View, site: Site, part: Part, prover: str | None, extra: int) -> Assignment:
    granted = prover == site.name and part.updating + part.unavailable > 0
    mix = _mix(view, site, part.replicas, prover if granted else None)
    over = max(0, part.replicas - view.wanted.get(site.name, 0))
    return Assignment(site, mix, Budget(unavailable=part.unavailable, updating=part.updating, surge=min(over, extra)))


def _mix(view: _View, site: Site, replicas: int, prover: str | None) -> tuple[Share, ...]:
    """So many replicas: of the target, but for those that keep what they have."""
    if replicas == 0:
        return ()
    if view.workload.paused:
        return _as_it_is(view, site, replicas)
    kept = () if view.proven else _kept(view, site, replicas, 1 if prover == site.name else 0)
    rest = replicas - sum(share.replicas for share in kept)
    rendered = view.workload.rendered
    new = (Share(revision=rendered.revision, template=rendered.template, replicas=rest),) if rest else ()
    return (*kept, *new, *_former(view, site, kept))


def _former(view: _View, site: Site, kept: tuple[Share, ...]) -> tuple[Share, ...]:
    """Templates that a former version of this program named, without replicas: by them the operator compares shapes anew."""
    told = {share.revision for share in kept}
    return tuple(
        Share(revision=row.revision, template=template, replicas=0)
        for row in view.old(site)
        if row.revision not in told and not templates.is_named_by_this_version(row.revision)
        if (template := view.templates.get(row.revision)) is not None
    )


def _kept(view: _View, site: Site, replicas: int, freed: int) -> tuple[Share, ...]:
    """Replicas of other revisions that serve, less those that are `freed` to prove the new one."""
    shares: list[Share] = []
    left = min(replicas, view.serving(site)) - freed
    for row in view.old(site):
        template = view.templates.get(row.revision)
        count = min(left, row.available)
        if template is not None and count > 0:
            shares.append(Share(revision=row.revision, template=template, replicas=count))
            left -= count
    if not shares and not site.figures and not site.mix and (held := _held(view)) is not None:
        return (msgspec.structs.replace(held, replicas=replicas),)
    return tuple(shares)


def _held(view: _View) -> Share | None:
    """What serves elsewhere, for a member that has nothing of the workload yet."""
    shares = (share for site in view.sites for share in site.mix if share.revision != view.target)
    return next(shares, None)


def _as_it_is(view: _View, site: Site, replicas: int) -> tuple[Share, ...]:
    """What the member runs of a paused workload, revision by revision; for a new member, what others run."""
    rows = [row for row in site.figures.values() if row.replicas and row.revision in view.templates]
    if rows and site.settled and sum(row.replicas for row in rows) == replicas:
        return tuple(Share(revision=row.revision, template=view.templates[row.revision], replicas=row.replicas) for row in rows)
    if site.replicas == replicas:
        return site.mix
    held = next(iter(site.mix), None) or next((share for s in view.sites for share in s.mix), None)
    if held is None:
        rendered = view.workload.rendered
        held = Share(revision=rendered.revision, template=rendered.template, replicas=replicas)
    return _resized(site.mix or (held,), replicas)


def _resized(mix: tuple[Share, ...], replicas: int) -> tuple[Share, ...]:
    """The mix with so many replicas in all; its first share takes the difference as far as it can."""
    first, *rest = mix
    more = replicas - sum(share.replicas for share in mix)
    sized = [msgspec.structs.replace(first, replicas=max(0, first.replicas + more)), *rest]
    left = replicas
    kept: list[Share] = []
    for share in sized:
        count = min(left, share.replicas)
        left -= count
        if count:
            kept.append(msgspec.structs.replace(share, replicas=count))
    return tuple(kept)


def _counts(mix: Sequence[Share]) -> dict[str, int]:
    return {share.revision: share.replicas for share in mix}


def _waiting(part: Part) -> int:
    return max(0, part.updates - part.updating) + max(0, part.evictions - part.unavailable)
