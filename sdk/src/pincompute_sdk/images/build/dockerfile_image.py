"""Builds the image of a Dockerfile with a program of this machine, and takes the result out of it as a layout."""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pincompute_sdk.images import image_archive
from pincompute_sdk.images.build import base_image, build_tools, layout_writer, tool_run
from pincompute_sdk.images.build.build_output import BuildOutput
from pincompute_sdk.images.build.build_tools import ARCHIVE, DAEMONS, PACKAGES, TOOLS, DockerBuild, ToolFacts
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.oci_layout import LayoutImage

OWN_WORDS = ("buildah", "podman")  # they tell of their own work between the lines of a Dockerfile's commands
FILES = ("Dockerfile", "Containerfile")
MANAGERS = {"apt-get": "apt", "dnf": "dnf", "zypper": "zypper", "apk": "apk", "pacman": "pacman"}
SECONDS = 10.0
OWN_BASE = (
    "`pin image base python` makes a base of Debian packages: write `FROM pincompute/python`, or `FROM pincompute/debian`"
)


@dataclass(frozen=True, slots=True)
class DockerfileImage:
    """A build and the tool that carries it out. `say` sees the tool's lines, without the values of build arguments."""

    build: DockerBuild
    tool: str
    facts: ToolFacts
    say: Callable[[str], None]

    def write(self) -> LayoutImage:
        """Raises ImageError."""
        self._bring_bases()
        build, *rest = build_tools.commands(self.tool, self.build, self.facts)
        self._run(build, self._shown())
        for command in rest:
            self._run(command, self._say if self.build.verbose else _nothing)
        layout = image_archive.unpack(self.build.scratch / ARCHIVE, self.build.scratch)
        return image_archive.compressed(layout.image(self.build.platform), self.build.scratch)

    def _bring_bases(self) -> None:
        """Bases of the platform are made here and given to the tool, so that no registry is needed for them."""
        for image in self._bases():
            name = _kind(image)
            if not name:
                continue
            base = base_image.get(name, say=self.say)
            folder = self.build.scratch / f"base-{name}"
            file = folder.with_suffix(".tar")
            layout_writer.save(base.write(folder).image(self.build.platform), f"{base_image.PREFIX}{name}:latest", file)
            command = build_tools.load(self.tool, file, self.facts)
            if not command:
                raise ImageError(
                    f"{self.tool} cannot take {image} from this machine", remedy="take --builder buildah, podman or docker"
                )
            tool_run.run(command, remedy=f"{self.tool} does not take images: see its own words")

    def _say(self, line: str) -> bool:
        self.say(line)
        return True

    def _shown(self) -> Callable[[str], bool]:
        """Sees the lines of the build, says those that a user needs, and tells which these are."""
        if self.build.verbose or self.tool not in OWN_WORDS:
            return self._say
        output = BuildOutput(self.build.arguments)
        return lambda line: output.shows(line) and self._say(line)

    def _run(self, command: list[str], line: Callable[[str], bool]) -> None:
        def edit(line: str) -> str:
            return build_tools.without_values(line, self.build.arguments)

        try:
            tool_run.run(command, environment=os.environ | self.build.arguments, line=line, edit=edit)
        except ImageError as error:
            raise self._explained(error) from error

    def _explained(self, error: ImageError) -> ImageError:
        bases = self._bases()
        foreign = [image for image in bases if not image.startswith(base_image.PREFIX)]
        if unknown := next(
            (image for image in bases if image not in foreign and not _kind(image) and image in error.reason), ""
        ):
            return _no_base(self.build.dockerfile.name, unknown, error.reason)
        last = (error.reason.splitlines() or [""])[-1]
        if foreign and build_tools.unreachable(last):
            message = f"{', '.join(foreign)} cannot be pulled: its registry is not reached from here, or refuses"
            remedy = f"{OWN_BASE}; or configure a mirror of that registry for {self.tool}"
            return ImageError(message, reason=last, remedy=remedy)
        more = "" if self.build.verbose else f"; `--verbose` shows all that {self.tool} says"
        return ImageError(
            f"{self.build.dockerfile.name} cannot be built", reason=error.reason, remedy=f"correct the step that failed{more}"
        )

    def _bases(self) -> tuple[str, ...]:
        return build_tools.bases(self.build.dockerfile.read_text("utf-8", "replace"))


def _kind(image: str) -> str:
    """Returns the kind of base that the platform makes under this name; empty for another image."""
    name = image.removeprefix(base_image.PREFIX).removesuffix(":latest")
    return name if image.startswith(base_image.PREFIX) and name in base_image.KINDS else ""


def _no_base(dockerfile: str, image: str, reason: str) -> ImageError:
    """Says that a Dockerfile begins with a base that the platform does not make."""
    known = [f"{base_image.PREFIX}{name}" for name in base_image.KINDS]
    near = next(iter(difflib.get_close_matches(image.partition(":")[0], known, n=1)), "")
    remedy = f"write `FROM {near}`" if near else f"the bases of the platform are {' and '.join(known)}"
    last = (reason.splitlines() or [""])[-1]
    return ImageError(f"{dockerfile}: there is no base {image}", reason=last, remedy=remedy)


def _nothing(_: str) -> bool:
    return False


def find(folder: Path) -> Path | None:
    return next((folder / name for name in FILES if (folder / name).is_file()), None)


def machine() -> ToolFacts:
    """Asks the programs of this machine."""
    installed = frozenset(tool for tool in TOOLS if shutil.which(tool))
    answering = frozenset(tool for tool in installed & DAEMONS.keys() if _succeeds(*DAEMONS[tool]))
    family = next((name for program, name in MANAGERS.items() if shutil.which(program) and name in PACKAGES), "")
    runtime = any(shutil.which(name) for name in ("crun", "runc"))
    overlay = "buildah" not in installed or _succeeds("buildah", "info")
    return ToolFacts(installed, answering, family, runtime, overlay)


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=SECONDS, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
