"""Builds the image of a Python project in three layers: the base, its dependencies, its own files.

pip runs inside the base, so that what it installs fits its Python. Its settings on this machine are passed for the build
alone. The image runs as an ordinary user, and nothing in it can be changed by the program.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from pincompute_sdk.images.build import (
    base_image,
    build_chroot,
    build_context,
    cache_folder,
    image_recipe,
    layers,
    layout_writer,
    pip_settings,
    python_project,
)
from pincompute_sdk.images.build.base_image import BaseImage
from pincompute_sdk.images.build.build_chroot import BuildChroot, Snapshot
from pincompute_sdk.images.build.build_context import BuildContext
from pincompute_sdk.images.build.layers import Layer, LayerEntry
from pincompute_sdk.images.build.python_project import PORT, PythonProject
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.image_manifest import LAYER, Descriptor
from pincompute_sdk.images.oci_layout import OciLayout

APP = PurePosixPath("/app")
STAGE = PurePosixPath("/build/source")  # where pip finds the project's files; no layer has it
INSTALLED = "/usr/local"
FORMAT = "2"  # part of every key of dependencies; to be raised when the same must give another layer
LEFT_OUT = (
    ".git", ".hg", ".svn", ".venv", "venv", ".env", ".env.*", "**/__pycache__", "**/*.pyc", "**/*.egg-info", "node_modules",
    ".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox", ".nox", ".idea", ".vscode", ".DS_Store", ".dockerignore", "app.yaml",
)  # fmt: skip
"""Stay out of the image of a Python project; a line such as `!.env` in .dockerignore brings one back."""

_LAST = re.compile(
    r"(?P<before>(?:.*(?P<operator>&&|;)\s*)?(?:\w+=[^\s'\"]*\s+)*)(?P<program>[^\s=]+(?:\s.*)?)"  # variables, then a program
)
_COMPOUND = re.compile(r"[|()`\n]|(?<!\$)\{|(?<![&>])&(?![&>])|(?:^|[;&]\s*)(?:if|for|while|until|case|!)\s")
_QUOTES = re.compile(r"[\"'\\]")
_SHELL = re.compile(r"[$&|;<>()`*?\[\]{}~#]")
_PYTHON = re.compile(r"python(3\.\d+)")
_AT_LEAST = re.compile(r">=?\s*3\.(\d+)")
_DIST = re.compile(r"usr/local/lib/python[0-9.]+/dist-packages/[^/]+\.dist-info")


class _StoredLayer(msgspec.Struct, frozen=True):
    """What lies beside a layer of dependencies in the cache."""

    digest: str
    size: int
    content: str
    packages: int


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The layer of what pip installed; `packages` counts it."""

    layer: Layer
    packages: int
    cached: bool


