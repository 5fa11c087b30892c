"""Explains in words why a container ended and what to do about it. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from pincompute.store.records import AnyRecord, EventRecord, ExitRecord

OUT_OF_MEMORY = "OOMKilled"
NODE_RESTARTED = "Unknown"  # containerd's reason for a container that it did not see end
NO_EXIT_CODE = 255  # and its exit code
_DEFINITION_CHANGED = re.compile(r"(?:Init c|C)ontainer (?P<container>\S+) definition changed")
_SECOND = timedelta(seconds=1)  # Kubernetes cuts times to the second
_GRACE = timedelta(seconds=120)  # in which an announced container ends
_SIGNALLED = 128  # the kubelet adds the number of a signal to this, as shells do

_REMEDIES = {
    1: "look at the logs of its last run",
    126: "its command cannot be executed: check the file's permissions and architecture",
    127: "its command was not found: check `command` and the image",
    128 + signal.SIGKILL: "it did not end within its grace period, or its liveness probe failed: look at the events",
    128 + signal.SIGSEGV: "it read or wrote memory that is not its own: look at the logs of its last run",
    128 + signal.SIGABRT: "it aborted itself: look at the logs of its last run",
    128 + signal.SIGTERM: "it was asked to end: look at the events for who asked",
}
_REMEDIES_OF_PODS = {
    "Evicted": "its node ran short: request what it uses, or add nodes",
    "DeadlineExceeded": "it ran longer than activeDeadlineSeconds: raise that, or do less",
    "NodeShutdown": "its node was shut down; it is replaced",
    "Terminated": "its node was shut down; it is replaced",
    "Preempting": "more important work needed its place; it is placed again",
}


def with_causes(records: Iterable[AnyRecord]) -> tuple[AnyRecord, ...]:
    """The records in their order; an exit that the kubelet announced, because the container's definition changed, is expected.

    An update in place and a requested restart change a definition. An announcement is about the next exit only: a container
    that fails with its new definition fails by itself.
    """
    found = tuple(records)
    announced: dict[tuple[str, str], set[datetime]] = {}
    for record in found:
        if isinstance(record, EventRecord) and (match := _DEFINITION_CHANGED.match(record.message)):
            announced.setdefault((record.object, match["container"]), set()).update((record.at, record.last))
    if not announced:
        return found
    wanted = {exit_.key for where, times in announced.items() for exit_ in _next_exits(found, where, sorted(times))}
    return tuple(replace(r, expected=True) if isinstance(r, ExitRecord) and r.key in wanted else r for r in found)


def _next_exits(records: Iterable[AnyRecord], where: tuple[str, str], announced: Sequence[datetime]) -> Iterator[ExitRecord]:
    """The first exit of the container after each announcement."""
    exits = [r for r in records if isinstance(r, ExitRecord) and (r.pod, r.container) == where]
    exits.sort(key=lambda record: record.at)
    for at in announced:
        found = next((record for record in exits if at - _SECOND <= record.at <= at + _GRACE), None)
        if found is not None:
            exits.remove(found)
            yield found


def sentence(record: ExitRecord, pods: int = 1, times: int = 1) -> str:
    """A sentence without a full stop. `pods` and `times` say how many pods ended so, and how often in all."""
    who = _who(record) if pods == 1 else " in ".join(part for part in (record.container, f"{pods} pods") if part)
    what = f"{who} ended with {how(record)}" if record.container else f"{who} failed ({_why(record)})"
    often = f", {times} times" if times > pods else ""
    remedy = cure(record)
    return f"{what}{often}: {remedy}" if remedy else f"{what}{often}"


def how(record: ExitRecord) -> str:
    """`exit code 137 (out of memory; limit 32Mi)`."""
    why = _why(record)
    return f"exit code {record.code} ({why})" if why else f"exit code {record.code}"


def cure(record: ExitRecord) -> str:
    """The remedy; empty when the container was asked to end or has done its work."""
    if record.expected:
        return ""
    if not record.container:
        return _REMEDIES_OF_PODS.get(record.reason, "look at the events")
    if record.reason == NODE_RESTARTED and record.code == NO_EXIT_CODE:
        return "its node or container runtime was restarted; the container runs again by itself"
    if record.reason == OUT_OF_MEMORY:
        return "raise resources.memory or find the leak"
    if not record.code:
        return "it ended by itself; a service's command should not return"
    return _REMEDIES.get(record.code, "look at the logs of its last run")


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
    if record.reason == NODE_RESTARTED:
        return "its end was not seen"
    if record.container and record.code > _SIGNALLED and (name := _signal(record.code - _SIGNALLED)):
        return name
    return "" if record.reason in ("Error", "Completed") else record.reason


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


LONGEST = 300  # characters of a message from elsewhere


def short(text: str) -> str:
    """Shorten a text to one line of bounded length without its final full stop."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
