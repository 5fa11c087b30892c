"""The programs that build Dockerfiles: which is taken, what is said where none is, their commands, what they may not show."""

from __future__ import annotations

from pathlib import Path

import pytest
from pincompute_sdk.images.build import build_tools
from pincompute_sdk.images.build.build_tools import TOOLS, DockerBuild, ToolFacts
from pincompute_sdk.images.image_errors import ImageError

BUILD = DockerBuild(Path("/f"), Path("/f/Dockerfile"), {"TOKEN": "hunter22"}, "linux/amd64", "shop/web:1", Path("/s"))
CHOICES = {
    "a Docker engine that answers": (ToolFacts(frozenset(TOOLS), frozenset({"docker"})), "", "docker"),
    "docker without its engine": (ToolFacts(frozenset({"docker", "buildah"})), "", "buildah"),
    "podman before buildah": (ToolFacts(frozenset({"podman", "buildah"})), "", "podman"),
    "the one that is asked for": (ToolFacts(frozenset({"podman", "buildah"})), "buildah", "buildah"),
    "a daemon of buildkit": (ToolFacts(frozenset({"buildctl"}), frozenset({"buildctl"})), "", "buildctl"),
}
NONE = {
    "nothing is installed": (ToolFacts(frozenset(), family="apt"), "", "none of docker, podman", "`apt install buildah`"),
    "an unknown system": (ToolFacts(frozenset()), "", "none of docker", "install buildah, podman or docker"),
    "the engine does not answer": (
        ToolFacts(frozenset({"docker"}), family="dnf"),
        "",
        "does not answer",
        "dnf install buildah",
    ),
    "the one that is asked for": (
        ToolFacts(frozenset({"buildah"})),
        "podman",
        "podman is not installed",
        "leave --builder out",
    ),
}


@pytest.mark.parametrize("case", CHOICES)
def test_the_tool_is_chosen(case: str) -> None:
    facts, wanted, chosen = CHOICES[case]
    assert build_tools.choose(facts, wanted) == chosen


@pytest.mark.parametrize("case", NONE)
def test_without_a_tool_the_command_that_installs_one_is_named(case: str) -> None:
    facts, wanted, reason, remedy = NONE[case]
    with pytest.raises(ImageError) as refused:
        build_tools.choose(facts, wanted)
    assert reason in refused.value.reason
    assert remedy in refused.value.remedy


def test_an_unknown_tool_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ImageError, match="kaniko") as refused:
        build_tools.choose(ToolFacts(frozenset(TOOLS)), "kaniko")
    assert refused.value.remedy == "choose one of docker, podman, buildah, buildctl"


@pytest.mark.parametrize("tool", ["docker", "podman", "buildah"])
def test_values_of_build_arguments_are_no_arguments_of_the_tool(tool: str) -> None:
    words = [word for command in build_tools.commands(tool, BUILD, ToolFacts(frozenset())) for word in command]
    assert "TOKEN" in words
    assert not any("hunter22" in word for word in words)
    assert words[-1].endswith("/s/archive.tar") or "/s/archive.tar" in words


def test_buildah_gets_along_without_a_runtime_and_without_overlay() -> None:
    build, push = build_tools.commands("buildah", BUILD, ToolFacts(frozenset(), runtime=False, overlay=False))
    assert build[:3] == push[:3] == ["buildah", "--storage-driver", "vfs"]
    assert build[build.index("--isolation") + 1] == "chroot"


def test_what_a_tool_prints_is_shown_without_the_values_of_build_arguments() -> None:
    arguments = {"TOKEN": "hunter22", "LONGER": "hunter2233", "DEBUG": "1"}
    assert build_tools.without_values("a hunter2233 b hunter22 1", arguments) == "a *** b *** 1"


def test_images_of_from_lines_without_stages_of_the_file() -> None:
    text = (
        "FROM --platform=linux/amd64 python:3.12 AS build\nfrom build\n FROM scratch\nFROM pincompute/python as x\nRUN FROM a\n"
    )
    assert build_tools.bases(text) == ("python:3.12", "pincompute/python")


UNREACHABLE = (
    'Error: creating build container: pinging container registry registry-1.docker.io: Get "https://registry-1.docker.io/v2/"',
    "ERROR: failed to solve: python:3.12: failed to resolve source metadata for docker.io/library/python:3.12",
    "Error response from daemon: dial tcp: lookup registry-1.docker.io: no such host",
)


@pytest.mark.parametrize("line", UNREACHABLE)
def test_a_registry_that_is_not_reached_is_recognised(line: str) -> None:
    assert build_tools.unreachable(line)
    assert not build_tools.unreachable('Error: building at STEP "RUN pip install flask": exit status 1')
