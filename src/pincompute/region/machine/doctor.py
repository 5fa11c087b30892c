"""Finds what this machine lacks for a region, and names the command that installs it. `findings` itself is pure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pincompute_sdk.images.build import build_tools, dockerfile_image
from pincompute_sdk.images.build.build_tools import ToolFacts
from pincompute_sdk.images.image_errors import ImageError

from pincompute.region import home
from pincompute.region.build import binary_cache, go_toolchain
from pincompute.region.machine import features, kernel_limits, port_conflicts
from pincompute.region.machine.features import BuildTools, MachineBasics
from pincompute.region.region_error import RegionError

Level: TypeAlias = Literal["ok", "degraded", "missing"]

MEMORY = 4.0  # GiB: four control planes, three nodes and our own processes take about 3
DISK_HOME = 3.0  # GiB: etcd of four clusters, images
DISK_BUILD = 8.0  # GiB: Go caches and temporary files of a build

INSTALL = {"apt": "apt install", "dnf": "dnf install", "zypper": "zypper install", "apk": "apk add", "pacman": "pacman -S"}
PACKAGES = {
    "ip": {"dnf": "iproute", "": "iproute2"},
    "nft": {"": "nftables"},
    "nsenter": {"": "util-linux"},
    "unshare": {"": "util-linux"},
    "mount": {"apk": "util-linux", "": "util-linux"},
    "cc": {"apk": "build-base", "pacman": "base-devel", "": "gcc"},
    "seccomp": {"apt": "libseccomp-dev", "pacman": "libseccomp", "apk": "libseccomp-dev", "": "libseccomp-devel"},
}
"""Package by distribution family; the empty family stands for all others."""


@dataclass(frozen=True, slots=True)
class MachineFinding:
    """One line of the report. `degraded` still gives a region: with simulated nodes only, or with the fault that it names."""

    thing: str
    level: Level
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """GiB free for the region's data and for building."""

    home: float
    cache: float


def examine() -> tuple[MachineFinding, ...]:
    """Examine the machine, ports included; takes about a second."""
    basics = features.basics()
    place, cache = home.path(), binary_cache.cache_root(os.environ)
    kernel = features.kernel_features() if basics.root else None
    building = None if _have_binaries() else features.building()
    space = DiskSpace(features.free_space(place), features.free_space(cache))
    return (
        *findings(basics, building, kernel, space),
        _port_finding(),
        *image_findings(dockerfile_image.machine(), shutil.which("mmdebstrap") is not None),
    )


def findings(
    basics: MachineBasics, building: BuildTools | None, kernel: Mapping[str, bool] | None, space: DiskSpace
) -> tuple[MachineFinding, ...]:
    """All findings in the order in which they matter. None: not needed, because binaries are there or root is not."""
    return (
        _root(basics),
        _cgroup_layout(basics),
        *_programs(basics),
        *_kernel(kernel),
        _inotify(basics),
        *_building(building, basics.family),
        _enough("memory", basics.memory, MEMORY, "close other programs, or take a machine with more"),
        _enough("disk for the region", space.home, DISK_HOME, "make room, or set PINCOMPUTE_HOME to a folder on another disk"),
        *_disk_for_building(building, space),
    )


def image_findings(tools: ToolFacts, mmdebstrap: bool) -> Iterator[MachineFinding]:
    """What `pin image build` can do on this machine. A region runs without it."""
    try:
        yield MachineFinding("images of Dockerfiles", "ok", f"built with {build_tools.choose(tools)}")
    except ImageError as error:
        yield MachineFinding("images of Dockerfiles", "degraded", error.reason, error.remedy)
    if mmdebstrap:
        yield MachineFinding("images of Python projects", "ok", "mmdebstrap makes their base")
    else:
        detail = "no base can be made, neither for the daemons of nodes: mmdebstrap is not installed"
        yield MachineFinding("images of Python projects", "degraded", detail, "apt install mmdebstrap, on Debian and Ubuntu")


def install(family: str, thing: str) -> str:
    """The command that brings a thing onto this distribution."""
    names = PACKAGES[thing]
    package = names.get(family, names[""])
    return f"{INSTALL[family]} {package}" if family in INSTALL else f"install the package {package}"


def check_up() -> None:
    """The cheap part, before every `up`: what would fail later is named now."""
    basics = features.basics()
    if real_nodes_obstacle(basics):
        return  # simulated nodes need none of the programs
    missing = [finding for finding in _programs(basics) if finding.level == "missing"]
    if missing:
        raise RegionError("; ".join(f"{finding.thing} is missing: {finding.remedy}" for finding in missing))


