"""Makes random histories of a rollout, each from its number: a spec that changes, replicas that die, members that fall silent,
scales, pauses, and controllers that restart at any write.

A history is one app in two or three zones, up to five edits, and up to three faults. Half of the histories are made of changes
alone; they also prove the order of the zones, which a loss may excuse. `check` judges every write, `rests` the end.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

import promised_availability
import region_checks
from kubelets import BAD, BAD_IN_B, CRASHING, Kubelets
from region_edits import ROOMY, SHOP, AppEdit, Edit, apply, begin
from region_worlds import ALL_INDEXES, processes

from pincompute.api.builtin import PODS
from pincompute.api.labels import HOST, REVISION
from pincompute.api.meta import Key, Manifest
from pincompute.api.workloads import PINAPPS, PinApp, RolloutStatus
from pincompute.testing.laws import Case, Scenario, SimulatedWorld
from pincompute.testing.laws.simulated_clusters import Fault
from pincompute.testing.laws.simulation import Simulation

WEB = Key(SHOP, "web")
FAILING = {BAD, CRASHING, BAD_IN_B}
STRATEGIES = ("ZoneByZone", "ZoneByZone", "Canary", "Parallel", "Recreate")
IMAGES = (1, 2, 3, 2, 3, 7, 8, 9)  # the last three fail: in zone b, after a moment, at once
CHANGES = ("image", "image", "env", "pause", "resume", "scale")
LOSSES = ("kill", "crash", "silence", "restore", "scale")


@dataclass(frozen=True)
class History:
    """One history. `calm`: nothing is lost in it. `patient`: users let an update come to rest before the next edit."""

    app: AppEdit
    members: tuple[str, ...]
    edits: tuple[Edit, ...]
    faults: dict[int, Fault]
    kubelets: Kubelets
    calm: bool
    patient: bool

    def case(self) -> Case:
        def judged(world: SimulatedWorld) -> None:
            check(world, calm=self.calm)

        scenario = Scenario(
            (HOST, *self.members),
            partial(begin, members=self.members, apps={"web": self.app}, pods={}, room=ROOMY, slow=()),
            tuple(partial(apply, edit=edit, members=self.members) for edit in self.edits),
            self.kubelets.tick,
            judged,
            rests,
        )
        return Case(processes(self.members), scenario, ALL_INDEXES, collapses=False)

    def run(self) -> None:
        Simulation(self.case(), faults=self.faults, patient=self.patient).run()


def history(number: int) -> History:
    chance = random.Random(number)
    calm = chance.random() < 0.5
    edits = [_edit(chance, calm=calm) for _ in range(chance.randint(1, 5))]
    done = {edit.what for edit in edits}
    resumed = [Edit("resume")] if "pause" in done else []
    restored = [] if calm else [Edit("restore")]
    faults = {chance.randrange(10, 300): chance.choice(list(Fault)) for _ in range(chance.choice((0, 0, 1, 3)))}
    return History(
        app=AppEdit(chance.randint(1, 5), unavailable=chance.choice((None, 0, 1, "50%")), update=_update(chance)),
        members=chance.choice((("a1", "b1"), ("a1", "b1", "c1"))),
        edits=(*edits, *resumed, *restored),
        faults=faults,
        kubelets=Kubelets(chance.choice((0.0, 2.0, 6.0)), chance.choice((0.0, 0.0, 3.0))),
        calm=calm,
        patient=chance.random() < 0.4,
    )


def _update(chance: random.Random) -> Manifest:
    strategy = chance.choice(STRATEGIES)
    update: Manifest = {"strategy": strategy, "onFailure": chance.choice(("Hold", "Rollback"))}
    if chance.random() < 0.3:
        update["bakeSeconds"] = 3
    if strategy in ("Canary", "Parallel") and chance.random() < 0.3:
        update["steps"] = chance.choice(([1], ["30%", "60%"]))
    return update


def _edit(chance: random.Random, *, calm: bool) -> Edit:
    what = chance.choice(CHANGES if calm else CHANGES + LOSSES)
    number = {"image": chance.choice(IMAGES), "scale": chance.randint(1, 5)}.get(what, chance.randint(0, 5))
    return Edit(what, "" if what in ("kill", "crash") else "web", number)


def check(world: SimulatedWorld, *, calm: bool) -> None:
    """What holds after every write: no pod too many, the promised availability, and no more of a revision than its turn."""
    region_checks.invariant(world)
    promised_availability.check(world)
    region_checks.check_no_mix(world)
    if calm:
        check_turns(world)


def check_turns(world: SimulatedWorld) -> None:
    """N1: a replica of the new revision appears in a zone only when all earlier zones serve it, unless nothing is left that
    serves and could be harmed, or a former revision is in trouble there.
    """
    app = world.objects(HOST, PINAPPS).get(WEB)
    record = app.status.rollout if app is not None else None
    if app is None or record is None or app.spec.update.strategy != "ZoneByZone" or record.state != "Progressing":
        return
    if not record.stable or not record.zones or app.metadata.generation != app.status.observed_generation:
        return
    cluster = world.changes[-1].cluster
    newest = world.history(cluster, PODS)[-1:] if cluster != HOST else []
    for version in newest:
        pod = version.obj
        if pod is None or version.number != world.version(cluster) or not region_checks.is_new(pod):
            continue
        if pod.metadata.labels.get(REVISION) == record.revision:
            _check_turn(world, app, record, cluster)


def _check_turn(world: SimulatedWorld, app: PinApp, record: RolloutStatus, cluster: str) -> None:
    made = app.status.scheduling
    placed = made.placement if made is not None else ()
    zone = next((row.zone for row in placed if row.cluster == cluster), "")
    if zone not in record.zones:
        return
    pods = [pod for _, pod in region_checks.pods_of(world, app.metadata.uid)]
    if not any(promised_availability.serves(p, world.now) and p.metadata.labels[REVISION] != record.revision for p in pods):
        return
    images = {
        c.image for name, pod in region_checks.pods_of(world, app.metadata.uid) if name == cluster for c in pod.spec.containers
    }
    if images & FAILING:
        return
    for earlier in record.zones[: record.zones.index(zone)]:
        wanted = sum(row.replicas for row in placed if row.zone == earlier)
        there = sum(
            pod.metadata.labels[REVISION] == record.revision and promised_availability.serves(pod, world.now)
            for name, pod in region_checks.pods_of(world, app.metadata.uid)
            if region_checks.ZONES[name] == earlier
        )
        assert there >= wanted, f"zone {zone} gets {record.revision}, of which zone {earlier} serves {there} of {wanted}"


def rests(world: SimulatedWorld) -> None:
    """A rollback is complete, and what can run runs: as many replicas as were asked for, of the last revision that works."""
    region_checks.check_traffic(world)
    app = world.objects(HOST, PINAPPS)[WEB]
    record, mine = app.status.rollout, [pod for _, pod in region_checks.pods_of(world, app.metadata.uid)]
    assert record is None or record.state != "RollingBack", "a rollback never ends"
    failing = any(container["image"] in FAILING for container in app.spec.template["spec"]["containers"])
    if record is not None and record.state == "RolledBack":
        assert {pod.metadata.labels[REVISION] for pod in mine} <= {record.stable}
    elif failing:
        return
    else:
        wanted = {container["image"] for container in app.spec.template["spec"]["containers"]}
        assert all({c.image for c in pod.spec.containers} == wanted for pod in mine), "former images are left"
    assert sum(promised_availability.serves(pod, world.now) for pod in mine) == len(mine) == app.spec.replicas
