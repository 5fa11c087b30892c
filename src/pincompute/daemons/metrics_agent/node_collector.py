"""Collects the figures of a node and its containers for one scrape, within bounds of time and of containers.

Names are those of node_exporter and cAdvisor, so that dashboards and alerts made for them work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from pincompute.daemons import fair_turns
from pincompute.daemons.metrics_agent import (
    container_cgroups,
    container_figures,
    container_names,
    host_files,
    node_proc,
)
from pincompute.daemons.metrics_agent.container_cgroups import CgroupMounts, ContainerCgroup
from pincompute.daemons.metrics_agent.container_figures import ContainerFigures
from pincompute.daemons.metrics_agent.container_names import ContainerName
from pincompute.daemons.metrics_agent.file_systems import FileSystemFigures, FileSystems

LABELS = ("namespace", "pod", "container", "id")
LONGEST = 5.0  # seconds of one scrape; Prometheus waits 10 unless it is told otherwise
MOST = 1000  # containers of one scrape: a kubelet runs 110 pods unless it is told otherwise


@dataclass(frozen=True, slots=True)
class ContainerMetric:
    """A metric of containers. `of` takes its value from the figures; `more` are labels that every sample has beside LABELS."""

    name: str
    kind: str
    about: str
    of: Callable[[ContainerFigures], float | None]
    more: tuple[tuple[str, str], ...] = ()


METRICS = (
    ContainerMetric("container_cpu_usage_seconds", "counter", "Cumulative cpu time consumed in seconds.",
                    lambda f: f.cpu_seconds, (("cpu", "total"),)),
    ContainerMetric("container_cpu_cfs_periods", "counter", "Number of elapsed enforcement period intervals.",
                    lambda f: f.periods),
    ContainerMetric("container_cpu_cfs_throttled_periods", "counter", "Number of throttled period intervals.",
                    lambda f: f.throttled_periods),
    ContainerMetric("container_cpu_cfs_throttled_seconds", "counter", "Total time duration the container has been throttled.",
                    lambda f: f.throttled_seconds),
    ContainerMetric("container_spec_cpu_quota", "gauge", "CPU quota of the container; 0 is none.", lambda f: f.cpu_quota),
    ContainerMetric("container_spec_cpu_period", "gauge", "CPU period of the container.", lambda f: f.cpu_period),
    ContainerMetric("container_memory_usage_bytes", "gauge", "Current memory usage in bytes, the page cache included.",
                    lambda f: f.memory),
    ContainerMetric("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", lambda f: f.working_set),
    ContainerMetric("container_memory_rss", "gauge", "Size of RSS in bytes.", lambda f: f.anonymous),
    ContainerMetric("container_memory_cache", "gauge", "Number of bytes of page cache memory.", lambda f: f.cached),
    ContainerMetric("container_spec_memory_limit_bytes", "gauge", "Memory limit for the container; 0 is none.",
                    lambda f: f.memory_limit),
    ContainerMetric("container_oom_events", "counter", "Count of out of memory events observed for the container.",
                    lambda f: f.oom_kills),
    ContainerMetric("container_threads", "gauge", "Number of threads running inside the container.", lambda f: f.tasks),
    ContainerMetric("container_threads_max", "gauge", "Maximum number of threads allowed inside the container; 0 is no limit.",
                    lambda f: f.tasks_limit),
)  # fmt: skip
"""Every metric of containers but the start time, with cAdvisor's names. A counter is shown with the suffix `_total`."""

FILE_SYSTEMS: tuple[tuple[str, str, Callable[[FileSystemFigures], float]], ...] = (
    ("node_filesystem_size_bytes", "Filesystem size in bytes.", lambda f: f.size),
    ("node_filesystem_free_bytes", "Filesystem free space in bytes.", lambda f: f.free),
    ("node_filesystem_avail_bytes", "Filesystem space available to non-root users in bytes.", lambda f: f.available),
    ("node_filesystem_files", "Filesystem total file nodes.", lambda f: f.files),
    ("node_filesystem_files_free", "Filesystem total free file nodes.", lambda f: f.files_free),
    ("node_filesystem_readonly", "Filesystem read-only status.", lambda f: f.read_only),
)
"""Every metric of file systems, with node_exporter's names."""


@dataclass(frozen=True, slots=True)
class NodePaths:
    """Where the agent sees the files of its node. `group` is the control group below which kubelet keeps `kubepods`."""

    proc: Path
    cgroups: Path
    links: Path
    group: str = "/"


@dataclass(frozen=True, slots=True)
class ContainerReading:
    """A container of one scrape."""

    group: ContainerCgroup
    name: ContainerName
    figures: ContainerFigures
    started: float

    @property
    def labels(self) -> tuple[str, ...]:
        return self.name.namespace, self.name.pod, self.name.container, self.group.path