def check_build() -> None:
    """Checks what building needs. Go is known to be there; runc also needs C."""
    lacking = [f for f in _building(features.building(), features.basics().family) if f.level == "missing"]
    if lacking:
        raise RegionError("; ".join(f"{finding.thing}: {finding.detail}: {finding.remedy}" for finding in lacking))


def real_nodes_obstacle(basics: MachineBasics | None = None) -> str:
    """Why this machine can have simulated nodes only; empty when real ones can run."""
    basics = basics or features.basics()
    if not basics.root:
        return "only root may make network namespaces and control groups"
    if not basics.cgroups_usable:
        return f"control groups cannot be used: {basics.cgroups}"
    return ""


def _root(basics: MachineBasics) -> MachineFinding:
    if basics.root:
        return MachineFinding("root", "ok", "yes")
    return MachineFinding("root", "degraded", "no: simulated nodes only", "run as root, for instance with sudo -E")


def _cgroup_layout(basics: MachineBasics) -> MachineFinding:
    if basics.cgroups_usable:
        return MachineFinding("control groups", "ok", basics.cgroups)
    remedy = "boot with systemd.unified_cgroup_hierarchy=1, or in a container start it with --privileged --cgroupns=host"
    return MachineFinding("control groups", "degraded", f"{basics.cgroups}: simulated nodes only", remedy)


def _programs(basics: MachineBasics) -> Iterator[MachineFinding]:
    for name in features.PROGRAMS:
        if name in basics.programs:
            yield MachineFinding(name, "ok", "found")
        else:
            yield MachineFinding(name, "missing", "not found", install(basics.family, name))


def _kernel(kernel: Mapping[str, bool] | None) -> Iterator[MachineFinding]:
    for feature, works in (kernel or {}).items():
        name = f"kernel: {feature}"
        if works:
            yield MachineFinding(name, "ok", "works")
        else:
            yield MachineFinding(name, "missing", "does not work", f"modprobe {feature}, or take a kernel that has it")


def _inotify(basics: MachineBasics) -> MachineFinding:
    thing, have = "inotify instances", f"{basics.inotify} of one user"
    if basics.inotify >= kernel_limits.ENOUGH_INOTIFY or not basics.root:  # simulated nodes have no logs
        return MachineFinding(thing, "ok", have)
    if basics.inotify_settable:
        return MachineFinding(
            thing,
            "ok",
            f"{have}; `region up` raises it to {kernel_limits.RAISED[kernel_limits.INOTIFY]} until the machine boots again",
        )
    remedy = f"on the machine itself: sysctl -w fs.inotify.max_user_instances={kernel_limits.ENOUGH_INOTIFY}"
    return MachineFinding(
        thing, "degraded", f"{have}, {kernel_limits.ENOUGH_INOTIFY} needed: followers of logs are cut off", remedy
    )


def _building(building: BuildTools | None, family: str) -> Iterator[MachineFinding]:
    if building is None:
        yield MachineFinding("binaries", "ok", "built or given already")
        return
    yield MachineFinding(
        "Go", "ok" if building.go_usable else "missing", building.go, "" if building.go_usable else go_toolchain.REMEDY
    )
    for thing, name, there in (("C compiler", "cc", building.compiler), ("libseccomp headers", "seccomp", building.seccomp)):
        yield (
            MachineFinding(thing, "ok", "found")
            if there
            else MachineFinding(thing, "missing", "not found", install(family, name))
        )


def _disk_for_building(building: BuildTools | None, space: DiskSpace) -> Iterator[MachineFinding]:
    if building is not None:
        remedy = "make room, or set PINCOMPUTE_CACHE to a folder on another disk"
        yield _enough("disk for building", space.cache, DISK_BUILD, remedy)


def _enough(thing: str, have: float, needed: float, remedy: str) -> MachineFinding:
    detail = f"{have:.1f} GiB free, {needed:g} needed"
    return MachineFinding(thing, "ok", detail) if have >= needed else MachineFinding(thing, "missing", detail, remedy)


def _have_binaries() -> bool:
    try:
        if binary_cache.given(os.environ) is not None:
            return True
        toolchain = go_toolchain.find()
    except RegionError:
        toolchain = None
    return binary_cache.BinaryCache(binary_cache.cache_root(os.environ)).complete(toolchain) is not None


def _port_finding() -> MachineFinding:
    place = home.path()
    try:
        layout = home.load(place)
        if layout is not None:
            port_conflicts.check(port_conflicts.wanted(layout), place)
    except RegionError as error:
        return MachineFinding("ports", "missing", str(error), "see the message")
    return MachineFinding("ports", "ok", "free, or held by this region" if layout else "a new region takes free ones")
