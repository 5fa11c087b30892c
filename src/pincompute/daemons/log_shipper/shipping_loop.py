"""Ships the logs of all containers of a node in turn, round after round. What fails for one container holds up no other."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath

from pincompute.daemons import fair_turns
from pincompute.daemons.log_shipper import container_shipping, log_file_names
from pincompute.daemons.log_shipper.container_shipping import ContainerShipping
from pincompute.daemons.log_shipper.log_file_names import PodFolder
from pincompute.daemons.log_shipper.output_store import OutputFull, OutputStore
from pincompute.daemons.log_shipper.shipper_metrics import ShipperMetrics
from pincompute.daemons.log_shipper.source_folder import SourceFolder

SETTLED = 1_000_000_000  # nanoseconds
_NEVER = -1

MOST_CONTAINERS = 2000  # of a node that are shipped; projects share them evenly, and the others are counted
RETENTION = 86400.0  # seconds for which the files of a project stay that has no container on the node any more

Key = tuple[str, str]
"""The names of a pod's folder and of a container's folder in it."""


@dataclass(slots=True)
class _Pod:
    """A pod's folder as it was listed at a time."""

    folder: PodFolder
    listed_at: int = -1
    containers: AbstractSet[str] = frozenset()


@dataclass(slots=True)
class ShippingLoop:
    """Ships from `source`, which is the node's /var/log/pods, to the output."""

    source: Path
    output: OutputStore
    metrics: ShipperMetrics
    retention: float = RETENTION
    trouble: str = "the first round"
    _recovered: bool = False
    _listed_at: int = -1
    _pods: dict[str, _Pod] = field(default_factory=dict[str, _Pod])
    _shipped: dict[Key, ContainerShipping] = field(default_factory=dict[Key, ContainerShipping])
    _live: set[PurePosixPath] = field(default_factory=set[PurePosixPath])

    def round(self) -> bool:
        """Gives every container its turn; returns whether one has more to ship at once."""
        began = time.monotonic()
        try:
            changed = self._look()
        except OSError as error:
            self.trouble = f"{self.source}: {error.strerror}"
            return False
        self.trouble = self._tend_output(changed=changed)
        self.metrics.full.set(bool(self.trouble))
        room = not self.trouble
        more = False
        for shipping in self._shipped.values():
            more = self._turn(shipping, room=room) or more
        self.metrics.backlog.set(sum(each.position.unshipped for each in self._shipped.values()))
        self.metrics.output.set(self.output.total)
        self.metrics.containers.set(len(self._shipped))
        self.metrics.left_out.set(len(self._live) - len(self._shipped))
        self.metrics.absent.set(len(self.output.absent))
        self.metrics.refused.set(sum(each.source.refused for each in self._shipped.values()))
        self.metrics.rounds.observe(time.monotonic() - began)
        return more

    def _tend_output(self, *, changed: bool) -> str:
        """Brings the output to the containers that are there; returns why it takes no more, in words."""
        now = time.time()
        try:
            if not self._recovered:
                self.output.recover(self._live)
            if changed or not self._recovered:
                self.output.see(self._live, now)
            self._recovered = True
            self.output.drop_absent(now - self.retention)
            missing = self.output.missing_room()
        except OSError as error:
            missing = str(error)
        return missing and f"room in the output: {missing}"

    def _turn(self, shipping: ContainerShipping, *, room: bool) -> bool:
        """Looks at a container, and ships from it if there is room; returns whether it has more to ship at once."""
        try:
            self.metrics.lose(shipping.pod.project, shipping.look())
            if not room:
                return False
            done = shipping.ship(self.output)
        except OutputFull as error:
            self.metrics.full.set(1)
            self.metrics.failed.labels("output").inc()
            self.trouble = f"room in the output: {error}"
            return False
        except OSError:  # the folder is gone, or somebody planted something else there
            self.metrics.failed.labels("source").inc()
            return False
        self.metrics.count(shipping.pod.project, done)
        return done.more

    def _look(self) -> bool:
        """Finds the pods and containers that came, and lets those go that are gone; returns whether any did. Raises OSError."""
        changed = self._look_for_pods()
        for pod in self._pods.values():
            changed = self._look_for_containers(pod) or changed
        if changed:
            self._choose()
        return changed

    def _look_for_pods(self) -> bool:
        at = self.source.stat().st_mtime_ns
        if at == self._listed_at:
            return False
        self._listed_at = _settled(at)
        found = {name: pod for name in _folders(self.source) if (pod := log_file_names.pod_folder(name)) is not None}
        for name in self._pods.keys() - found.keys():
            del self._pods[name]
        for name in found.keys() - self._pods.keys():
            self._pods[name] = _Pod(found[name])
        return True

    def _look_for_containers(self, pod: _Pod) -> bool:
        folder = self.source / pod.folder.name
        try:
            at = folder.lstat().st_mtime_ns
            if at == pod.listed_at:
                return False
            found = {name for name in _folders(folder) if log_file_names.is_container(name)}
        except OSError:
            return False  # gone: the next listing of pods says so
        pod.listed_at, pod.containers = _settled(at), found
        return True

    def _choose(self) -> None:
        """Ships the containers that are there and have a place. One that loses its place may get it again."""
        there = {(name, container): pod.folder for name, pod in self._pods.items() for container in pod.containers}
        self._live = {container_shipping.output_folder(pod, key[1]) for key, pod in there.items()}
        for key in self._shipped.keys() - there.keys():
            gone = self._shipped.pop(key)
            self.metrics.lose(gone.pod.project, gone.position.unshipped)
        chosen = with_place(there, self._shipped.keys(), MOST_CONTAINERS)
        for key in self._shipped.keys() - chosen:
            del self._shipped[key]
        for key in sorted(chosen - self._shipped.keys()):
            self._shipped[key] = self._shipping(there[key], key)

    def _shipping(self, pod: PodFolder, key: Key) -> ContainerShipping:
        position = self.output.position(container_shipping.output_folder(pod, key[1]))
        return ContainerShipping(pod, SourceFolder(self.source, *key), position)


def with_place(there: Mapping[Key, PodFolder], shipped: AbstractSet[Key], most: int) -> set[Key]:
    """Returns the containers that are shipped: projects take turns, and in each those go on that are shipped already."""
    wanted: dict[str, list[Key]] = {}
    for key in sorted(there, key=lambda each: (each not in shipped, each)):
        wanted.setdefault(there[key].project, []).append(key)
    return set(islice(fair_turns.in_turns(dict(sorted(wanted.items()))), most))


def _settled(at: int) -> int:
    """Returns the time of a folder if it is old enough to differ from that of the next change; clocks of kernels are coarse."""
    return at if time.time_ns() - at > SETTLED else _NEVER


def _folders(folder: Path) -> list[str]:
    """Returns the names of folders in a folder; links are none."""
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
