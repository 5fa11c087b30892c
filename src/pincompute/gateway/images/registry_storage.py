"""Reads and frees what the region's registry stores, in the folder that it keeps on this machine.

The registry itself lists tags alone, and frees nothing while it runs. Its folder also shows manifests without a tag, parts that
no manifest names, and uploads under way. It keeps no other copy of these facts, so a change here counts at its next request.

    repositories/NAME/_manifests/revisions/sha256/HEX/link    the repository has this manifest
    repositories/NAME/_manifests/tags/TAG/current/link        its content: the digest to which the tag points
    repositories/NAME/_manifests/tags/TAG/index/sha256/HEX/   each manifest to which the tag ever pointed
    repositories/NAME/_layers/sha256/HEX/link                 the repository has this blob: a layer or a configuration
    repositories/NAME/_uploads/ID/data                        an upload under way
    blobs/sha256/HE/HEX/data                                  the content of a manifest or another blob

and of the platform's own, in `pincompute`:

    removed/                      repositories that are about to be deleted
    unnamed/DIGEST/data           a content that is deleted at the next look, unless a repository names it then
    waiting/PROJECT/DIGEST/       the project removed this, and its content may be there still

Source: https://github.com/distribution/distribution/blob/main/registry/storage/paths.go
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Container, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

OWN = "pincompute"  # what the platform itself keeps in the folder
BLOCK = 4096  # bytes that a folder or a small file takes
REPOSITORY, TAG, LINK, CONTENT = 8 * BLOCK, 5 * BLOCK, 2 * BLOCK, 3 * BLOCK  # bytes of the folders and files of each
LARGEST = 4 << 20  # bytes of a manifest; the registry takes no larger one
_MANIFESTS, _LAYERS, _UPLOADS = "_manifests", "_layers", "_uploads"
_DIGEST = re.compile(r"[a-z0-9]+:[0-9a-f]{32,128}")  # the registry takes sha512 as well

_RELEASED = 1.0  # the time that the file of a released link has

Times = Mapping[str, float]
"""When each was last written, by digest, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """A manifest or a blob that a repository has, since somebody last pushed it: `at`, in seconds since the epoch."""

    at: float


@dataclass(frozen=True, slots=True)
class Released:
    """A manifest or a blob that somebody deleted. It goes when no push needs it, unless something still uses it."""


Link: TypeAlias = Pushed | Released
Links: TypeAlias = Mapping[str, Link]
"""By digest."""

Keep = Callable[[float], bool]
"""Whether a manifest or a blob stays, by the time at which it was written. Nobody finds it any more when this is asked."""


def _never(_written: float) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class StoredRepository:
    """`tags` are digests by tag. `untagged` says when each manifest lost its last tag to another push."""

    name: str
    manifests: Links
    layers: Links
    tags: Mapping[str, str]
    untagged: Times
    former: int  # links from tags to the manifests that they ever pointed to
    uploaded: float  # when the last upload under way got its last bytes
    uploading: int  # bytes of uploads under way
    uploads: int

    @property
    def entries(self) -> int:
        """Bytes of the folders and files that are no content."""
        links = len(self.manifests) + len(self.layers) + self.former + self.uploads
        return REPOSITORY + BLOCK * self.name.count("/") + TAG * len(self.tags) + LINK * links


@dataclass(frozen=True, slots=True)
class ImageBytes:
    """What a project takes of the disk, each content once. `removed` is what it no longer names and nobody has freed yet.
    `entries` is what names, tags and links take beside the contents: a tag costs no content and yet folders and files.
    """

    named: int
    removed: int = 0
    entries: int = 0

    @property
    def total(self) -> int:
        return self.named + self.removed + self.entries


