"""Recorded control groups of one container, as kubelet's drivers name them and as the kernel writes their files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

WEB, SANDBOX, SHELL = "a" * 64, "b" * 64, "c" * 64
UID = "0f8fad5b-d9cb-469f-a165-70867728950e"
STATIC = "d41d8cd98f00b204e9800998ecf8427e"  # of a static pod, which kubelet reads from a file

VERSION_2 = {
    "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nnr_periods 40\nnr_throttled 7\nthrottled_usec 350000\n",
    "cpu.max": "50000 100000\n",
    "memory.current": "10485760\n",
    "memory.max": "67108864\n",
    "memory.stat": "anon 4194304\nfile 6291456\nkernel 65536\nactive_file 1048576\ninactive_file 2097152\n",
    "memory.events": "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n",
    "pids.current": "9\n",
    "pids.max": "1024\n",
}
VERSION_1 = {
    "cpuacct": {"cpuacct.usage": "2500000000\n"},
    "cpu": {
        "cpu.stat": "nr_periods 40\nnr_throttled 7\nthrottled_time 350000000\n",
        "cpu.cfs_quota_us": "50000\n",
        "cpu.cfs_period_us": "100000\n",
    },
    "memory": {
        "memory.usage_in_bytes": "10485760\n",
        "memory.limit_in_bytes": "67108864\n",
        "memory.stat": "cache 1\nrss 1\ntotal_cache 6291456\ntotal_rss 4194304\ntotal_inactive_file 2097152\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    },
    "pids": {"pids.current": "9\n", "pids.max": "1024\n"},
}

SYSTEMD = f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice"
CGROUPFS = f"kubepods/burstable/pod{UID}"


def unified(root: Path, group: str, files: Mapping[str, str] = VERSION_2) -> None:
    """Writes a control group of the unified tree."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    write(root / group, files)


def separate(root: Path, group: str, files: Mapping[str, Mapping[str, str]] = VERSION_1) -> None:
    """Writes a control group of every tree of version 1."""
    for controller, below in files.items():
        write(root / controller / group, below)


def write(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
