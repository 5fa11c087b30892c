"""Files of the node that pods write past every limit are cut; what is not such a file stays as it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pincompute.region.nodes import uncounted_files
from pincompute.region.nodes.uncounted_files import LARGEST

MESSAGE = "kubelet/pods/uid/containers/web/3db59d87"
SANDBOX = "containerd/io.containerd.grpc.v1.cri/sandboxes/57822f"
CUT = (MESSAGE, f"{SANDBOX}/hostname", f"{SANDBOX}/resolv.conf")
KEPT = (
    "kubelet/pods/uid/etc-hosts",  # which kubelet counts
    "kubelet/pods/uid/volumes/kubernetes.io~empty-dir/work/file",
    "kubelet/pods/uid/containers/web/folder/file",
    "containerd/io.containerd.content.v1.content/blobs/sha256/1",
)


def file(folder: Path, name: str, size: int = 10 * LARGEST) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(index % 251 for index in range(size)))
    return path


def cut(folder: Path) -> None:
    uncounted_files.cut(folder / "kubelet", folder / "containerd")


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_grew_keeps_its_first_bytes(tmp_path: Path, name: str) -> None:
    written = file(tmp_path, name)
    whole = written.read_bytes()
    cut(tmp_path)
    assert written.read_bytes() == whole[:LARGEST]


@pytest.mark.parametrize("name", CUT)
def test_a_file_of_usual_size_stays(tmp_path: Path, name: str) -> None:
    written = file(tmp_path, name, LARGEST)
    cut(tmp_path)
    assert written.stat().st_size == LARGEST


@pytest.mark.parametrize("name", KEPT)
def test_other_files_of_the_node_stay(tmp_path: Path, name: str) -> None:
    written = file(tmp_path, name)
    cut(tmp_path)
    assert written.stat().st_size == 10 * LARGEST


def test_a_writer_that_goes_on_is_cut_again(tmp_path: Path) -> None:
    written = file(tmp_path, MESSAGE)
    with written.open("ab") as still_open:
        for _ in range(3):
            cut(tmp_path)
            assert written.stat().st_size == LARGEST
            still_open.write(b"x" * LARGEST)
            still_open.flush()


def test_blocks_that_are_reserved_beyond_the_end_are_given_back(tmp_path: Path) -> None:
    written = file(tmp_path, MESSAGE, 5)
    subprocess.run(("fallocate", "--keep-size", f"--length={10 * LARGEST}", written), check=True)
    assert written.stat().st_blocks * 512 >= 10 * LARGEST
    cut(tmp_path)
    assert written.stat().st_size == 5
    assert written.stat().st_blocks * 512 <= LARGEST


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    elsewhere = file(tmp_path, "precious")
    link = tmp_path / MESSAGE
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    cut(tmp_path)
    assert elsewhere.stat().st_size == 10 * LARGEST


def test_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / MESSAGE).parent.mkdir(parents=True)
    os.mkfifo(tmp_path / MESSAGE)
    cut(tmp_path)


def test_folders_that_are_not_there_are_no_failure(tmp_path: Path) -> None:
    cut(tmp_path)


def test_a_pod_that_ends_meanwhile_leaves_the_others_their_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (file(tmp_path, f"kubelet/pods/{uid}/containers/web/1") for uid in ("a", "b"))
    real = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: real(f"{path}/gone" if path == str(first) else path))
    cut(tmp_path)
    assert (first.stat().st_size, second.stat().st_size) == (10 * LARGEST, LARGEST)
