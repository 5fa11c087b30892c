"""Tells a check that does not pass yet, because its container is starting, from one that fails. Pure.

Kubernetes reports both in the same words, as warnings. A container has a while to come up. A user may have to mend only a check
that fails for longer, or in a container that was started again. A startup check has its own allowance, whose end the kubelet
announces. A health check that fails because its container crashes tells nothing that the crash does not tell.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from msgspec.structs import replace

from pincompute.domain.unready_reason import PATIENCE
from pincompute.gateway.history import exit_reasons
from pincompute.gateway.operation import pod_troubles
from pincompute.store.records import AnyRecord, EventRecord, ExitRecord

ALLOWANCE = timedelta(seconds=PATIENCE)
PENDING = "CheckPending"  # our own reason of an event about a check that does not pass yet
CRASHED = "CheckOfCrash"  # our own reason of an event about a health check that fails because its container crashes
_SECOND = timedelta(seconds=1)  # Kubernetes cuts times to the second


def with_allowance(
    records: Iterable[AnyRecord], around: Iterable[AnyRecord], late: Collection[tuple[str, str]] = ()
) -> tuple[AnyRecord, ...]:
    """The records in their order, in which a check is no warning that does not pass yet, or that fails because of a crash.
    `around` has the events and exits that tell when containers started and ended; `late` are pods that are not ready, each with
    a check that tells why.
    """
    found = tuple(records)
    known = exit_reasons.with_causes({each.key: each for each in (*around, *found)}.values())
    events = [each for each in known if isinstance(each, EventRecord)]
    crashes: dict[str, list[ExitRecord]] = {}
    for each in known:
        if isinstance(each, ExitRecord) and not each.expected:
            crashes.setdefault(each.pod, []).append(each)
    checked = ((each.object, exit_reasons.CHECK_FAILED.match(each.message)) for each in events)
    ended = frozenset((pod, match["container"]) for pod, match in checked if match is not None)
    runs = _Runs(_starts(events), crashes, ended)
    return tuple(_judged(each, runs, late) if isinstance(each, EventRecord) else each for each in found)


@dataclass(frozen=True, slots=True)
class _Runs:
    """The starts and crashes of containers by pod, and the containers that a check has ended, each with its pod."""

    starts: Mapping[str, list[EventRecord]]
    crashes: Mapping[str, list[ExitRecord]]
    ended: frozenset[tuple[str, str]]

    def starts_of(self, event: EventRecord) -> list[EventRecord]:
        return [each for each in self.starts.get(event.object, ()) if _may_be(each.container, event)]

    def crashes_of(self, event: EventRecord) -> list[datetime]:
        return [each.at for each in self.crashes.get(event.object, ()) if _may_be(each.container, event)]

    def has_ended(self, event: EventRecord) -> bool:
        return any(pod == event.object and _may_be(container, event) for pod, container in self.ended)


def _may_be(container: str, event: EventRecord) -> bool:
    """Returns whether the event may be about the container. Older records name none, nor do exits of whole pods."""
    return not container or not event.container or container == event.container


def _judged(event: EventRecord, runs: _Runs, late: Collection[tuple[str, str]]) -> EventRecord:
    check = pod_troubles.check_of(event)
    if not check or runs.has_ended(event) or (event.object, check) in late:
        return event
    if check == pod_troubles.READINESS and _is_of_crash(event, runs):
        return replace(event, reason=CRASHED, warning=False)
    return replace(event, reason=PENDING, warning=False) if _is_pending(event, check, runs) else event


def _is_of_crash(event: EventRecord, runs: _Runs) -> bool:
    """Returns whether its container crashed about when the check failed first and last, and had not run then for as long as
    checks may take.
    """
    started = max((s.last for s in runs.starts_of(event) if s.last <= event.last + _SECOND), default=None)
    if started is not None and event.last - started > ALLOWANCE:
        return False
    crashes = runs.crashes_of(event)
    return all(any(abs(moment - at) <= ALLOWANCE for at in crashes) for moment in (event.at, event.last))


def _starts(events: Iterable[EventRecord]) -> Mapping[str, list[EventRecord]]:
    starts: dict[str, list[EventRecord]] = {}
    for event in sorted(events, key=lambda each: each.at):
        if event.reason == "Started":
            starts.setdefault(event.object, []).append(event)
    return starts


def _is_pending(event: EventRecord, check: str, runs: _Runs) -> bool:
    if check == "Startup":
        return True
    before = [each for each in runs.starts_of(event) if each.at <= event.at + _SECOND]
    return bool(before) and before[-1].count == 1 and event.last - before[-1].at <= ALLOWANCE
