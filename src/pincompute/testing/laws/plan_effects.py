"""Predicts a plan's effects on a world: which objects come and go, and how many replicas it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from pincompute.api.meta import Manifest, Object
from pincompute.engine import executor
from pincompute.engine.error_classification import StaleView
from pincompute.engine.plan import (
    Action,
    Apply,
    Confirm,
    ConfirmSet,
    Copy,
    Create,
    Delete,
    Discard,
    Evict,
    Patch,
    Plan,
    Replace,
    Scale,
    cluster_of,
)
from pincompute.testing.laws.controller_state import ControllerState
from pincompute.testing.laws.simulation import Simulation, finish


@dataclass
class Effects:
    """What a plan adds and removes, by the text that names an object; finalizers are objects of their own here."""

    added: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    replicas: dict[str, int] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)

    def more_than(self, informed: Effects) -> str:
        """Returns what this plan does that the plan of an informed controller would not do; replicas may only stay or follow
        that plan.
        """
        for verb, mine, theirs in (("remove", self.removed, informed.removed), ("make", self.added, informed.added)):
            if unfounded := sorted(mine - theirs):
                return f"would {verb} {unfounded[0]}"
        for name, replicas in sorted(self.replicas.items()):
            before = self.before.get(name, 0)
            if replicas < min(before, informed.replicas.get(name, before)):
                return f"would reduce {name} from {before} to {replicas} replicas"
        return ""


def of(simulation: Simulation, state: ControllerState, plan: Plan) -> Effects:
    """Returns a plan's effects. Failed confirmations and preconditions end a plan, as in an execution."""
    effects = Effects()
    for stage in plan.stages:
        held = [_adds(effects, simulation, state, action) for action in stage]
        if not all(held):
            break
    return effects


def _adds(effects: Effects, simulation: Simulation, state: ControllerState, action: Action) -> bool:
    """Returns False when the action would fail."""
    if isinstance(action, Confirm | ConfirmSet):
        return _holds(simulation, state, action)
    world_name = state.process.clusters[cluster_of(action)]
    there: Object | None = simulation.world.objects(world_name, action.ref.resource).get(action.ref.key)
    name = str(action.ref)
    if isinstance(action, Copy | Discard):
        found = effects.removed if isinstance(action, Discard) else effects.added
        found.update({name} if isinstance(action, Discard) == (there is not None) else ())
        return True
    match action:
        case Create() | Apply() if there is None:
            effects.added.add(name)
        case Create():
            return False
        case Apply():
            return _touch(effects, simulation, world_name, action, there)
        case Patch() | Replace():
            pinned = there is not None and there.metadata.resource_version == action.resource_version
            return pinned and _touch(effects, simulation, world_name, action, there)
        case Scale():
            return _rescale(effects, simulation, world_name, action, there)
        case Delete() | Evict():
            if there is None or there.metadata.uid != action.uid or there.deleting:
                return there is None
            effects.removed.add(name)
    return True


def _touch(
    effects: Effects, simulation: Simulation, cluster: str, action: Apply | Patch | Replace, there: Object | None
) -> bool:
    if there is None or (action.uid and there.metadata.uid != action.uid):
        return False
    if isinstance(action, Replace) and action.subresource == "status":
        return True
    name = str(action.ref)
    kept = action.body.get("metadata", {}).get("finalizers")
    if isinstance(action, Patch | Replace) and kept is not None:
        effects.removed |= {f"finalizer {f} of {name}" for f in there.metadata.finalizers if f not in kept}
    wanted = list(_replicas(action.body.get("spec", {})))
    if wanted:
        present: Manifest = simulation.world.stores[cluster].get(action.ref.resource, action.ref.key)
        effects.replicas[name] = sum(wanted)
        effects.before[name] = sum(_replicas(present.get("spec", {})))
    return True


def _rescale(effects: Effects, simulation: Simulation, cluster: str, action: Scale, there: Object | None) -> bool:
    if there is None or there.metadata.resource_version != action.resource_version:
        return False
    present: Manifest = simulation.world.stores[cluster].get(action.ref.resource, action.ref.key)
    effects.replicas[str(action.ref)] = action.replicas
    effects.before[str(action.ref)] = sum(_replicas(present.get("spec", {})))
    return True


def _replicas(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        for name, part in cast("dict[str, Any]", value).items():
            if name == "replicas" and isinstance(part, int):
                yield part
            elif name != "template":
                yield from _replicas(part)
    elif isinstance(value, list):
        for part in cast("list[Any]", value):
            yield from _replicas(part)


def _holds(simulation: Simulation, state: ControllerState, action: Confirm | ConfirmSet) -> bool:
    try:
        finish(
            executor.perform(
                action, state.controller.card, simulation.views(state), simulation.writer(state, cluster_of(action))
            )
        )
    except StaleView:
        return False
    return True
