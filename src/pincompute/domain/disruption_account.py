"""This module keeps one disruption account per workload: how many replicas may be missing at a time over all clusters.

The account promises that of `replicas` at least `replicas - unavailable` are available at any instant, as far as that depends
on the platform. Every disruption that the platform causes draws on it: updates, restarts, drains, moves between clusters. The
federation hands each member a part of it in absolute numbers, an allotment. The member's operator keeps within its allotment
without asking again, and the federation makes the next allotment when the last one has come back.

What a member *guarantees* is the number of replicas that stay available there whatever its operator does: of those that are
available now, as many as its allotment does not give away. A member that does not answer guarantees nothing. A lowered
allotment counts as the former one until the operator has confirmed it, because until then the operator may still use the
former one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Account:
    """Of `replicas`, `unavailable` may be missing at a time; `surge` more may exist while something is disturbed.

    `single`: never more than `replicas` exist, so what moves is gone before it comes again.
    """

    replicas: int
    unavailable: int
    surge: int
    single: bool = False

    @property
    def promised(self) -> int:
        """So many are available at any instant."""
        return max(0, self.replicas - self.unavailable)

    def without_surge(self) -> Account:
        """The account where no cluster has room for one replica more: then at least one may be missing."""
        return replace(self, surge=0, unavailable=max(1, self.unavailable))


def account(replicas: int, unavailable: int | str, surge: int | str) -> Account:
    """The account of so many replicas, from counts or percentages of them.

    Percentages of `unavailable` are rounded down, those of `surge` up, as a Deployment rounds; with neither, one replica at a
    time may be missing, or nothing could ever change.
    """
    made = Account(replicas, _part(unavailable, replicas, up=False), _part(surge, replicas, up=True))
    return made if made.surge else made.without_surge()


def _part(value: int | str, total: int, *, up: bool) -> int:
    """A count, or a percentage of `total`."""
    if isinstance(value, int):
        return max(0, value)
    share = int(value.removesuffix("%")) * total if value.endswith("%") else int(value) * 100
    return max(0, -(-share // 100) if up else share // 100)


@dataclass(frozen=True, slots=True)
class Part:
    """One member's part of the workload.

    `target`: replicas it should have in the end; `replicas`: those its shard asks for now. `available`: of the pods there.
    `unavailable` and `updating`: its allotment now, for evictions and for restarts in place. `guaranteed`: what its operator
    last said it guarantees at least; `settled`: it said so of the shard as it is now. `known`: the member answers. `evictions`,
    `updates` and `drains` are replicas that wait to be disturbed there.
    """

    cluster: str
    target: int
    replicas: int = 0
    available: int = 0
    unavailable: int = 0
    updating: int = 0
    guaranteed: int = 0
    settled: bool = True
    known: bool = True
    evictions: int = 0
    updates: int = 0
    drains: int = 0

    @property
    def floor(self) -> int:
        """The operator never lets fewer be available by its own doing."""
        return max(0, self.replicas - self.unavailable - self.updating)

    @property
    def guarantee(self) -> int:
        """Replicas that stay available there whatever the operator does."""
        return min(self.available, self.floor, self.guaranteed) if self.known else 0

    @property
    def updating_needed(self) -> int:
        """The allotment with which all that waits can restart: what is missing there already has to be covered as well."""
        return self.updates + max(0, self.replicas - self.available) if self.updates else 0

    def unavailable_needed(self, waiting: int) -> int:
        """The allotment with which so many that wait can be evicted, likewise."""
        return waiting + max(0, self.replicas - self.available) if waiting else 0

    @property
    def can_be_raised(self) -> bool:
        """What its operator may be acting on is known, so that a higher floor hides no lower one that it may still use."""
        return self.known and (self.settled or self.guaranteed == 0)


_Grant: TypeAlias = Callable[[Part, int], Part | None]
"""A part with at most so many more of one kind of allotment; None when it waits for none."""


def allot(whole: Account, parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts with the replicas and allotments that each member should be given now.

    No step takes the sum of all guarantees below the promise; what has to be left for later is left. First members grow and
    give back what they no longer need, then those that have too many shrink, then what is left of the account is handed out.
    While replicas are lost, what was handed out and is not spent is taken back first.
    """
    grown = _grown(whole, [_returned(part) for part in parts])
    if guaranteed(grown) < whole.promised:
        grown = [_withdrawn(part) for part in grown]
    return _handed_out(whole, _shrunk(whole, _drains_released(grown)))


