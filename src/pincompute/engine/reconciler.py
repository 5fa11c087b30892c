"""Reconciles one key once: observe, decide, execute the plan stage by stage, and return the result.

It knows nothing of queues and of delays between reconciliations. The laws run the same code over the in-memory API server.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pincompute.engine import executor
from pincompute.engine.bulkhead import Bulkhead
from pincompute.engine.controller import Controller, K, ObserveContext
from pincompute.engine.error_classification import GOES_ON, Fenced, Outcome, classify, of_stage
from pincompute.engine.interfaces import ConnectedClusters, WriteLease
from pincompute.engine.plan import Action, Plan, Stage, bounded, cluster_of
from pincompute.kube.cache_views import Unknown

ACTION_TIMEOUT = 30.0  # seconds; the transport's own deadlines are shorter
MARGIN = 5.0  # seconds for which a lease is still ours after `remaining()` is 0 (kube.leader_election.LeaseTimes.margin)


@dataclass(frozen=True, slots=True)
class ActionResult:
    """An action and its outcome."""

    action: Action
    outcome: Outcome
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """The result of one reconciliation. `error` explains the outcome; `retry_after` is the delay that a server asked for, in
    seconds. `seconds` is how long it took to observe and decide.
    """

    outcome: Outcome
    plan: Plan = field(default_factory=Plan)
    done: tuple[ActionResult, ...] = ()
    error: Exception | None = None
    seconds: float = 0.0

    @property
    def wrote(self) -> bool:
        return any(d.outcome is Outcome.ACTED and executor.verb_of(d.action) is not None for d in self.done)

    @property
    def retry_after(self) -> float:
        return max((getattr(d.error, "retry_after", 0.0) for d in self.done), default=0.0)


def make_plan(controller: Controller[K, Any], key: K, context: ObserveContext, now: datetime) -> ReconcileResult:
    """Runs the half without I/O. Exceptions of `observe` and `decide` are the controller's bugs and affect only its key
    (F12).
    """
    try:
        seen = controller.observe(key, context, now)
        plan = Plan() if seen is None else bounded(controller.decide(seen))
    except Unknown as unknown:
        return ReconcileResult(Outcome.UNKNOWN, error=unknown)
    except Exception as bug:  # noqa: BLE001 - the engine is where bugs of controllers are caught
        return ReconcileResult(Outcome.BUG, error=bug)
    return ReconcileResult(Outcome.SETTLED, plan)


class PlanExecutor:
    """Executes plans, fenced by the lease and through the bulkhead of each cluster."""

    def __init__(self, clusters: ConnectedClusters, lease: WriteLease) -> None:
        self._clusters = clusters
        self._lease = lease
        self._bulkheads: dict[str, Bulkhead] = {}

    async def carry_out(self, controller: Controller[Any, Any], plan: Plan) -> ReconcileResult:
        """Executes the stages in order and a stage's actions at the same time; a stage with a failure is the last."""
        if plan.independent:
            return await self._each_by_itself(controller, plan)
        done: list[ActionResult] = []
        for stage in plan.stages:
            results = await self._stage(controller, stage)
            done.extend(results)
            if of_stage([r.outcome for r in results]) not in GOES_ON:
                break
        outcome = of_stage([d.outcome for d in done])
        error = next((d.error for d in done if d.outcome is outcome), None)
        return ReconcileResult(outcome, plan, tuple(done), error)

    async def _each_by_itself(self, controller: Controller[Any, Any], plan: Plan) -> ReconcileResult:
        done = tuple([result for stage in plan.stages for result in await self._stage(controller, stage)])
        fenced = next((d.error for d in done if d.outcome is Outcome.FENCED), None)
        if fenced is not None:
            return ReconcileResult(Outcome.FENCED, plan, done, fenced)
        return ReconcileResult(Outcome.ACTED if any(d.outcome is Outcome.ACTED for d in done) else Outcome.SETTLED, plan, done)

    async def _stage(self, controller: Controller[Any, Any], stage: Stage) -> list[ActionResult]:
        if len(stage) == 1:
            return [await self._one(controller, stage[0])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(controller, action)) for action in stage]
        return [task.result() for task in tasks]

    async def _one(self, controller: Controller[Any, Any], action: Action) -> ActionResult:
        cluster = cluster_of(action)
        try:
            bulkhead = self._bulkhead(cluster)
            with bulkhead.passage():
                async with bulkhead.slots, asyncio.timeout(self._time_left()):
                    writer_of = self._clusters.writer
                    await executor.perform(action, controller.card, self._clusters, writer_of(cluster), writer_of)
        except Exception as error:  # noqa: BLE001 - classified here, so that the stage's other actions go on
            return ActionResult(action, classify(error), error)
        return ActionResult(action, Outcome.ACTED)

    def _bulkhead(self, cluster: str) -> Bulkhead:
        """Returns the cluster's bulkhead. Only members have a bound, because without its host or local cluster a process can do
        nothing anyway.
        """
        if cluster not in self._bulkheads:
            self._bulkheads[cluster] = Bulkhead(cluster, bounded=executor.where_of(cluster) == "members")
        return self._bulkheads[cluster]

    def _time_left(self) -> float:
        """Returns the time for a write, which must not outlive the lease under which it began, nor the margin that follows."""
        remaining = self._lease.remaining()
        if remaining <= 0:
            raise Fenced("the lease is not held")
        return min(ACTION_TIMEOUT, remaining + MARGIN)
