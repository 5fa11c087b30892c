"""Keeps one disruption account per workload: how many replicas may be missing at a time over all clusters.

The account promises that of `replicas` at least `replicas - unavailable` are ready at any instant, as far as that depends on
the platform. Every disruption that the platform causes draws on it: updates, restarts, drains, moves between clusters. The
federation hands each member a part of it in absolute numbers, a budget. The member's operator keeps within its budget
without asking again, and the federation makes the next budget when the last one has come back.

What a member *guarantees* is the number of replicas that stay ready there whatever its operator does: of those that are ready
now, as many as its budget does not give away. A member that does not answer guarantees nothing. A lowered budget counts
as the former one until the operator has confirmed it, because until then the operator may still use the former one.

A replica is *available* when it has been ready for long enough. Only available replicas free a part of the account for the next
disruption, so that an update goes no faster than its replicas prove themselves. What is ready and not yet available is
protected all the same: a longer `minReadySeconds` makes no serving replica free to take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Account:
    """Of `replicas`, `unavailable` may be missing at a time; `surge` more may exist during a disruption. `single`: there are
    never more than `replicas`, so a replica that moves is gone before it starts again.
    """

    replicas: int
    unavailable: int
    surge: int
    single: bool = False

    @property
    def promised(self) -> int:
        """Returns how many are ready at any instant."""
        return max(0, self.replicas - self.unavailable)

    def without_surge(self) -> Account:
        """Returns the account for when no cluster has room for a surge replica: then at least one may be missing."""
        return replace(self, surge=0, unavailable=max(1, self.unavailable))


def account(replicas: int, unavailable: int | str, surge: int | str) -> Account:
    """Returns the account of that many replicas, from counts or percentages of them.

    As in a Deployment, percentages of `unavailable` are rounded down and those of `surge` up. With neither, one replica at a
    time may be missing, because otherwise nothing could ever change.
    """
    made = Account(replicas, _part(unavailable, replicas, up=False), _part(surge, replicas, up=True))
    return made if made.surge else made.without_surge()


def waiting_sentence(account: Account, waiting: int, available: int) -> str:
    """Returns what holds so many replicas up that wait for the account, in a sentence."""
    replicas = "1 replica waits" if waiting == 1 else f"{waiting} replicas wait"
    missing = max(0, account.replicas - available)
    are = f"{missing} of {account.replicas} {'is' if missing == 1 else 'are'} unavailable"
    if not account.unavailable:
        why = f"{are}, and none may be" if missing else "all have to stay available, so a new one has to become available first"
        return f"{replicas} to be changed: {why}"
    if missing >= account.unavailable:
        return f"{replicas} to be changed: {are}, and no more than {account.unavailable} may be"
    turn = "its turn" if waiting == 1 else "their turn"
    return f"{replicas} for {turn}: at most {account.unavailable} of {account.replicas} may be unavailable at a time"


def _part(value: int | str, total: int, *, up: bool) -> int:
    """Returns a count, or a percentage of `total`."""
    if isinstance(value, int):
        return max(0, value)
    share = int(value.removesuffix("%")) * total if value.endswith("%") else int(value) * 100
    return max(0, -(-share // 100) if up else share // 100)


@dataclass(frozen=True, slots=True)
class Part:
    """One member's part of the workload.

    `target`: replicas it should have in the end; `replicas`: those its shard asks for now. `ready` and `available`: of the
    pods there.
    `unavailable` and `updating`: its budget now, for evictions and for restarts in place. `guaranteed`: the least that
    its operator last confirmed; `settled`: it confirmed that of the shard as it is now. `known`: the member answers.
    `evictions`, `updates` and `drains` are replicas that wait there for a disruption.
    """

    cluster: str
    target: int
    replicas: int = 0
    ready: int = 0
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
        """Returns how many stay ready as far as the operator's own actions go."""
        return max(0, self.replicas - self.unavailable - self.updating)

    @property
    def guarantee(self) -> int:
        """Returns the replicas that stay ready there whatever the operator does."""
        return min(self.ready, self.floor, self.guaranteed) if self.known else 0

    @property
    def proven_guarantee(self) -> int:
        """Returns those of them that are available."""
        return min(self.available, self.guarantee)

    @property
    def updating_needed(self) -> int:
        """Returns the budget with which everything that waits can restart; it must also cover what is missing there
        already.
        """
        return self.updates + max(0, self.replicas - self.available) if self.updates else 0

    def unavailable_needed(self, waiting: int) -> int:
        """Returns the budget with which everything that waits can be evicted, likewise."""
        return waiting + max(0, self.replicas - self.available) if waiting else 0

    @property
    def can_be_raised(self) -> bool:
        """Returns whether it is known which floor the operator follows, so that a higher floor hides no lower one that it
        may still use.
        """
        return self.known and (self.settled or self.guaranteed == 0)


_Grant: TypeAlias = Callable[[Part, int], Part | None]
"""Returns a part with at most so many more of one kind of budget; None when it waits for none."""


def allot(whole: Account, parts: Sequence[Part]) -> tuple[Part, ...]:
    """Returns the parts with the replicas and budgets that each member should get now.

    No step takes the sum of all guarantees below the promise; what does not fit is left for later. First members grow and
    give back what they no longer need, then those that have too many shrink, then the rest of the account is handed out.
    While replicas are lost, unspent budgets are withdrawn first.
    """
    grown = _grown(whole, [_returned(part) for part in parts])
    if guaranteed(grown) < whole.promised:
        grown = [_withdrawn(part) for part in grown]
    return _handed_out(whole, _shrunk(whole, _drains_released(grown)))


