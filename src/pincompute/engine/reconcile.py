"""One look at one key: observe, decide, act stage by stage, and what came of it.

Knows nothing of queues and time-outs between looks; the laws run the same code over the in-memory API server.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pincompute.engine import act
from pincompute.engine.bulkheads import Bulkhead
from pincompute.engine.controller import Context, Controller, K
from pincompute.engine.outcomes import GOES_ON, Fenced, Outcome, classify, of_stage
from pincompute.engine.plan import Action, Plan, Stage, bounded, cluster_of
from pincompute.engine.ports import Clusters, Lease
from pincompute.kube.views import Unknown

ACTION_TIMEOUT = 30.0  # seconds; the transport's own deadlines are shorter
MARGIN = 5.0  # seconds for which a lease is still ours after `remaining()` has reached 0 (kube.lease.Terms.margin)


@dataclass(frozen=True, slots=True)
class Done:
    """An action and what became of it."""

    action: Action
    outcome: Outcome
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What one look came to. `error` explains the outcome; `retry_after` is what a server asked for, in seconds."""

    outcome: Outcome
    plan: Plan = field(default_factory=Plan)
    done: tuple[Done, ...] = ()
    error: Exception | None = None

    @property
    def wrote(self) -> bool:
        return any(d.outcome is Outcome.ACTED and act.verb_of(d.action) is not None for d in self.done)

    @property
    def retry_after(self) -> float:
        return max((getattr(d.error, "retry_after", 0.0) for d in self.done), default=0.0)


def think(controller: Controller[K, Any], key: K, context: Context, now: datetime) -> Look:
    """The half without I/O. Exceptions of `observe` and `decide` are bugs of the controller, and stay with its key (F12)."""
    try:
        seen = controller.observe(key, context, now)
        plan = Plan() if seen is None else bounded(controller.decide(seen))
    except Unknown as unknown:
        return Look(Outcome.UNKNOWN, error=unknown)
    except Exception as bug:  # noqa: BLE001 - the engine is where bugs of controllers are caught
        return Look(Outcome.BUG, error=bug)
    return Look(Outcome.SETTLED, plan)


class Doer:
    """Carries out plans: fenced by the lease, through the bulkhead of each cluster."""

    def __init__(self, clusters: Clusters, lease: Lease) -> None:
        self._clusters = clusters
        self._lease = lease
        self._bulkheads: dict[str, Bulkhead] = {}

    async def carry_out(self, controller: Controller[Any, Any], plan: Plan) -> Look:
        """Stages in order, a stage's actions at the same time; a stage in which something failed is the last."""
        if plan.independent:
            return await self._each_by_itself(controller, plan)
        done: list[Done] = []
        for stage in plan.stages:
            results = await self._stage(controller, stage)
            done.extend(results)
            if of_stage([r.outcome for r in results]) not in GOES_ON:
                break
        outcome = of_stage([d.outcome for d in done])
        error = next((d.error for d in done if d.outcome is outcome), None)
        return Look(outcome, plan, tuple(done), error)

    async def _each_by_itself(self, controller: Controller[Any, Any], plan: Plan) -> Look:
        done = tuple([result for stage in plan.stages for result in await self._stage(controller, stage)])
        fenced = next((d.error for d in done if d.outcome is Outcome.FENCED), None)
        if fenced is not None:
            return Look(Outcome.FENCED, plan, done, fenced)
        return Look(Outcome.ACTED if any(d.outcome is Outcome.ACTED for d in done) else Outcome.SETTLED, plan, done)

    async def _stage(self, controller: Controller[Any, Any], stage: Stage) -> list[Done]:
        if len(stage) == 1:
            return [await self._one(controller, stage[0])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(controller, action)) for action in stage]
        return [task.result() for task in tasks]

    async def _one(self, controller: Controller[Any, Any], action: Action) -> Done:
        cluster = cluster_of(action)
        try:
            bulkhead = self._bulkhead(cluster)
            with bulkhead.passage():
                async with bulkhead.slots, asyncio.timeout(self._time_left()):
                    await act.perform(action, controller.card, self._clusters, self._clusters.writer(cluster))
        except Exception as error:  # noqa: BLE001 - classified here, so that the stage's other actions go on
            return Done(action, classify(error), error)
        return Done(action, Outcome.ACTED)

    def _bulkhead(self, cluster: str) -> Bulkhead:
        """Members have a bound each; without the host, or the one cluster it serves, a process can do nothing else anyway."""
        if cluster not in self._bulkheads:
            self._bulkheads[cluster] = Bulkhead(cluster, bounded=act.where_of(cluster) == "members")
        return self._bulkheads[cluster]

    def _time_left(self) -> float:
        """A write must not outlive the lease it was begun under, nor the margin that follows it."""
        remaining = self._lease.remaining()
        if remaining <= 0:
            raise Fenced("the lease is not held")
        return min(ACTION_TIMEOUT, remaining + MARGIN)
