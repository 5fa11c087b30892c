"""Builds one component of control-plane/ with Go, into a folder that appears only when it is complete and works."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pincompute.region.build.go_toolchain import Toolchain
from pincompute.region.progress import Progress
from pincompute.region.region_error import RegionError

UNFINISHED = ".unfinished-"
GIGABYTE = 1 << 30
FULL = "no space left on device"
ASK = 60.0  # seconds a fresh program has to answer; the first start reads it from the disk
VERSION = ("--version",)


@dataclass(frozen=True, slots=True)
class Component:
    """Programs that one call of `go` builds from one module below control-plane/.

    `seconds` is what the build takes on 2 cores after the components before it. `asked` holds the arguments with which a
    program proves that it runs, where these are not --version.
    """

    name: str
    programs: tuple[str, ...]
    packages: tuple[str, ...]
    seconds: int
    module: str = "."
    stamp: tuple[str, ...] = ()
    tags: str = ""
    cgo: bool = False
    asked: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    @property
    def arguments(self) -> tuple[str, ...]:
        """Arguments of `go`. Debug information would be a third of a program's size and an eighth of the compiler's work."""
        tags = (f"-tags={self.tags}",) if self.tags else ()
        options = ("-trimpath", "-modcacherw", *tags, "-gcflags=all=-dwarf=false", "-ldflags", " ".join(("-s -w", *self.stamp)))
        return ("install", *options, *self.packages)

    @property
    def settings(self) -> tuple[object, ...]:
        """Whatever of this decides what comes out."""
        return (self.arguments, self.cgo, self.module, self.programs)

    @property
    def disk(self) -> float:
        """Gigabytes that the build takes, Go caches included: Kubernetes takes most, the others share its packages."""
        return 6.0 if self.name == "kubernetes" else 0.25

    def sources(self, modules: Path) -> Iterator[Path]:
        """The files below `modules` that decide what comes out: pins, checksums, and mains of our own."""
        yield from (modules / self.module / name for name in ("go.mod", "go.sum"))
        for package in self.packages:
            if package.startswith("."):
                yield from sorted((modules / self.module / package).glob("*.go"))


@dataclass(frozen=True, slots=True)
class BuildFolders:
    """Where a build reads, where its result goes, and where Go keeps what it downloads and compiles."""

    source: Path
    target: Path
    scratch: Path


def build(component: Component, toolchain: Toolchain, place: BuildFolders) -> None:
    """Compile, check and rename into place. Whatever ends it early leaves only an unfinished folder, cleared next time."""
    work = place.target.with_name(f"{UNFINISHED}{place.target.name}")
    try:
        work.mkdir(parents=True)
        _compile(component, toolchain, place, work)
        for program in component.programs:
            _prove(work / program, component.asked.get(program, VERSION))
        work.rename(place.target)
    except OSError as error:
        raise _failure(component, place, str(error), full=error.errno == errno.ENOSPC) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def shown(components: tuple[Component, ...], progress: Progress) -> Iterator[Component]:
    """The components one by one, with what is being built, for how long, and how long the rest should take."""
    left = sum(component.seconds for component in components)
    if components:
        progress.say(f"building {len(components)} components from source: about {_minutes(left)} on 2 cores, once")
    for component in components:
        begun = time.monotonic()
        with progress.task(f"building {component.name}", component.seconds, left):
            yield component
        left -= component.seconds
        progress.say(f"built {component.name} in {time.monotonic() - begun:.0f} s")


def check_space(root: Path, components: tuple[Component, ...]) -> None:
    """Refuse before the first minute is spent rather than after the eighth."""
    needed, free = sum(component.disk for component in components), shutil.disk_usage(root).free / GIGABYTE
    if free < needed:
        raise RegionError(
            f"building needs about {needed:.0f} GB in {root}, {free:.1f} GB are free: make room there, "
            "or set PINCOMPUTE_CACHE to a folder on another disk"
        )


def _compile(component: Component, toolchain: Toolchain, place: BuildFolders, work: Path) -> None:
    log = place.scratch / f"{component.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        command = (str(toolchain.go), *component.arguments)
        child = subprocess.Popen(
            command, cwd=place.source, env=_environment(component, place, work), stdout=output, stderr=output
        )
        try:
            status = child.wait()
        finally:
            child.terminate()
            child.wait()
    if status != 0:
        said = log.read_text(errors="replace")
        raise _failure(component, place, said, full=FULL in said)


def _environment(component: Component, place: BuildFolders, work: Path) -> dict[str, str]:
    """The user's, for proxies and mirrors, but with caches that can be dropped as a whole."""
    temporary = place.scratch / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    return os.environ | {
        "GOBIN": str(work),
        "GOMODCACHE": str(place.scratch / "modules"),
        "GOCACHE": str(place.scratch / "compiled"),
        "GOTMPDIR": str(temporary),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOFLAGS": "-mod=readonly",
        "CGO_ENABLED": "1" if component.cgo else "0",
        "GOGC": os.environ.get("GOGC", "400"),  # the compiler's own garbage collection: a fifth of its time otherwise
    }


def _prove(program: Path, arguments: tuple[str, ...]) -> None:
    try:
        done = subprocess.run((str(program), *arguments), capture_output=True, text=True, timeout=ASK, check=False, cwd="/")
    except subprocess.TimeoutExpired as error:
        raise RegionError(f"{program.name} was built but does not answer `{' '.join(arguments)}` within {ASK:g} s") from error
    if done.returncode != 0:
        raise RegionError(f"{program.name} was built but does not run: {(done.stderr or done.stdout).strip()[:300]}")


def _failure(component: Component, place: BuildFolders, said: str, *, full: bool) -> RegionError:
    if full:
        free = shutil.disk_usage(place.scratch).free / GIGABYTE
        return RegionError(
            f"disk full while building {component.name} in {place.scratch}: the build takes about {component.disk:.1f} GB, "
            f"{free:.1f} GB are free. Make room, or set PINCOMPUTE_CACHE to a folder on another disk, and run this again: "
            "what is built already is kept"
        )
    last = "\n".join(said.strip().splitlines()[-8:])
    return RegionError(f"building {component.name} failed; the whole log is {place.scratch}/{component.name}.log\n{last}")


def _minutes(seconds: int) -> str:
    return f"{seconds} s" if seconds < 90 else f"{round(seconds / 60)} min"
