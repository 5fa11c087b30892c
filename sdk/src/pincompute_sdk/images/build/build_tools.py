"""Knows the programs that build Dockerfiles: which to take, how to install one, and their commands. Pure.

All of them end in one archive, which is pushed by the SDK, so that none of them needs to log in or to trust the registry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pincompute_sdk.images.image_errors import ImageError

TOOLS = ("docker", "podman", "buildah", "buildctl")
"""In the order of preference: who runs a Docker engine expects its cache."""

DAEMONS = {"docker": ("docker", "version"), "buildctl": ("buildctl", "debug", "workers")}
"""Programs that need a daemon, and the command that says whether it answers."""

PACKAGES = {
    "apt": "apt install buildah",
    "dnf": "dnf install buildah",
    "zypper": "zypper install buildah",
    "apk": "apk add podman",
    "pacman": "pacman -S buildah",
}
ARCHIVE = "archive.tar"
SHORT = 3  # characters


@dataclass(frozen=True, slots=True)
class ToolFacts:
    """What this machine has: programs, those whose daemon answers, its package manager, and what buildah says of itself."""

    installed: frozenset[str]
    answering: frozenset[str] = frozenset()
    family: str = ""
    runtime: bool = True  # runc or crun is installed
    overlay: bool = True  # buildah's storage works as it is configured

    def usable(self, tool: str) -> bool:
        return tool in self.installed and (tool not in DAEMONS or tool in self.answering)

    @property
    def install(self) -> str:
        """The command that brings a tool to this machine."""
        return PACKAGES.get(self.family, "install buildah, podman or docker")


@dataclass(frozen=True, slots=True)
class DockerBuild:
    """One build. Values of `arguments` go through the environment where the tool allows it, so that `ps` does not show them."""

    folder: Path
    dockerfile: Path
    arguments: Mapping[str, str]
    platform: str
    name: str
    scratch: Path
    refresh: bool = False
    verbose: bool = False


def choose(facts: ToolFacts, wanted: str = "") -> str:
    """The tool to build with. Raises ImageError that says what to install."""
    if wanted and wanted not in TOOLS:
        raise ImageError(f"{wanted!r} builds no Dockerfiles here", remedy=f"choose one of {', '.join(TOOLS)}")
    for tool in (wanted,) if wanted else TOOLS:
        if facts.usable(tool):
            return tool
    silent = [tool for tool in ((wanted,) if wanted else TOOLS) if tool in facts.installed]
    remedy = f"install {wanted}, or leave --builder out" if wanted else f"`{facts.install}`"
    if silent:
        reason = f"{' and '.join(silent)} is installed, but its daemon does not answer"
        raise ImageError("no program here can build a Dockerfile", reason=reason, remedy=f"start it; or {remedy}")
    reason = f"{wanted} is not installed" if wanted else f"none of {', '.join(TOOLS)} is installed"
    raise ImageError("no program here can build a Dockerfile", reason=reason, remedy=remedy)


def commands(tool: str, build: DockerBuild, facts: ToolFacts) -> list[list[str]]:
    """One after the other; the last writes the archive."""
    archive = str(build.scratch / ARCHIVE)
    if tool == "buildctl":
        return [_buildctl(build, archive)]
    refresh = ["--no-cache"] if build.refresh else []
    named = [part for name in build.arguments for part in ("--build-arg", name)]
    common = [
        "--file",
        str(build.dockerfile),
        "--tag",
        build.name,
        "--platform",
        build.platform,
        *named,
        *refresh,
        str(build.folder),
    ]
    quiet = [] if build.verbose else ["--log-level", "error"]
    if tool == "docker":
        return [["docker", "build", *common], ["docker", "save", "--output", archive, build.name]]
    if tool == "podman":
        return [
            ["podman", *quiet, "build", "--layers", *common],
            ["podman", "save", "--format", "oci-archive", "--output", archive, build.name],
        ]
    storage = [] if facts.overlay else ["--storage-driver", "vfs"]
    isolation = [] if facts.runtime else ["--isolation", "chroot"]
    return [
        ["buildah", *storage, *quiet, "build", "--layers", *isolation, *common],
        ["buildah", *storage, "push", build.name, f"oci-archive:{archive}"],
    ]


def load(tool: str, file: Path, facts: ToolFacts) -> list[str]:
    """The command that gives the tool an image of a `docker save` file under its name; empty for one that cannot."""
    if tool in ("docker", "podman"):
        return [tool, "load", "--input", str(file)]
    storage = [] if facts.overlay else ["--storage-driver", "vfs"]
    return ["buildah", *storage, "pull", f"docker-archive:{file}"] if tool == "buildah" else []


def bases(dockerfile: str) -> tuple[str, ...]:
    """The images that stages begin with, each once, without stages of the file itself."""
    found, stages = dict[str, None](), {"scratch"}
    for line in _FROM.finditer(dockerfile):
        image, stage = line["image"], line["stage"]
        if image.lower() not in stages:
            found[image] = None
        stages |= {stage.lower()} if stage else set()
    return tuple(found)


def unreachable(said: str) -> bool:
    """The tool's last words are about a registry that does not answer or does not let it in."""
    return _UNREACHABLE.search(said) is not None


def without_values(line: str, arguments: Mapping[str, str]) -> str:
    """A line of a tool without the values of build arguments. Short values would be everywhere, and stay."""
    for value in sorted(arguments.values(), key=len, reverse=True):
        line = line.replace(value, "***") if len(value) > SHORT else line
    return line


def _buildctl(build: DockerBuild, archive: str) -> list[str]:
    options = [f"filename={build.dockerfile.name}", f"platform={build.platform}"]
    options += [f"build-arg:{name}={value}" for name, value in build.arguments.items()]
    return [
        "buildctl", "build", "--progress=plain", "--frontend", "dockerfile.v0",
        "--local", f"context={build.folder}", "--local", f"dockerfile={build.dockerfile.parent}",
        *(part for option in options for part in ("--opt", option)), *(["--no-cache"] if build.refresh else []),
        "--output", f"type=oci,dest={archive}",
    ]  # fmt: skip


_FROM = re.compile(
    r"^[ \t]*FROM[ \t]+(?:--platform=\S+[ \t]+)?(?P<image>\S+)(?:[ \t]+AS[ \t]+(?P<stage>\S+))?", re.IGNORECASE | re.MULTILINE
)
_UNREACHABLE = re.compile(
    r"pinging container registry|no such host|connection refused|i/o timeout|network is unreachable|x509|TLS handshake"
    r"|failed to resolve source metadata|error pulling image|Temporary failure in name resolution|toomanyrequests|forbidden",
    re.IGNORECASE,
)