def guaranteed(parts: Iterable[Part]) -> int:
    return sum(part.guarantee for part in parts)


def _returned(part: Part) -> Part:
    """Without the allotment that nothing there waits for."""
    if not part.can_be_raised:
        return part
    return replace(
        part,
        updating=min(part.updating, part.updating_needed),
        unavailable=min(part.unavailable, part.unavailable_needed(part.evictions + part.drains)),
    )


def _grown(whole: Account, parts: list[Part]) -> list[Part]:
    """With the replicas they lack. What may never exist twice comes only when as much has gone elsewhere."""
    free = whole.replicas - sum(part.replicas for part in parts) if whole.single else None
    made: list[Part] = []
    for part in parts:
        more = max(0, part.target - part.replicas) if part.can_be_raised else 0
        if free is not None:
            more = max(0, min(more, free))
            free -= more
        made.append(replace(part, replicas=part.replicas + more))
    return made


def _withdrawn(part: Part) -> Part:
    """Without what it was allotted and has not spent: nothing else is disturbed until what was lost is back."""
    unspent = max(0, part.available - part.floor) if part.can_be_raised else 0
    evictions = min(part.unavailable, unspent)
    updates = min(part.updating, unspent - evictions)
    return replace(part, unavailable=part.unavailable - evictions, updating=part.updating - updates)


def _drains_released(parts: list[Part]) -> list[Part]:
    """While an update waits, drains give back what they were allotted: a cordon may last for days, an update does not."""
    if not any(_lacks(part) for part in parts):
        return parts
    return [
        replace(p, unavailable=min(p.unavailable, p.unavailable_needed(p.evictions))) if p.can_be_raised else p for p in parts
    ]


def _lacks(part: Part) -> bool:
    return part.known and (part.updating < part.updating_needed or part.unavailable < part.unavailable_needed(part.evictions))


def _shrunk(whole: Account, parts: list[Part]) -> list[Part]:
    """Replicas go where they are too many, once as many others are available: a move by itself disturbs nobody (N7).

    What may never exist twice cannot wait for others: it goes as far as the account allows.
    """
    needed = whole.promised if whole.single else whole.replicas
    made: list[Part] = []
    total = guaranteed(parts)
    for part in parts:
        smaller = _smaller(part, max(0, total - needed))
        total -= part.guarantee - smaller.guarantee
        made.append(smaller)
    return made


def _smaller(part: Part, spare: int) -> Part:
    """The part shrunk towards its target by as much as costs no more than `spare` of its guarantee."""
    if not part.known or part.replicas <= part.target:
        return part
    spent = part.unavailable + part.updating
    least = max(part.target, part.guarantee - spare + spent) if part.guarantee > spare else part.target
    return replace(part, replicas=min(part.replicas, least))


def _handed_out(whole: Account, parts: list[Part]) -> tuple[Part, ...]:
    made = parts
    for grant in (_for_updates, _for_evictions):
        made = _divided(grant, made, guaranteed(made) - whole.promised)
    if any(_lacks(part) for part in made):
        return tuple(made)  # a drain would only keep the update waiting
    return tuple(_divided(_for_drains, made, guaranteed(made) - whole.promised))


def _divided(grant: _Grant, parts: list[Part], spare: int) -> list[Part]:
    """The parts with what is spare of the account, divided evenly over those that wait for this kind of allotment."""
    made = list(parts)
    waiting = [i for i, part in enumerate(made) if grant(part, 1) is not None]
    for left, i in zip(range(len(waiting), 0, -1), waiting, strict=True):
        before = made[i]
        made[i] = _granted(grant, before, max(0, -(-spare // left)))
        spare -= before.guarantee - made[i].guarantee
    return made


def _granted(grant: _Grant, part: Part, spare: int) -> Part:
    """As much of what it waits for as costs no more than `spare`: what is missing there already costs nothing."""
    return grant(part, spare + max(0, part.floor - part.available)) or part


def _for_updates(part: Part, most: int) -> Part | None:
    more = min(most, part.updating_needed - part.updating)
    return replace(part, updating=part.updating + more) if part.known and more > 0 else None


def _for_evictions(part: Part, most: int) -> Part | None:
    more = min(most, part.unavailable_needed(part.evictions) - part.unavailable)
    return replace(part, unavailable=part.unavailable + more) if part.known and more > 0 else None


def _for_drains(part: Part, most: int) -> Part | None:
    more = min(most, part.unavailable_needed(part.evictions + part.drains) - part.unavailable)
    return replace(part, unavailable=part.unavailable + more) if part.known and more > 0 else None
