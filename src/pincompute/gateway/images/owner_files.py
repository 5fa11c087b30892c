"""Stores which project owns the repositories below a name: one file for each name, with the uid of the project.

The files lie in the registry's folder, so all gateways of its machine share them. The time of a file is that of the last token
with which somebody may push to the project.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress

from pincompute.api.image_ownership import project_of
from pincompute.domain import registry_access
from pincompute.gateway.images.registry_storage import OWN, RegistryStorage

PUSH = 2.0 * registry_access.LIFETIME  # seconds after a token to push was issued in which a push may be under way


class OwnerFiles:
    """Every method reads or writes files, so it does not belong in an event loop."""

    def __init__(self, storage: RegistryStorage) -> None:
        self._storage = storage
        self._folder = storage.folder / OWN / "owners"

    @property
    def configured(self) -> bool:
        return self._storage.configured

    def adopted(self) -> bool:
        return self._folder.is_dir()

    def adopt(self, owners: Mapping[str, str]) -> None:
        """Names these owners, unless there are files already."""
        with self._locked():
            if self.adopted():
                return
            made = self._folder.with_name(f".{self._folder.name}")
            made.mkdir(mode=0o700, exist_ok=True)
            for name, uid in owners.items():
                (made / name).write_text(uid)
            made.rename(self._folder)

    def names(self) -> frozenset[str]:
        """Returns the names of all projects that have a file or repositories."""
        named = (file.name for file in self._folder.iterdir()) if self.adopted() else ()
        return frozenset((*named, *(name for name in self._storage.projects() if project_of(f"{name}/any"))))

    def owner(self, name: str) -> str:
        """Returns the uid of the owner; empty without one."""
        try:
            return (self._folder / name).read_text()
        except FileNotFoundError:
            return ""

    def hand_over(self, name: str, before: str, after: str) -> bool:
        """Removes the repositories and names `after` as owner, or nobody if it is empty, unless `before` is not the owner."""
        with self._locked():
            if self.owner(name) != before:
                return False
            self._storage.remove_project(name)
            if not after:
                (self._folder / name).unlink(missing_ok=True)
                return True
            made = self._folder.with_name(f".{name}")
            made.write_text(after)
            os.utime(made, (0, 0))
            made.rename(self._folder / name)
            return True

    def note_push(self, name: str) -> None:
        """Notes that somebody gets a token to push."""
        with suppress(FileNotFoundError):
            os.utime(self._folder / name)

    def is_pushing(self, name: str, now: float) -> bool:
        """Returns whether a push may be under way. `now` is in seconds since the epoch."""
        return may_push(self.pushed(name), now)

    def pushed(self, name: str) -> float:
        """Returns when somebody last got a token to push, in seconds since the epoch."""
        try:
            return (self._folder / name).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    @contextmanager
    def _locked(self) -> Generator[None]:
        self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def may_push(pushed: float, now: float) -> bool:
    """Returns whether a push may be under way whose token was issued then."""
    return pushed > now - PUSH
