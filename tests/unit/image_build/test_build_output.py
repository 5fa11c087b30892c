"""Of a build with buildah a user sees the steps and what their commands print, and nothing of its own work."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from pincompute_sdk.images.build import build_tools, dockerfile_image
from pincompute_sdk.images.build.build_output import BuildOutput
from pincompute_sdk.images.build.build_tools import DockerBuild, ToolFacts
from pincompute_sdk.images.build.dockerfile_image import DockerfileImage
from pincompute_sdk.images.image_errors import ImageError

LAYER, WHOLE = "66ca51aaa94", "c715942ac12f3aab15a21af83a6e081af2091c9b81dfd7de468d4d01fa19f4d6"
WARNING = 'time="2026-11-30T08:25:51Z" level=warning msg="HEALTHCHECK is not supported for OCI image format"'
SAID = f"""\
STEP 1/5: FROM scratch
STEP 2/5: COPY hi /hi
--> Using cache {WHOLE}
--> {LAYER}
[1/2] STEP 3/5: RUN ["/hi"]
hi from the Dockerfile
Copying blob of mine
{WARNING}

COMMIT of mine
--> {LAYER}
{WARNING}
STEP 4/5: HEALTHCHECK CMD ["/hi"]
{WARNING}
--> {LAYER}
STEP 5/5: CMD ["/hi"]
COMMIT x/y:1
--> {LAYER}
[Warning] one or more build args were not consumed: [TARGETARCH TARGETOS]
Successfully tagged localhost/x/y:1
{WHOLE}
Getting image source signatures
Copying blob sha256:{WHOLE}
Copying config sha256:{WHOLE}
Writing manifest to image destination
Storing signatures
"""
SHOWN = f"""\
STEP 1/5: FROM scratch
STEP 2/5: COPY hi /hi
[1/2] STEP 3/5: RUN ["/hi"]
hi from the Dockerfile
Copying blob of mine
{WARNING}

COMMIT of mine
STEP 4/5: HEALTHCHECK CMD ["/hi"]
STEP 5/5: CMD ["/hi"]
"""


def test_what_commands_print_is_shown_and_the_tools_own_work_is_not() -> None:
    output = BuildOutput()
    assert [line for line in SAID.splitlines() if output.shows(line)] == SHOWN.splitlines()


@pytest.mark.parametrize(
    "line",
    [
        "[Warning] one or more build args were not consumed: [EDITION TARGETOS]",
        "error building at STEP \"RUN false\": exit status 1",
        'time="2026-11-30T08:25:51Z" level=error msg="no space left on device"',
        "Trying to pull docker.io/library/python:3...",
    ],
)  # fmt: skip
def test_what_a_user_must_know_is_shown(line: str) -> None:
    assert BuildOutput({"EDITION"}).shows(line)


def test_verbose_takes_the_tools_warnings_as_well(tmp_path: Path) -> None:
    facts = ToolFacts(frozenset())
    assert "--log-level" in build_tools.commands("buildah", _build(tmp_path, verbose=False), facts)[0]
    assert "--log-level" not in build_tools.commands("buildah", _build(tmp_path, verbose=True), facts)[0]


def _build(folder: Path, *, verbose: bool, arguments: dict[str, str] | None = None) -> DockerBuild:
    return DockerBuild(folder, folder / "Dockerfile", arguments or {}, "linux/amd64", "shop/web:1", folder, verbose=verbose)


BUILDAH = """\
#!/bin/sh
case "$*" in
"push "*) echo "Copying blob sha256:1" >&2;;
*) echo "STEP 1/2: RUN make"; echo "Copying blob of mine"; echo "--> 66ca51aaa94"; echo 'time="x" level=warning msg="y"'; %s;;
esac
"""


@pytest.fixture
def buildah(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return tmp_path / "bin" / "buildah"


def _lines(folder: Path, buildah: Path, then: str, *, verbose: bool) -> tuple[list[str], ImageError]:
    buildah.write_text(BUILDAH % then)
    buildah.chmod(0o755)
    seen: list[str] = []
    with pytest.raises(ImageError) as refused:  # no archive is written here
        DockerfileImage(_build(folder, verbose=verbose), "buildah", ToolFacts(frozenset()), seen.append).write()
    return seen, refused.value


def test_a_build_shows_its_commands_alone_and_verbose_shows_all(tmp_path: Path, buildah: Path) -> None:
    quiet, _ = _lines(tmp_path, buildah, "true", verbose=False)
    assert quiet == ["STEP 1/2: RUN make", "Copying blob of mine"]
    verbose, _ = _lines(tmp_path, buildah, "true", verbose=True)
    assert [*quiet, "--> 66ca51aaa94", 'time="x" level=warning msg="y"', "Copying blob sha256:1"] == verbose


def test_a_build_that_fails_tells_its_last_line_and_those_that_were_not_shown(tmp_path: Path, buildah: Path) -> None:
    """Its steps were printed a second time."""
    seen, refused = _lines(tmp_path, buildah, "echo broken >&2; exit 1", verbose=False)
    assert refused.message == "Dockerfile cannot be built"
    assert seen == ["STEP 1/2: RUN make", "Copying blob of mine", "broken"]
    assert refused.reason.splitlines() == ["--> 66ca51aaa94", 'time="x" level=warning msg="y"', "broken"]
    assert refused.remedy.endswith("`--verbose` shows all that buildah says")


def test_a_base_that_the_platform_does_not_make_is_told_with_the_nearest(tmp_path: Path, buildah: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM pincompute/debain\n")
    fails = "echo 'short-name \"pincompute/debain\" did not resolve to an alias'; exit 125"
    _, refused = _lines(tmp_path, buildah, fails, verbose=False)
    assert refused.message == "Dockerfile: there is no base pincompute/debain"
    assert refused.remedy == "write `FROM pincompute/debian`"


@pytest.mark.skipif(shutil.which("buildah") is None, reason="buildah is not installed")
def test_the_real_buildah_says_nothing_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From nothing but a file, with storage of its own. HEALTHCHECK makes it warn at every step."""
    storage = tmp_path / "storage.conf"
    storage.write_text(f'[storage]\ndriver = "vfs"\nrunroot = "{tmp_path}/run"\ngraphroot = "{tmp_path}/storage"\n')
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(storage))
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY file /file\nHEALTHCHECK CMD /file\nLABEL a=b\n")
    (folder / "file").write_text("text")
    seen: list[str] = []
    wanted = DockerBuild(folder, folder / "Dockerfile", {}, "linux/amd64", "shop/web:1", tmp_path)
    facts = ToolFacts(frozenset({"buildah"}), runtime=dockerfile_image.machine().runtime, overlay=False)
    image = DockerfileImage(wanted, "buildah", facts, seen.append).write()
    assert [line.partition(": ")[2] for line in seen] == [
        "FROM scratch",
        "COPY file /file",
        "HEALTHCHECK CMD /file",
        "LABEL a=b",
    ]
    assert len(image.manifest.decoded.layers) >= 1
