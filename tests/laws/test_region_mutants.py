"""Deliberate bugs in the arithmetic of `domain` and in controllers of the region, each caught by a law.

A bug in `domain` is planted wherever the module is used; one in a controller takes that controller's place.
"""

from __future__ import annotations

import random
from contextlib import ExitStack
from dataclasses import dataclass
from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mutants import controllers_of, infected, mutated, planted
from region_edits import Edit
from region_worlds import regions

from pincompute.domain import disruption_account, replica_fit, rolling_update, zone_spread
from pincompute.federation.member import health, removal
from pincompute.federation.project import project_controller
from pincompute.federation.settings import setting_controller
from pincompute.federation.workload import member_shards, orphan_collection, rollout, shard_dispatch, workload_status
from pincompute.federation.workload import workload_controller as workload
from pincompute.operator.replicas import replica_traffic
from pincompute.operator.replicas import replicas_controller as replicas
from pincompute.testing.laws import Broken, Case, Chance, uphold

TRIES = 300  # worlds until a mutant counts as a survivor


@dataclass(frozen=True)
class Bug:
    """`old` stands once in the module, and `new` in its place is wrong; `also` are more such texts. `law` catches it, saying
    `verdict`. `sure` are edits that happen in every world; `settings` says whether apps name a secret there.
    """

    module: ModuleType
    law: str
    verdict: str
    old: str
    new: str
    storms: bool = False
    sure: tuple[Edit, ...] = ()
    settings: bool | None = None
    also: tuple[tuple[ModuleType, str, str], ...] = ()


PROMISE = "never below the promised availability"
TAKEN = "serving replicas were taken"
UNKNOWN = "never acts on unknown"