@dataclass(frozen=True, slots=True)
class PythonImage:
    """A project, its files, and the base that it runs on. `say` sees a sentence for each step, `show` pip's lines."""

    project: PythonProject
    context: BuildContext
    base: BaseImage
    say: Callable[[str], None]
    show: Callable[[str], None]
    refresh: bool = False

    def write(self, scratch: Path) -> OciLayout:
        """The image as a layout in `scratch`. Raises ImageError."""
        _check_python(self.project, self.base)
        for sentence in self.context.warnings:
            self.say(f"warning: {sentence}")
        below = [self.base.layer]
        self._step("base", f"Debian packages with Python {_python(self.base)}", self.base.layer, cached=self.base.cached)
        installed = self._dependencies(scratch)
        if installed is not None:
            below.append(installed.layer)
            self._step("packages", f"{installed.packages} Python packages", installed.layer, cached=installed.cached)
        below.append(self._application(scratch, below))
        self._step("files", f"{len(self.context.files)} of {self.context.folder}", below[-1])
        return layout_writer.write(scratch / "layout", image_recipe.here(), run_config(self.project, self.base), below)

    def _dependencies(self, scratch: Path) -> Dependencies | None:
        wanted = _requirements(self.project)
        if not wanted:
            return None
        place = cache_folder.path() / f"python-{self._key(wanted)}"
        found = None if self.refresh else _stored(place)
        return found or self._installed(wanted, place, scratch)

    def _installed(self, wanted: Sequence[str], place: Path, scratch: Path) -> Dependencies:
        chroot = self._chroot(scratch / "dependencies", (self.base.layer,))
        before = Snapshot.of(chroot, INSTALLED)
        self._pip(chroot, wanted)
        chroot.run(
            ("python3", "-m", "compileall", "-q", "-q", "--invalidation-mode", "unchecked-hash", INSTALLED),
            {"PATH": base_image.PATH, "PYTHONHASHSEED": "0"},
            remedy="repeat the command",
        )
        changes = tuple(before.changes(chroot))
        count = sum(bool(_DIST.fullmatch(str(each.path).lstrip("/"))) for each in changes)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="python-", dir=place.parent) as folder:
            layer = layers.write(Path(folder) / "layer.tar.gz", changes)
            stored = _StoredLayer(layer.descriptor.digest, layer.descriptor.size, layer.content, count)
            (Path(folder) / "layer.json").write_bytes(msgspec.json.encode(stored))
            cache_folder.replace(Path(folder), place)
        return Dependencies(replace(layer, file=place / "layer.tar.gz"), count, cached=False)

    def _application(self, scratch: Path, below: Sequence[Layer]) -> Layer:
        entries = list(application(self.context))
        if self.project.installs_itself and not self.project.comes_with_dependencies:
            chroot = self._chroot(scratch / "application", below)
            before = Snapshot.of(chroot, INSTALLED)
            self._pip(chroot, ("--no-deps", "."))
            entries += before.changes(chroot)
        return layers.write(scratch / "application.tar.gz", entries)

    def _step(self, title: str, what: str, layer: Layer, *, cached: bool = False) -> None:
        kept = ", kept from an earlier build" if cached else ""
        self.say(f"  {f'{title}:':<10} {what}{build_context.megabytes(layer.descriptor.size)}{kept}")

    def _chroot(self, root: Path, below: Sequence[Layer]) -> BuildChroot:
        build_chroot.check()
        chroot = BuildChroot(root)
        chroot.unpack(below)
        chroot.place(replace(each, path=STAGE / each.path.relative_to(APP)) for each in application(self.context))
        return chroot

    def _pip(self, chroot: BuildChroot, wanted: Sequence[str]) -> None:
        settings = pip_settings.gather()
        kept = cache_folder.path() / "pip"
        kept.mkdir(parents=True, exist_ok=True)
        mounts = chroot.lend((*settings.places, kept))
        options = (
            "--no-compile",
            "--no-input",
            "--disable-pip-version-check",
            "--root-user-action=ignore",
            "--progress-bar=off",
        )
        chroot.run(
            ("pip", "install", *options, *wanted),
            {**settings.environment, "PATH": base_image.PATH, "LANG": "C.UTF-8", "PIP_CACHE_DIR": str(kept)},
            mounts,
            str(STAGE),
            self._shown,
            "read pip's lines above; `pip config list` shows which index is asked. A package that needs a C compiler or a "
            "library needs a Dockerfile, for example on `FROM pincompute/debian`",
        )

    def _shown(self, line: str) -> bool:
        self.show(line)
        return True

    def _key(self, wanted: Sequence[str]) -> str:
        places = (os.curdir,) if self.project.dynamic else self.project.local_places
        files = sorted({*self.project.requirement_files, *below(self.context, places)})
        contents = [(name, _digest(self.context.folder, name)) for name in files]
        facts = (FORMAT, self.base.layer.descriptor.digest, wanted, contents)
        return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:24]


def read(
    folder: Path, largest: int = build_context.LARGEST, progress: Callable[[int, int], None] = lambda _f, _s: None
) -> BuildContext:
    """The files of a project that go into its image."""
    return build_context.read(folder, build_context.rules(folder, LEFT_OUT), largest, progress)


