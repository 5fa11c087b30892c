"""Finds the control groups of a node's containers, in cgroup version 1 and 2, as kubelet's drivers name them.

kubepods/burstable/pod<uid>/<id>                                                         cgroupfs
kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope    systemd
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pincompute.daemons.metrics_agent import host_files

ROOTS = ("kubepods", "kubepods.slice")
CONTROLLERS = ("cpuacct", "cpu", "memory", "pids")  # of version 1, each mounted by itself

_QUALITY = re.compile(r"(?:kubepods-)?(?:burstable|besteffort)(?:\.slice)?")
_POD = re.compile(r"(?:kubepods-(?:burstable-|besteffort-)?)?pod(?P<uid>[0-9a-fA-F_-]{1,64})(?:\.slice)?")
_CONTAINER = re.compile(r"(?:[a-z]+(?:-[a-z]+)*-)?(?P<id>[0-9a-f]{64})(?:\.scope)?")

Names = Callable[[Path], list[str]]
"""Lists a folder."""


@dataclass(frozen=True, slots=True)
class CgroupMounts:
    """Where the node's control groups are seen. `controllers` is empty in version 2, which has one tree."""

    root: Path
    controllers: tuple[str, ...] = ()

    @property
    def unified(self) -> bool:
        return not self.controllers

    def of(self, controller: str) -> Path | None:
        """Returns the tree of a controller; None where version 1 has not mounted it."""
        if self.unified:
            return self.root
        return self.root / controller if controller in self.controllers else None

    @property
    def walked(self) -> Path:
        """Returns the tree in which containers are looked for."""
        return self.root / self.controllers[0] if self.controllers else self.root


@dataclass(frozen=True, slots=True)
class ContainerCgroup:
    """A container's control group: its path below each mount, and what the path says of it."""

    path: str
    pod_uid: str
    container_id: str


def mounts(root: Path) -> CgroupMounts:
    """Returns how the control groups below `root` are mounted. `cpu` may be a link to `cpu,cpuacct`."""
    if (root / "cgroup.controllers").exists():
        return CgroupMounts(root)
    return CgroupMounts(root, tuple(name for name in CONTROLLERS if (root / name).is_dir()) or CONTROLLERS)


def containers(tree: Path, group: str, names: Names = host_files.names) -> Iterator[ContainerCgroup]:
    """Yields the control groups of containers below `group` of the tree. It lists one folder for each pod."""
    for root in ROOTS:
        top = f"{group.rstrip('/')}/{root}"
        below = names(tree / top.lstrip("/"))
        yield from _pods(tree, top, below, names)
        for quality in below:
            if _QUALITY.fullmatch(quality):
                yield from _pods(tree, f"{top}/{quality}", names(tree / f"{top}/{quality}".lstrip("/")), names)


def _pods(tree: Path, at: str, below: list[str], names: Names) -> Iterator[ContainerCgroup]:
    for name in below:
        pod = _POD.fullmatch(name)
        if pod is None:
            continue
        path = f"{at}/{name}"
        for member in names(tree / path.lstrip("/")):
            container = _CONTAINER.fullmatch(member)
            if container is not None:
                yield ContainerCgroup(f"{path}/{member}", pod["uid"].replace("_", "-"), container["id"])
