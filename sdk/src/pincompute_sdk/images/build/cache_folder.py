"""Finds the folder of this user for what builds keep: bases and installed dependencies. It may be deleted at any time.

Every change of requirements keeps another layer, so whatever no build has used for a month goes when something new comes.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

KEPT = 30 * 24 * 3600.0  # seconds since a build used it last
PREFIXES = ("base-", "python-")  # of what is kept here; pip keeps its own folder in order


def path() -> Path:
    """PINCOMPUTE_CACHE names another place."""
    if given := os.environ.get("PINCOMPUTE_CACHE"):
        return Path(given) / "images"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pincompute" / "images"


def replace(made: Path, place: Path) -> None:
    """Put what is in `made` to `place` as a whole, so that another build never sees half of it."""
    new = place.with_name(f"{place.name}.{os.getpid()}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for file in made.iterdir():
        file.rename(new / file.name)
    shutil.rmtree(place, ignore_errors=True)
    try:
        new.rename(place)
    except OSError:  # another build has put the same there
        shutil.rmtree(new, ignore_errors=True)
    _remove_unused(place.parent)


def used(place: Path) -> None:
    """Says that a build uses what is there."""
    with suppress(OSError):  # a folder that only others may change
        os.utime(place)


def last_use(place: Path) -> float:
    """When a build used what is there; 0 for what has been removed meanwhile."""
    try:
        return place.stat().st_mtime
    except OSError:
        return 0.0


def _remove_unused(folder: Path) -> None:
    oldest = time.time() - KEPT
    for entry in folder.iterdir():
        with suppress(OSError):  # another build has removed it
            if entry.name.startswith(PREFIXES) and entry.stat().st_mtime < oldest:
                shutil.rmtree(entry)
