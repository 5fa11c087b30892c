"""The smallest complete controller: a Keeper on the host keeps `count` ConfigMaps in every member, and counts
them.

It tests the law suite, and is the example in CONTRIBUTING.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pincompute.api.labels import HOST, MANAGED_BY, ORIGIN_UID, PINCOMPUTE
from pincompute.api.meta import Key, Object, Resource, Struct
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.plan import Apply, Confirm, Delete, Patch, Plan, Ref, Replace, Stage, plan
from pincompute.kube.cache_views import Views

FINALIZER = "example.org/kept"


class KeeperSpec(Struct):
    count: int = 0


class KeeperStatus(Struct):
    observed_generation: int = 0
    kept: int = 0


class Keeper(Object):
    spec: KeeperSpec
    status: KeeperStatus = KeeperStatus()


KEEPERS = Resource("example.org", "v1", "Keeper", "keepers", True, Keeper)
CONFIGMAPS = Resource("", "v1", "ConfigMap", "configmaps", True, Object)


@dataclass(frozen=True, slots=True)
class ObservedKeeper:
    keeper: Keeper
    kept: tuple[tuple[str, tuple[Object, ...]], ...]  # by member; members that do not answer are absent
    unreachable: tuple[str, ...]


def decide(observed: ObservedKeeper) -> Plan:
    keeper = observed.keeper
    wanted = 0 if keeper.deleting else keeper.spec.count
    makes = tuple(a for member, kept in observed.kept for a in _makes(keeper, member, kept, wanted))
    drops = tuple(a for member, kept in observed.kept for a in _drops(member, kept, keeper, wanted))
    proof = (Confirm(Ref(HOST, KEEPERS, keeper.key), keeper.metadata.uid, keeper.metadata.generation),)
    guard: Stage = proof if makes or drops else ()
    if makes or drops or observed.unreachable:
        return plan(guard, makes, drops)
    return plan(_release(keeper) if keeper.deleting else _report(observed))


def observe(key: Key, views: Views, _now: datetime) -> ObservedKeeper | None:
    keeper = views.view(HOST, KEEPERS).get(key)
    if keeper is None:
        return None
    answering = [m for m in views.members() if views.reachable(m)]
    unreachable = tuple(m for m in ("a1", "b1") if m not in answering)
    return ObservedKeeper(keeper, tuple((m, _kept(keeper, m, views)) for m in answering), unreachable)


def _kept(keeper: Keeper, member: str, views: Views) -> tuple[Object, ...]:
    everything = views.view(member, CONFIGMAPS).list(keeper.metadata.namespace)
    mine = (c for c in everything if c.metadata.labels.get(ORIGIN_UID) == keeper.metadata.uid)
    return tuple(sorted(mine, key=lambda c: c.metadata.name))


def _name(keeper: Keeper, n: int) -> str:
    return f"{keeper.metadata.name}-{n}"


def _makes(keeper: Keeper, member: str, kept: tuple[Object, ...], wanted: int) -> list[Apply]:
    there = {c.metadata.name for c in kept}
    return [
        Apply(
            Ref(member, CONFIGMAPS, Key(keeper.metadata.namespace, _name(keeper, n))),
            {"metadata": {"labels": {MANAGED_BY: PINCOMPUTE, ORIGIN_UID: keeper.metadata.uid}}},
            f"{wanted} are wanted",
        )
        for n in range(wanted)
        if _name(keeper, n) not in there
    ]


def _drops(member: str, kept: tuple[Object, ...], keeper: Keeper, wanted: int) -> list[Delete]:
    names = {_name(keeper, n) for n in range(wanted)}
    return [
        Delete(Ref(member, CONFIGMAPS, c.key), c.metadata.uid, f"{wanted} are wanted")
        for c in kept
        if c.metadata.name not in names
    ]


def _release(keeper: Keeper) -> Stage:
    meta = keeper.metadata
    if FINALIZER not in meta.finalizers:
        return ()
    body = {"metadata": {"finalizers": [f for f in meta.finalizers if f != FINALIZER]}}
    return (Patch(Ref(HOST, KEEPERS, keeper.key), body, meta.uid, meta.resource_version, "nothing is kept"),)


def _report(observed: ObservedKeeper) -> Stage:
    keeper, meta = observed.keeper, observed.keeper.metadata
    kept = sum(len(kept) for _, kept in observed.kept)
    if keeper.status == KeeperStatus(observed_generation=meta.generation, kept=kept):
        return ()
    body = {"status": {"observedGeneration": meta.generation, "kept": kept}}
    return (Replace(Ref(HOST, KEEPERS, keeper.key), body, meta.uid, meta.resource_version, f"{kept} are kept", "status"),)


def _keeper_of(_cluster: str, config: Object) -> tuple[Key, ...]:
    return (Key(config.metadata.namespace, config.metadata.name.rpartition("-")[0]),)


CONTROLLER = Controller(
    Card(
        name="example.keeper",
        promise="Every member has as many ConfigMaps as the Keeper says.",
        key="Keeper",
        reads=(ReadAccess("host", KEEPERS, own_key), ReadAccess("members", CONFIGMAPS, _keeper_of)),
        writes=(WriteAccess("host", KEEPERS, ("patch", "status")), WriteAccess("members", CONFIGMAPS, ("apply", "delete"))),
    ),
    observe,
    decide,
)
