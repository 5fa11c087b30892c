"""Deliberate bugs of the kinds that operators really have (PERFORMANCE 2.2), each caught by the law that is there for it.

The suite is only worth what it notices: a mutant that survives is a hole in the laws or in the worlds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import ModuleType

import keeper
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from keeper_cases import cases
from member_worlds import shards
from mutants import infected, mutated
from region_worlds import regions
from sidecar_worlds import fleets

from pincompute.federation.scheduling import pool_controller
from pincompute.operator.replicas import replicas_controller as replicas
from pincompute.operator.sidecars import fleet_controller as sidecars
from pincompute.testing.laws import Broken, Case, Chance, uphold

TRIES = 400  # worlds until a mutant counts as a survivor; most are caught in the first ten


@dataclass(frozen=True)
class Mutant:
    """`changes`: texts of the module, and what stands there instead. `law` catches it, saying `verdict`."""

    module: ModuleType
    law: str
    verdict: str
    changes: tuple[tuple[str, str], ...]

    def __init__(self, module: ModuleType, law: str, verdict: str, *changes: tuple[str, str]) -> None:
        for name, value in (("module", module), ("law", law), ("verdict", verdict), ("changes", changes)):
            object.__setattr__(self, name, value)


MUTANTS: dict[str, Mutant] = {
    "stale read: acts without proof": Mutant(
        keeper, "survives stale views", "left behind|not that of", ("proof if makes or drops else ()", "()")
    ),
    "lost delete: a deleted keeper's things stay": Mutant(
        keeper, "settles", "left behind", ("0 if keeper.deleting else keeper.spec.count", "keeper.spec.count")
    ),
    "two steps that are not idempotent: notes that it is done, then does it": Mutant(
        keeper,
        "survives crashes",
        "goal is not reached|not that of",
        (
            "        return plan(guard, makes, drops)\n",
            (
                "        done = keeper.status.observed_generation == keeper.metadata.generation and not keeper.deleting\n"
                "        return Plan() if done else plan(guard, _report(observed), makes, drops)\n"
            ),
        ),
    ),
    "acts on an empty, unsynced cache": Mutant(
        keeper,
        "never acts on unknown",
        "would remove finalizer|left behind",
        (
            "    everything = views.view(member, CONFIGMAPS).list(keeper.metadata.namespace)\n",
            (
                "    try:\n"
                "        everything = views.view(member, CONFIGMAPS).list(keeper.metadata.namespace)\n"
                "    except Exception:\n"
                "        everything = []\n"
            ),
        ),
    ),
    "counts an unreachable cluster as empty": Mutant(
        keeper,
        "never acts on unknown",
        "would remove finalizer|left behind",
        ("    unreachable = tuple(", "    unreachable = () and tuple("),
    ),
    "deletes a foreign object: by name, not by mark": Mutant(
        keeper,
        "settles",
        "ForeignError",
        ("c.metadata.labels.get(ORIGIN_UID) == keeper.metadata.uid", "c.metadata.name.startswith(keeper.metadata.name)"),
    ),
    "deletes without uid": Mutant(keeper, "settles", "without its uid", ("c.key), c.metadata.uid, f", 'c.key), "", f')),
    "creates with random names": Mutant(
        keeper,
        "is deterministic",
        "plans otherwise",
        (
            'return f"{keeper.metadata.name}-{n}"',
            "return f\"{keeper.metadata.name}-{n}-{id(object()) + __import__('random').randrange(9**9)}\"",
        ),
    ),
    "depends on the order of the cache": Mutant(
        keeper,
        "is deterministic",
        "in another order",
        ("return tuple(sorted(mine, key=lambda c: c.metadata.name))", "return tuple(list(mine)[:1])"),
    ),
    "an unpinned patch": Mutant(
        keeper,
        "settles",
        "without the uid and version",
        ('meta.uid, meta.resource_version, f"{kept} are kept"', 'meta.uid, "", f"{kept} are kept"'),
    ),
    "writes an unchanged status each time": Mutant(
        keeper,
        "settles",
        "does not settle",
        ("    if keeper.status == KeeperStatus", "    if () and keeper.status == KeeperStatus"),
    ),
    "oscillates: makes one more than it keeps": Mutant(
        keeper,
        "settles",
        "does not settle",
        ("for n in range(wanted)\n        if _name", "for n in range(wanted + 1)\n        if _name"),
    ),
    "ignores deletionTimestamp": Mutant(
        keeper,
        "settles",
        "was deleted and is still there",
        ("_release(keeper) if keeper.deleting else", "() if keeper.deleting else"),
    ),
    "writes a status for an older generation": Mutant(
        keeper,
        "settles",
        "goal is not reached|does not settle",
        ('"observedGeneration": meta.generation', '"observedGeneration": max(1, meta.generation - 1)'),
    ),
    "touches what its card does not name": Mutant(
        keeper, "settles", "may not delete", ('CONFIGMAPS, ("apply", "delete")', 'CONFIGMAPS, ("apply",)')
    ),
    "reads what its card does not name": Mutant(
        keeper, "settles", "which its card does not name", (', ReadAccess("members", CONFIGMAPS, _keeper_of))', ",)")
    ),
    "is not woken: no key for events of its children": Mutant(
        keeper,
        "settles",
        "was not woken|not reached",
        ('return (Key(config.metadata.namespace, config.metadata.name.rpartition("-")[0]),)', "return ()"),
    ),
    "forgets ConfirmSet: pods are doubled from a stale view, in the real operator": Mutant(
        replicas,
        "survives stale views",
        "pods in|is made for",
        ("return (shard, whole)", "return ()"),
    ),
    "a container restarts in traffic (S-152), in the real operator": Mutant(
        replicas, "settles", "while it is in traffic", ("*traffic.due(changes)", "*changes")
    ),
    "a container restarts before its pod has drained, in the real operator": Mutant(
        replicas,
        "settles",
        "before it has drained",
        ("Traffic(seen.pods, seen.shard.spec.connection_drain_seconds, seen.now)", "Traffic(seen.pods, 0, seen.now)"),
    ),
    "a replica never gets back into traffic, in the real operator": Mutant(
        replicas, "settles", "stays out of traffic", ("back = traffic.back((*changes, *resizes), actions.delete)", "back = ()")
    ),
    "nothing wakes it when a pod has drained, in the real operator": Mutant(
        replicas,
        "settles",
        "stays out of traffic|not woken|goal is not reached",
        ("status.wake_after, drained,", "status.wake_after,"),
    ),
    "a sidecar ends before its node has the image of the next (S-158), in the real operator": Mutant(
        sidecars, "settles", "ends before .* has hello:", ("seen.pods, pulls.awaiting_image)", "seen.pods)")
    ),
    "nothing wakes the fleet when a node has pulled, in the real operator": Mutant(
        sidecars, "settles", "not woken|goal is not reached", ("(*_by_sidecar(pod), *_by_pulls(pod))", "_by_sidecar(pod)")
    ),
    "a pod goes on pulling an image that nobody wants any more, in the real operator": Mutant(
        sidecars, "settles", "goal is not reached", ("(*pulls.create, *pulls.delete)", "pulls.create")
    ),
    "decides for what it asked before, in the real scheduling": Mutant(
        pool_controller,
        "settles",
        "goal is not reached|not woken",
        (
            "place(workload, observed.members, promised, observed.sidecars, now=observed.now)",
            "workload.status.scheduling or place(workload, observed.members, promised, observed.sidecars, now=observed.now)",
        ),
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_laws_catch(name: str) -> None:
    mutant = MUTANTS[name]
    module = mutated(mutant.module, *mutant.changes)
    worlds = {keeper: cases, replicas: shards, sidecars: fleets}.get(mutant.module, regions)()

    @settings(
        max_examples=TRIES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=worlds, seed=st.integers(0, 2**32))
    def holds(case: Case, seed: int) -> None:
        uphold(mutant.law, infected(case, module), Chance(random.Random(seed)))

    with pytest.raises(Broken, match=mutant.verdict) as caught:
        holds()
    assert caught.value.law == mutant.law
