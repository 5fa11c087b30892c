"""Asks pods of a member to take another version of a sidecar, as many as the fleet allows here, and counts them by version.

The key is the sidecar, because the fleet owns the constraint: how many pods may have the version. A request is a mark on the
pod. The controller of the pod's shard carries it out within the disruption account, so no workload loses more replicas than it
allows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pincompute.api import sidecars
from pincompute.api.builtin import PODS, Pod
from pincompute.api.labels import INJECTED, LOCAL, is_ours
from pincompute.api.meta import Key, Resource
from pincompute.api.sidecars import PINSIDECARSHARDS, PinSidecarShard
from pincompute.domain import sidecar_fleet, sidecar_injection
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.plan import Action, Confirm, Patch, Plan, Ref, Stage, plan, status_update
from pincompute.kube.cache_views import Unknown, Views

MOST_REQUESTS = 200  # in one plan; the next reconciliation makes the rest
BY_SIDECAR = "sidecar"  # index over pods


def _by_sidecar(pod: Pod) -> Iterable[str]:
    """Returns the sidecars that a pod of ours has. Anybody may write our annotation on a pod of another namespace."""
    if not is_ours(pod.metadata.labels) or INJECTED not in pod.metadata.annotations:
        return ()
    has = {container.name for container in pod.spec.init_containers}
    return [name for name in sidecar_injection.recorded(pod) if sidecars.container_name(name) in has]


INDEXES: Mapping[Resource[Any], Mapping[str, Any]] = {PODS: {BY_SIDECAR: _by_sidecar}}


@dataclass(frozen=True, slots=True)
class ObservedFleet:
    shard: PinSidecarShard
    pods: tuple[Pod, ...]
    now: datetime

    @property
    def ref(self) -> Ref:
        return Ref(LOCAL, PINSIDECARSHARDS, self.shard.key)


def decide(seen: ObservedFleet) -> Plan:
    shard = seen.shard
    if shard.deleting:
        return Plan(why="is being deleted")
    fleet = sidecar_fleet.pods_of(shard, seen.pods, seen.now)
    by_uid = {pod.metadata.uid: pod for pod in seen.pods}
    wanted = sidecar_fleet.requests(shard.spec, fleet)
    asks = [_request(by_uid[uid], shard, revision) for uid, revision in wanted.items()][:MOST_REQUESTS]
    status = sidecar_fleet.status(shard, fleet)
    report = status_update(seen.ref, shard.metadata, shard.status, status, "its pods changed")
    guard: Stage = (Confirm(seen.ref, shard.metadata.uid, shard.metadata.generation),) if asks else ()
    return plan(guard, tuple[Action, ...]((*asks, *report)), wake_after=sidecar_fleet.wake_after(fleet))


def _request(pod: Pod, shard: PinSidecarShard, revision: str) -> Patch:
    body = sidecar_injection.ask(pod, shard.metadata.name, revision)
    why = f"takes {revision} of sidecar {shard.metadata.name} when its workload allows it" if revision else "keeps its version"
    return Patch(Ref(LOCAL, PODS, pod.key), body, pod.metadata.uid, pod.metadata.resource_version, why)


def observe(key: Key, views: Views, now: datetime) -> ObservedFleet | None:
    """Raises Unknown until shards and pods are known."""
    shards, pods = views.view(LOCAL, PINSIDECARSHARDS), views.view(LOCAL, PODS)
    if not shards.synced or not pods.synced:
        raise Unknown("sidecars or pods have not synced")
    shard: PinSidecarShard | None = shards.get(key)
    return ObservedFleet(shard, tuple(pods.by(BY_SIDECAR, key.name)), now) if shard is not None else None


def _of_pod(_cluster: str, pod: Pod) -> Iterable[Key]:
    return [Key("", name) for name in _by_sidecar(pod)]


CONTROLLER: Controller[Key, ObservedFleet] = Controller(
    Card(
        name="operator.sidecar-fleet",
        promise="As many pods as the fleet allows here are asked to take the wanted version of a sidecar.",
        key="the PinSidecarShard",
        reads=(ReadAccess("local", PINSIDECARSHARDS, own_key), ReadAccess("local", PODS, _of_pod)),
        writes=(
            WriteAccess("local", PINSIDECARSHARDS, ("status",)),
            WriteAccess("local", PODS, ("patch",)),
        ),
        coalesce=1.0,
    ),
    observe,
    decide,
)
