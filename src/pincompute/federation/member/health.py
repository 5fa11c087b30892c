"""Decides whether a member is ready, with a delay in both directions (S-017).

`Reachable` follows the facts at once. `Ready` follows `Reachable` after it has held for a while, so that a flapping member is
neither trusted nor given up too soon. The delay counts from the condition's own transition time, so a restart of the
federation neither restarts nor skips it (N8).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from pincompute.api import conditions
from pincompute.api.conditions import Condition
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS, Capacity, MemberCluster
from pincompute.api.meta import Object
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess
from pincompute.engine.plan import Plan, Ref, plan, status_update
from pincompute.federation.controller_keys import MemberKey
from pincompute.federation.member import member_state
from pincompute.federation.member.member_state import MemberState
from pincompute.kube.cache_views import Views

DOWN_AFTER = timedelta(seconds=15)  # of silence until a ready member counts as not ready
UP_AFTER = timedelta(seconds=3)  # of answers until a member that was not ready is trusted again
FIRST_ANSWER = timedelta(seconds=5)  # from the registration of a member until it counts as unreachable
LONGEST_VERSION = 64  # characters of a kubelet's version
REACHABLE = "Reachable"


@dataclass(frozen=True, slots=True)
class ObservedHealth:
    now: datetime
    cluster: MemberCluster
    member: MemberState


def decide(observed: ObservedHealth) -> Plan:
    cluster, now = observed.cluster, observed.now
    if (wait := _time_to_answer(observed)) > timedelta():
        return Plan(wake_after=wait.total_seconds(), why="was registered a moment ago and has not answered yet")
    contact = conditions.merge(cluster.status.conditions, (_contact(observed),), now)
    ready, wake_after = _judge(observed, contact)
    status = msgspec.structs.replace(
        cluster.status,
        observed_generation=cluster.metadata.generation,
        capacity=_rounded(observed.member.capacity) or cluster.status.capacity,
        conditions=conditions.merge(contact, (ready,), now),
    )
    ref = Ref(HOST, MEMBERCLUSTERS, cluster.key)
    return plan(status_update(ref, cluster.metadata, cluster.status, status, ready.message), wake_after=wake_after)


def observe(key: MemberKey, views: Views, now: datetime) -> ObservedHealth | None:
    cluster = views.view(HOST, MEMBERCLUSTERS).get(key.object)
    return ObservedHealth(now, cluster, member_state.measure(cluster, views)) if cluster is not None else None


def _time_to_answer(observed: ObservedHealth) -> timedelta:
    """Returns how long a new member may still be unreachable before it is reported as unreachable."""
    made = observed.cluster.metadata.creation_timestamp
    if observed.member.reachable or observed.cluster.status.conditions or made is None:
        return timedelta()
    age = observed.now - made
    return FIRST_ANSWER - age if timedelta() <= age < FIRST_ANSWER else timedelta()


def _contact(observed: ObservedHealth) -> Condition:
    if observed.member.reachable:
        return _condition(observed, REACHABLE, "True", "Answers", "the API server answers")
    message = "the API server does not answer; check that it runs and that the kubeconfig Secret is right"
    return _condition(observed, REACHABLE, "False", "Unreachable", message)


def _judge(observed: ObservedHealth, contact: tuple[Condition, ...]) -> tuple[Condition, float | None]:
    """Returns the Ready condition and the seconds until it may change by the passing of time alone."""
    reachable = conditions.is_true(contact, REACHABLE)
    before = conditions.find(observed.cluster.status.conditions, member_state.READY)
    if before is None:
        return _verdict(observed, reachable), None
    if (before.status == "True") == reachable:
        return _verdict(observed, reachable), None
    since = conditions.find(contact, REACHABLE)
    held = observed.now - (since.last_transition_time if since and since.last_transition_time else observed.now)
    patience = UP_AFTER if reachable else DOWN_AFTER
    if held >= patience:
        return _verdict(observed, reachable), None
    return before, (patience - held).total_seconds()


def _verdict(observed: ObservedHealth, ready: bool) -> Condition:
    if ready:
        return _condition(observed, member_state.READY, "True", "Healthy", "the cluster takes work")
    return _condition(
        observed, member_state.READY, "False", "Unreachable", "the cluster is unreachable; its replicas are left as they are"
    )


def _condition(observed: ObservedHealth, kind: str, status: conditions.ConditionStatus, reason: str, message: str) -> Condition:
    generation = observed.cluster.metadata.generation
    return Condition(type=kind, status=status, observed_generation=generation, reason=reason, message=message)


def _rounded(capacity: Capacity | None) -> Capacity | None:
    """Returns the capacity for people, without the histogram, which the scheduler reads in the member itself.

    Whoever has the member in hand may have written a text of any length there.
    """
    if capacity is None:
        return None
    return msgspec.structs.replace(capacity, free=(), kubelet_version=capacity.kubelet_version[:LONGEST_VERSION])


def _itself(_cluster: str, member: MemberCluster) -> tuple[MemberKey, ...]:
    return (MemberKey(member.metadata.name),)


def _of_cluster(cluster: str, _obj: Object) -> tuple[MemberKey, ...]:
    return (MemberKey(cluster),)


CONTROLLER = Controller(
    Card(
        name="federation.health",
        promise="Each MemberCluster says whether it answers, whether it takes work, and what it has.",
        key="MemberCluster",
        reads=(ReadAccess("host", MEMBERCLUSTERS, _itself), ReadAccess("members", CLUSTERCAPACITIES, _of_cluster)),
        writes=(WriteAccess("host", MEMBERCLUSTERS, ("status",)),),
        coalesce=5.0,
    ),
    observe,
    decide,
)
