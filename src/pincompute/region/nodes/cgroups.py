"""Makes control groups for nodes, `/pincompute-<prefix>/<node>` under every controller, in cgroup version 1 and 2.

Version 1 mounts each controller by itself; version 2 has one tree. A child of cpuset (v1) starts with no CPU and no memory
node and refuses processes until both are set; a child in v2 has only the controllers that its parent enables for it.

A new group of version 1 weighs as much as one process that is in no group. Without a greater weight, all nodes of a region
share what one such process gets: while a second region starts its forty programs, kubelet and the container runtime wait.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path("/sys/fs/cgroup")
KINDS = ("cgroup", "cgroup2")
REGION_WEIGHT, DAEMONS_WEIGHT = 16, 16  # in processes; pods of a node weigh as much as its CPUs together


@dataclass(frozen=True, slots=True)
class CgroupHierarchy:
    """A mounted tree of control groups."""

    path: Path
    unified: bool


def hierarchies(mounts: str | None = None) -> tuple[CgroupHierarchy, ...]:
    """Every cgroup tree of this machine at its usual place; `mounts` in the form of /proc/mounts."""
    lines = (mounts if mounts is not None else Path("/proc/mounts").read_text()).splitlines()
    fields = (line.split() for line in lines)
    found = (CgroupHierarchy(Path(at), kind == "cgroup2") for _, at, kind, *_ in fields if kind in KINDS)
    return tuple(tree for tree in found if tree.path.is_relative_to(ROOT))


def ensure(group: str) -> None:
    """Make `group` ("/pincompute-pc0/a1-node-0") and let its children use every controller."""
    for tree in hierarchies():
        here = tree.path
        for part in PurePosixPath(group).parts[1:]:
            _make_child(tree, here, part)
            here /= part
        if not tree.unified:  # in v2 everything else is in groups as well, each with the weight of one
            _weigh(tree.path / PurePosixPath(group).parts[1], REGION_WEIGHT)
        if tree.unified:
            _enable_controllers(here)


def enter(group: str, leaf: str) -> None:
    """Move this process, and so whatever it starts, into a leaf of `group`: in v2 only leaves may hold processes."""
    ensure(group)
    for tree in hierarchies():
        child = _make_child(tree, tree.path / group.lstrip("/"), leaf)
        _weigh(child, DAEMONS_WEIGHT)
        (child / "cgroup.procs").write_text(str(os.getpid()))


def exists(group: str) -> tuple[Path, ...]:
    """The folders of `group` that are there."""
    return tuple(path for path in (tree.path / group.lstrip("/") for tree in hierarchies()) if path.is_dir())


def processes(group: str) -> set[int]:
    """Everything that runs in `group` or below."""
    return {pid for folder in exists(group) for below in _bottom_up(folder) for pid in _members(below)}


def remove(group: str) -> None:
    """Remove the folders of `group`, bottom-up; one that still holds a process stays."""
    for folder in exists(group):
        for below in _bottom_up(folder):
            with contextlib.suppress(OSError):
                below.rmdir()


def _members(folder: Path) -> set[int]:
    try:
        return {int(pid) for pid in (folder / "cgroup.procs").read_text().split()}
    except OSError:  # removed meanwhile, or a threaded group
        return set()


def _bottom_up(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        for child in [entry for entry in folder.iterdir() if entry.is_dir()]:
            yield from _bottom_up(child)
    yield folder


def _make_child(tree: CgroupHierarchy, parent: Path, name: str) -> Path:
    if tree.unified:
        _enable_controllers(parent)
    child = parent / name
    child.mkdir(exist_ok=True)
    _copy_cpuset(parent, child)
    return child


def _copy_cpuset(parent: Path, child: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        target = child / name
        if (parent / name).exists() and target.exists() and not target.read_text().strip():
            target.write_text((parent / name).read_text())


def _weigh(folder: Path, processes: int) -> None:
    """Give a group so many times the CPU of one process when there is too little for all."""
    for name, one in (("cpu.shares", 1024), ("cpu.weight", 100)):
        if (folder / name).exists():
            (folder / name).write_text(str(one * processes))


def _enable_controllers(folder: Path) -> None:
    """Let the children of a v2 group use each controller the group itself has."""
    control = folder / "cgroup.subtree_control"
    have, given = (folder / "cgroup.controllers").read_text().split(), control.read_text().split()
    for controller in have:
        if controller not in given:
            control.write_text(f"+{controller}")