BUGS: dict[str, Bug] = {
    "a workload's shard is deleted without its uid": Bug(
        shard_dispatch, "settles", "without its uid", "shard.metadata.uid, why)", '"", why)'
    ),
    "a workload is released by an unpinned patch": Bug(
        shard_dispatch,
        "settles",
        "without the uid and version",
        "body, meta.uid, meta.resource_version,",
        'body, meta.uid, "",',
        sure=(Edit("delete"),),
    ),
    "an unchanged shard is written each time": Bug(
        shard_dispatch, "settles", "does not settle|not woken", "site.shard.spec == spec", "site.shard.spec is spec"
    ),
    "a workload that is being deleted is run on": Bug(
        workload,
        "settles",
        "was deleted and is still there",
        "    if workload.deleting:\n",
        "    if workload.deleting and False:\n",
        sure=(Edit("delete"),),
    ),
    "a workload is released while a member is silent": Bug(
        shard_dispatch,
        UNKNOWN,
        "would remove finalizer",
        "or (not site.known and site.name in placed and not site.member.leaving)",
        "or False",
        sure=(Edit("delete"),),
    ),
    "an unsynced member is taken for an empty one, and nobody is asked": Bug(
        member_shards,
        UNKNOWN,
        "would remove finalizer|left over",
        "return MemberShard(member, None, known=False)",
        "return MemberShard(member, None, known=True)",
        sure=(Edit("delete"),),
        also=((shard_dispatch, "    return proofs, (Patch(", "    return (), (Patch("),),
    ),
    "a status says done before the members have begun (S-020)": Bug(
        workload_status,
        "survives any order",
        "S-020",
        "        if site.shard.status.origin_generation < workload.generation:\n",
        "        if not site:\n",
        sure=(Edit("env", number=2),),
        also=((workload_status, "or site.shard is None or not site.settled:", "or site.shard is None:"),),
    ),
    "the account is overdrawn by one": Bug(
        disruption_account,
        PROMISE,
        TAKEN,
        "        made = _divided(grant, made, _proven(made) - whole.promised)\n",
        "        made = _divided(grant, made, _proven(made) - whole.promised + 1)\n",
        sure=(Edit("image", number=2),),
    ),
    "a budget that was lowered counts as taken back at once": Bug(
        disruption_account,
        PROMISE,
        TAKEN,
        "return min(self.ready, self.floor, self.guaranteed) if self.known else 0",
        "return min(self.ready, self.floor) if self.known else 0",
        sure=(Edit("drain"), Edit("drain", number=1)),
    ),
    "maxUnavailable is rounded up": Bug(
        disruption_account,
        PROMISE,
        TAKEN,
        "_part(unavailable, replicas, up=False)",
        "_part(unavailable, replicas, up=True)",
        sure=(Edit("image", number=2),),
    ),
    "a member gives replicas away before others have taken over (N7)": Bug(
        disruption_account,
        PROMISE,
        TAKEN,
        "smaller = _smaller(part, max(0, total - needed))",
        "smaller = _smaller(part, total)",
        storms=True,
        sure=(Edit("leave"),),
    ),
    "an operator disturbs more than its budget": Bug(
        rolling_update,
        PROMISE,
        TAKEN,
        "            if replica.ready and self._ready + budget <= 0:\n",
        "            if replica.ready and self._ready + budget < 0:\n",
        also=(
            (
                rolling_update,
                "            if replica.available and self._available + budget <= 0:\n",
                "            if replica.available and self._available + budget < 0:\n",
            ),
        ),
        sure=(Edit("image", number=2),),
    ),
    "each reconciliation begins to drain anew (S-165)": Bug(
        replica_traffic,
        "settles",
        "does not settle|goal is not reached",
        "        if traffic_gate.is_in(pod):\n",
        "        if traffic_gate.is_in(pod) or self._drains_for(pod):\n",
        sure=(Edit("image", number=2),),
    ),
    "more pods are made than the mix has (F5)": Bug(
        rolling_update, "settles", "pods in .* for a shard of", "max(0, total - len(replicas))", "2 * total"
    ),
    "pods that are ending count as ready": Bug(
        replicas,
        PROMISE,
        "ready pods",
        "        if pod.deleting:\n            continue\n",
        "        if pod.deleting and False:\n            continue\n",
        sure=(Edit("drain"), Edit("drain", number=1)),
    ),
    "health gives a member up at once (S-017)": Bug(
        health,
        "settles",
        "is given up after 0.0 s",
        "    if held >= patience:\n",
        "    if held is not None:\n",
        storms=True,
        sure=(Edit("silence"),),
    ),
    "health never tells that a member answers": Bug(
        health,
        "settles",
        "goal is not reached",
        "    if observed.member.reachable:\n",
        "    if not observed.member.reachable:\n",
    ),
    "health writes a status that says nothing new": Bug(
        health, "settles", "does not settle", "cluster.metadata, cluster.status, status", "cluster.metadata, Plan(), status"
    ),
    "health does not wake up when its patience is over": Bug(
        health,
        "settles",
        "was not woken",
        "(patience - held).total_seconds()",
        "None",
        storms=True,
        sure=(Edit("silence"),),
    ),
    "removal lets a member go that has shards": Bug(
        removal,
        "settles",
        "is let go with",
        "    if observed.placed or observed.shards:\n",
        "    if not observed.cluster:\n",
        storms=True,
        sure=(Edit("leave"),),
        also=((removal, "return plan(proofs, (_release(cluster),))", "return plan((_release(cluster),))"),),
    ),
    "removal takes silence for death": Bug(
        removal,
        "never acts on unknown",
        "would remove finalizer",
        "    if conditions.is_true(cluster.status.conditions, member_state.READY):\n",
        "    if () and conditions:\n",
        storms=True,
        sure=(Edit("leave"),),
    ),
    "projects make no namespace in members": Bug(
        project_controller,
        "settles",
        "goal is not reached",
        "for found in observed.namespaces for write",
        "for found in observed.namespaces[:1] for write",
    ),
    "projects write a status that says nothing new": Bug(
        project_controller,
        "settles",
        "does not settle",
        "metadata, observed.project.status, status",
        "metadata, Plan(), status",
    ),
    "spread ignores what zones have already (N2)": Bug(
        zone_spread,
        "settles",
        "is uneven",
        "filled(levels, rooms, count, uid)",
        "filled(dict.fromkeys(levels, 0), rooms, count, uid)",
        sure=(Edit("scale", number=6),),
    ),
    "spread leaves the last replica out": Bug(
        zone_spread,
        "settles",
        "are placed|have no place|goal is not reached",
        "    given = _give(rows, missing, uid)\n",
        "    given = _give(rows, max(0, missing - 1), uid)\n",
    ),
    "room that was promised is promised again (S-035)": Bug(
        replica_fit,
        "settles",
        "are ready|has not ended",
        "free.get(name, 0) - promised.get(name, 0) for name in request}, request)",
        "free.get(name, 0) for name in request}, request)",
        sure=(Edit("submit", "db", 4), Edit("scale", number=6)),
    ),
    "sweep deletes shards that are claimed": Bug(
        orphan_collection,
        "settles",
        "goes from .* although replicas belong there",
        "return workload == shard.spec.origin.uid",
        "return workload == shard.metadata.uid",
    ),
    "sweep asks no server before it deletes": Bug(
        orphan_collection,
        "survives stale views",
        "goes from .* although replicas belong there",
        "return plan((proof,), (delete,))",
        "return plan((delete,))",
        sure=(Edit("delete"), Edit("submit", number=4)),
    ),
    "an update goes on although its canary has failed": Bug(
        rollout,
        PROMISE,
        f"the canary of|{TAKEN}",
        "proven=any(updated.values()) or not any(serving.values()),",
        "proven=True,",
        sure=(Edit("submit", number=4), Edit("scale", number=4), Edit("bad image")),
    ),
    "a canary that has just begun counts as proven": Bug(
        rollout, PROMISE, "the canary of", "PROOF = 10 ", "PROOF = 0 ", sure=(Edit("crashing image"),)
    ),
    "a shard does not wait for its secrets (S-067)": Bug(
        shard_dispatch,
        "settles",
        "that its shards name",
        "    if _lacks_settings(assignment):\n",
        "    if not spec:\n",
        settings=True,
    ),
    "a copy goes while replicas use it": Bug(
        setting_controller,
        "settles",
        "that its shards name|has lost its settings",
        "needed | held, views",
        "needed, views",
        sure=(Edit("forget", number=2),),
        settings=True,
    ),
    "a copy is made before the status names it": Bug(
        setting_controller,
        "settles",
        "no status names",
        "        return None, msgspec.structs.replace(wanted, making=True)\n",
        "        return _copy(observed, wanted), wanted\n",
        settings=True,
    ),
    "a secret that is removed leaves its copies": Bug(
        setting_controller,
        "settles",
        "is left over|its shards name",
        "and not copies and not writes and not last",
        "and not copies and not last",
        sure=(Edit("drop"),),
        settings=True,
    ),
    "a changed value is not carried": Bug(
        setting_controller,
        "settles",
        "has another value",
        "    if wanted is None or wanted == there:\n",
        "    if wanted is None or (there is not None and there.present):\n",
        sure=(Edit("set"),),
        settings=True,
    ),
    "a value is copied to every project that has a secret of this name": Bug(
        setting_controller,
        "settles",
        "in bank|has another value|is left over|that its shards name",
        "        ref=Ref(wanted.cluster, carrier, Key(namespace, stored if wanted.pinned else name)),\n",
        "        ref=Ref(wanted.cluster, carrier, Key('bank', stored if wanted.pinned else name)),\n",
        settings=True,
    ),
    "versions that are no longer kept stay on the host": Bug(
        setting_controller,
        "settles",
        "are kept",
        "    return tuple(sorted(kept)), gone\n",
        "    return tuple(sorted(kept)), gone[:0]\n",
        sure=(Edit("set"), Edit("set"), Edit("set")),
        settings=True,
    ),
    "removal lets a member go that has copies of secrets": Bug(
        removal,
        "settles",
        "is let go with",
        "    if observed.copies and observed.shards is not None:\n",
        "    if not observed.cluster:\n",
        storms=True,
        sure=(Edit("leave"),),
        settings=True,
    ),
}


@pytest.mark.parametrize("name", BUGS)
def test_the_laws_catch(name: str) -> None:
    bug = BUGS[name]
    texts: dict[ModuleType, list[tuple[str, str]]] = {bug.module: [(bug.old, bug.new)]}
    for module, old, new in bug.also:
        texts.setdefault(module, []).append((old, new))
    controllers = [mutated(module, *changes) for module, changes in texts.items() if controllers_of(module)]

    @settings(
        max_examples=TRIES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=regions(storms=bug.storms, sure=bug.sure, settings=bug.settings), seed=st.integers(0, 2**32))
    def holds(case: Case, seed: int) -> None:
        for mutant in controllers:
            case = infected(case, mutant)
        uphold(bug.law, case, Chance(random.Random(seed), few=1))

    with ExitStack() as stack:
        for module, changes in texts.items():
            if not controllers_of(module):
                stack.enter_context(planted(module, *changes))
        with pytest.raises(Broken, match=bug.verdict) as caught:
            holds()
    assert caught.value.law == bug.law
