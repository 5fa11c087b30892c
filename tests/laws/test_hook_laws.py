"""No step of a rollout begins or ends before the hooks have agreed that it names, whatever they answer, and in whichever order
things happen; a rollout with hooks comes to rest.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import pytest
import region_checks
from kubelets import plain
from mutants import planted
from region_edits import SHOP, AppEdit, Edit
from test_rollout_laws import SLOW, THREE, case, images, runs, web

from pincompute.api.builtin import PODS
from pincompute.api.kinds import PINAPP
from pincompute.api.labels import HOST, REVISION, SHARD_UID
from pincompute.api.meta import Key, Manifest
from pincompute.api.workloads import PINAPPS, HookStatus, RolloutStatus
from pincompute.engine.api_refusals import ApiRefusals
from pincompute.engine.external_inputs import HookCall, HookVerdict
from pincompute.federation import federation_process as federation
from pincompute.federation.workload import rollout_progress, update_hooks, workload_model
from pincompute.testing.laws import LAWS, Broken, Case, Chance, SimulatedWorld, uphold
from pincompute.testing.laws.simulation import Simulation

HOOKS = [{"name": "gate", "when": "BeforeStep"}, {"name": "proof", "when": "AfterStep"}]
HOOKED = {"strategy": "ZoneByZone", "onFailure": "Rollback", "hooks": HOOKS}
YES, LATER, NO = HookVerdict("Accepted"), HookVerdict("Waiting", "in a minute"), HookVerdict("Refused", "not today")


@dataclass(frozen=True)
class Services:
    """The hooks of a world. They answer at random, but the same question always the same in the end, as a receiver that
    deduplicates does: silence and "later" for a while, then a verdict; `refuse` is how often that is a no.
    """

    seed: int
    refuse: float = 0.0
    silent: bool = False

    def tick(self, world: SimulatedWorld) -> None:
        SLOW.tick(world)
        app = world.objects(HOST, PINAPPS).get(Key(SHOP, "web"))
        record = app.status.rollout if app is not None else None
        if app is None or record is None or self.silent:
            return
        for row in record.hooks:
            question = update_hooks.call(workload_model.read(PINAPP, app), record, row)
            if question not in world.answers or world.answers[question] == LATER:
                self._answer(world, question, row)

    def _answer(self, world: SimulatedWorld, question: HookCall, row: HookStatus) -> None:
        chance = random.Random(f"{self.seed} {question.id}")
        patience = chance.choice((0, 5, 100))  # the next edit comes within 40 s
        if row.since is None or (world.now - row.since).total_seconds() < patience:
            if chance.random() < 0.5 and question not in world.answers:
                world.tell(question, LATER)
            return
        world.tell(question, NO if chance.random() < self.refuse else YES)


def agreed(world: SimulatedWorld, revision: str, step: int, hook: str) -> bool:
    asked = (question.id for question, answer in world.answers.items() if isinstance(question, HookCall) and answer == YES)
    return any(f"/{revision}/" in name and name.endswith(f"Step/{step}/{hook}") for name in asked)


def nobody_is_passed_over(world: SimulatedWorld) -> None:
    """A zone has pods of a later revision only when its step was agreed to, and the end of the step before."""
    region_checks.invariant(world)
    for turn, member in enumerate(THREE):
        for pod in world.objects(member, PODS).values():
            if pod.deleting or plain(pod.spec.containers[0].image) == "hello:1" or SHARD_UID not in pod.metadata.labels:
                continue
            revision = pod.metadata.labels[REVISION]
            assert agreed(world, revision, turn, "gate"), f"{revision} begins in {member}, and nobody has agreed"
            assert not turn or agreed(world, revision, turn - 1, "proof"), f"{revision} passes over who proves the zone before"


def at_rest(world: SimulatedWorld) -> None:
    """One revision runs everywhere: the new one if nobody has refused, else the one before."""
    assert len({name for member in THREE for name in images(world, member)}) == 1
    record = web(world).status.rollout
    if record is None:
        assert set(images(world, THREE[0])) == {"hello:1"}, "nothing began, and the former revision is wanted again"
        return
    assert record.state in ("Complete", "RolledBack")
    assert (record.state == "RolledBack") == bool(record.failure)


def rollout(world: SimulatedWorld) -> RolloutStatus:
    record = web(world).status.rollout
    assert record is not None
    return record


def hooked(services: Services, *edits: Edit, rests: Any = at_rest, update: Manifest = HOOKED) -> Case:
    made = case(AppEdit(6, update=update), *edits, rests=rests, invariant=nobody_is_passed_over)
    named = federation.controllers(ApiRefusals(), hooks={"gate": None, "proof": None})
    first, *others = made.processes
    whole = (replace(first, controllers=named), *others)
    return replace(made, processes=whole, scenario=replace(made.scenario, tick=services.tick))


NEW = Edit("image", number=2)
HISTORIES = [
    (NEW,),
    (NEW, Edit("image", number=3)),
    (NEW, Edit("pause"), Edit("resume")),
    (NEW, Edit("scale", number=9)),
    (NEW, Edit("kill", number=1), Edit("scale", number=4)),
    (NEW, Edit("silence", number=1), Edit("restore")),
    (NEW, Edit("image", number=1)),
    (Edit("env", number=2), NEW),
]


@pytest.mark.parametrize("seed", range(16))
def test_a_rollout_goes_as_its_hooks_say(seed: int) -> None:
    refuse = (0.0, 0.3)[seed % 2]
    Simulation(hooked(Services(seed, refuse), *HISTORIES[seed // 2])).run()


def test_silence_is_no_verdict() -> None:
    def rests(world: SimulatedWorld) -> None:
        runs("hello:1", "RolledBack")(world)
        assert rollout(world).failure.startswith("hook gate before the step gave no verdict within 300 s: ")

    Simulation(hooked(Services(0, silent=True), NEW, rests=rests)).run()


def test_recreation_ends_nothing_before_its_hook_agrees() -> None:
    update = {"strategy": "Recreate", "onFailure": "Rollback", "hooks": HOOKS[:1]}
    Simulation(hooked(Services(0, silent=True), NEW, rests=runs("hello:1", "RolledBack"), update=update)).run()


AGREED = hooked(Services(2), NEW, rests=runs("hello:2", "Complete"))


@pytest.mark.parametrize("law", LAWS)
def test_hooks_under_a_law(law: str) -> None:
    uphold(law, AGREED, Chance(random.Random(0), few=2))


MUTANTS: dict[str, tuple[ModuleType, str, str]] = {
    "a hook that is asked to wait counts as one that agrees": (
        update_hooks,
        'for row in self.rows if row.state == "Accepted"',
        "for row in self.rows",
    ),
    "a step begins while its hooks are asked": (
        rollout_progress,
        'if rollout.hooks.missing or not rollout.hooks.agreed("BeforeStep"):',
        "if not rollout.hooks:",
    ),
    "the next step begins without its hooks": (
        rollout_progress,
        "healthy_since=None, restarts=0, begun=False, hooks=()",
        "healthy_since=None, restarts=0, hooks=()",
    ),
    "a step is complete before its hooks agree": (
        rollout_progress,
        'if not rollout.hooks.agreed("AfterStep"):',
        "if not rollout.hooks:",
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_the_histories_catch(name: str) -> None:
    module, right, wrong = MUTANTS[name]

    def holds() -> None:
        for seed in range(0, 16, 2):
            Simulation(hooked(Services(seed), NEW)).run()

    with planted(module, (right, wrong)), pytest.raises(Broken, match=r"nobody has agreed|passes over"):
        holds()