@dataclass(slots=True)
class ContainersReading:
    """What one scrape found. `left_out` containers had no time or no place; `unnamed` have no link, as sandboxes of pods."""

    found: list[ContainerReading] = field(default_factory=list[ContainerReading])
    left_out: int = 0
    unnamed: int = 0


@dataclass(slots=True, eq=False)
class NodeCollector(Collector):
    """Reads the node anew for every scrape. Scrapes come one after another, because each costs the node's processors."""

    paths: NodePaths
    file_systems: FileSystems
    longest: float = LONGEST
    most: int = MOST
    _one: threading.Lock = field(default_factory=threading.Lock)

    def collect(self) -> Iterator[Metric]:
        with self._one:
            began = time.monotonic()
            yield from node_families(node_proc.samples(lambda name: host_files.text(self.paths.proc / name)))
            yield from file_system_families(self.file_systems.figures())
            reading = read_containers(self.paths, self.most, began + self.longest)
            yield from container_families(reading.found)
            yield from _own(reading, time.monotonic() - began)


def read_containers(paths: NodePaths, most: int, deadline: float) -> ContainersReading:
    """Reads up to `most` containers until the deadline, of projects in turn. It lists a folder for each pod and reads ten files
    of each container.
    """
    mounts = container_cgroups.mounts(paths.cgroups)
    names = container_names.by_id(host_files.names(paths.links))
    reading = ContainersReading()
    wanted: dict[str, list[tuple[ContainerCgroup, ContainerName]]] = {}
    for group in container_cgroups.containers(mounts.walked, paths.group):
        name = names.get(group.container_id)
        if name is None:
            reading.unnamed += 1
        else:
            wanted.setdefault(name.namespace, []).append((group, name))
    for group, name in fair_turns.in_turns(wanted):
        if len(reading.found) >= most or time.monotonic() > deadline:
            reading.left_out += 1
        else:
            reading.found.append(_read(mounts, group, name))
    return reading


def _read(mounts: CgroupMounts, group: ContainerCgroup, name: ContainerName) -> ContainerReading:
    below = group.path.lstrip("/")

    def read(controller: str, file: str) -> str:
        tree = mounts.of(controller)
        return "" if tree is None else host_files.text(tree / below / file)

    figures = container_figures.version_2(read) if mounts.unified else container_figures.version_1(read)
    try:
        started = (mounts.walked / below).stat().st_ctime
    except OSError:
        started = 0.0
    return ContainerReading(group, name, figures, started)


def node_families(samples: Iterable[node_proc.NodeSample]) -> Iterator[Metric]:
    """Returns the figures of the node as metric families."""
    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for sample in samples:
        labels = [name for name, _ in sample.labels]
        made = families.get(sample.name) or _family(sample.name, sample.kind, sample.about, labels)
        made.add_metric([value for _, value in sample.labels], sample.value)
        families[sample.name] = made
    yield from families.values()


def file_system_families(figures: dict[str, FileSystemFigures]) -> Iterator[Metric]:
    """Returns the figures of file systems as metric families."""
    for name, about, of in FILE_SYSTEMS:
        made = GaugeMetricFamily(name, about, labels=["mountpoint"])
        for mount, found in figures.items():
            made.add_metric([mount], float(of(found)))
        yield made


def container_families(found: Iterable[ContainerReading]) -> Iterator[Metric]:
    """Returns the figures of containers as metric families. A figure that is not known has no sample."""
    containers = list(found)
    for metric in METRICS:
        made = _family(metric.name, metric.kind, metric.about, [*LABELS, *(name for name, _ in metric.more)])
        more = tuple(value for _, value in metric.more)
        for each in containers:
            value = metric.of(each.figures)
            if value is not None:
                made.add_metric([*each.labels, *more], value)
        yield made
    started = GaugeMetricFamily("container_start_time_seconds", "Start time of the container since unix epoch.", labels=LABELS)
    for each in containers:
        if each.started:
            started.add_metric(each.labels, each.started)
    yield started


def _family(name: str, kind: str, about: str, labels: list[str]) -> CounterMetricFamily | GaugeMetricFamily:
    made = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
    return made(name, about, labels=labels)


def _own(reading: ContainersReading, seconds: float) -> Iterator[Metric]:
    """Returns what the agent says of its own scrape."""
    prefix = "pincompute_metrics_agent"
    yield GaugeMetricFamily(f"{prefix}_scrape_duration_seconds", "Time that this scrape took to read the node.", seconds)
    yield GaugeMetricFamily(f"{prefix}_containers", "Containers with figures in this scrape.", len(reading.found))
    about = "Containers without a name, such as the sandbox of every pod."
    yield GaugeMetricFamily(f"{prefix}_containers_unnamed", about, reading.unnamed)
    about = "Containers left out of this scrape, because there was no time or there were too many."
    yield GaugeMetricFamily(f"{prefix}_containers_left_out", about, reading.left_out)
