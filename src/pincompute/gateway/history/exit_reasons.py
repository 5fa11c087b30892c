"""Explains in words why a container ended and what to do about it. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from pincompute.domain import container_failure, storage_eviction
from pincompute.domain.container_failure import CUT_OFF, OUT_OF_MEMORY, SIGNALLED, short, signal_name
from pincompute.store.records import AnyRecord, EventRecord, ExitRecord

NODE_RESTARTED = "Unknown"  # containerd's reason for a container that it did not see end
GRACE_EXCEEDED = "GracePeriodExceeded"  # our own reason for a container of a deleted pod that ran past the pod's deadline
_GRACE_REMEDY = "end the program when it gets SIGTERM, or raise terminationGracePeriod"
_DEFINITION_CHANGED = re.compile(r"(?:Init c|C)ontainer (?P<container>\S+) definition changed")
CHECK_FAILED = re.compile(r"(?:Init c|C)ontainer (?P<container>\S+) failed (?P<check>liveness|startup) probe")
_ENDED_BY_KUBELET = (0, SIGNALLED + signal.SIGKILL, SIGNALLED + signal.SIGTERM)  # codes after a request to end
_FAILED_CHECKS = {f"{check.capitalize()}Failed": f"its {check} check failed" for check in ("liveness", "startup")}
_CHECK_REMEDY = "correct the check, or give it longer (startup, initialDelay, failureThreshold)"
_SECOND = timedelta(seconds=1)  # Kubernetes cuts times to the second
GRACE = timedelta(seconds=120)  # in which an announced container ends

_REMEDIES = {
    1: "what it wrote last may say why",
    126: "its command cannot be executed: check the file's permissions and architecture",
    127: "its command was not found: check `command` and the image",
    SIGNALLED + signal.SIGKILL: "it did not end within its grace period, or its liveness check failed: look at the events",
    SIGNALLED + signal.SIGSEGV: "it read or wrote memory that is not its own: what it wrote last may say why",
    SIGNALLED + signal.SIGABRT: "it aborted itself: what it wrote last may say why",
    SIGNALLED + signal.SIGTERM: "it was asked to end: look at the events for who asked",
}
_EVICTED = "Evicted"
_NEVER_END = ("", "PinApp")  # workloads that are to run on
_REMEDIES_OF_PODS = {
    _EVICTED: "its node ran short: request what it uses, or add nodes",
    "DeadlineExceeded": "it ran longer than activeDeadline: raise that, or do less",
    "NodeShutdown": "its node was shut down; it is replaced",
    "Terminated": "its node was shut down; it is replaced",
    "Preempting": "more important work needed its place; it is placed again",
}


def with_causes(records: Iterable[AnyRecord], around: Iterable[AnyRecord] = ()) -> tuple[AnyRecord, ...]:
    """The records in their order; an exit that the kubelet announced, because the container's definition changed, is expected,
    one that it made because a check failed has that as its reason, and one of a pod that it ended as a whole is expected.

    An update in place and a requested restart change a definition. An announcement is about the next exit only: a container
    that fails with its new definition fails by itself. `around` has the announcements and exits that are not among the records.
    """
    found = tuple(records)
    known = {record.key: record for record in (*around, *found)}.values()
    causes = _Causes(_announced_exits(known), _failed_checks(known), _ended_pods(known))
    return tuple(_with_cause(r, causes) if isinstance(r, ExitRecord) else r for r in found)


class FailedCheck(NamedTuple):
    """The kubelet restarted a container because of a check, once or several times from `since` to `until`."""

    since: datetime
    until: datetime
    reason: str


class _Causes(NamedTuple):
    """The keys of announced exits, the failed checks by pod and container, and when whole pods were ended, by uid and name."""

    announced: AbstractSet[str]
    checks: Mapping[tuple[str, str], Sequence[FailedCheck]]
    ended_pods: Mapping[str, datetime]


def _with_cause(record: ExitRecord, causes: _Causes) -> ExitRecord:
    if record.key in causes.announced:
        return replace(record, expected=True)
    if record.code not in _ENDED_BY_KUBELET or record.reason in (OUT_OF_MEMORY, GRACE_EXCEEDED):
        return record
    checks = causes.checks.get((record.pod, record.container), ())
    if reason := next((each.reason for each in checks if each.since <= record.at <= each.until), ""):
        return replace(record, reason=reason)
    by_itself = not record.code and record.workload not in _NEVER_END  # a unit that was done as its pod ended
    ended = causes.ended_pods.get(record.pod_uid, causes.ended_pods.get(record.pod)) if not by_itself else None
    if not record.container:
        return record
    return replace(record, expected=True) if ended is not None and abs(record.at - ended) <= GRACE else record


def _ended_pods(records: Iterable[AnyRecord]) -> dict[str, datetime]:
    """When the kubelet ended a pod with all its containers, as in an eviction: the pod's own record says why."""
    found: dict[str, datetime] = {}
    for record in records:
        if isinstance(record, ExitRecord) and not record.container and record.reason in _REMEDIES_OF_PODS:
            found[record.pod_uid] = record.at
        elif isinstance(record, EventRecord) and record.reason == _EVICTED:  # the pod may be gone before its own record
            found[record.object] = record.at
    return found


