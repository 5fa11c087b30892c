"""Terminals that are too small, and readers that go away: against a whole gateway, as a program of its own."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from gateway.served_gateway import Running, running
from pincompute_sdk.cli.output import terminal

pytestmark = [pytest.mark.programs, pytest.mark.asyncio(loop_scope="module")]

PIN = Path(sys.executable).with_name("pin")
WITHIN = 60.0
APP = {"kind": "App", "name": "hello", "replicas": 3, "containers": [{"name": "web", "image": "registry.internal/hello:1"}]}
LISTINGS = (
    "list",
    "list -A -o wide",
    "list -o json",
    "list -o yaml",
    "list -o name",
    "status hello",
    "history",
    "history hello",
    "timeline",
    "explain hello",
    "project list",
    "project members",
    "whoami",
    "admin clusters",
    "admin audit verify",
    "version",
    "completion bash",
    "deploy --help",
)
UNREAD = """
import os, sys
from pincompute_sdk.cli.__main__ import main
for line in sys.argv[1:]:
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)
    print(main(line.split()), line, file=sys.stderr)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def environment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mapping[str, str]]:
    async with running(tmp_path_factory.mktemp("gateway")) as served:
        await _create(served)
        yield {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "TERM": "xterm",
            "PINCOMPUTE_SERVER": served.url,
            "PINCOMPUTE_PROJECT": "shop",
            "PINCOMPUTE_TOKEN": served.issuer.token("root"),
        }


async def _create(served: Running) -> None:
    status, _, _ = await served.ask("alice", "POST", "/v1/projects/shop/apps", APP)
    assert status == 201


async def test_output_that_is_closed_early_is_no_error(environment: Mapping[str, str]) -> None:
    """`pin list | head -1`, where head is gone before anything is written: status 0, and not a word."""
    script = [sys.executable, "-c", UNREAD, *LISTINGS]
    done = await asyncio.to_thread(
        subprocess.run, script, env={**environment}, capture_output=True, text=True, check=False, timeout=WITHIN
    )
    assert done.stderr.splitlines() == [f"0 {line}" for line in LISTINGS]


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (0, 0)], ids=str)
@pytest.mark.parametrize(
    ("words", "wanted"), [("list", "hello"), ("status hello", "hello"), ("project members", "alice"), ("delete --help", "NAME")]
)
async def test_a_terminal_that_is_too_small_breaks_nothing(
    environment: Mapping[str, str], size: tuple[int, int], words: str, wanted: str
) -> None:
    code, shown = await asyncio.to_thread(_on_terminal, environment, size, words.split())
    assert code == 0, shown
    assert "Traceback" not in shown
    if size != (1, 1):
        assert wanted in shown


async def test_what_is_redrawn_is_left_alone_where_there_is_no_room(environment: Mapping[str, str]) -> None:
    """Below twenty columns each change is a line; the cursor is not moved, and not hidden."""
    code, shown = await asyncio.to_thread(_on_terminal, environment, (10, 5), ["deploy", "-f", "/dev/null"])
    assert code == 2
    code, shown = await asyncio.to_thread(_on_terminal, environment, (10, 5), ["delete", "hello", "--yes", "--wait"])
    assert code == 0, shown
    assert "\033[?25l" not in shown


def _on_terminal(environment: Mapping[str, str], size: tuple[int, int], arguments: list[str]) -> tuple[int, str]:
    """Exit status, and all that a terminal of that size was sent."""
    ours, theirs = pty.openpty()
    columns, lines = size
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    program = subprocess.Popen([PIN, *arguments], env={**environment}, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b"".join(iter(lambda: _piece(ours), b""))
    os.close(ours)
    return program.wait(WITHIN), shown.decode()


def _piece(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux' end of a terminal
        return b""


@pytest.mark.parametrize(("columns", "wanted"), [("1", 1), ("0", 100), ("x", 100), ("250", 250)])
async def test_the_width_is_what_the_environment_says(columns: str, wanted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert terminal.width() == wanted
