"""Describes the machine and the code that a figure was measured on."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec

PROC = Path("/proc")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """`revision` is git's, with a plus sign when files of the product or the benchmarks differ from it."""

    cpu: str
    cores: int
    memory_mb: int
    kernel: str
    python: str
    revision: str
    date: str
    load: float  # average of the last minute, when the benchmark began


def describe() -> Machine:
    return Machine(
        cpu=_processor(),
        cores=os.cpu_count() or 1,
        memory_mb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        kernel=platform.release(),
        python=platform.python_version(),
        revision=_revision(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        load=load(),
    )


def load() -> float:
    """Processes that ran or wanted to, over the last minute. Above the number of cores, times are not the product's alone."""
    return round(os.getloadavg()[0], 2)


def _processor() -> str:
    lines = (PROC / "cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _revision() -> str:
    revision = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks/*.py")
    return f"{revision}{'+' if changed else ''}" if revision else "unknown"


def _git(*arguments: str) -> str:
    here = Path(__file__).parent.parent
    try:
        done = subprocess.run(("git", *arguments), cwd=here, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
