"""Checks the availability that a PinApp is promised, from its pods alone, whatever our budgets say.

It promises nothing to an app whose strategy is Recreate. Of any other one's replicas at least
`replicas - max(maxUnavailable, one if surge is 0)` serve, counted over all clusters, with silent ones as down. Crashes, lost
nodes and silent members break no promise. No write of ours, and no eviction that a budget of ours allows, may take a serving
replica when fewer than promised would be left. What was lost involuntarily a moment before is excused, because the controller
cannot know of it yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from kubelets import lets_through

from pincompute.api.builtin import PODS, Pod
from pincompute.api.conditions import find
from pincompute.api.labels import HOST, ORIGIN_UID
from pincompute.api.meta import Key
from pincompute.api.workloads import PINAPPS, PinApp
from pincompute.testing.laws import SimulatedWorld
from pincompute.testing.laws.simulated_world import ObjectVersion, since

EXCUSED = timedelta(seconds=5)  # after a loss that nobody decided on; a member's report and its next budget fit into it


@dataclass(frozen=True, slots=True)
class PromisedAvailability:
    """So many `replicas` of a workload count at present, and so many of them may be missing."""

    replicas: int
    unavailable: int

    @property
    def floor(self) -> int:
        return self.replicas - self.unavailable


def check(world: SimulatedWorld, *, cramped: bool = False) -> None:
    """Judges the last deed. In a `cramped` world a surge may have no room, and then one replica at a time may go."""
    change = world.changes[-1]
    taken = Counter(uid for uid, _ in taken_after(world, change.cluster, change.before))
    for app in world.objects(HOST, PINAPPS).values():
        if app.metadata.uid not in taken or app.deleting or app.spec.update.strategy == "Recreate":
            continue
        promise = promise_of(world, app, cramped=cramped)
        left = serving(world, app.metadata.uid)
        if left >= promise.floor:
            continue
        excused = lost(world, app.metadata.uid)
        assert left + excused >= promise.floor, (
            f"{app.key}: {taken[app.metadata.uid]} serving replicas were taken in {change.cluster}, {left} are left: expected "
            f"at least {promise.floor} ({promise.replicas} replicas count, {promise.unavailable} may be missing, "
            f"{excused} were lost a moment before)"
        )


def promise_of(world: SimulatedWorld, app: PinApp, *, cramped: bool) -> PromisedAvailability:
    return PromisedAvailability(_least_replicas(world, app), max(_account(app), 1 if cramped else 0))


def _least_replicas(world: SimulatedWorld, app: PinApp) -> int:
    """The fewest replicas that were to run since all that were to run did: what is being added does not count yet."""
    least = _placed(app)
    for version in reversed(world.history(HOST, PINAPPS)):
        past = version.obj
        if not isinstance(past, PinApp) or past.metadata.uid != app.metadata.uid:
            continue
        least = min(least, _placed(past))
        status = past.status
        if status.observed_generation == past.metadata.generation and status.available_replicas >= _placed(past):
            return least
    return 0


def _placed(app: PinApp) -> int:
    """Replicas that should run and have a place to."""
    made = app.status.scheduling
    placed = sum(row.replicas for row in made.placement) if made else 0
    return 0 if app.spec.stopped else min(app.spec.replicas, placed)


def _account(app: PinApp) -> int:
    wanted, update = app.spec.disruption.max_unavailable, app.spec.update
    unavailable = _part(update.max_unavailable if wanted is None else wanted, app.spec.replicas, up=False)
    return max(unavailable, 0 if _part(update.max_surge, app.spec.replicas, up=True) else 1)


def _part(value: int | str, total: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    share = int(value.removesuffix("%")) * total
    return -(-share // 100) if up else share // 100


def serves(pod: Pod, now: datetime, patience: float = 0.0) -> bool:
    """It is ready and in traffic, has been for long enough, is not ending, and no container is about to be restarted."""
    condition = find(pod.status.conditions, "Ready")
    if condition is None or condition.status != "True" or pod.deleting or pod.status.phase != "Running":
        return False
    if not lets_through(pod):
        return False
    since = condition.last_transition_time or pod.metadata.creation_timestamp or now
    images = {status.name: status.image for status in pod.status.container_statuses}
    long_enough = (now - since).total_seconds() >= patience
    return long_enough and all(images.get(c.name) == c.image for c in pod.spec.containers)


def serving(world: SimulatedWorld, uid: str) -> int:
    """In the clusters that answer."""
    return sum(
        serves(pod, world.now)
        for cluster in world.stores
        if cluster != HOST and cluster not in world.silent and cluster not in world.cut
        for pod in world.objects(cluster, PODS).values()
        if pod.metadata.labels.get(ORIGIN_UID) == uid
    )


def taken_after(world: SimulatedWorld, cluster: str, before: int) -> Iterator[tuple[str, Key]]:
    """Replicas that served at a version and do not serve now: the uid of the workload, the key of the pod."""
    history = world.history(cluster, PODS)
    if not history or history[-1].number <= before or cluster in world.silent:
        return
    changed = dict.fromkeys(version.key for version in since(history, before))
    past, present = world.objects(cluster, PODS, before), world.objects(cluster, PODS)
    for key in changed:
        was, now = past.get(key), present.get(key)
        if was is not None and serves(was, world.now) and not (now is not None and serves(now, world.now)):
            yield was.metadata.labels.get(ORIGIN_UID, ""), key


def lost(world: SimulatedWorld, uid: str) -> int:
    """Replicas that stopped serving a moment ago without our doing, those in clusters that fell silent included."""
    since = world.now - EXCUSED
    count = 0
    for cluster in world.stores:
        if world.silent_since.get(cluster, since) > since:
            count += sum(p.metadata.labels.get(ORIGIN_UID) == uid for p in world.objects(cluster, PODS).values())
            continue
        ours = [range(change.before + 1, change.after + 1) for change in world.changes if change.cluster == cluster]
        count += sum(
            not any(version.number in numbers for numbers in ours) and _fell(world, cluster, version, uid)
            for version in _recent(world.history(cluster, PODS), since)
        )
    return count


def _recent(history: list[ObjectVersion], since: datetime) -> Iterator[ObjectVersion]:
    for version in reversed(history):
        if version.time < since:
            return
        yield version


def _fell(world: SimulatedWorld, cluster: str, version: ObjectVersion, uid: str) -> bool:
    was = world.objects(cluster, PODS, version.number - 1).get(version.key)
    if was is None or was.metadata.labels.get(ORIGIN_UID) != uid or not serves(was, version.time):
        return False
    now = version.obj
    return not (isinstance(now, Pod) and serves(now, version.time))