def below(context: BuildContext, places: Iterable[str]) -> Iterator[str]:
    """Yields what of the folder is at these places and below them, and where links there lead to within the folder."""
    root, waiting, seen = context.folder.resolve(), [PurePosixPath(place) for place in places], set[PurePosixPath]()
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        found = [file for file in context.files if place in (file.path, *file.path.parents)]
        yield from (str(file.path) for file in found)
        links = (root / place, *(file.source for file in found if file.source.is_symlink()))
        targets = (link.resolve() for link in links)
        waiting += (PurePosixPath(target.relative_to(root)) for target in targets if target.is_relative_to(root))


def application(context: BuildContext) -> Iterator[LayerEntry]:
    """The project's own files, readable by whoever runs the program, changeable by nobody."""
    for file in context.files:
        found = layers.entry(file.source, APP / file.path, layers.ROOT)
        if found is not None:
            may_run = found.kind == "folder" or found.mode & 0o100
            yield replace(found, mode=0o777 if found.kind == "link" else 0o755 if may_run else 0o644)


def run_config(project: PythonProject, base: BaseImage) -> dict[str, Any]:
    """How the program starts. A shell is only needed for what a shell must fill in."""
    command = project.command
    argv = ["/bin/sh", "-c", in_shell(command)] if _SHELL.search(command) else shlex.split(command)
    variables = {"HOME": "/tmp", "PORT": str(PORT), "PYTHONPATH": f"{APP}:{APP}/src"}  # noqa: S108 - a folder in the image
    return {
        "Cmd": argv,
        "Env": base_image.environment(base.kind, variables),
        "User": f"{base_image.USER}:{base_image.USER}",
        "WorkingDir": str(APP),
        "ExposedPorts": {f"{PORT}/tcp": {}},
    }


def in_shell(command: str) -> str:
    """The command as a shell runs it. A shell that stays the first process of a container keeps the signal to end from the
    program, so the program takes its place: where the command is one alone, or the last of those that run one after another.
    """
    last = _LAST.fullmatch(command)
    if last is None or _COMPOUND.search(command) or (last["operator"] and _QUOTES.search(command)):
        return command
    return command if last["program"].startswith("exec ") else f"{last['before']}exec {last['program']}"


def _requirements(project: PythonProject) -> tuple[str, ...]:
    if python_project.REQUIREMENTS in project.requirement_files:
        return ("-r", python_project.REQUIREMENTS)
    if project.dynamic:
        return (".",)
    return project.dependencies


def _check_python(project: PythonProject, base: BaseImage) -> None:
    """Raises ImageError where the project asks for a newer Python."""
    found, has = _AT_LEAST.search(project.python), _python(base)
    if found and has and int(found[1]) > int(has.partition(".")[2]):
        raise ImageError(
            f"the project asks for Python {project.python}, and the base python has {has}",
            remedy=f"lower requires-python, or write a Dockerfile whose FROM has Python 3.{found[1]}",
        )


def _python(base: BaseImage) -> str:
    """The version of the base's Python, such as 3.11."""
    return next((name[1] for each in base.packages if (name := _PYTHON.fullmatch(each.name))), "")


def _stored(place: Path) -> Dependencies | None:
    try:
        found = msgspec.json.decode((place / "layer.json").read_bytes(), type=_StoredLayer)
    except (OSError, msgspec.MsgspecError):
        return None
    layer = Layer(place / "layer.tar.gz", Descriptor(media_type=LAYER, digest=found.digest, size=found.size), found.content)
    if not layer.file.is_file():
        return None
    cache_folder.used(place)
    return Dependencies(layer, found.packages, cached=True)


def _digest(folder: Path, name: str) -> str:
    """The hash of a file of the folder, also behind links; empty for a folder and for a link that leads elsewhere."""
    file = (folder / name).resolve()
    inside = file.is_file() and file.is_relative_to(folder.resolve())
    return hashlib.sha256(file.read_bytes()).hexdigest() if inside else ""
