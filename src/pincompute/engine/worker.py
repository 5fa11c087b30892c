"""The worker of a controller: it turns events into keys, reconciles them, and decides when to do so again.

`Worker._settle` alone interprets outcomes. Controllers raise errors, and only this module logs them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Generic

from pincompute.api.labels import HOST
from pincompute.api.meta import Object
from pincompute.engine import executor, reconciler
from pincompute.engine.bulkhead import OVERDUE, BulkheadFull
from pincompute.engine.controller import AnyKey, Card, Controller, K, ReadAccess
from pincompute.engine.error_classification import Outcome
from pincompute.engine.external_inputs import ExternalInputs, ViewsWithInputs
from pincompute.engine.interfaces import ConnectedClusters, WriteLease
from pincompute.engine.metrics import Metrics
from pincompute.engine.object_backoff import ObjectBackoff
from pincompute.engine.plan import Plan, Ref, Replace, cluster_of, resource_of
from pincompute.engine.reconciler import ActionResult, ReconcileResult
from pincompute.engine.work_queue import Item, Priority, RetryDelays, WorkQueue
from pincompute.kube.cache_views import Unknown
from pincompute.kube.rate_limiter import RateLimiter

log = logging.getLogger("pincompute.engine")

PERSISTENT = 10  # conflicts of a key in a row: a race ends sooner, so somebody has to see them
SOON = RetryDelays(base=0.02, cap=5.0)  # conflicts: the cache catches up soon
TRANSIENT = RetryDelays(base=0.2, cap=60.0)
FAR = RetryDelays(base=2.0, cap=600.0)  # refused: somebody's change helps, and is an event; or the server has only just started
BUG = RetryDelays(base=30.0, cap=600.0)
BUG_HOLD = 1.0  # seconds; a broken object that changes all the time is not reconciled all the time
CROWDED = RetryDelays(base=1.0, cap=10.0)  # a member that is slow: asking whether there is room again costs nothing
ASIDE = 256  # runs of one controller that wait for slow members while its workers go on
BLOCKED = 2.0  # seconds until an eviction is retried without an event; pods that become ready free the budget
BLIND = 30.0  # seconds until an unknown key is reconciled without an event
CONTACT = 0.05  # seconds in which contact events of a cluster are gathered
SHARE = 5.0  # times as long as its reconciliation took a key rests, so that a large object does not fill the processor
AGAIN = 1.0  # seconds until the reconciliation after a write, in case the write causes no event for the controller


@dataclass(frozen=True, slots=True)
class KeyTrouble:
    """Why a key makes no progress, for the object's condition. `version` is what the refused write was to bring about, as the
    card says; empty where it says nothing.
    """

    outcome: Outcome
    message: str
    version: str = ""


OnTrouble = Callable[[Card[Any], Any, "KeyTrouble | None"], None]
"""Is called when a key is refused or meets a bug, and with None when that is over."""


def ignore_trouble(_card: Card[Any], _key: AnyKey, _trouble: KeyTrouble | None) -> None:
    """Ignores trouble, which leaves metrics and logs only. This is the default."""


class Worker(Generic[K]):
    """One controller with its queue and its metrics."""

    def __init__(
        self,
        controller: Controller[K, Any],
        clusters: ConnectedClusters,
        plan_executor: reconciler.PlanExecutor,
        metrics: Metrics,
        on_trouble: OnTrouble,
        now: Callable[[], datetime],
        clock: Callable[[], float],
        rng: random.Random,
        inputs: ExternalInputs,
    ) -> None:
        self.card = controller.card
        self.queue: WorkQueue[K] = WorkQueue(clock=clock, rng=rng)
        self._controller = controller
        self._clusters = clusters
        self._plan_executor = plan_executor
        self._metrics = metrics
        self._duration, self._latency = (metric.labels(self.card.name) for metric in (metrics.duration, metrics.latency))
        self._on_trouble = on_trouble
        self._now = now
        self._setbacks = ObjectBackoff(clock=clock, rng=rng)
        self._clock = clock
        self._inputs = inputs
        self._aside = 0
        self._pace = RateLimiter(self.card.pace, self.card.pace) if self.card.pace else None
        self._troubled: dict[K, str] = {}  # the version that the trouble is about
        self._conflicts: dict[K, int] = {}  # in a row, of keys whose last reconciliation met one
        self._contacts: set[str] = set()
        metrics.watch_queue(self.card.name, self.queue.__len__, lambda: len(self.queue.failing()) + len(self._setbacks))

    def listen(self) -> None:
        for reads in self.card.reads:
            self._clusters.listen(reads.where, reads.resource, _Listener(self, reads), reads.part)
        self._clusters.on_contact(self.on_contact)

    def on_change(self, reads: ReadAccess[K], cluster: str, obj: Object, *, initial: bool) -> None:
        priority = Priority.BACKGROUND if initial else Priority.EVENT
        try:
            for key in reads.concerned(cluster, obj, self._clusters):
                self.queue.add(key, priority)
        except Exception:
            log.exception("keys of a card failed", extra=self._facts(obj.key, cluster=cluster, kind=reads.resource.kind))
            self._metrics.reconciliations.labels(self.card.name, Outcome.BUG).inc()

    @property
    def idle(self) -> bool:
        return self.queue.idle and not self._contacts

    def on_contact(self, cluster: str) -> None:
        """Handles lost or restored contact and synced kinds. Many such events come together and are handled together."""
        if cluster not in self._contacts:
            self._contacts.add(cluster)
            asyncio.get_running_loop().call_later(CONTACT, self._queue_all, cluster)

    def _queue_all(self, cluster: str) -> None:
        """Queues every key that the cluster may concern, because unknown may have become known, or the reverse. For a member
        that includes keys that wait for it on the host without having an object there yet.
        """
        self._contacts.discard(cluster)
        places = {r.where for r in self.card.reads}
        where = executor.where_of(cluster)
        if where not in places:
            return
        for reads in self.card.reads:
            if reads.where == where:
                self._enqueue(cluster, reads)
            elif reads.where == "host" and self.card.contact is None:
                self._enqueue(HOST, reads)
        if where == "members" and self.card.contact is not None:
            with suppress(Unknown):
                for key in self.card.contact(cluster, self._clusters):
                    self.queue.add(key, Priority.BACKGROUND)

    def _enqueue(self, cluster: str, reads: ReadAccess[K]) -> None:
        for obj in self._visible(cluster, reads):
            self.on_change(reads, cluster, obj, initial=True)

    def _visible(self, cluster: str, reads: ReadAccess[K]) -> Sequence[Object]:
        try:
            return tuple(self._clusters.view(cluster, reads.resource).list())
        except Unknown:
            return ()

    async def run(self, lease: WriteLease, group: asyncio.TaskGroup) -> None:
        while True:
            await lease.held()
            item = await self.queue.take()
            began = self._clock()
            result = self._make_plan(item.key, group)
            if self._pace is not None and not result.plan.settled:
                await self._pace.take(float("inf"))
                result = self._make_plan(item.key, group)  # the wait may have been long
            if result.outcome is not Outcome.SETTLED or result.plan.settled:
                self._end(item, result, began)
            elif self._aside < ASIDE and _is_remote(result.plan):
                await self._execute_aside(item, result, began, group)
            else:
                await self._act(item, result, began)

    def _make_plan(self, key: K, group: asyncio.TaskGroup) -> ReconcileResult:
        asker = (self.card.name, key)
        asking = ViewsWithInputs(self._clusters, self._inputs, asker, self.card.inputs, self._setbacks)
        began = self._clock()
        result = reconciler.make_plan(self._controller, key, asking, self._now())
        result = replace(result, seconds=self._clock() - began)
        if self.card.inputs:
            self._inputs.want(asker, frozenset(asking.places), partial(self.queue.add, key), group)
        return result

    async def _execute_aside(self, item: Item[K], result: ReconcileResult, began: float, group: asyncio.TaskGroup) -> None:
        """Waits for the plan's actions for as long as members usually take; a longer run continues by itself. So a slow member
        blocks no worker. The member's bulkhead bounds how many runs wait for it.
        """
        task = group.create_task(self._act(item, result, began), name=f"{self.card.name} {item.key}")
        self._aside += 1
        task.add_done_callback(self._take_back)
        await asyncio.wait({task}, timeout=OVERDUE)

    def _take_back(self, _task: asyncio.Task[None]) -> None:
        self._aside -= 1

    async def _act(self, item: Item[K], result: ReconcileResult, began: float) -> None:
        done = await self._plan_executor.carry_out(self._controller, result.plan)
        self._end(item, replace(done, seconds=result.seconds), began)

    def _end(self, item: Item[K], result: ReconcileResult, began: float) -> None:
        self._measure(item, result, began)
        self._settle(item, result)
        if result.plan.independent:
            self._back_off(item.key, result)

    def _settle(self, item: Item[K], result: ReconcileResult) -> None:
        """Turns outcomes into delays, logs and conditions. No other code does."""
        hold = self._hold(result)
        match result.outcome:
            case Outcome.SETTLED | Outcome.ACTED | Outcome.BLOCKED | Outcome.UNKNOWN:
                self.queue.done(item, hold=hold)
                if result.outcome in _AFTER:
                    self.queue.add_after(item.key, max(hold, _AFTER[result.outcome]))
            case Outcome.FENCED:
                self.queue.retry(item, SOON)
            case Outcome.CONFLICT:
                self.queue.retry(item, SOON, hold=hold)
            case Outcome.TRANSIENT:
                backoff = CROWDED if isinstance(result.error, BulkheadFull) else TRANSIENT
                self.queue.retry(item, backoff, hold=max(hold, result.retry_after))
            case Outcome.REFUSED:
                self.queue.retry(item, FAR, hold=hold)
            case Outcome.BUG:
                self.queue.retry(item, BUG, hold=BUG_HOLD)
        if result.plan.wake_after is not None and result.outcome in _KEPT:
            self.queue.add_after(item.key, result.plan.wake_after)
        self._report(item, result)

    def _hold(self, result: ReconcileResult) -> float:
        """Returns the seconds until the key is taken again: with `coalesce`, more for objects that take long to reconcile."""
        if not self.card.coalesce:
            return self.card.rest
        return max(self.card.rest, SHARE * result.seconds, self.card.coalesce if result.wrote else 0.0)

    def _back_off(self, key: K, result: ReconcileResult) -> None:
        """Backs off single objects whose action failed."""
        for failed in result.plan.failed:
            log.error(
                "bug in a controller, one object is left alone", extra=_ref(failed.ref, alert=True), exc_info=failed.error
            )
            self.queue.add_after(key, self._setbacks.failed(failed.ref, failed.resource_version, BUG))
        for done in result.done:
            match done:
                case ActionResult(Replace() as patch, Outcome.ACTED):
                    self._setbacks.succeeded(patch.ref)
                case ActionResult(Replace() as patch, outcome) if outcome in _REST:
                    log.warning("failed for one object", extra=_ref(patch.ref, outcome=str(outcome), error=str(done.error)))
                    wait = getattr(done.error, "retry_after", 0.0)
                    delay = self._setbacks.failed(patch.ref, patch.resource_version, _REST[outcome], wait)
                    self.queue.add_after(key, delay)
                case _:
                    continue

    def _report(self, item: Item[K], result: ReconcileResult) -> None:
        key = item.key
        trouble = self._trouble(result) if result.outcome in _TROUBLES else None
        if trouble is not None:
            if trouble.version != self._troubled.get(key, ""):
                self.queue.add_after(key, AGAIN)  # the last refusal's delay may be long, and a status has to say this one
            self._troubled[key] = trouble.version
            self._on_trouble(self.card, key, trouble)
        elif key in self._troubled and result.outcome in _KEPT:
            self._troubled.pop(key)
            self._on_trouble(self.card, key, None)
        for done in result.done:
            if executor.verb_of(done.action) is not None:  # questions are too many to log
                self._log_action(key, done)
        self._count_conflicts(key, result)
        self._log_outcome(key, result)

    def _trouble(self, result: ReconcileResult) -> KeyTrouble:
        refused = next((done.action for done in result.done if done.error is result.error), None)
        version = self.card.version_of(refused) if refused is not None else ""
        return KeyTrouble(result.outcome, str(result.error), version)

    def _count_conflicts(self, key: K, result: ReconcileResult) -> None:
        if result.outcome is not Outcome.CONFLICT:
            self._conflicts.pop(key, None)
            return
        in_a_row = self._conflicts[key] = self._conflicts.get(key, 0) + 1
        if in_a_row % PERSISTENT == 0:
            facts = self._facts(key, alert=True, conflicts=in_a_row, error=str(result.error))
            log.warning("conflicts do not end", extra=facts)

    def _log_action(self, key: K, done: ActionResult) -> None:
        facts = self._facts(key, **_facts_of(done))
        if done.outcome is Outcome.ACTED:
            log.info("acted", extra=facts)
        elif done.outcome is Outcome.REFUSED:
            log.warning("refused: somebody must change something", extra=facts)

    def _log_outcome(self, key: K, result: ReconcileResult) -> None:
        match result.outcome:
            case Outcome.BUG:
                log.error("bug in a controller, its key is degraded", extra=self._facts(key, alert=True), exc_info=result.error)
            case Outcome.TRANSIENT if not isinstance(result.error, BulkheadFull):
                log.warning("no success yet, backing off", extra=self._facts(key, error=str(result.error)))
            case Outcome.SETTLED | Outcome.ACTED | Outcome.REFUSED:
                return
            case _:
                log.debug(
                    "no progress",
                    extra=self._facts(key, outcome=str(result.outcome), error=str(result.error)),
                )

    def _measure(self, item: Item[K], result: ReconcileResult, began: float) -> None:
        name, now = self.card.name, self._clock()
        self._metrics.reconciliations.labels(name, result.outcome).inc()
        self._duration.observe(now - began)
        if result.outcome in _REACHED:
            self._latency.observe(max(0.0, now - item.since))
        for done in result.done:
            verb = executor.verb_of(done.action) or "confirm"
            self._metrics.writes.labels(name, resource_of(done.action).kind, verb, done.outcome).inc()

    def _facts(self, key: AnyKey, **more: Any) -> dict[str, Any]:
        return {"controller": self.card.name, "key": str(key), **more}


class _Listener(Generic[K]):
    """A listener that knows for which line of the card it listens."""

    def __init__(self, worker: Worker[K], reads: ReadAccess[K]) -> None:
        self._worker = worker
        self._reads = reads

    def __call__(self, cluster: str, obj: Object, *, initial: bool) -> None:
        self._worker.on_change(self._reads, cluster, obj, initial=initial)


def _is_remote(plan: Plan) -> bool:
    return any(executor.where_of(cluster_of(action)) == "members" for action in plan.actions)


_REACHED = frozenset({Outcome.SETTLED, Outcome.ACTED})
_KEPT = _REACHED | {Outcome.BLOCKED}  # the plan is kept even when it asks for another reconciliation
_AFTER = {Outcome.ACTED: AGAIN, Outcome.BLOCKED: BLOCKED, Outcome.UNKNOWN: BLIND}
_TROUBLES = frozenset({Outcome.REFUSED, Outcome.BUG})
_REST = {
    Outcome.CONFLICT: SOON,
    Outcome.UNKNOWN: TRANSIENT,
    Outcome.TRANSIENT: TRANSIENT,
    Outcome.REFUSED: FAR,
    Outcome.BUG: BUG,
}
"""How long an object is left alone after an independent action on it failed so."""


def _facts_of(done: ActionResult) -> dict[str, Any]:
    """Returns what a log line says about a write; questions are not logged."""
    action = done.action
    facts: dict[str, Any] = {"verb": executor.verb_of(action), "ref": str(getattr(action, "ref", ""))}
    facts["why"] = getattr(action, "why", "")
    return facts if done.error is None else {**facts, "error": str(done.error)}


def _ref(ref: Ref, **more: Any) -> dict[str, Any]:
    return {"ref": str(ref), **more}
