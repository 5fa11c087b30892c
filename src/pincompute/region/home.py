"""The home of a region: its path, its specification, and the lock that lets one command at a time change it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from pincompute.region import atomic_files, file_locks
from pincompute.region.layout import Layout, RegionSpec
from pincompute.region.region_error import RegionError
from pincompute.region.slot_claims import SPEC

VARIABLE = "PINCOMPUTE_HOME"
LOCK = "region.lock"
PRIVATE = ("logs", "pki", "clusters", "gateway", "issuer", "registry")


def path() -> Path:
    """$PINCOMPUTE_HOME, else ~/.pincompute; with links resolved, because processes are recognised by it."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen).expanduser().resolve() if chosen else (Path.home() / ".pincompute").resolve()


def load(home: Path) -> Layout | None:
    """The region that was made here, up or not; None when there is none."""
    try:
        return Layout(home, msgspec.json.decode((home / SPEC).read_bytes(), type=RegionSpec))
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise RegionError(f"{home / SPEC} is damaged ({error}): `pincompute region down --purge` removes the region") from error


def save(layout: Layout) -> None:
    atomic_files.write(layout.home / SPEC, msgspec.json.format(msgspec.json.encode(layout.spec)))


def create(home: Path) -> None:
    """Make the folder, or tighten it: it holds keys and users' data, so only its owner may read it or pass through it.

    Containers of other users need no way through it. Root mounts their files and volumes for them, and kubelet's folder has a
    path of its own in a node.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        home.chmod(0o700)
        for private in PRIVATE:
            (home / private).mkdir(exist_ok=True, mode=0o700)
            (home / private).chmod(0o700)
    except OSError as error:
        raise RegionError(
            f"the home {home} cannot be created ({error.strerror}): set {VARIABLE} to a folder you may write to"
        ) from error


@contextmanager
def changing(home: Path) -> Generator[None, None, None]:
    """While this command changes the region, no other may."""
    try:
        with file_locks.lock(home / LOCK):
            yield
    except file_locks.Locked:
        who = changed_by(home) or "another command"
        raise RegionError(f"{who} is changing the region in {home}: wait until it has ended, then repeat this one") from None


def changed_by(home: Path) -> str:
    """The command that changes the region now, as "`pincompute region up` (process 123)"; empty when none does."""
    process = file_locks.holder(home / LOCK)
    if not process:
        return ""
    try:
        text = Path(f"/proc/{process}/cmdline").read_text("utf-8", "replace")
    except OSError:  # it has just ended
        return ""
    words = ["".join(filter(str.isprintable, word)) for word in text.rstrip("\0").split("\0")]
    program = next((place for place, word in enumerate(words) if Path(word).name == "pincompute"), None)
    command = f"`{shlex.join(['pincompute', *words[program + 1 :]])}`" if program is not None else "another command"
    return f"{command} (process {process})"
