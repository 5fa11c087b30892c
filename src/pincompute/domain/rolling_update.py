"""Decides a member's rolling update: which pods to create, change and delete, from the present replicas to the wanted mix.

Every reconciliation compares the mix with the live pods and takes the actions that the shard's budget affords. Nothing
remembers an update in progress, so a new mix in the middle of one, a rollback included, is only a new comparison. An action
that disrupts a serving replica spends budget. An action on a replica that does not serve costs nothing and goes first, so a
workload can always leave a broken revision (S-124, S-159). The operator requests what its budget lacks, and the federation,
which knows all members, hands it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WantedRevision:
    """One share of the mix. Replicas of the same shape can take it in place."""

    revision: str
    shape: str
    replicas: int


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """One live pod.

    `ready`: it serves; `available`: it has for long enough. `created` is in seconds since the epoch. `updating`: it has its
    revision, but a container of the former one still runs. `draining`: its node is cordoned. `unschedulable`: no node takes
    it. A request asks to `replace` it, or to `restart` one of its containers. `waits`: it keeps its revision for now, since its
    node does not tell yet what another one has to know.
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
    unschedulable: bool = False
    replace: bool = False
    restart: bool = False
    waits: bool = False
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class MemberBudget:
    """The shard's budget: `unavailable` replicas may be missing for evictions, `updating` for restarts in place.

    Without `in_place` every replica of another revision is replaced by a new pod.
    """

    unavailable: int = 0
    updating: int = 0
    in_place: bool = True


@dataclass(frozen=True, slots=True)
class PodActions:
    """The actions to take now: `create` holds a revision per new pod, `update` pairs of pod and revision, `restart` and
    `delete` pods.

    `updates` and `evictions` count all replicas that wait to be changed in place and to be replaced, the present actions
    included. A surplus replica that serves waits for no budget, unless another one waits for its room.
    """

    create: tuple[str, ...] = ()
    update: tuple[tuple[str, str], ...] = ()
    restart: tuple[str, ...] = ()
    delete: tuple[str, ...] = ()
    updates: int = 0
    evictions: int = 0


def victims(replicas: Iterable[ReplicaState]) -> list[ReplicaState]:
    """Orders pods for removal: not ready first, then the youngest, then those on draining nodes (S-201)."""
    return sorted(replicas, key=lambda r: (r.ready, r.available, -r.created, not r.draining, -r.ordinal, r.name))


def in_place_changes(mix: Sequence[WantedRevision], replicas: Sequence[ReplicaState]) -> list[tuple[ReplicaState, str]]:
    """Returns the replicas that take another revision in place, whatever the budget, each with that revision."""
    missing, surplus = _differences(mix, replicas)
    return _same_shape(surplus[max(0, len(surplus) - len(missing)) :], missing)


def actions(
    mix: Sequence[WantedRevision],
    replicas: Sequence[ReplicaState],
    budget: MemberBudget,
    awaiting_image: Collection[str] = (),
) -> PodActions:
    """Returns the actions to take now; none when the mix is there and there are no requests.

    The nodes of the replicas that are `awaiting_image` are still to pull an image of the revision that they take in place. They
    keep theirs until then, and request nothing.
    """
    total = sum(wanted.replicas for wanted in mix)
    missing, surplus = _differences(mix, replicas)
    excess = max(0, len(surplus) - len(missing))
    movers = surplus[excess:]
    pairs = _same_shape(movers, missing) if budget.in_place else []
    revisions = {replica.name: revision for replica, revision in pairs}
    prepared = [replica for replica, _ in pairs if replica.name not in awaiting_image]
    waiting = {name for name in awaiting_image if name in revisions}
    gone = {replica.name for replica in surplus} - waiting  # what waits for its node can be restarted or replaced meanwhile
    restarts = [r for r in replicas if r.restart and r.name not in gone]
    replaced = [r for r in movers if r.name not in revisions and not r.waits] + [
        r for r in replicas if r.replace and r.name not in gone
    ]
    allowance = _Allowance(replicas, total)
    deleted = allowance.take(surplus[:excess], budget.unavailable)
    updated = allowance.take(prepared, budget.updating)
    restarted = allowance.take(restarts, budget.updating)
    deleted += allowance.take(replaced, budget.unavailable)
    blocking = min(sum(r.ready for r in surplus[:excess]), sum(r.unschedulable for r in replicas))
    to_make = _without(missing, revisions.values())
    return PodActions(
        create=tuple(to_make[: max(0, total - len(replicas))]),
        update=tuple((replica.name, revisions[replica.name]) for replica in updated),
        restart=tuple(replica.name for replica in restarted),
        delete=tuple(replica.name for replica in deleted),
        updates=len(prepared) + len(restarts),
        evictions=len(replaced) + blocking,
    )


def kept(mix: Sequence[WantedRevision], replicas: Sequence[ReplicaState]) -> PodActions:
    """Returns the actions of a paused shard: what is missing altogether is created, nothing is changed or removed (S-258)."""
    missing, _surplus = _differences(mix, replicas)
    lacking = max(0, sum(wanted.replicas for wanted in mix) - len(replicas))
    return PodActions(create=tuple(wanted.revision for wanted in missing[:lacking]))


class _Allowance:
    """How many ready and how many available replicas there are beyond `total`; every disruption of one uses them up."""

    def __init__(self, replicas: Sequence[ReplicaState], total: int) -> None:
        self._ready = sum(r.ready for r in replicas) - total
        self._available = sum(r.available for r in replicas) - total

    def take(self, replicas: Iterable[ReplicaState], budget: int) -> list[ReplicaState]:
        """Returns those that may be disrupted now when `budget` replicas may be missing."""
        chosen: list[ReplicaState] = []
        for replica in replicas:
            if replica.ready and self._ready + budget <= 0:
                continue
            if replica.available and self._available + budget <= 0:
                continue
            self._ready -= replica.ready
            self._available -= replica.available
            chosen.append(replica)
        return chosen


def _differences(
    mix: Sequence[WantedRevision], replicas: Sequence[ReplicaState]
) -> tuple[list[WantedRevision], list[ReplicaState]]:
    """Returns a share per missing replica, in the order of the mix, and the surplus replicas, victims first."""
    by_revision: dict[str, list[ReplicaState]] = {}
    for replica in victims(replicas):
        by_revision.setdefault(replica.revision, []).append(replica)
    missing: list[WantedRevision] = []
    surplus: list[ReplicaState] = []
    for wanted in mix:
        held = by_revision.pop(wanted.revision, [])
        surplus += held[: max(0, len(held) - wanted.replicas)]
        missing += [wanted] * (wanted.replicas - len(held))
    surplus += [replica for rest in by_revision.values() for replica in rest]
    return missing, victims(surplus)


def _same_shape(movers: Sequence[ReplicaState], missing: Sequence[WantedRevision]) -> list[tuple[ReplicaState, str]]:
    """Returns pairs of a replica and the missing revision that it can take in place."""
    open_by_shape: dict[str, list[str]] = {}
    for wanted in reversed(missing):
        open_by_shape.setdefault(wanted.shape, []).append(wanted.revision)
    return [(r, open_by_shape[r.shape].pop()) for r in movers if open_by_shape.get(r.shape)]


def _without(missing: Sequence[WantedRevision], taken: Iterable[str]) -> list[str]:
    """Returns the revisions of `missing` in their order, less those that are taken."""
    gone = Counter(taken)
    rest: list[str] = []
    for wanted in missing:
        if gone[wanted.revision] > 0:
            gone[wanted.revision] -= 1
        else:
            rest.append(wanted.revision)
    return rest
