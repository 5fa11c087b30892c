"""Finds out what this machine offers. Kernel features are tried in a network namespace of their own, not guessed."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pincompute.region.build import go_toolchain
from pincompute.region.machine import kernel_limits
from pincompute.region.network_policy.policy_enforcer import BRIDGED_PACKETS
from pincompute.region.nodes import cgroups
from pincompute.region.region_error import RegionError

GIB = 1 << 30
PROGRAMS = ("ip", "nft", "nsenter", "unshare", "mount")
CONTROLLERS = ("cpu", "memory", "pids")
FAMILIES = {"apt-get": "apt", "dnf": "dnf", "zypper": "zypper", "apk": "apk", "pacman": "pacman"}
SECCOMP_HEADERS = ("/usr/include/seccomp.h", "/usr/local/include/seccomp.h")
COUNTING = "add table ip try; add chain ip try all; add rule ip try all ct count over 1 drop"
TRY = 10.0  # seconds that the trial of a kernel feature may take


@dataclass(frozen=True, slots=True)
class MachineBasics:
    """What takes a few milliseconds to find out and decides whether real nodes can run."""

    root: bool
    cgroups: str  # "v1", "v2", or why they cannot be used
    programs: frozenset[str]
    family: str
    memory: float  # GiB available
    inotify: int  # instances that one user may have
    inotify_settable: bool

    @property
    def cgroups_usable(self) -> bool:
        return self.cgroups in ("v1", "v2")


@dataclass(frozen=True, slots=True)
class BuildTools:
    """What compiling needs."""

    go: str  # version, or why there is none
    go_usable: bool
    compiler: bool
    seccomp: bool


def basics() -> MachineBasics:
    return MachineBasics(
        root=os.geteuid() == 0,
        cgroups=_cgroups(),
        programs=frozenset(name for name in PROGRAMS if shutil.which(name, path=_path())),
        family=next((family for tool, family in FAMILIES.items() if shutil.which(tool, path=_path())), ""),
        memory=_memory(Path("/proc/meminfo")),
        inotify=kernel_limits.inotify_allowed(),
        inotify_settable=kernel_limits.inotify_settable(),
    )


def building() -> BuildTools:
    try:
        go, usable = go_toolchain.find().version, True
    except RegionError as error:
        go, usable = str(error), False
    compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), "")
    headers = any(Path(path).exists() for path in SECCOMP_HEADERS)
    return BuildTools(go, usable, bool(compiler), headers)


def kernel_features() -> dict[str, bool]:
    """Needs root. The namespace in which links are tried goes with the process that tries them."""
    overlay = "overlay" in Path("/proc/filesystems").read_text() or _works("modprobe", "overlay")
    return {
        "veth": _works("unshare", "--net", "ip", "link", "add", "name", "try0", "type", "veth", "peer", "name", "try1"),
        "bridge": _works("unshare", "--net", "ip", "link", "add", "name", "try0", "type", "bridge"),
        "br_netfilter": BRIDGED_PACKETS.exists() or _works("modprobe", "br_netfilter"),
        "nf_tables": _works("unshare", "--net", "nft", "add", "table", "ip", "try"),
        "nft_connlimit": _works("unshare", "--net", "nft", COUNTING),
        "overlay": overlay,
    }


def free_space(folder: Path) -> float:
    """GiB free where the folder is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free / GIB


def _cgroups() -> str:
    trees = cgroups.hierarchies()
    unified = next((tree for tree in trees if tree.unified and _hands_down(tree.path)), None)
    if unified is not None:
        return "v2" if os.access(unified.path, os.W_OK) else "mounted read-only"
    names = {name for tree in trees if not tree.unified for name in tree.path.name.split(",")}
    missing = [name for name in CONTROLLERS if name not in names]
    if missing:
        return f"the controllers {', '.join(missing)} are not mounted"
    writable = all(os.access(tree.path, os.W_OK) for tree in trees if not tree.unified)
    return "v1" if writable else "mounted read-only"


def _hands_down(root: Path) -> bool:
    """A unified tree counts when it has the controllers; beside version 1 it is often mounted empty."""
    try:
        have = (root / "cgroup.controllers").read_text().split()
    except OSError:
        return False
    return all(name in have for name in CONTROLLERS)


def _memory(meminfo: Path) -> float:
    lines = (line.split() for line in meminfo.read_text().splitlines())
    return next(int(fields[1]) / (1 << 20) for fields in lines if fields[0] == "MemAvailable:")


def _works(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=TRY, check=False, env={"PATH": _path()}).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # where `ip` and `nft` are, which a user's PATH often lacks
