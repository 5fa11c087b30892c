"""Raises the kernel's limit on inotify instances: kubelet and containerd take one for each log that a client follows.

Many kernels allow 128, which a region of three nodes uses up: the stream of a log then ends early. The setting
belongs to the whole machine and is only ever raised; it stays until the machine boots again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SETTING = Path("/proc/sys/fs/inotify/max_user_instances")
ENOUGH = 1024


def allowed(setting: Path = SETTING) -> int:
    return int(setting.read_text())


def settable(setting: Path = SETTING) -> bool:
    return os.access(setting, os.W_OK)


def raise_limit(setting: Path = SETTING) -> None:
    """Raises the limit to ENOUGH where this may be done. Where not, `doctor` names it."""
    if allowed(setting) < ENOUGH:
        with suppress(OSError):
            setting.write_text(f"{ENOUGH}\n")
