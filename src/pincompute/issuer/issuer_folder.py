"""The issuer's folder, which holds users, passwords, keys and refresh tokens in files that only their owner can read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


class IssuerError(Exception):
    """The issuer cannot run. The message names the file and what to do."""


def write(path: Path, data: bytes) -> None:
    """Replaces the file at once: after a crash it is the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
