"""Whoever may read a workload's logs must not read its secrets by naming them as a log."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from pincompute.gateway.operation.logs import volume_logs
from pincompute.gateway.problems import Problem

VOLUMES: dict[str, Any] = {
    "/data": {"emptyDir": {}},
    "/scratch": {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
    "/data/secret": {"secret": {"secretName": "s"}},
    "/config": {"configMap": {"name": "c"}},
    "/projected": {"projected": {"sources": [{"secret": {"name": "s"}}]}},
    "/info": {"downwardAPI": {"items": []}},
    "/claim": {"persistentVolumeClaim": {"claimName": "c"}},
    "/memory": {"emptyDir": {"medium": "Memory"}},
    "/csi": {"csi": {"driver": "secrets-store.csi.k8s.io"}},
    "/": {"emptyDir": {}},
}
POD = {
    "volumes": [{"name": f"v{n}", **volume} for n, volume in enumerate(VOLUMES.values())],
    "containers": [
        {"name": "main", "volumeMounts": [{"name": f"v{n}", "mountPath": path} for n, path in enumerate(VOLUMES)]},
        {"name": "other", "volumeMounts": [{"name": "v0", "mountPath": "/config"}]},
        {"name": "bare"},
    ],
}
FILES = {
    ("main", "/data/a.log"): True,
    ("main", "/scratch/deep/a.log"): True,
    ("other", "/config/a.log"): True,
    ("main", "/data/secret/password"): False,
    ("main", "/data/secret"): True,  # the folder itself, which is no file: the container says so
    ("main", "/config/key"): False,
    ("main", "/projected/token"): False,
    ("main", "/info/labels"): False,
    ("main", "/claim/rows.db"): False,
    ("main", "/memory/password"): False,
    ("main", "/csi/password"): False,
    ("main", "/proc/self/environ"): False,
    ("main", "/sys/kernel/notes"): False,
    ("main", "/dev/shm/x"): False,
    ("main", "/var/run/secrets/kubernetes.io/serviceaccount/token"): False,
    ("main", "/run/secrets/kubernetes.io/serviceaccount/token"): False,
    ("bare", "/data/a.log"): False,
    ("other", "/data/a.log"): False,
}


@pytest.mark.parametrize(("container", "file"), FILES, ids=map(":".join, FILES))
def test_a_log_is_a_file_of_an_ephemeral_volume(container: str, file: str):
    if FILES[container, file]:
        volume_logs.check(POD, container, file)
        return
    with pytest.raises(Problem) as caught:
        volume_logs.check(POD, container, file)
    assert [error.field for error in caught.value.errors] == ["file"]


def test_a_template_that_cannot_be_read_has_no_log_file():
    with pytest.raises(Problem):
        volume_logs.check({"volumes": None, "containers": 7}, "main", "/data/a.log")


WITHIN = 15.0
SHELLS = [path for name in ("dash", "bash") if (path := shutil.which(name))]


@pytest.fixture
def volume() -> Iterator[Path]:
    """A folder that is a mount of its own as a volume is; what is outside of it is on another."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as made:
        yield Path(made)


def read(shell: str, volume: Path, name: str, count: str = "+1") -> subprocess.CompletedProcess[str]:
    argv = (shell, "-c", volume_logs.SCRIPT, "log", str(volume / name), "/dev/shm", count, "")
    return subprocess.run(argv, capture_output=True, text=True, timeout=WITHIN, check=False)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_link_that_leads_out_of_the_volume_is_refused(shell: str, volume: Path, tmp_path: Path):
    (tmp_path / "secret").write_text("password\n")
    (volume / "a.log").write_text("one\ntwo\n")
    (volume / "inside").symlink_to("a.log")
    (volume / "outside").symlink_to(tmp_path / "secret")
    (volume / "process").symlink_to("/proc/self/environ")
    (volume / "folder").symlink_to(tmp_path)
    assert read(shell, volume, "a.log").stdout == "one\ntwo\n"
    assert read(shell, volume, "inside", "1").stdout == "two\n"
    for name in ("outside", "process", "folder/secret"):
        done = read(shell, volume, name)
        assert (done.stdout, done.returncode, "is not a file of the volume" in done.stderr) == ("", 1, True), name


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_no_plain_file_ends_at_once(shell: str, volume: Path):
    os.mkfifo(volume / "pipe")
    for name in ("pipe", ".", "nothing"):
        done = read(shell, volume, name)
        assert (done.stdout, done.returncode) == ("", 1), name


@pytest.mark.parametrize("shell", SHELLS)
def test_a_followed_file_is_judged_again_when_another_one_has_its_name(shell: str, volume: Path, tmp_path: Path):
    """And it ends with its reader, so that nobody fills a container with programs."""
    (tmp_path / "secret").write_text("password\n")
    log = volume / "a.log"
    log.write_text("old\n")
    with following(shell, log) as process:
        with log.open("a") as file:
            file.write("one\n")
        assert process.stdout.readline() == "one\n"
        log.rename(volume / "a.log.1")
        log.write_text("two\n")
        assert process.stdout.readline() == "two\n"
        log.unlink()
        log.symlink_to(tmp_path / "secret")
        assert process.wait(WITHIN) == 1
        assert process.stdout.read() == ""
        assert "is not a file of the volume" in process.stderr.read()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_followed_file_ends_with_its_reader(shell: str, volume: Path):
    log = volume / "a.log"
    log.write_text("old\n")
    with following(shell, log) as process:
        process.stdin.close()
        assert process.wait(WITHIN) == 0
        assert process.stdout.read() == "", "and no child of it holds the output open"


@contextmanager
def following(shell: str, log: Path) -> Iterator[Any]:
    """The program, once it has read the first line."""
    argv = (shell, "-c", volume_logs.SCRIPT, "log", str(log), "/dev/shm", "+1", "follow")
    with subprocess.Popen(argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "old\n"
            yield process
        finally:
            process.kill()
