"""Runs a case from its beginning to rest, with faults on the way.

It keeps the engine's promises without its timers: it reconciles a key when one of its card's reads has an event, when the
key's plan asked for it, after the key's writes, and after a failure, and never otherwise. At rest it reconciles every key once
more: a plan that is not empty then means that a change queued no key.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeAlias

from pincompute.api.meta import Key, Object, Resource
from pincompute.engine import executor, reconciler
from pincompute.engine.error_classification import GOES_ON, ForeignError, Outcome, classify
from pincompute.engine.plan import Action, Apply, Plan, cluster_of
from pincompute.engine.reconciler import ReconcileResult
from pincompute.kube.cache_views import Question
from pincompute.testing.laws.cases import Case, Step
from pincompute.testing.laws.controller_state import ControllerState, EventRouter, initial_state
from pincompute.testing.laws.simulated_clusters import (
    Crash,
    Fault,
    Order,
    Outage,
    SimulatedViews,
    SimulatedWriter,
    Staleness,
    WriteRecord,
    in_order,
)
from pincompute.testing.laws.simulated_world import SimulatedWorld

PAUSES = (1.0, 5.0, 30.0, 900.0)  # seconds between rounds in which nothing happens; rest is when all have passed
EDIT_AFTER = 3  # pauses that pass before the next edit: users do not wait for the longest
ROUNDS = 150
APART = 12  # reconciliations between two checkpoints at least
SHOWN = 40  # lines of the trace in a report
AGAIN = {
    Outcome.UNKNOWN: 30.0,
    Outcome.BLOCKED: 5.0,
    Outcome.REFUSED: 60.0,
}  # seconds; everything else that failed is reconciled in the next round


class Broken(AssertionError):  # noqa: N818 - a verdict
    """A law does not hold. The suite fills in `law` and `world`."""

    def __init__(self, message: str, trace: list[Any]) -> None:
        super().__init__(message)
        self.message = message
        self.law = ""
        self.world = ""
        self.trace = trace

    def __str__(self) -> str:
        before = (f"  {str(line)[:200]}" for line in self.trace[-SHOWN:])
        return "\n".join([f"{self.law}: {self.message}", "in the world:", self.world, "what was done before:", *before])


Hook: TypeAlias = Callable[["Simulation", ControllerState, Key, ReconcileResult], None]


@dataclass(frozen=True, slots=True)
class SimulationProgress:
    """How many edits have been made, the rounds since the last, and how many of those ended without a change."""

    edits: int = 0
    rounds: int = 0
    quiet: int = 0


Late: TypeAlias = tuple[datetime, str, Resource[Any], Object]
"""An event of a slow cluster, and when it arrives."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A simulation between two rounds. Others continue from there instead of from the beginning."""

    world: SimulatedWorld
    states: tuple[ControllerState, ...]
    progress: SimulationProgress
    reconciliations: int
    trace: tuple[Any, ...]
    late: tuple[Late, ...] = ()


