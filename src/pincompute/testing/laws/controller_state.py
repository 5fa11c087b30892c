"""Tracks each simulated controller: the keys it knows, the keys it must reconcile, and the events it gets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from pincompute.api.meta import Key, Object, Resource
from pincompute.engine import executor
from pincompute.engine.controller import Controller, ReadAccess
from pincompute.kube.cache_views import Views
from pincompute.testing.laws.cases import SimulatedProcess
from pincompute.testing.laws.simulated_clusters import ReadableKinds, readable_kinds
from pincompute.testing.laws.simulated_world import ClusterKind


@dataclass
class ControllerState:
    """One controller in its process, with the keys that it knows and those that it must reconcile."""

    process: SimulatedProcess
    controller: Controller[Any, Any]
    readable: ReadableKinds
    known: dict[Key, None] = field(default_factory=dict)
    dirty: dict[Key, None] = field(default_factory=dict)
    wakes: dict[Key, datetime] = field(default_factory=dict)

    def fork(self) -> ControllerState:
        return ControllerState(
            self.process, self.controller, self.readable, dict(self.known), dict(self.dirty), dict(self.wakes)
        )

    def restart(self) -> None:
        """Starts anew: every known key is queued, and nothing else is remembered."""
        self.dirty = dict(self.known)
        self.wakes.clear()

    def due(self, now: datetime) -> list[Key]:
        keys = [*self.dirty, *(key for key, time in self.wakes.items() if time <= now and key not in self.dirty)]
        self.dirty = {}
        return sorted(keys)


Subscription: TypeAlias = tuple[ControllerState, str, ReadAccess[Any]]
"""A controller's state, its name of a cluster, and what it reads of one kind there."""


class EventRouter:
    """Delivers events to controllers. An event has the world's name of a cluster; the cards' functions get the process's
    name.
    """

    def __init__(self, states: Iterable[ControllerState], views: Callable[[ControllerState], Views]) -> None:
        self._views = views
        self._subscriptions: dict[ClusterKind, list[Subscription]] = defaultdict(list)
        for state in states:
            for mine, name in state.process.clusters.items():
                for reads in state.controller.card.reads:
                    if reads.where == executor.where_of(mine):
                        self._subscriptions[name, reads.resource].append((state, mine, reads))

    def deliver(self, cluster: str, resource: Resource[Any], obj: Object) -> None:
        for state, mine, reads in self._subscriptions.get((cluster, resource), ()):
            keys = reads.keys(mine, obj) if reads.through is None else reads.concerned(mine, obj, self._views(state))
            for key in keys:
                state.known[key] = None
                state.dirty[key] = None


def initial_state(process: SimulatedProcess, controller: Controller[Any, Any]) -> ControllerState:
    return ControllerState(process, controller, readable_kinds(controller.card, process.clusters))
