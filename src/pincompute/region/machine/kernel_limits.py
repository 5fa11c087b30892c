"""Raises limits of the kernel on what the whole machine, or one user id of it, may have.

One pod that reaches such a limit takes from all pods, or from those of other projects under its user id. What a pod takes also
counts in its own memory limit, 1 KiB for an inotify instance and a few hundred bytes for an open file, so memory bounds it.
kubelet and containerd take an inotify instance for each log that a client follows.

The settings belong to the whole machine and are only ever raised; they stay until the machine boots again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH_INOTIFY = 1024  # many kernels allow 128, which a region of three nodes uses up: the stream of a log then ends early
RAISED = {INOTIFY: 1 << 20, Path("/proc/sys/fs/file-max"): (1 << 63) - 1}
"""Values that a pod does not reach: a gibibyte of inotify instances, and no limit of open files, as systemd sets it."""


def inotify_allowed() -> int:
    return int(INOTIFY.read_text())


def inotify_settable() -> bool:
    return os.access(INOTIFY, os.W_OK)


def raise_limits(limits: Mapping[Path, int] = RAISED) -> None:
    """Raises what is below, where this may be done. Where not, `doctor` names too few inotify instances."""
    for setting, value in limits.items():
        if int(setting.read_text()) < value:
            with suppress(OSError):
                setting.write_text(f"{value}\n")
