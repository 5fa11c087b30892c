"""Finds and removes what a region left in the kernel, also after its processes were killed, and nothing of another region.

A region knows its own by the home in a process's environment, and by its prefix in the names of links, network namespaces,
control groups and tables; mounts are its own below its home. Routes go with the bridge they lead over.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pincompute.region.layout import Layout, MemberSpec
from pincompute.region.nodes import cgroups, node_network, real_node
from pincompute.region.process import region_processes

SECONDS = 10.0  # processes that were killed, and then their control groups, have to be gone
POLL = 0.02


def leftovers(layout: Layout) -> list[str]:
    """Everything of the region that is still in the kernel, one line each; empty when it is down."""
    root = real_node.cgroup_root(layout)
    return [
        *(f"process {pid} ({_program(layout, pid)})" for pid in sorted(_processes(layout))),
        *(f"mount {path}" for path in _mounts(layout)),
        *(f"network namespace {name}" for name in _namespaces(layout)),
        *(f"link {name}" for name in _links(layout)),
        *(f"control group {path}" for path in cgroups.exists(root)),
        *(f"nftables table inet {name}" for name in _tables(layout)),
    ]


def remove_all(layout: Layout) -> None:
    """End every process of the region and remove what it left. Data in the home stays."""
    _kill(lambda: _processes(layout))
    for path in _mounts(layout):
        _quietly("umount", "--lazy", str(path))
    for name in _namespaces(layout):
        _quietly("ip", "netns", "delete", name)
    for name in _links(layout):
        _quietly("ip", "link", "delete", name)
    for name in _tables(layout):
        _quietly("nft", "delete", "table", "inet", name)
    _remove_cgroups(real_node.cgroup_root(layout))


def remove_node(layout: Layout, member: MemberSpec) -> None:
    """Remove what one member's node left, once its program has ended. The rest of the region runs on."""
    wired = node_network.node_network(layout, member)
    group = f"{real_node.cgroup_root(layout)}/{layout.node_name(member)}"
    _kill(lambda: cgroups.processes(group))
    for range_ in wired.ranges:
        _quietly("ip", "route", "delete", range_)
    if (node_network.LINKS / wired.link).exists():
        _quietly("ip", "link", "delete", wired.link)
    if (node_network.NAMESPACES / wired.namespace).exists():
        _quietly("ip", "netns", "delete", wired.namespace)
    _remove_cgroups(group)


def _processes(layout: Layout) -> set[int]:
    """Finds processes by the marks in their environment, and those of containers, which do not inherit it, by control group."""
    marked = {process.pid for process in region_processes.of_home(layout.home)}
    return (marked | cgroups.processes(real_node.cgroup_root(layout))) - {os.getpid()}


def _kill(find: Callable[[], set[int]]) -> None:
    """SIGKILL until none is found: a process may have started another one meanwhile."""
    deadline = time.monotonic() + SECONDS
    while (found := find()) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(POLL)


def _remove_cgroups(group: str) -> None:
    """The kernel lets go of a group a moment after its last process ended."""
    deadline = time.monotonic() + SECONDS
    cgroups.remove(group)
    while cgroups.exists(group) and time.monotonic() < deadline:
        time.sleep(POLL)
        cgroups.remove(group)


def _program(layout: Layout, pid: int) -> str:
    known = region_processes.inspect(pid, layout.home)
    return known.program if known is not None else "in a container"


def _mounts(layout: Layout) -> list[Path]:
    """Mounts of this namespace below the home, innermost first; the home itself may be a disk of the user's."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    paths = (Path(_unescape(line.split()[4])) for line in lines)
    return [path for path in reversed(list(paths)) if layout.home in path.parents]


def _namespaces(layout: Layout) -> list[str]:
    return _named(node_network.NAMESPACES, layout)


def _links(layout: Layout) -> list[str]:
    return _named(node_network.LINKS, layout)


def _named(folder: Path, layout: Layout) -> list[str]:
    """Entries that begin with the region's prefix; the dash keeps pc1 apart from pc10."""
    return sorted(entry.name for entry in _entries(folder) if entry.name.startswith(f"{layout.prefix}-"))


def _entries(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(FileNotFoundError):
        yield from folder.iterdir()


def _tables(layout: Layout) -> list[str]:
    if shutil.which("nft") is None or os.geteuid() != 0:  # then this user's region cannot have made one
        return []
    listed = subprocess.run(("nft", "list", "tables", "inet"), capture_output=True, text=True, timeout=SECONDS, check=False)
    own = node_network.table(layout.bridge)
    return [own] if f"table inet {own}" in listed.stdout.splitlines() else []


def _quietly(*command: str) -> None:
    """What cannot be removed shows in `leftovers`; what vanished by itself is no error."""
    subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)


def _unescape(path: str) -> str:
    r"""Mount points are written with \040 for a space."""
    return path.encode("latin-1").decode("unicode_escape").encode("latin-1").decode()
