"""Defines a law's case: processes with their controllers, and a scenario that they have to cope with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, TypeAlias

from pincompute.api.meta import Resource
from pincompute.engine.controller import Card, Controller
from pincompute.testing.laws.simulated_world import Indexes, SimulatedWorld

Step: TypeAlias = Callable[[SimulatedWorld], None]


@dataclass(frozen=True, slots=True)
class SimulatedProcess:
    """Controllers that run together. `clusters` maps the names by which they know clusters to the world's: an operator's
    `local` is some member.
    """

    controllers: tuple[Controller[Any, Any], ...]
    clusters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A generated world. Everything in it must be a function of the world alone, because every run starts from the
    beginning.

    `begin` fills it. `edits` are what users and administrators do then, one after the other. `tick` is what kubelets,
    schedulers and other controllers do by themselves. `invariant` and `goal` raise AssertionError: the one is checked after
    every write, the other at rest. `outcome` extracts what must be the same whatever went wrong on the way (None: everything
    but ids and times). `promise` is checked after every write too, by the law of availability.
    """

    clusters: tuple[str, ...]
    begin: Step
    edits: tuple[Step, ...] = ()
    tick: Step = lambda _world: None
    invariant: Step = lambda _world: None
    goal: Step = lambda _world: None
    promise: Step = lambda _world: None
    outcome: Callable[[SimulatedWorld], Any] | None = None


@lru_cache(maxsize=64)
def empty(
    clusters: tuple[str, ...], kinds: tuple[tuple[Resource[Any], type], ...], applied: frozenset[Resource[Any]]
) -> SimulatedWorld:
    """Returns a world in which nothing has happened, to be forked. Resources that are served alike may differ in their
    types.
    """
    return SimulatedWorld(clusters, (resource for resource, _ in kinds), applied)


@dataclass(frozen=True, slots=True, repr=False)
class Case:
    """Processes and a scenario. `collapses` means that the outcome does not depend on how far the controllers got between
    two edits.
    """

    processes: tuple[SimulatedProcess, ...]
    scenario: Scenario
    indexes: Indexes = field(default_factory=dict[Resource[Any], Any])
    collapses: bool = True

    def __repr__(self) -> str:
        """Returns the world and its events, for reports; the controllers are known."""
        steps = (self.scenario.begin, *self.scenario.edits, self.scenario.tick)
        return "\n".join(f"  {step.keywords if isinstance(step, partial) else step}" for step in steps)

    def world(self) -> SimulatedWorld:
        kinds = tuple((resource, resource.type) for resource in self.resources)
        world = empty(self.scenario.clusters, kinds, self.applied).fork()
        self.scenario.begin(world)
        return world

    @property
    def cards(self) -> tuple[Card[Any], ...]:
        return tuple(controller.card for process in self.processes for controller in process.controllers)

    @property
    def applied(self) -> frozenset[Resource[Any]]:
        """Returns the kinds that some card applies."""
        return frozenset(access.resource for card in self.cards for access in card.writes if "apply" in access.verbs)

    @property
    def resources(self) -> tuple[Resource[Any], ...]:
        """Returns every kind that some card names."""
        return tuple(dict.fromkeys(access.resource for card in self.cards for access in (*card.reads, *card.writes)))
