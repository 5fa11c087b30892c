"""What a plan would do to a world if it were carried out now: what comes, what goes, and how many replicas it asks for."""

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
    Create,
    Delete,
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
    """By the sentence that names an object; finalizers are objects of their own here."""

    added: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    replicas: dict[str, int] = field(default_factory=dict)
    before: dict[str, int] = field(default_factory=dict)

    def more_than(self, seeing: Effects) -> str:
        """What this plan does that the plan of a seeing controller would not do; replicas may only stay or follow it."""
        for verb, mine, theirs in (("remove", self.removed, seeing.removed), ("make", self.added, seeing.added)):
            if unfounded := sorted(mine - theirs):
                return f"would {verb} {unfounded[0]}"
        for name, replicas in sorted(self.replicas.items()):
            before = self.before.get(name, 0)
            if replicas < min(before, seeing.replicas.get(name, before)):
                return f"would reduce {name} from {before} to {replicas} replicas"
        return ""


def of(trial: Simulation, seat: ControllerState, plan: Plan) -> Effects:
    """Proofs that fail and pins that do not hold end a plan, as they do when it is carried out."""
    effects = Effects()
    for stage in plan.stages:
        held = [_adds(effects, trial, seat, action) for action in stage]
        if not all(held):
            break
    return effects


def _adds(effects: Effects, trial: Simulation, seat: ControllerState, action: Action) -> bool:
    """False when the action would fail."""
    if isinstance(action, Confirm | ConfirmSet):
        return _holds(trial, seat, action)
    world_name = seat.process.clusters[cluster_of(action)]
    there: Object | None = trial.world.objects(world_name, action.ref.resource).get(action.ref.key)
    name = str(action.ref)
    match action:
        case Create() | Apply() if there is None:
            effects.added.add(name)
        case Create():
            return False
        case Apply():
            return _touch(effects, trial, world_name, action, there)
        case Patch() | Replace():
            pinned = there is not None and there.metadata.resource_version == action.resource_version
            return pinned and _touch(effects, trial, world_name, action, there)
        case Scale():
            return _rescale(effects, trial, world_name, action, there)
        case Delete() | Evict():
            if there is None or there.metadata.uid != action.uid or there.deleting:
                return there is None
            effects.removed.add(name)
    return True


def _touch(effects: Effects, trial: Simulation, cluster: str, action: Apply | Patch | Replace, there: Object | None) -> bool:
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
        present: Manifest = trial.world.stores[cluster].get(action.ref.resource, action.ref.key)
        effects.replicas[name] = sum(wanted)
        effects.before[name] = sum(_replicas(present.get("spec", {})))
    return True


def _rescale(effects: Effects, trial: Simulation, cluster: str, action: Scale, there: Object | None) -> bool:
    if there is None or there.metadata.resource_version != action.resource_version:
        return False
    present: Manifest = trial.world.stores[cluster].get(action.ref.resource, action.ref.key)
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


def _holds(trial: Simulation, seat: ControllerState, action: Confirm | ConfirmSet) -> bool:
    try:
        finish(executor.perform(action, seat.controller.card, trial.sight(seat), trial.hand(seat, cluster_of(action))))
    except StaleView:
        return False
    return True
