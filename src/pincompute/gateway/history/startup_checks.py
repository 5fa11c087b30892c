"""Tells a check that does not pass yet, because its container is starting, from one that fails. Pure.

Kubernetes reports both in the same words, as warnings. A container has a while to come up. A user may have to mend only a check
that fails for longer, or in a container that was started again. A startup check has its own allowance, whose end the kubelet
announces.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta

from msgspec.structs import replace

from pincompute.domain.unready_reason import PATIENCE
from pincompute.gateway.history import exit_reasons
from pincompute.gateway.operation import pod_troubles
from pincompute.store.records import AnyRecord, EventRecord

ALLOWANCE = timedelta(seconds=PATIENCE)
PENDING = "CheckPending"  # our own reason of an event about a check that does not pass yet
_SECOND = timedelta(seconds=1)  # Kubernetes cuts times to the second


def with_allowance(
    records: Iterable[AnyRecord], around: Iterable[AnyRecord], late: Collection[str] = ()
) -> tuple[AnyRecord, ...]:
    """The records in their order, in which a check that does not pass yet is no warning. `around` has the events that tell when
    containers started; `late` are the pods that had their while and are still not ready.
    """
    found = tuple(records)
    events = {each.key: each for each in (*around, *found) if isinstance(each, EventRecord)}.values()
    starts = _starts(events)
    ended = {each.object for each in events if exit_reasons.CHECK_FAILED.match(each.message)}
    return tuple(
        replace(each, reason=PENDING, warning=False)
        if isinstance(each, EventRecord) and each.object not in late and _is_pending(each, starts, ended)
        else each
        for each in found
    )


def _starts(events: Iterable[EventRecord]) -> Mapping[str, list[EventRecord]]:
    starts: dict[str, list[EventRecord]] = {}
    for event in sorted(events, key=lambda each: each.at):
        if event.reason == "Started":
            starts.setdefault(event.object, []).append(event)
    return starts


def _is_pending(event: EventRecord, starts: Mapping[str, list[EventRecord]], ended: Collection[str]) -> bool:
    check = pod_troubles.check_of(event)
    if not check or event.object in ended:
        return False
    if check == "Startup":
        return True
    before = [each for each in starts.get(event.object, ()) if each.at <= event.at + _SECOND]
    return bool(before) and before[-1].count == 1 and event.last - before[-1].at <= ALLOWANCE