def _failed_checks(records: Iterable[AnyRecord]) -> dict[tuple[str, str], list[FailedCheck]]:
    """The failed checks by pod and container."""
    found: dict[tuple[str, str], list[FailedCheck]] = {}
    for event in records:
        if isinstance(event, EventRecord) and (match := CHECK_FAILED.match(event.message)):
            check = FailedCheck(event.at - _SECOND, event.last + GRACE, f"{match['check'].capitalize()}Failed")
            found.setdefault((event.object, match["container"]), []).append(check)
    return found


def _announced_exits(records: Iterable[AnyRecord]) -> set[str]:
    """The keys of exits that the kubelet announced."""
    announced: dict[tuple[str, str], set[datetime]] = {}
    exits: dict[tuple[str, str], list[ExitRecord]] = {}
    for record in records:
        if isinstance(record, ExitRecord):
            exits.setdefault((record.pod, record.container), []).append(record)
        elif isinstance(record, EventRecord) and (match := _DEFINITION_CHANGED.match(record.message)):
            announced.setdefault((record.object, match["container"]), set()).update((record.at, record.last))
    return {exit_.key for where, times in announced.items() for exit_ in _next_exits(exits.get(where, ()), sorted(times))}


def _next_exits(of_container: Iterable[ExitRecord], announced: Sequence[datetime]) -> Iterator[ExitRecord]:
    """The first exit of the container after each announcement."""
    exits = sorted(of_container, key=lambda record: record.at)
    for at in announced:
        found = next((record for record in exits if at - _SECOND <= record.at <= at + GRACE), None)
        if found is not None:
            exits.remove(found)
            yield found


def sentence(record: ExitRecord, pods: int = 1, times: int = 1) -> str:
    """A sentence without a full stop. `pods` and `times` say how many pods ended so, and how often in all."""
    who = _who(record) if pods == 1 else " in ".join(part for part in (record.container, f"{pods} replicas") if part)
    if record.reason == container_failure.START_ERROR:
        return container_failure.start(who, record.reason, record.message).sentence
    what = f"{who} ended with {how(record)}" if record.container else f"{who} failed ({_why(record)})"
    often = f", {times} times" if times > pods else ""
    remedy = remedy_of(record)
    return f"{what}{often}: {remedy}" if remedy else f"{what}{often}"


def how(record: ExitRecord) -> str:
    """`exit code 137 (out of memory; limit 32Mi)`."""
    why = _why(record)
    return f"exit code {record.code} ({why})" if why else f"exit code {record.code}"


def remedy_of(record: ExitRecord) -> str:
    """The remedy; empty when the container ended as it had been asked to, or has done its work."""
    if record.reason == GRACE_EXCEEDED:
        return _GRACE_REMEDY
    if record.expected:
        return ""
    if not record.container and storage_eviction.is_beyond_limit(record.message):
        return storage_eviction.remedy(record.message)
    if not record.container:
        return _REMEDIES_OF_PODS.get(record.reason, "look at the events")
    if record.reason == NODE_RESTARTED and record.code == CUT_OFF:
        return "its node or container runtime was restarted; the container runs again by itself"
    if record.reason == OUT_OF_MEMORY:
        return container_failure.MEMORY_REMEDY
    if record.reason in _FAILED_CHECKS:
        return _CHECK_REMEDY
    if not record.code:
        return container_failure.APP_REMEDY if record.workload in ("", "PinApp") else container_failure.UNIT_REMEDY
    return _REMEDIES.get(record.code, "what it wrote last may say why")


def _who(record: ExitRecord) -> str:
    where = f" (zone {record.zone})" if record.zone else ""
    return f"{record.container} in {record.pod}{where}" if record.container else f"{record.pod}{where}"


def _why(record: ExitRecord) -> str:
    parts = [_reason(record)]
    if record.reason == OUT_OF_MEMORY and record.memory_limit:
        parts.append(f"limit {record.memory_limit}")
    if record.expected:
        parts.append("it had been asked to end")
    if record.message:
        parts.append(short(record.message))
    return "; ".join(part for part in parts if part)


def _reason(record: ExitRecord) -> str:
    if record.reason == OUT_OF_MEMORY:
        return "out of memory"
    if record.reason == GRACE_EXCEEDED:
        return "SIGKILL after its grace period"
    if record.reason == NODE_RESTARTED:
        return "its end was not seen"
    if record.reason in _FAILED_CHECKS:
        return _FAILED_CHECKS[record.reason]
    if record.container and record.code > SIGNALLED and (name := signal_name(record.code - SIGNALLED)):
        return name
    return "" if record.reason in ("Error", "Completed") else record.reason
