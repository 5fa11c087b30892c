"""Runs programs inside an unpacked base, in namespaces of their own: as root, or as anybody who may make user namespaces."""

from __future__ import annotations

import os
import shlex
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pincompute_sdk.images.build import layers, tool_run
from pincompute_sdk.images.build.layers import Layer, LayerEntry
from pincompute_sdk.images.image_errors import ImageError

REMEDY = "run it as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1); or build from a Dockerfile"


@dataclass(frozen=True, slots=True)
class BuildChroot:
    """A root folder on this disk. It is thrown away after the build; `Snapshot` says what a program has changed in it."""

    root: Path

    def unpack(self, below: Iterable[Layer]) -> None:
        """The layers were written here, so everything in them is taken as it is, owners only by root."""
        self.root.mkdir(parents=True, exist_ok=True)
        for layer in below:
            with tarfile.open(layer.file) as archive:
                archive.extraction_filter = _as_it_is  # an argument of extractall only since Python 3.11.4
                files = (member for member in archive if not member.isdev())  # only root may make devices; /dev is mounted
                archive.extractall(self.root, files)  # noqa: S202 - see above

    def place(self, files: Iterable[LayerEntry]) -> None:
        """Copies of these files, so that what a program does to them stays in the chroot."""
        for each in files:
            target = self.inside(each.path)
            if each.kind == "folder":
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if each.source is None:
                target.symlink_to(each.target)
            else:
                shutil.copyfile(each.source, target)
                target.chmod(each.mode)

    def lend(self, places: Iterable[Path]) -> list[tuple[Path, Path]]:
        """Files of this machine are copied to the same place in the chroot; of folders, what to mount where is returned."""
        mounts: list[tuple[Path, Path]] = []
        for place in places:
            target = self.inside(PurePosixPath(place))
            if place.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                mounts.append((place, target))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                shutil.copyfile(place, target)
        return mounts

    def run(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        mounts: Iterable[tuple[Path, Path]] = (),
        folder: str = "/",
        line: Callable[[str], bool] = lambda _: False,
        remedy: str = "",
    ) -> None:
        """Raises ImageError with the program's last lines. Passwords in the environment are no arguments that others see."""
        tool_run.run(
            (*_unshare(), "sh", "-c", _script(self.root, mounts, folder, command)),
            called=Path(command[0]).name,
            environment=dict(environment),
            line=line,
            remedy=remedy,
        )

    def inside(self, path: PurePosixPath) -> Path:
        return self.root / str(path).lstrip("/")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was below some folder of a chroot at one moment."""

    folder: Path
    facts: Mapping[PurePosixPath, tuple[int, int]]

    @classmethod
    def of(cls, chroot: BuildChroot, folder: str) -> Snapshot:
        top = chroot.inside(PurePosixPath(folder))
        return cls(top, {PurePosixPath(path): _facts(path) for path in _tree(top)})

    def changes(self, chroot: BuildChroot) -> Iterator[LayerEntry]:
        """What came or changed since, owned by root."""
        for path in _tree(self.folder):
            if self.facts.get(PurePosixPath(path)) != _facts(path):
                found = layers.entry(path, PurePosixPath(path.relative_to(chroot.root)), layers.ROOT)
                if found is not None:
                    yield found


def check() -> None:
    """Raises ImageError where this machine cannot run anything in a base."""
    if shutil.which("unshare") is None:
        raise ImageError("unshare is not installed; pip runs inside the base with it", remedy="apt install util-linux")
    try:
        tool_run.run((*_unshare(), "true"))
    except ImageError as error:
        raise ImageError("nothing can be run inside a base on this machine", reason=error.reason, remedy=REMEDY) from error


def _as_it_is(member: tarfile.TarInfo, _place: str) -> tarfile.TarInfo:
    return member


def _unshare() -> tuple[str, ...]:
    user = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *user, "--mount", "--pid", "--fork", "--kill-child")


def _script(root: Path, mounts: Iterable[tuple[Path, Path]], folder: str, command: Sequence[str]) -> str:
    """The mounts end with the namespace. /proc may be refused in a container, and pip does without."""
    quoted = shlex.quote(str(root))
    lines = ["set -e", f"mount --rbind /dev {quoted}/dev", f"mount -t proc proc {quoted}/proc 2>/dev/null || :"]
    for source, target in mounts:
        lines.append(f"mount --bind {shlex.quote(str(source))} {shlex.quote(str(target))}")
    inner = f"cd {shlex.quote(folder)} && exec {shlex.join(command)}"
    lines.append(f"exec chroot {quoted} /bin/sh -c {shlex.quote(inner)}")
    return "\n".join(lines)


def _tree(top: Path) -> Iterator[Path]:
    """Sorted, links not followed."""
    for folder, folders, files in os.walk(top):
        folders.sort()
        at = Path(folder)
        yield from (at / name for name in sorted((*folders, *files)))


def _facts(path: Path) -> tuple[int, int]:
    """Returns what tells whether a file has changed. Of a folder it tells only that it is there."""
    found = path.lstat()
    return (0, 0) if path.is_dir() and not path.is_symlink() else (found.st_mtime_ns, found.st_size)
