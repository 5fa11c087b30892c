"""Holds the laws. Each runs a case undisturbed and then disturbed, and compares; `LAWS` lists them by name."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from pincompute.api.meta import Key
from pincompute.engine.controller import Card
from pincompute.engine.plan import Action, ConfirmSet, Plan
from pincompute.engine.reconciler import ReconcileResult
from pincompute.testing.laws import final_state, plan_effects
from pincompute.testing.laws.cases import Case, SimulatedProcess
from pincompute.testing.laws.controller_state import ControllerState
from pincompute.testing.laws.simulated_clusters import Fault, Outage, Staleness, read_kinds, reversed_order, shuffled
from pincompute.testing.laws.simulated_world import ClusterKind, SimulatedWorld
from pincompute.testing.laws.simulation import Broken, Simulation

PROMISE = "never below the promised availability"  # only worlds with workloads promise one
OLDEST = 16  # writes that a stale view may be behind


@dataclass(frozen=True, slots=True)
class Chance:
    """Where disturbances happen. `thorough`: at every place; else at `few` places that the generator picks."""

    rng: random.Random
    thorough: bool = False
    few: int = 3

    def places(self, count: int) -> Iterable[int]:
        return range(count) if self.thorough or count <= self.few else sorted(self.rng.sample(range(count), self.few))


Law: TypeAlias = Callable[[Case, Chance], None]


def settles(case: Case, _chance: Chance) -> None:
    """A controller comes to rest, writes only what its card declares, keeps the invariant after every write, and at rest
    nothing is left to do.
    """
    Simulation(case).run()


def is_deterministic(case: Case, _chance: Chance) -> None:
    """The same input gives the same plan, however the caches order their objects."""

    def twice(simulation: Simulation, state: ControllerState, key: Key, result: ReconcileResult) -> None:
        for order, what in ((None, "a second time"), (reversed_order, "with the caches in another order")):
            again = simulation.make_plan(state, key, simulation.views(state, order))
            if _unordered(again.plan) != _unordered(result.plan) or again.outcome is not result.outcome:
                raise simulation.broken(
                    f"{state.controller.card.name} plans otherwise {what}:\n  {result.plan}\n  {again.plan}"
                )

    Simulation(case, hook=twice).run()


def survives_any_order(case: Case, chance: Chance) -> None:
    """Keys may be reconciled, and the actions of a stage may happen, in any order."""
    undisturbed = Simulation(case).run()
    for order in (reversed_order, shuffled(chance.rng)):
        _compare(case, undisturbed, Simulation(case, order=order))


def survives_crashes(case: Case, chance: Chance) -> None:
    """A process may die before, after and in the middle of any action; the write may happen and its answer be lost."""
    undisturbed = Simulation(case, keeps=True).run()
    for number in chance.places(undisturbed.world.writes):
        since = undisturbed.before(writes=number)
        for fault in Fault if chance.thorough else chance.rng.sample(list(Fault), 2):
            _compare(case, undisturbed, Simulation(case, faults={number: fault}, since=since))


def survives_stale_views(case: Case, chance: Chance) -> None:
    """A controller may decide from views some writes old: all of them, those of one cluster, or one kind in one cluster."""
    undisturbed = Simulation(case, keeps=True).run()
    for start in chance.places(undisturbed.reconciliations):
        staleness = _staleness(case, chance.rng)
        length = chance.rng.choice((1, 2, 4, 12, 30))
        crash = chance.rng.randrange(2 * undisturbed.world.writes + 2)  # half of the time there is none
        faults = {crash: Fault.CRASH_AFTER}
        since = undisturbed.before(reconciliations=start, writes=crash)
        stale = Simulation(case, staleness=staleness, window=range(start, start + length), faults=faults, since=since)
        if case.collapses:
            _compare(case, undisturbed, stale)
        else:
            stale.run()  # an old view may last beyond an edit, which then finds another world


def survives_unobserved_states(case: Case, _chance: Chance) -> None:
    """Users may be faster than the controllers: the result is what was wanted last."""
    if case.collapses:
        _compare(case, Simulation(case).run(), Simulation(case, patient=False))


def never_acts_on_unknown(case: Case, chance: Chance) -> None:
    """With a kind unsynced, or a cluster silent or not connected, no object comes or goes that would not do so otherwise;
    and after an outage at any time the goal is reached.
    """

    def with_outages(simulation: Simulation, state: ControllerState, key: Key, result: ReconcileResult) -> None:
        if not chance.thorough and chance.rng.random() > 0.3:
            return
        informed = plan_effects.of(simulation, state, result.plan)
        for outage in _possible_outages(state.process, [state.controller.card]):
            if _is_out(simulation, outage):
                continue
            outage.begin(simulation.world)
            unsynced = simulation.make_plan(state, key, simulation.views(state))
            outage.end(simulation.world)
            if unfounded := plan_effects.of(simulation, state, unsynced.plan).more_than(informed):
                raise simulation.broken(f"{state.controller.card.name}, when {outage}, {unfounded}")

    undisturbed = Simulation(case, hook=with_outages, keeps=True).run()
    possible = [outage for process in case.processes for outage in _possible_outages(process, case.cards)]
    for start in chance.places(undisturbed.reconciliations):
        length = chance.rng.choice((2, 5, 10, 20))
        outage, since = chance.rng.choice(possible), undisturbed.before(reconciliations=start)
        Simulation(case, outage=outage, window=range(start, start + length), since=since).run()


def keeps_the_promise(case: Case, chance: Chance) -> None:
    """No write takes a serving replica when fewer than promised would be left, also after a crash or in another order."""

    def both(world: SimulatedWorld) -> None:
        case.scenario.invariant(world)
        case.scenario.promise(world)

    watched = replace(case, scenario=replace(case.scenario, invariant=both))
    undisturbed = Simulation(watched, keeps=True).run()
    Simulation(watched, order=shuffled(chance.rng)).run()
    for number in chance.places(undisturbed.world.writes):
        fault = chance.rng.choice((Fault.CRASH_AFTER, Fault.ANSWER_LOST))
        Simulation(watched, faults={number: fault}, since=undisturbed.before(writes=number)).run()


LAWS: dict[str, Law] = {
    "settles": settles,
    "is deterministic": is_deterministic,
    "survives any order": survives_any_order,
    "survives crashes": survives_crashes,
    "survives stale views": survives_stale_views,
    "survives unobserved states": survives_unobserved_states,
    "never acts on unknown": never_acts_on_unknown,
    PROMISE: keeps_the_promise,
}


def uphold(name: str, case: Case, chance: Chance) -> None:
    """Raises Broken, with the law's name, when the law does not hold."""
    try:
        LAWS[name](case, chance)
    except Broken as broken:
        broken.law, broken.world = broken.law or name, broken.world or repr(case)
        raise