class Simulation:
    """One run.

    `faults` are by number of the write. During the reconciliations in `window`, `staleness` or `outage` apply. `hook` sees
    every result. `order` is that of everything that has none: listed objects, actions of a stage, controllers, keys. The run
    continues from the checkpoint `since`, or begins; one that `keeps` makes checkpoints for others.
    """

    def __init__(
        self,
        case: Case,
        *,
        faults: Mapping[int, Fault] | None = None,
        staleness: Staleness | None = None,
        outage: Outage | None = None,
        window: range = range(0),
        order: Order = in_order,
        hook: Hook | None = None,
        patient: bool = True,
        since: Checkpoint | None = None,
        keeps: bool = False,
    ) -> None:
        self.case = case
        self._faults = faults or {}
        self._staleness = staleness
        self._outage = outage
        self._window = window
        self._disturbed = False
        self._order = order
        self._hook = hook
        self._patient = patient
        self._keeps = keeps
        self._kept: list[Checkpoint] = []
        start = since or beginning(case)
        self.trace: list[Any] = list(start.trace)
        self.reconciliations = start.reconciliations
        self._progress = start.progress
        self.states = [state.fork() for state in start.states]
        self.world = start.world.fork()
        self._router = EventRouter(self.states, self.views)
        self._late = list(start.late)
        self.world.listen(self._deliver)
        self.world.on_write = self._written
        self.world.on_answer(self._answered)

    def run(self) -> Simulation:
        """Runs to rest; an impatient run lets users go on before the controllers are done."""
        edits = self.case.scenario.edits
        for number in range(self._progress.edits, len(edits)):
            self._rest() if self._patient else self._rounds(1)
            self._edit(edits[number])
            self._progress = SimulationProgress(number + 1)
        self._settle()
        if self._disturbed:
            self._window = range(0)
            self._disturb()
            self._settle()
        self._check_settled()
        self._check(self.case.scenario.goal, "the goal is not reached")
        return self

    def _rest(self) -> None:
        self._settle(EDIT_AFTER)
        if not self._disturbed:
            self._check_settled()

    def before(self, *, reconciliations: int | None = None, writes: int | None = None) -> Checkpoint | None:
        """Returns the last checkpoint with no more reconciliations and writes behind it than these."""
        for kept in reversed(self._kept):
            if (reconciliations is None or kept.reconciliations <= reconciliations) and (
                writes is None or kept.world.writes <= writes
            ):
                return kept
        return None

    def _keep(self) -> None:
        if self._keeps and (not self._kept or self.reconciliations - self._kept[-1].reconciliations >= APART):
            states = tuple(state.fork() for state in self.states)
            state = (self.world.fork(), states, self._progress, self.reconciliations, tuple(self.trace), tuple(self._late))
            self._kept.append(Checkpoint(*state))

    def _deliver(self, cluster: str, resource: Resource[Any], obj: Object) -> None:
        lag = self.world.slow.get(cluster)
        if lag is None:
            self._router.deliver(cluster, resource, obj)
        else:
            self._late.append((self.world.now + timedelta(seconds=lag), cluster, resource, obj))

    def _arrive(self) -> None:
        """Delivers the events of slow clusters, some seconds late."""
        due = [events for events in self._late if events[0] <= self.world.now]
        self._late = [events for events in self._late if events[0] > self.world.now]
        for _, cluster, resource, obj in due:
            self._router.deliver(cluster, resource, obj)

    def _edit(self, edit: Step) -> None:
        before = self._present_outages()
        edit(self.world)
        self.trace.append("-- edit --")
        if self._present_outages() != before:
            self._queue_everything()

    def _present_outages(self) -> tuple[frozenset[Any], ...]:
        return frozenset(self.world.silent), frozenset(self.world.cut), frozenset(self.world.unsynced)

    def _queue_everything(self) -> None:
        """Queues all known keys, because contact that is made or lost, or a kind that syncs, concerns all that may wait for
        it.
        """
        for state in self.states:
            state.dirty |= state.known

    def _answered(self, question: Question[Any]) -> None:
        for state in self.states:
            if any(isinstance(question, wanted.question) for wanted in state.controller.card.inputs):
                state.dirty |= state.known

    def _settle(self, pauses: int = len(PAUSES)) -> None:
        while self._progress.rounds < ROUNDS:
            self._keep()
            edits, rounds, quiet = self._progress.edits, self._progress.rounds, self._progress.quiet
            quiet = 0 if self._round() else quiet + 1
            self._progress = SimulationProgress(edits, rounds + 1, quiet)
            if quiet == pauses:
                self._progress = SimulationProgress(edits)
                return
            self.world.pass_time(PAUSES[quiet])
        raise self.broken(f"does not settle: still busy after {ROUNDS} rounds")

    def _rounds(self, count: int) -> None:
        for _ in range(count):
            self._round()
            self.world.pass_time(1.0)

    def _round(self) -> bool:
        """Returns True when something changed or is still queued."""
        before = {cluster: self.world.version(cluster) for cluster in self.world.stores}
        self._arrive()
        self._check(self.case.scenario.tick, "what happens by itself fails")
        busy = False
        try:
            for state in self._order(list(self.states)):
                for key in self._order(state.due(self.world.now)):
                    busy |= self._reconcile(state, key)
        except Crash:
            self.trace.append("-- crash, restart --")
            for state in self.states:
                state.restart()
            busy = True
        events = any(state.dirty for state in self.states)
        return (
            busy
            or events
            or bool(self._late)
            or any(self.world.version(cluster) != version for cluster, version in before.items())
        )

    def _reconcile(self, state: ControllerState, key: Key) -> bool:
        """Returns True when the key is not at rest."""
        self._disturb()
        self.reconciliations += 1
        self.world.begin_reconciliation()
        views = self.views(state)
        state.wakes.pop(key, None)
        result = self.make_plan(state, key, views)
        if self._hook is not None:
            self._hook(self, state, key, result)
        outcome = result.outcome if result.plan.settled else self._carry_out(state, result.plan, views)
        now = self.world.now
        if result.plan.wake_after is not None and outcome in (Outcome.SETTLED, Outcome.ACTED):
            state.wakes[key] = now + timedelta(seconds=result.plan.wake_after)
        if outcome in AGAIN:
            state.wakes[key] = now + timedelta(seconds=AGAIN[outcome])
        elif outcome is not Outcome.SETTLED:
            state.dirty[key] = None
        return outcome is Outcome.ACTED

    def views(self, state: ControllerState, order: Order | None = None) -> SimulatedViews:
        staleness = self._staleness if self._disturbed else None
        return open_views(self.case, self.world, state, staleness, order or self._order)

    def make_plan(self, state: ControllerState, key: Key, views: SimulatedViews) -> ReconcileResult:
        result = reconciler.make_plan(state.controller, key, views, self.world.now)
        for error in (
            result.error if result.outcome is Outcome.BUG else None,
            *(failed.error for failed in result.plan.failed),
        ):
            if error is not None:
                where = traceback.extract_tb(error.__traceback__)[-1]
                what = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
                raise self.broken(f"{state.controller.card.name} failed on {key}: {what}") from error
        return result

    def writer(self, state: ControllerState, cluster: str) -> SimulatedWriter:
        return SimulatedWriter(self.world, state.process.clusters[cluster], self._faults, self._written)

    def _written(self, record: WriteRecord | str) -> None:
        self.trace.append(record)
        self._check(self.case.scenario.invariant, "the invariant does not hold")

    def _check(self, holds: Step, otherwise: str) -> None:
        try:
            holds(self.world)
        except AssertionError as error:
            raise self.broken(f"{otherwise}: {error}") from error

    def _carry_out(self, state: ControllerState, plan: Plan, views: SimulatedViews) -> Outcome:
        blocked = False
        for stage in plan.stages:
            outcomes = [self._act(state, action, views) for action in self._order(list(stage))]
            failed = next((o for o in outcomes if o not in GOES_ON), None)
            if failed is not None:
                return failed
            blocked |= Outcome.BLOCKED in outcomes
        return Outcome.BLOCKED if blocked else Outcome.ACTED

    def _act(self, state: ControllerState, action: Action, views: SimulatedViews) -> Outcome:
        card = state.controller.card
        try:
            finish(executor.perform(action, card, views, self.writer(state, cluster_of(action)), partial(self.writer, state)))
        except Broken:
            raise
        except Exception as error:
            outcome = classify(error)
            taken = isinstance(error, ForeignError) and isinstance(action, Apply)  # names may be taken; that is reported
            if outcome is Outcome.BUG or (outcome is Outcome.REFUSED and not taken):
                raise self.broken(f"{card.name}: {type(error).__name__}: {error}") from error
            self.trace.append(f"   {card.name}: {outcome}: {str(error)[:200]}")
            return outcome
        return Outcome.ACTED

    def _disturb(self) -> None:
        """Begins or ends the disturbance. Its end is an event: contact is restored, kinds have synced."""
        if (self.reconciliations in self._window) is self._disturbed:
            return
        self._disturbed = not self._disturbed
        if self._staleness is not None:
            self.trace.append("-- old view --" if self._disturbed else "-- present view --")
            self._staleness.start(self.world)
        if self._outage is not None:
            self.trace.append(f"-- {self._outage} --" if self._disturbed else "-- light --")
            self._outage.begin(self.world) if self._disturbed else self._outage.end(self.world)
        self._queue_everything()

    def _check_settled(self) -> None:
        for state, key in self._everything():
            result = self.make_plan(state, key, self.views(state))
            if not result.plan.settled:
                todo = "; ".join(str(action)[:300] for action in result.plan.actions)
                raise self.broken(f"{state.controller.card.name} was not woken for {key}, which needs: {todo}")

    def _everything(self) -> Iterator[tuple[ControllerState, Key]]:
        for state in self.states:
            for key in sorted(state.known):
                yield state, key

    def broken(self, message: str) -> Broken:
        return Broken(message, self.trace)


def open_views(
    case: Case, world: SimulatedWorld, state: ControllerState, staleness: Staleness | None = None, order: Order = in_order
) -> SimulatedViews:
    return SimulatedViews(world, state.process.clusters, state.controller.card, case.indexes, staleness, order, state.readable)


def beginning(case: Case) -> Checkpoint:
    """Makes the world and delivers all of it as events."""
    world = case.world()
    states = tuple(initial_state(process, controller) for process in case.processes for controller in process.controllers)
    router = EventRouter(states, lambda state: open_views(case, world, state))
    for cluster, resource, obj in world.every():
        router.deliver(cluster, resource, obj)
    return Checkpoint(world, states, SimulationProgress(), 0, ())


def finish(work: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine that never has to wait."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise RuntimeError("a law's writer must not wait")