class RegistryStorage:
    """The folder of a registry, if there is one. Every method reads files, so none belongs in an event loop."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder, self.configured = folder or Path(), folder is not None
        self._root = self.folder / "docker" / "registry" / "v2"
        self._own = self.folder / OWN

    def repositories(self, project: str) -> tuple[str, ...]:
        """Returns the names of the project's repositories, those that hold uploads alone included."""
        top = self._repositories / project
        return tuple(sorted(self._below(project, top)))

    def platform_repositories(self) -> tuple[str, ...]:
        """Returns the names of the platform's repositories that stand below no other name, such as hello."""
        return tuple(name for name in _folders(self._repositories) if (self._repositories / name / _MANIFESTS).is_dir())

    def _below(self, name: str, folder: Path) -> Iterator[str]:
        for child in _folders(folder):
            if child.startswith("_"):
                continue
            path, repository = folder / child, f"{name}/{child}"
            if any((path / part).is_dir() for part in (_MANIFESTS, _LAYERS, _UPLOADS)):
                yield repository
            yield from self._below(repository, path)

    def projects(self) -> tuple[str, ...]:
        """Names with repositories below them. Repositories of the platform have such names too."""
        return tuple(sorted(name for name in _folders(self._repositories) if any(self._children(name))))

    def _children(self, project: str) -> Iterator[Path]:
        """What is below the project's name. A repository of the platform may have the same name; its own parts begin with _."""
        top = self._repositories / project
        return (top / name for name in _folders(top) if not name.startswith("_"))

    def read(self, repository: str) -> StoredRepository:
        folder = self._repositories / repository
        tags, lost, former = dict[str, str](), dict[str, float](), 0
        for tag in _folders(folder / _MANIFESTS / "tags"):
            at = folder / _MANIFESTS / "tags" / tag
            if digest := _text(at / "current" / "link"):
                tags[tag] = digest
            pointed = _links(at / "index")
            former += len(pointed)
            for digest, when in _losses(pointed):
                lost[digest] = max(when, lost.get(digest, 0.0))
        uploads = [_stat(folder / _UPLOADS / name / "data") for name in _folders(folder / _UPLOADS)]
        return StoredRepository(
            repository,
            _states(folder / _MANIFESTS / "revisions"),
            _states(folder / _LAYERS),
            tags,
            lost,
            former,
            max((when for _, when in uploads), default=0.0),
            sum(size for size, _ in uploads),
            len(uploads),
        )

    def has(self, repository: str, digest: str) -> bool:
        """Returns whether the repository has this manifest."""
        return (self._repositories / repository / _MANIFESTS / "revisions" / _path(digest) / "link").is_file()

    def tags(self, repository: str) -> int:
        """Returns how many tags the repository has."""
        return len(_folders(self._repositories / repository / _MANIFESTS / "tags"))

    def content(self, digest: str) -> bytes:
        """Returns the content of a manifest or a configuration; empty where there is none. Anybody may have written the digest.

        Raises ValueError for more than LARGEST bytes.
        """
        if not _DIGEST.fullmatch(digest):
            return b""
        try:
            with (self._blob(digest) / "data").open("rb") as file:
                content = file.read(LARGEST + 1)
        except FileNotFoundError:
            return b""
        if len(content) > LARGEST:
            raise ValueError(f"the content {digest} has more than {LARGEST} bytes")
        return content

    def size(self, digest: str) -> int:
        return _stat(self._blob(digest) / "data")[0]

    def stored_bytes(self, project: str) -> ImageBytes:
        """Returns the bytes of all manifests, blobs and uploads of the project's repositories, and of what it removed."""
        found = [self.read(name) for name in self.repositories(project)]
        links = [link for each in found for link in (*each.manifests.items(), *each.layers.items())]
        named = {digest for digest, link in links if isinstance(link, Pushed)}
        removed = {*(digest for digest, _ in links), *_folders(self._waiting_folder / project)} - named
        uploading = sum(each.uploading for each in found)
        entries = sum(each.entries for each in found) + CONTENT * (len(named) + len(removed))
        return ImageBytes(sum(map(self.size, named)) + uploading, sum(map(self._size_on_disk, removed)), entries)

    def _size_on_disk(self, digest: str) -> int:
        """Returns the size of a content that may be set aside already."""
        return self.size(digest) or _stat(self._unnamed_folder / digest / "data")[0]

    def remove_manifest(self, repository: str, digest: str, keep: Keep = _never) -> bool:
        """Removes a manifest, also from the index of former contents of tags, unless it stays."""
        folder = self._repositories / repository / _MANIFESTS
        removed = self._take(folder / "revisions" / _path(digest), lambda aside: keep(_stat(aside / "link")[1]))
        for tag in _folders(folder / "tags") if removed else ():
            shutil.rmtree(folder / "tags" / tag / "index" / _path(digest), ignore_errors=True)
        return removed and self._waits(repository, digest)

    def remove_layer(self, repository: str, digest: str, keep: Keep = _never) -> bool:
        folder = self._repositories / repository / _LAYERS / _path(digest)
        removed = self._take(folder, lambda aside: keep(_stat(aside / "link")[1]))
        return removed and self._waits(repository, digest)

    def _waits(self, repository: str, digest: str) -> bool:
        """Notes that the content counts for the project until it is freed."""
        (self._waiting_folder / repository.partition("/")[0] / digest).mkdir(mode=0o700, parents=True, exist_ok=True)
        return True

    def remove_tag(self, repository: str, tag: str, digest: str) -> bool:
        """Removes a tag unless it points to another digest by now."""
        folder = self._repositories / repository / _MANIFESTS / "tags" / tag
        return self._take(folder, lambda aside: _text(aside / "current" / "link") != digest)

    def release(self, repository: str, digest: str) -> None:
        """Notes that a manifest or a blob was deleted, and goes when no push needs it. A push that brings it takes it back."""
        self._date(repository, digest, _RELEASED)

    def take_back(self, repository: str, digest: str) -> None:
        """Forgets that it was deleted, because something needs it again."""
        self._date(repository, digest, time.time())

    def _date(self, repository: str, digest: str, when: float) -> None:
        folder = self._repositories / repository
        for place in (folder / _MANIFESTS / "revisions", folder / _LAYERS):
            with suppress(FileNotFoundError):
                os.utime(place / _path(digest) / "link", (when, when))

    def remove_project(self, project: str) -> None:
        """All repositories of the project. They are moved away, and `clear` deletes them. A later project of the name does not
        count what this one removed.
        """
        for child in tuple(self._children(project)):
            self._move(child, self._removed_folder)
        shutil.rmtree(self._waiting_folder / project, ignore_errors=True)

    def may_free(self, before: float) -> bool:
        """Returns whether something is set aside, or was removed and not written later than `before`. Reads nothing else."""
        if self._unnamed():
            return True
        waiting = {digest for project in _folders(self._waiting_folder) for digest in _folders(self._waiting_folder / project)}
        return any(_stat(self._blob(digest) / "data")[1] < before for digest in waiting)

    def remove_blobs(self, before: float) -> int:
        """Delete contents that no repository names, unless they were written later than `before`. Returns their bytes.

        A push that brings a content again may find it and name it while this looks. So a content is set aside first, put back
        where a repository names it after that, and deleted at the next call.
        """
        freed, named = 0, self._named()
        for digest in self._unnamed():
            freed += self._end(digest, named)
        taken = [digest for digest, when in self._blobs() if when < before and digest not in named]
        for digest in taken:
            place = self._unnamed_folder / digest
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(OSError):
                self._blob(digest).rename(place)
        named = self._named() if taken else named
        for digest in taken:
            if digest in named:
                self._back(self._unnamed_folder / digest, self._blob(digest))
        self._forget_waiting(named)
        return freed

    def _forget_waiting(self, named: Container[str]) -> None:
        """Forgets what waits no longer: it was freed, or some repository needs it."""
        for project in _folders(self._waiting_folder):
            place = self._waiting_folder / project
            for digest in _folders(place):
                if digest in named or not self._size_on_disk(digest):
                    with suppress(OSError):
                        (place / digest).rmdir()

    def _unnamed(self) -> Sequence[str]:
        return _folders(self._unnamed_folder)

    def _end(self, digest: str, named: Container[str]) -> int:
        place = self._unnamed_folder / digest
        if digest in named:
            self._back(place, self._blob(digest))
            return 0
        size, _ = _stat(place / "data")
        shutil.rmtree(place, ignore_errors=True)
        return size

    def _blobs(self) -> Iterator[tuple[str, float]]:
        top = self._root / "blobs"
        for algorithm in _folders(top):
            for first in _folders(top / algorithm):
                for name in _folders(top / algorithm / first):
                    yield f"{algorithm}:{name}", _stat(top / algorithm / first / name / "data")[1]

    def _named(self) -> frozenset[str]:
        """All digests that a repository names, of the platform too."""
        return frozenset(self._named_below(self._repositories))

    def _named_below(self, folder: Path) -> Iterator[str]:
        """Raises OSError for a folder that cannot be read: what it names is not known."""
        yield from _links(folder / _MANIFESTS / "revisions")
        yield from _links(folder / _LAYERS)
        for child in _folders(folder):
            if not child.startswith("_"):
                yield from self._named_below(folder / child)

    def clear(self) -> bool:
        """Delete removed repositories, if there are any. Their contents are no longer named, unless others name them."""
        removed = _folders(self._removed_folder)
        for name in removed:
            shutil.rmtree(self._removed_folder / name, ignore_errors=True)
        return bool(removed)

    @contextmanager
    def locked(self) -> Generator[bool]:
        """Whether no other process changes the folder until the end of the block."""
        self._own.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._own / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            yield True

    def _take(self, folder: Path, keep: Callable[[Path], bool]) -> bool:
        """Delete a folder unless `keep` says that it stays. It is moved away first, so that no write is missed."""
        try:
            place = self._move(folder, self._own / "aside")
        except OSError:
            return False
        if keep(place):
            self._back(place, folder)
            return False
        shutil.rmtree(place, ignore_errors=True)
        return True

    def _move(self, folder: Path, into: Path) -> Path:
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder.rename(into / secrets.token_hex(16))

    def _back(self, place: Path, folder: Path) -> None:
        """Where there is a new one meanwhile, that one stays."""
        try:
            place.rename(folder)
        except OSError:
            shutil.rmtree(place, ignore_errors=True)

    @cached_property
    def _removed_folder(self) -> Path:
        return self._own / "removed"

    @cached_property
    def _unnamed_folder(self) -> Path:
        return self._own / "unnamed"

    @cached_property
    def _waiting_folder(self) -> Path:
        return self._own / "waiting"

    @cached_property
    def _repositories(self) -> Path:
        return self._root / "repositories"

    def _blob(self, digest: str) -> Path:
        algorithm, _, name = digest.partition(":")
        return self._root / "blobs" / algorithm / name[:2] / name


def _losses(pointed: Times) -> Iterator[tuple[str, float]]:
    """When a tag left each manifest that it `pointed` to: at the latest when it came to the one that was pushed next."""
    pushed = sorted((when, digest) for digest, when in pointed.items())
    return ((digest, following[0]) for (_, digest), following in pairwise(pushed))


def _states(folder: Path) -> Links:
    return {digest: Released() if when == _RELEASED else Pushed(when) for digest, when in _links(folder).items()}


def _links(folder: Path) -> Times:
    found = dict[str, float]()
    for algorithm in _folders(folder):
        for name in _folders(folder / algorithm):
            _, when = _stat(folder / algorithm / name / "link")
            if when:
                found[f"{algorithm}:{name}"] = when
    return found


def _path(digest: str) -> Path:
    algorithm, _, name = digest.partition(":")
    return Path(algorithm, name)


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as found:
            return [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _stat(file: Path) -> tuple[int, float]:
    """Size, and when it was written; zeros where it is not there."""
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return 0, 0.0
    return found.st_size, found.st_mtime


def _text(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
