"""Takes a replica out of traffic while a container of it restarts in place (S-152).

A pod that can take traffic has a readiness gate: its kubelet calls it ready only while a condition, which the operator alone
writes, is True. What routes requests follows readiness, so the operator makes the condition False, leaves the routes some
seconds to follow, lets the container restart, and makes it True again when all containers are ready by themselves. The time
counts from when the kubelet reports that the pod is not ready, so no reconciliation begins it anew (S-165).

A pod without the gate, as a former version made it, restarts as it always did: nobody can add a gate to a running pod.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from pincompute.api import conditions, template_hash
from pincompute.api.builtin import Pod
from pincompute.api.conditions import Condition
from pincompute.api.labels import IN_PLACE_READY
from pincompute.api.meta import Manifest

OUT = "taken out of traffic for an update or restart in place"


def gates(spec: Manifest) -> Sequence[Manifest]:
    """Returns the readiness gates of a pod with this spec. Ours costs a write for each pod, so only one that listens has it."""
    given: list[Manifest] = spec.get("readinessGates") or []
    others = [gate for gate in given if gate["conditionType"] != IN_PLACE_READY]
    return [*others, {"conditionType": IN_PLACE_READY}] if is_for(spec) else others


def is_for(spec: Manifest) -> bool:
    """Returns whether a pod with this spec can take traffic: a container that runs as long as the pod declares a port."""
    lasting = (c for where, c in template_hash.containers({"spec": spec}) if template_hash.is_replaceable(where, c))
    return any(container.get("ports") for container in lasting)


def is_gated(pod: Pod) -> bool:
    return any(gate.condition_type == IN_PLACE_READY for gate in pod.spec.readiness_gates)


def is_new(pod: Pod) -> bool:
    """Returns whether the pod has the gate, and nobody has judged it yet."""
    return is_gated(pod) and _condition(pod) is None


def is_in(pod: Pod) -> bool:
    """Returns whether the gate lets the pod have traffic."""
    return is_gated(pod) and conditions.is_true(pod.status.conditions, IN_PLACE_READY)


def is_out(pod: Pod) -> bool:
    """Returns whether the pod was taken out of traffic."""
    return is_gated(pod) and not is_in(pod) and not is_new(pod)


def reason(pod: Pod) -> str:
    """Returns why a pod is not ready whose containers are; empty where the gate is not the reason."""
    return OUT if is_out(pod) and is_ready_by_itself(pod) else ""


def is_ready_by_itself(pod: Pod) -> bool:
    """Returns whether its kubelet has seen the pod as it is now, and all containers are ready."""
    observed = pod.status.observed_generation
    return _serves(pod) and (not observed or observed >= pod.metadata.generation)


def _serves(pod: Pod) -> bool:
    """Returns whether all containers are ready that run for as long as the pod."""
    sidecars = {container.name for container in pod.spec.init_containers if container.restart_policy == "Always"}
    lasting = [status for status in pod.status.init_container_statuses if status.name in sidecars]
    lasting += pod.status.container_statuses
    return len(lasting) == len(sidecars) + len(pod.spec.containers) and all(status.ready for status in lasting)


def drains_for(pod: Pod, seconds: int, now: datetime) -> float:
    """Returns for how many more seconds a pod that is not in traffic may still get requests.

    What routes requests follows the readiness that the kubelet reports. So the time begins when that is False, and a kubelet
    that has not seen the gate yet is waited for.
    """
    ready = conditions.find(pod.status.conditions, "Ready")
    if not seconds or not is_out(pod) or ready is None:
        return 0.0
    if ready.status == "True":
        return float(seconds)
    if ready.last_transition_time is None:
        return 0.0
    left = seconds - (now - ready.last_transition_time).total_seconds()
    return min(max(0.0, left), float(seconds))


def out_of_traffic(now: datetime) -> Manifest:
    """Returns the strategic merge patch of the pod's status that takes it out of traffic."""
    return _status("False", "InPlaceRestart", OUT, now)


def in_traffic(now: datetime) -> Manifest:
    """Returns the strategic merge patch of the pod's status that lets it have traffic."""
    return _status("True", "NoInPlaceRestart", "", now)


def _status(status: str, reason: str, message: str, now: datetime) -> Manifest:
    made = {"type": IN_PLACE_READY, "status": status, "reason": reason, "message": message}
    return {"status": {"conditions": [{**made, "lastTransitionTime": _whole_seconds(now)}]}}


def _whole_seconds(now: datetime) -> str:
    """Returns the time as the API server stores it, rounded up: a pod must not drain for less than it is told to."""
    rounded = now.replace(microsecond=0) + timedelta(seconds=1 if now.microsecond else 0)
    return rounded.strftime("%Y-%m-%dT%H:%M:%SZ")


def _condition(pod: Pod) -> Condition | None:
    return conditions.find(pod.status.conditions, IN_PLACE_READY)
