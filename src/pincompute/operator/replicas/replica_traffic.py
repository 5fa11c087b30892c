"""Takes replicas out of traffic before their containers restart in place, and puts them back (S-152).

Which pods are out follows, in every reconciliation, from what is to change now: a pod whose change is no longer wanted, because
of a rollback, a pause or another image that its node has to pull first, is put back at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pincompute.api.builtin import PODS, Pod
from pincompute.api.labels import LOCAL
from pincompute.api.meta import Manifest
from pincompute.domain import container_restart, in_place_update, pod_resize, shard_pods, sidecar_injection, traffic_gate
from pincompute.engine.plan import Patch, Ref


@dataclass(frozen=True, slots=True)
class Traffic:
    """The pods of a shard, and for how long one of them drains before a container restarts."""

    pods: Sequence[Pod]
    connection_drain_seconds: int
    now: datetime

    def due(self, changes: Iterable[Patch]) -> list[Patch]:
        """Returns what can be written now: a change that restarts a container of a pod in traffic first takes the pod out."""
        pods = {pod.metadata.name: pod for pod in self.pods}
        made = (self._step(pods[change.ref.key.name], change) for change in changes)
        return [patch for patch in made if patch is not None]

    def back(self, changes: Iterable[Patch], ending: Collection[str]) -> list[Patch]:
        """Returns the patches of pods that can have traffic: no change, present or former, ends a container of theirs."""
        busy = {*ending, *(change.ref.key.name for change in changes)}
        pods = (pod for pod in self.pods if pod.metadata.name not in busy and shard_pods.is_live(pod) and pod.spec.node_name)
        return [_patch(pod, traffic_gate.in_traffic(self.now), "it can have traffic") for pod in pods if self._belongs_in(pod)]

    def wake_after(self, changes: Iterable[Patch]) -> float | None:
        """Returns the seconds until the first of the pods that drain has done so."""
        pods = {pod.metadata.name: pod for pod in self.pods}
        changing = (pods[change.ref.key.name] for change in changes)
        waits = (self._drains_for(pod) for pod in changing if traffic_gate.is_out(pod))
        return min((wait for wait in waits if wait), default=None)

    def _step(self, pod: Pod, change: Patch) -> Patch | None:
        if not _restarts(pod, change):
            return change
        if traffic_gate.is_in(pod):
            return _patch(pod, traffic_gate.out_of_traffic(self.now), f"drains: it {change.why}")
        return None if self._drains_for(pod) else change

    def _drains_for(self, pod: Pod) -> float:
        return traffic_gate.drains_for(pod, self.connection_drain_seconds, self.now)

    def _belongs_in(self, pod: Pod) -> bool:
        return (traffic_gate.is_new(pod) and not is_restarting(pod, self.now)) or drains(pod, self.now)


def is_restarting(pod: Pod, now: datetime) -> bool:
    """Returns whether a container still runs, or waits to start again, that a change of the pod has told to end.

    A resize that the node does not do now ends none, and may wait for as long as the node has no room.
    """
    by_update = in_place_update.is_pending(pod) or sidecar_injection.is_pending(pod, now)
    by_resize = pod_resize.is_pending(pod) and pod_resize.restarts(pod) and pod_resize.reported_obstacle(pod) is None
    return by_update or container_restart.is_pending(pod) or by_resize


def drains(pod: Pod, now: datetime) -> bool:
    """Returns whether the pod would serve if it were not out of traffic."""
    return traffic_gate.is_out(pod) and can_serve(pod, now)


def can_serve(pod: Pod, now: datetime) -> bool:
    """Returns whether the pod serves, or would if its kubelet had seen that its gate is open, or the gate were open."""
    return traffic_gate.is_ready_by_itself(pod) and not is_restarting(pod, now)


def _restarts(pod: Pod, change: Patch) -> bool:
    return bool(pod_resize.recorded(pod).restarting) if change.subresource == "resize" else "spec" in change.body


def _patch(pod: Pod, body: Manifest, why: str) -> Patch:
    return Patch(Ref(LOCAL, PODS, pod.key), body, pod.metadata.uid, pod.metadata.resource_version, why, "status")
