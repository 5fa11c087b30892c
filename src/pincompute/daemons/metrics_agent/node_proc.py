"""Computes the figures of a node from files of its /proc, under the names that node_exporter gives them. It does no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

TICK = 100  # of the kernel's clock in one second: Linux shows it so on every architecture that it runs Kubernetes on
MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
RECEIVED = ("bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast")
SENT = ("bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed")
SHOWN = ("bytes", "packets", "errs", "drop")
MOST_DEVICES = 256  # a node has one for each pod

_MEMORY = re.compile(r"([A-Za-z]\w*)(?:\((\w+)\))?:\s+(\d+)( kB)?")

ReadProc = Callable[[str], str]
"""Reads a file below /proc of the node; empty when there is none."""


@dataclass(frozen=True, slots=True)
class NodeSample:
    """One value with its metric. `kind` is counter or gauge."""

    name: str
    kind: str
    about: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


def samples(read: ReadProc) -> Iterator[NodeSample]:
    """Yields all figures that the files say."""
    yield from processors(read("stat"))
    yield from memory(read("meminfo"))
    yield from network(read("1/net/dev"))
    yield from load(read("loadavg"))
    yield from killed(read("vmstat"))


def processors(text: str) -> Iterator[NodeSample]:
    """Yields seconds of each processor in each mode, and when the node started."""
    for line in text.splitlines():
        name, *values = line.split()
        if name.startswith("cpu") and name != "cpu":
            for mode, value in zip(MODES, values, strict=False):
                labels = (("cpu", name.removeprefix("cpu")), ("mode", mode))
                about = "Seconds the CPUs spent in each mode."
                yield NodeSample("node_cpu_seconds", "counter", about, int(value) / TICK, labels)
        elif name == "btime":
            yield NodeSample("node_boot_time_seconds", "gauge", "Node boot time, in unixtime.", float(values[0]))
        elif name in ("procs_running", "procs_blocked"):
            yield NodeSample(f"node_{name}", "gauge", f"Number of processes: {name}.", float(values[0]))


def memory(text: str) -> Iterator[NodeSample]:
    """Yields every field of meminfo, as node_MemAvailable_bytes with node_exporter's prefix `node_memory_`."""
    for field, part, value, unit in _MEMORY.findall(text):
        name = f"node_memory_{field}{f'_{part}' if part else ''}{'_bytes' if unit else ''}"
        yield NodeSample(name, "gauge", f"Memory information field {field}.", int(value) * (1024 if unit else 1))


def network(text: str) -> Iterator[NodeSample]:
    """Yields counters of the node's network devices."""
    for line in text.splitlines()[2 : 2 + MOST_DEVICES]:
        device, _, counters = line.partition(":")
        values = counters.split()
        if len(values) < len(RECEIVED) + len(SENT):
            continue
        labels = (("device", device.strip()),)
        for direction, columns, part in (("receive", RECEIVED, values), ("transmit", SENT, values[len(RECEIVED) :])):
            for column, value in zip(columns, part, strict=False):
                if column in SHOWN:
                    about = f"Network device statistic {direction}_{column}."
                    yield NodeSample(f"node_network_{direction}_{column}", "counter", about, int(value), labels)


def load(text: str) -> Iterator[NodeSample]:
    """Yields the load averages."""
    for minutes, value in zip((1, 5, 15), text.split(), strict=False):
        yield NodeSample(f"node_load{minutes}", "gauge", f"{minutes}m load average.", float(value))


def killed(text: str) -> Iterator[NodeSample]:
    """Yields how often the node was out of memory and killed a process, also in cgroups that are gone."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill":
            yield NodeSample("node_vmstat_oom_kill", "gauge", "/proc/vmstat information field oom_kill.", float(value))
