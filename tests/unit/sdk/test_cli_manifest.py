"""Bad files: each complaint has a line, a column, and the nearest thing that would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.manifest import manifest_file, manifest_validation

GOOD = "kind: App\nname: hello\nreplicas: 2\ncontainers:\n- name: web\n  image: hello:1\n  ports: [{port: 80}]\n"
CASES: dict[str, tuple[str, str]] = {
    "nothing": ("", "app.yaml is empty"),
    "only comments": ("# later\n", "app.yaml is empty"),
    "a list": ("- a\n", "app.yaml:1:1: it holds no fields"),
    "two documents": (GOOD + "---\n" + GOOD, "app.yaml:9:1: a second document begins here"),
    "a tab": ("kind: App\n\tname: x\n", "app.yaml:2:1: this line is indented with a tab"),
    "an open bracket": ("kind: App\nzones: [a\n", r"app.yaml:2:8: the \[ that begins here is not closed"),
    "a field said twice": (GOOD + "replicas: 3\n", "app.yaml:8:1: replicas is written twice, first in line 3"),
    "no kind": (GOOD.replace("kind: App\n", ""), "app.yaml:1:1: the kind is missing"),
    "an unknown kind": (GOOD.replace("kind: App", "kind: Ap"), "app.yaml:1:1: there is no kind Ap, did you mean App"),
    "a field that is like no other": (
        f"apiVersion: v1\n{GOOD}",
        "app.yaml:1:1: there is no field apiVersion. known here: advanced, ",
    ),
    "an unknown field": (GOOD.replace("replicas", "replica"), "app.yaml:3:1: there is no field replica. did you mean replicas"),
    "an unknown field deeper down": (
        GOOD.replace("{port: 80}", "{prot: 80}"),
        r"app.yaml:7:12: there is no field containers\[0\].ports\[0\].prot. did you mean port",
    ),
    "a field of another kind": (
        GOOD + "activeDeadline: 1m\n",
        "app.yaml:8:1: there is no field activeDeadline. remove it: only kind Unit has it",
    ),
    "a field that resembles none": (GOOD + "qqq: 4\n", "known here: .*containers.*"),
    "a word where a number must be": (
        GOOD.replace("replicas: 2", "replicas: two"),
        "app.yaml:3:1: replicas: expected a number, got text: write `replicas: 3`",
    ),
    "a number where a list must be": (
        GOOD + "  args: 8080\n",
        r'app.yaml:8:3: containers\[0\].args: expected a list, got a number: write `args: \["8080"\]`',
    ),
    "a list where fields must be": (
        GOOD + "  resources: [a]\n",
        r"containers\[0\].resources: expected fields, got a list: write `resources: {cpu: 250m, memory: 128Mi}`",
    ),
    "variables as Kubernetes lists them": (
        GOOD + "  env: [{name: A, value: 1}]\n",
        r'app.yaml:8:3: containers\[0\].env: expected NAME: value pairs, got a list: write `env: {A: "1"}`',
    ),
    "variables as Compose lists them": (GOOD + "  env: [A=b=c]\n", r'write `env: {A: "b=c"}`'),
    "variables that nobody writes so": (GOOD + "  env: [[A]]\n", r"write `env: {NAME: value}`"),
    "a port alone": (
        GOOD.replace("{port: 80}", "8080"),
        r"containers\[0\].ports\[0\]: expected fields, got a number: write `ports: \[{name: http, port: 8080}\]`",
    ),
    "ports as Compose pairs them": (GOOD.replace("{port: 80}", '"8080:80"'), r"write `ports: \[{name: http, port: 80}\]`"),
    "a missing name of a container": (GOOD.replace("- name: web\n  image", "- image"), r"app.yaml:5:3: containers\[0\]"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_files(case: str) -> None:
    text, want = CASES[case]
    with pytest.raises(CommandError, match=want) as caught:
        manifest_validation.check(manifest_file.read(text, "app.yaml"))
    assert caught.value.exit_code == 2
    assert caught.value.remedy


def test_a_good_file_passes_and_every_field_has_its_place() -> None:
    manifest = manifest_file.read(GOOD, "app.yaml")
    manifest_validation.check(manifest)
    assert manifest.at("containers[0].image") == "app.yaml:6:3"
    assert manifest.at("containers[0].resources.cpu") == "app.yaml:5:3"  # the nearest that is there
    assert manifest.at("") == "app.yaml:1:1"


def test_the_nearest_file_is_taken(tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text(GOOD)
    deep = tmp_path / "src" / "deep"
    deep.mkdir(parents=True)
    assert manifest_file.nearest(deep) == tmp_path / "app.yaml"


@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_file_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "app.yaml"
    if content:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=str(file)):
        manifest_file.load(file)
