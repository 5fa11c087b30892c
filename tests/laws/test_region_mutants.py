"""Deliberate bugs in the arithmetic of `domain` and in controllers of the region, each caught by a law.

A bug in `domain` is planted wherever the module is used; one in a controller takes that controller's place.
"""

from __future__ import annotations

import random
from contextlib import nullcontext
from dataclasses import dataclass
from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mutants import infected, mutated, planted
from region_worlds import regions

from pincompute.domain import handover, replacement, room, spread
from pincompute.engine.laws import Broken, Case, Chance, uphold
from pincompute.federation import health, projects, removal, sweep
from pincompute.operator import capacity

TRIES = 300  # worlds until a mutant counts as a survivor


@dataclass(frozen=True)
class Bug:
    """`old` stands once in the module, and `new` in its place is wrong. `law` catches it, saying `verdict`."""

    module: ModuleType
    law: str
    verdict: str
    old: str
    new: str
    storms: bool = False
    sure: str = ""
    also: tuple[tuple[str, str], ...] = ()


BUGS: dict[str, Bug] = {
    "health gives a member up at once (S-017)": Bug(
        health, "settles", "is given up after 0.0 s", "    if held >= patience:\n", "    if held is not None:\n", storms=True
    ),
    "health never tells that a member answers": Bug(
        health, "settles", "goal is not reached", "    if seen.member.reachable:\n", "    if not seen.member.reachable:\n"
    ),
    "health writes a status that says nothing new": Bug(
        health, "settles", "does not settle", "    if not difference:\n", "    if not difference and False:\n"
    ),
    "health does not wake up when its patience is over": Bug(
        health, "settles", "was not woken", "(patience - held).total_seconds()", "None", storms=True
    ),
    "removal lets a member go that has shards": Bug(
        removal,
        "settles",
        "is let go with",
        "    if seen.placed or seen.shards:\n",
        "    if not seen.cluster:\n",
        sure="leave",
        also=(("return plan(proofs, (_release(cluster),))", "return plan((_release(cluster),))"),),
    ),
    "removal asks no server before it lets a member go": Bug(
        removal,
        "survives stale views",
        "is let go with",
        "return plan(proofs, (_release(cluster),))",
        "return plan((_release(cluster),))",
        sure="leave",
    ),
    "removal takes silence for death": Bug(
        removal,
        "never acts on unknown",
        "would remove finalizer",
        "    if conditions.is_true(cluster.status.conditions, members.READY):\n",
        "    if () and conditions:\n",
        sure="leave",
    ),
    "sweep deletes shards that are claimed": Bug(
        sweep,
        "settles",
        "goes from .* although replicas belong there",
        "        if claimed is None or claimed.metadata.uid != shard.spec.origin.uid:\n",
        "        if claimed is None or claimed.metadata.uid != shard.metadata.uid:\n",
    ),
    "sweep asks no server before it deletes": Bug(
        sweep,
        "survives stale views",
        "goes from .* although replicas belong there",
        "return plan(proofs, deletes)",
        "return plan(deletes)",
    ),
    "projects make no namespace in members": Bug(
        projects, "settles", "goal is not reached", "        if member.reachable:\n", "        if not member:\n"
    ),
    "projects write a status that says nothing new": Bug(
        projects, "settles", "does not settle", "    if not difference:\n", "    if not difference and False:\n"
    ),
    "projects do not look again at a member that was silent": Bug(
        projects,
        "never acts on unknown",
        "was not woken",
        "    wake_after = UNSEEN_POLL if seen.unseen else None\n",
        "    wake_after = None\n",
    ),
    "spread fills the fullest zone first (N2)": Bug(
        spread,
        "settles",
        "is uneven",
        "(zones[c.zone], -rendezvous(uid, c.zone), (2 * c.present + 1) / c.score",
        "(-zones[c.zone], -rendezvous(uid, c.zone), (2 * c.present + 1) / c.score",
    ),
    "spread leaves the last replica out": Bug(
        spread, "settles", "are placed|goal is not reached", "    while missing > 0 and", "    while missing > 1 and"
    ),
    "room that was promised is promised again (S-035)": Bug(
        room,
        "settles",
        "are ready",
        'cpu=_total(capacity.free, "cpu") - assumed.cpu,',
        'cpu=_total(capacity.free, "cpu"),',
    ),
    "more pods are made than the surge allows (F5)": Bug(
        replacement, "settles", "pods in .* for a shard of", "max(0, total + limit.surge - len(replicas))", "2 * total"
    ),
    "handover does not wait for those that take over (N7)": Bug(
        handover,
        "keeps the promised availability",
        "serving replicas were taken",
        "if all(h.ready >= h.wanted for h in rows):",
        "if rows:",
        storms=True,
    ),
    "capacity is measured once and never again": Bug(
        capacity,
        "settles",
        "goal is not reached|was not woken|does not settle",
        "    if present.status.capacity == measured and last is not None",
        "    if last is not None or reported",
    ),
}


@pytest.mark.parametrize("name", BUGS)
def test_the_laws_catch(name: str) -> None:
    bug = BUGS[name]
    changes = ((bug.old, bug.new), *bug.also)
    domain = bug.module.__name__.startswith("pincompute.domain")

    @settings(
        max_examples=TRIES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=regions(storms=bug.storms or bool(bug.sure), sure=bug.sure), seed=st.integers(0, 2**32))
    def holds(case: Case, seed: int) -> None:
        sick = case if domain else infected(case, mutant)
        uphold(bug.law, sick, Chance(random.Random(seed), few=1))

    mutant = mutated(bug.module, *changes)
    with planted(bug.module, *changes) if domain else nullcontext(), pytest.raises(Broken, match=bug.verdict) as caught:
        holds()
    assert caught.value.law == bug.law
