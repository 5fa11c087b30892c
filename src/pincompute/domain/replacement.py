"""From the replicas there are to the mix of revisions there should be, a few at a time.

Every look compares the mix with what lives and makes the moves that can be afforded now; there is no memory of an update in
progress, so a new mix in the middle of one, a rollback included, is only a new comparison. A move of a replica that serves
costs one of the disruptions allowed; one that does not serve costs nothing and goes first, so a broken revision can always
be left (S-124, S-159). The surprising rule: an update in place counts a percentage of unavailable replicas upwards, because
a container that restarts is a smaller evil than a pod that goes; an explicit 0 still forbids it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pincompute.api.workloads import Update


@dataclass(frozen=True, slots=True)
class Wanted:
    """One share of the mix. Replicas of the same shape can take it in place."""

    revision: str
    shape: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Replica:
    """One live pod. `available`: it serves, and has for long enough. `created` is in seconds since the epoch.

    `updating`: it has its revision, but a container of the former one still runs.
    """

    name: str
    revision: str
    shape: str
    ordinal: int = 0
    created: float = 0.0
    ready: bool = True
    available: bool = True
    updating: bool = False
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """`unavailable` replicas may be missing at a time, `in_place` while containers restart; `surge` more may exist."""

    unavailable: int
    in_place: int
    surge: int


@dataclass(frozen=True, slots=True)
class Moves:
    """`create` holds a revision per new pod, `update` pairs of pod and revision, `delete` pods."""

    create: tuple[str, ...] = ()
    update: tuple[tuple[str, str], ...] = ()
    delete: tuple[str, ...] = ()


def limits(update: Update, total: int, *, single: bool = False) -> Limits:
    """As a Deployment rounds: surge up, unavailable down, never both zero. A single unit is never doubled."""
    unavailable, surge = _part(update.max_unavailable, total, up=False), _part(update.max_surge, total, up=True)
    if single:
        unavailable, surge = 1, 0
    if not unavailable and not surge:
        unavailable = 1
    at_once = max(unavailable, _part(update.max_unavailable, total, up=True))
    return Limits(unavailable, 0 if update.type == "Recreate" else at_once, surge)


def _part(value: int | str, total: int, *, up: bool) -> int:
    """A count, or a percentage of `total`."""
    if isinstance(value, int):
        return max(0, value)
    share = int(value.removesuffix("%")) * total if value.endswith("%") else int(value) * 100
    return max(0, -(-share // 100) if up else share // 100)


def victims(replicas: Iterable[Replica]) -> list[Replica]:
    """In the order in which they go: not ready first, then the youngest, then those on draining nodes (S-201)."""
    return sorted(replicas, key=lambda r: (r.ready, r.available, -r.created, not r.draining, -r.ordinal, r.name))


def moves(mix: Sequence[Wanted], replicas: Sequence[Replica], limit: Limits) -> Moves:
    """What may be done now. Nothing when the mix is there."""
    total = sum(wanted.replicas for wanted in mix)
    missing, surplus = _differences(mix, replicas)
    purse = _Purse(sum(r.available for r in replicas) - total)
    excess = max(0, len(surplus) - len(missing))
    deleted = purse.afford(surplus[:excess], limit.unavailable)
    movers = surplus[excess:]
    pairs = _same_shape(movers, missing) if limit.in_place else []
    paired = {replica.name for replica, _ in pairs}
    updated = {r.name for r in purse.afford([replica for replica, _ in pairs], limit.in_place)}
    to_make = _without(missing, [revision for _, revision in pairs])
    create = to_make[: max(0, total + limit.surge - len(replicas))]
    deleted += purse.afford([r for r in movers if r.name not in paired], limit.unavailable)
    return Moves(
        create=tuple(create),
        update=tuple((replica.name, revision) for replica, revision in pairs if replica.name in updated),
        delete=tuple(r.name for r in deleted),
    )


def kept(mix: Sequence[Wanted], replicas: Sequence[Replica]) -> Moves:
    """The moves of a paused shard: what is missing altogether is made, nothing is changed or taken away (S-258)."""
    missing, _surplus = _differences(mix, replicas)
    lacking = max(0, sum(wanted.replicas for wanted in mix) - len(replicas))
    return Moves(create=tuple(wanted.revision for wanted in missing[:lacking]))


class _Purse:
    """How many available replicas more than `total` there are; every one that is disturbed is paid for."""

    def __init__(self, spare: int) -> None:
        self._spare = spare

    def afford(self, replicas: Iterable[Replica], credit: int) -> list[Replica]:
        """Those that may be disturbed now when `credit` replicas may be missing."""
        chosen: list[Replica] = []
        for replica in replicas:
            if replica.available and self._spare + credit <= 0:
                continue
            self._spare -= replica.available
            chosen.append(replica)
        return chosen


def _differences(mix: Sequence[Wanted], replicas: Sequence[Replica]) -> tuple[list[Wanted], list[Replica]]:
    """A share per missing replica, in the order of the mix, and the replicas that are too many, victims first."""
    by_revision: dict[str, list[Replica]] = {}
    for replica in victims(replicas):
        by_revision.setdefault(replica.revision, []).append(replica)
    missing: list[Wanted] = []
    surplus: list[Replica] = []
    for wanted in mix:
        held = by_revision.pop(wanted.revision, [])
        surplus += held[: max(0, len(held) - wanted.replicas)]
        missing += [wanted] * (wanted.replicas - len(held))
    surplus += [replica for rest in by_revision.values() for replica in rest]
    return missing, victims(surplus)


def _same_shape(movers: Sequence[Replica], missing: Sequence[Wanted]) -> list[tuple[Replica, str]]:
    """Pairs of a replica and the missing revision it can take in place."""
    open_by_shape: dict[str, list[str]] = {}
    for wanted in reversed(missing):
        open_by_shape.setdefault(wanted.shape, []).append(wanted.revision)
    return [(r, open_by_shape[r.shape].pop()) for r in movers if open_by_shape.get(r.shape)]


def _without(missing: Sequence[Wanted], taken: Iterable[str]) -> list[str]:
    rest = [wanted.revision for wanted in missing]
    for revision in taken:
        rest.remove(revision)
    return rest
