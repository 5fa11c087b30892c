"""Computes the figures of a container from the files of its control group, in cgroup version 1 and 2. It does no I/O.

A figure whose file is missing is None, so that it is not shown as 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

UNLIMITED = 1 << 60  # bytes: version 1 says "no limit" as a number just below 2^63

Read = Callable[[str, str], str]
"""Reads a file of the control group: (controller, name). Empty when there is none."""


@dataclass(frozen=True, slots=True)
class ContainerFigures:
    """Times are in seconds, sizes in bytes. A limit of 0 is none."""

    cpu_seconds: float | None = None
    periods: int | None = None
    throttled_periods: int | None = None
    throttled_seconds: float | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    memory: int | None = None
    memory_limit: int | None = None
    working_set: int | None = None
    anonymous: int | None = None
    cached: int | None = None
    oom_kills: int | None = None
    tasks: int | None = None
    tasks_limit: int | None = None


def version_2(read: Read) -> ContainerFigures:
    """Returns the figures of a control group of the unified tree."""
    cpu, memory = table(read("", "cpu.stat")), table(read("", "memory.stat"))
    quota, _, period = read("", "cpu.max").partition(" ")
    used = number(read("", "memory.current"))
    return ContainerFigures(
        cpu_seconds=_seconds(cpu.get("usage_usec"), 1_000_000),
        periods=cpu.get("nr_periods"),
        throttled_periods=cpu.get("nr_throttled"),
        throttled_seconds=_seconds(cpu.get("throttled_usec"), 1_000_000),
        cpu_quota=_limit(quota),
        cpu_period=number(period),
        memory=used,
        memory_limit=_limit(read("", "memory.max")),
        working_set=_working_set(used, memory.get("inactive_file")),
        anonymous=memory.get("anon"),
        cached=memory.get("file"),
        oom_kills=table(read("", "memory.events")).get("oom_kill"),
        tasks=number(read("", "pids.current")),
        tasks_limit=_limit(read("", "pids.max")),
    )


def version_1(read: Read) -> ContainerFigures:
    """Returns the figures of the control groups that a container has in each tree of version 1."""
    cpu, memory = table(read("cpu", "cpu.stat")), table(read("memory", "memory.stat"))
    used, quota = number(read("memory", "memory.usage_in_bytes")), number(read("cpu", "cpu.cfs_quota_us"))
    return ContainerFigures(
        cpu_seconds=_seconds(number(read("cpuacct", "cpuacct.usage")), 1_000_000_000),
        periods=cpu.get("nr_periods"),
        throttled_periods=cpu.get("nr_throttled"),
        throttled_seconds=_seconds(cpu.get("throttled_time"), 1_000_000_000),
        cpu_quota=None if quota is None else max(0, quota),
        cpu_period=number(read("cpu", "cpu.cfs_period_us")),
        memory=used,
        memory_limit=_limit(read("memory", "memory.limit_in_bytes")),
        working_set=_working_set(used, memory.get("total_inactive_file")),
        anonymous=memory.get("total_rss"),
        cached=memory.get("total_cache"),
        oom_kills=table(read("memory", "memory.oom_control")).get("oom_kill"),
        tasks=number(read("pids", "pids.current")),
        tasks_limit=_limit(read("pids", "pids.max")),
    )


def table(text: str) -> dict[str, int]:
    """Returns lines of a name and a number, as files such as memory.stat have them. Other lines are left out."""
    fields = (line.split() for line in text.splitlines())
    return {line[0]: value for line in fields if len(line) == 2 and (value := number(line[1])) is not None}


def number(text: str) -> int | None:
    """Returns a whole number; None for anything else."""
    try:
        return int(text)
    except ValueError:
        return None


def _limit(text: str) -> int | None:
    """Returns a limit, 0 for none."""
    if text.strip() == "max":
        return 0
    found = number(text)
    return 0 if found is not None and found >= UNLIMITED else found


def _working_set(used: int | None, inactive: int | None) -> int | None:
    """Returns what the kernel cannot take back at once: kubelet evicts by this figure."""
    return None if used is None or inactive is None else max(0, used - inactive)


def _seconds(value: int | None, in_one: int) -> float | None:
    return None if value is None else value / in_one
