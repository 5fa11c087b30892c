"""What doctor says of machines of many kinds, and whether the region may start on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pincompute_sdk.images.build.build_tools import ToolFacts

from pincompute.region.machine import doctor, features, kernel_limits
from pincompute.region.machine.doctor import DiskSpace, MachineFinding
from pincompute.region.machine.features import BuildTools, MachineBasics

WELL = MachineBasics(
    root=True,
    cgroups="v2",
    programs=frozenset(features.PROGRAMS),
    family="apt",
    memory=16.0,
    inotify=128,
    inotify_settable=True,
)
BUILDER = BuildTools(go="go1.26.8 linux/amd64", go_usable=True, compiler=True, seccomp=True)
KERNEL = {"veth": True, "bridge": True, "nf_tables": True, "overlay": True}
ROOM = DiskSpace(home=100.0, cache=100.0)


def findings(
    basics: MachineBasics = WELL,
    building: BuildTools | None = BUILDER,
    kernel: dict[str, bool] | None = KERNEL,
    space: DiskSpace = ROOM,
) -> dict[str, MachineFinding]:
    return {finding.thing: finding for finding in doctor.findings(basics, building, kernel, space)}


def test_a_good_machine_lacks_nothing() -> None:
    assert {finding.level for finding in findings().values()} == {"ok"}


@pytest.mark.parametrize(
    ("basics", "thing", "level"),
    [
        (replace(WELL, root=False), "root", "degraded"),
        (replace(WELL, cgroups="mounted read-only"), "control groups", "degraded"),
        (replace(WELL, programs=WELL.programs - {"nft"}), "nft", "missing"),
        (replace(WELL, memory=1.5), "memory", "missing"),
        (replace(WELL, inotify_settable=False), "inotify instances", "degraded"),
    ],
)
def test_what_the_machine_lacks_is_named_with_a_remedy(basics: MachineBasics, thing: str, level: str) -> None:
    finding = findings(basics)[thing]
    assert finding.level == level
    assert finding.remedy


@pytest.mark.parametrize(
    ("building", "thing"),
    [
        (replace(BUILDER, go="no Go was found", go_usable=False), "Go"),
        (replace(BUILDER, compiler=False), "C compiler"),
        (replace(BUILDER, seccomp=False), "libseccomp headers"),
    ],
)
def test_what_building_lacks_is_named_with_a_remedy(building: BuildTools, thing: str) -> None:
    finding = findings(building=building)[thing]
    assert finding.level == "missing"
    assert finding.remedy


def test_binaries_that_are_there_need_no_compiler_and_no_room() -> None:
    shown = findings(building=None, space=DiskSpace(home=100.0, cache=0.1))
    assert shown["binaries"].level == "ok"
    assert not {"Go", "C compiler", "libseccomp headers", "disk for building"} & set(shown)


def test_a_kernel_without_a_feature_is_named() -> None:
    finding = findings(kernel=KERNEL | {"overlay": False})["kernel: overlay"]
    assert finding.level == "missing"
    assert "modprobe overlay" in finding.remedy


def test_few_inotify_instances_are_raised_where_that_is_possible_and_needed() -> None:
    assert "raises it" in findings()["inotify instances"].detail
    assert findings(replace(WELL, inotify=4096, inotify_settable=False))["inotify instances"].level == "ok"
    assert findings(replace(WELL, root=False, inotify_settable=False))["inotify instances"].level == "ok"


@pytest.mark.parametrize(("before", "after"), [(128, 4096), (8192, 8192)])
def test_limits_of_the_kernel_are_only_ever_raised(tmp_path: Path, before: int, after: int) -> None:
    setting = tmp_path / "max_user_instances"
    setting.write_text(f"{before}\n")
    kernel_limits.raise_limits({setting: 4096})
    assert int(setting.read_text()) == after


def test_full_disks_are_named_apart() -> None:
    shown = findings(space=DiskSpace(home=1.0, cache=2.0))
    assert "PINCOMPUTE_HOME" in shown["disk for the region"].remedy
    assert "PINCOMPUTE_CACHE" in shown["disk for building"].remedy


@pytest.mark.parametrize(
    ("family", "commands"),
    [
        ("apt", ("apt install libseccomp-dev", "apt install gcc", "apt install iproute2")),
        ("dnf", ("dnf install libseccomp-devel", "dnf install gcc", "dnf install iproute")),
        ("zypper", ("zypper install libseccomp-devel", "zypper install gcc", "zypper install iproute2")),
        ("apk", ("apk add libseccomp-dev", "apk add build-base", "apk add iproute2")),
        ("pacman", ("pacman -S libseccomp", "pacman -S base-devel", "pacman -S iproute2")),
        ("", ("install the package libseccomp-devel", "install the package gcc", "install the package iproute2")),
    ],
)
def test_remedies_are_commands_of_the_distribution(family: str, commands: tuple[str, ...]) -> None:
    assert tuple(doctor.install(family, thing) for thing in ("seccomp", "cc", "ip")) == commands


def test_every_program_looked_for_has_a_package() -> None:
    assert set(features.PROGRAMS) <= set(doctor.PACKAGES)


@pytest.mark.parametrize(
    ("basics", "obstacle"),
    [
        (WELL, ""),
        (replace(WELL, cgroups="v1"), ""),
        (replace(WELL, root=False), "only root"),
        (replace(WELL, cgroups="mounted read-only"), "mounted read-only"),
    ],
)
def test_real_nodes_need_root_and_control_groups(basics: MachineBasics, obstacle: str) -> None:
    said = doctor.real_nodes_obstacle(basics)
    assert bool(said) == bool(obstacle)
    assert obstacle in said


def test_this_machine_can_be_looked_at() -> None:
    basics = features.basics()
    assert basics.memory > 0
    assert basics.cgroups


def test_what_builds_images_is_named_and_no_region_needs_it() -> None:
    there = [*doctor.image_findings(ToolFacts(frozenset({"buildah"})), mmdebstrap=True)]
    assert [(found.level, found.detail) for found in there] == [
        ("ok", "built with buildah"),
        ("ok", "mmdebstrap makes their base"),
    ]
    lacking = [*doctor.image_findings(ToolFacts(frozenset(), family="dnf"), mmdebstrap=False)]
    assert [found.level for found in lacking] == ["degraded", "degraded"]
    assert lacking[0].remedy == "`dnf install buildah`"
