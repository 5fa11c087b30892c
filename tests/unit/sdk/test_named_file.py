"""What pin reads by name never makes it wait for ever."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.manifest import manifest_file
from pincompute_sdk.core import named_file
from pincompute_sdk.images.build import python_project
from pincompute_sdk.images.image_errors import ImageError

READ = """
import sys
from pathlib import Path
from pincompute_sdk.core import named_file
print(named_file.text(Path(sys.argv[1])))
"""


def shell(command: str) -> str:
    found = subprocess.run(
        ["bash", "-c", command, sys.executable, READ], capture_output=True, text=True, timeout=60, check=True
    )
    return found.stdout


WAYS = {
    "the output of a command": '"$0" -c "$1" <(printf hello)',
    "a command that is slow to write": '"$0" -c "$1" <(sleep 0.3; printf hello)',
    "standard input": 'printf hello | "$0" -c "$1" -',
    "standard input by its name": 'printf hello | "$0" -c "$1" /dev/stdin',
    "a file as standard input": '"$0" -c "$1" /dev/stdin <<< hello',
}


@pytest.mark.parametrize("way", WAYS)
def test_what_a_shell_hands_over_is_read(way: str) -> None:
    assert shell(WAYS[way]).strip() == "hello"


def test_a_large_output_of_a_command_is_read_to_its_end() -> None:
    assert len(shell('"$0" -c "$1" <(head -c 300000 /dev/zero | tr "\\0" x)').strip()) == 300_000


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_text("kind: App")
    (tmp_path / "link.yaml").symlink_to("app.yaml")
    assert named_file.content(tmp_path / "link.yaml") == b"kind: App"


def test_a_pipe_that_nobody_writes_to_is_refused_with_a_sentence(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "app.yaml")
    with pytest.raises(CommandError, match="cannot be read") as refused:
        manifest_file.load(tmp_path / "app.yaml")
    assert refused.value.reason == "it is a pipe, and nobody writes to it"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(device: str) -> None:
    with pytest.raises(OSError, match="it is a device or a socket, and no file"):
        named_file.content(Path(device))


def test_a_folder_is_named_as_one(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        named_file.content(tmp_path)


def test_a_folder_of_somebody_else_does_not_hold_a_build(tmp_path: Path) -> None:
    """A file that cannot be read to its end is told, or is no part of the program."""
    (tmp_path / "requirements.txt").write_text("uvicorn\n")
    os.mkfifo(tmp_path / "app.py")
    with pytest.raises(ImageError, match="it is not clear how"):
        python_project.detect(tmp_path)
    os.mkfifo(tmp_path / "pyproject.toml")
    with pytest.raises(ImageError, match=r"pyproject\.toml cannot be read"):
        python_project.detect(tmp_path)
