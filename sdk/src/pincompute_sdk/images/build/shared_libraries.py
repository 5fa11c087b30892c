"""Finds the shared libraries and the loader that a program of this machine needs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from pincompute_sdk.images.image_errors import ImageError

SECONDS = 10.0
LIBRARY = re.compile(r"^\s*(?:(?P<name>\S+) => )?(?P<path>/\S+|not found)")


def libraries(program: Path) -> tuple[Path, ...]:
    """Returns a program's libraries; none for a static program or a script. Raises ImageError if this machine lacks one."""
    done = subprocess.run(("ldd", str(program)), capture_output=True, text=True, timeout=SECONDS, check=False)
    found: list[Path] = []
    for line in done.stdout.splitlines() if done.returncode == 0 else ():
        match = LIBRARY.match(line)
        if match is None:
            continue
        if match["path"] == "not found":
            raise ImageError(f"{program} needs {match['name']}, which this machine does not have", remedy="install it here")
        found.append(Path(match["path"]))
    return tuple(found)


def identity(program: Path) -> bytes:
    """Changes when an installed program does, without reading it."""
    facts = program.stat()
    return f"{program} {facts.st_size} {facts.st_mtime_ns}\n".encode()