def guaranteed(parts: Iterable[Part]) -> int:
    return sum(part.guarantee for part in parts)


def _proven(parts: Iterable[Part]) -> int:
    return sum(part.proven_guarantee for part in parts)


def _returned(part: Part) -> Part:
    """Returns the part without the budget that nothing there waits for."""
    spent = part.updating + part.unavailable
    if not spent or not part.can_be_raised:
        return part
    return replace(
        part,
        updating=min(part.updating, part.updating_needed),
        unavailable=min(part.unavailable, part.unavailable_needed(part.evictions + part.drains)),
    )


def _grown(whole: Account, parts: list[Part]) -> list[Part]:
    """Returns the parts with the replicas they lack. What may never exist twice grows only when as much has gone elsewhere."""
    free = whole.replicas - sum(part.replicas for part in parts) if whole.single else None
    made: list[Part] = []
    for part in parts:
        more = max(0, part.target - part.replicas) if part.can_be_raised else 0
        if free is not None:
            more = max(0, min(more, free))
            free -= more
        made.append(replace(part, replicas=part.replicas + more) if more else part)
    return made


def _withdrawn(part: Part) -> Part:
    """Returns the parts without unspent budgets: nothing else is disrupted until what was lost is back."""
    unspent = max(0, part.ready - part.floor) if part.can_be_raised else 0
    evictions = min(part.unavailable, unspent)
    updates = min(part.updating, unspent - evictions)
    if not evictions + updates:
        return part
    return replace(part, unavailable=part.unavailable - evictions, updating=part.updating - updates)


def _drains_released(parts: list[Part]) -> list[Part]:
    """Returns the parts without what drains were allotted, while an update waits: a cordon may last for days, an update does
    not.
    """
    if not any(_lacks(part) for part in parts):
        return parts
    return [
        replace(p, unavailable=min(p.unavailable, p.unavailable_needed(p.evictions))) if p.can_be_raised else p for p in parts
    ]


def _lacks(part: Part) -> bool:
    return part.known and (part.updating < part.updating_needed or part.unavailable < part.unavailable_needed(part.evictions))


def _shrunk(whole: Account, parts: list[Part]) -> list[Part]:
    """Returns the parts with surplus replicas removed, once as many others are available: a move by itself disrupts nothing
    (N7).

    What may never exist twice cannot wait for others: it shrinks as far as the account allows.
    """
    needed = whole.promised if whole.single else whole.replicas
    made: list[Part] = []
    total = _proven(parts)
    for part in parts:
        smaller = _smaller(part, max(0, total - needed))
        total -= part.proven_guarantee - smaller.proven_guarantee
        made.append(smaller)
    return made


def _smaller(part: Part, spare: int) -> Part:
    """Returns the part shrunk towards its target by as much as costs at most `spare` of its guarantee."""
    if not part.known or part.replicas <= part.target:
        return part
    spent = part.unavailable + part.updating
    least = max(part.target, part.guarantee - spare + spent) if part.guarantee > spare else part.target
    return replace(part, replicas=min(part.replicas, least))


def _handed_out(whole: Account, parts: list[Part]) -> tuple[Part, ...]:
    """Returns the parts with the rest of the account. While less than promised serves there is no rest: a budget for what is
    missing would take a serving replica as soon as another one came back. What does not serve changes without a budget.
    """
    if _proven(parts) < whole.promised:
        return tuple(parts)
    made = parts
    for grant in (_for_updates, _for_evictions):
        made = _divided(grant, made, _proven(made) - whole.promised)
    if any(_lacks(part) for part in made):
        return tuple(made)  # a drain would only keep the update waiting
    return tuple(_divided(_for_drains, made, _proven(made) - whole.promised))


def _divided(grant: _Grant, parts: list[Part], spare: int) -> list[Part]:
    """Returns the parts with the spare part of the account, divided evenly over those that wait for this kind of budget."""
    made = list(parts)
    waiting = [i for i, part in enumerate(made) if grant(part, 1) is not None]
    for left, i in zip(range(len(waiting), 0, -1), waiting, strict=True):
        before = made[i]
        made[i] = _granted(grant, before, max(0, -(-spare // left)))
        spare -= before.proven_guarantee - made[i].proven_guarantee
    return made


def _granted(grant: _Grant, part: Part, spare: int) -> Part:
    """Returns the part with as much of its request as costs at most `spare`: what is missing there already costs nothing."""
    return grant(part, spare + max(0, part.floor - part.ready)) or part


def _for_updates(part: Part, most: int) -> Part | None:
    more = min(most, part.updating_needed - part.updating)
    return replace(part, updating=part.updating + more) if part.known and more > 0 else None


def _for_evictions(part: Part, most: int) -> Part | None:
    more = min(most, part.unavailable_needed(part.evictions) - part.unavailable)
    return replace(part, unavailable=part.unavailable + more) if part.known and more > 0 else None


def _for_drains(part: Part, most: int) -> Part | None:
    more = min(most, part.unavailable_needed(part.evictions + part.drains) - part.unavailable)
    return replace(part, unavailable=part.unavailable + more) if part.known and more > 0 else None