def _compare(case: Case, undisturbed: Simulation, disturbed: Simulation) -> None:
    disturbed.run()
    wanted, got = final_state.of(case, undisturbed.world), final_state.of(case, disturbed.world)
    if found := final_state.difference(wanted, got):
        raise disturbed.broken(f"the end is not that of the undisturbed run: {found}")


def _staleness(case: Case, rng: random.Random) -> Staleness:
    possible = [kind_there for process in case.processes for kind_there in read_kinds(case.cards, process.clusters)]
    cluster, resource = rng.choice(possible)
    shows_old: Callable[[ClusterKind], bool] = rng.choice(
        (
            lambda _kind: True,
            lambda kind_there: kind_there[0] == cluster,
            lambda kind_there: kind_there == (cluster, resource),
        )
    )
    return Staleness(delay=rng.randint(1, OLDEST), frozen=rng.random() < 0.5, shows_old=shows_old)


def _unordered(plan: Plan) -> tuple[Any, ...]:
    return tuple(sorted(map(_spelled, stage)) for stage in plan.stages), plan.wake_after, plan.why


def _spelled(action: Action) -> str:
    """Returns text that does not depend on the order of a set."""
    return (
        repr(replace(action, uids=frozenset())) + str(sorted(action.uids)) if isinstance(action, ConfirmSet) else repr(action)
    )


def _possible_outages(process: SimulatedProcess, cards: Iterable[Card[Any]]) -> list[Outage]:
    kinds = [Outage(cluster, resource) for cluster, resource in read_kinds(cards, process.clusters)]
    clusters = dict.fromkeys(process.clusters.values())
    return [*kinds, *(Outage(cluster, cut=cut) for cluster in clusters for cut in (False, True))]


def _is_out(simulation: Simulation, outage: Outage) -> bool:
    world = simulation.world
    return outage.cluster in world.silent or outage.cluster in world.cut or (outage.cluster, outage.resource) in world.unsynced
