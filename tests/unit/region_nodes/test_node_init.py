"""A node's first process: daemons that die start again, one that waits starts when it may, and ending it ends them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pincompute.region.nodes import uncounted_files
from pincompute.region.nodes.node_init import FIRST_DELAY, LAST_DELAY, STEADY, DaemonCommand, NodeDaemon

pytestmark = pytest.mark.programs

DEADLINE = 20.0
KEEPER = """
import signal, sys
import msgspec
from pathlib import Path
from pincompute.region.nodes import node_init
settings = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=node_init.NodeSettings)
signal.pthread_sigmask(signal.SIG_BLOCK, node_init.WATCHED)
daemons = [node_init.NodeDaemon(process) for process in settings.processes]
node_init.keep_running(settings, daemons)
node_init.stop(settings, daemons)
"""


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, f"not within {DEADLINE:g} s: {what}"
        time.sleep(0.01)


class Keeper:
    """`keep_running` in a process of its own, without the namespaces it has in a region."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            (sys.executable, "-c", KEEPER, str(folder / "settings.json")),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def starts(self, daemon: str) -> list[int]:
        """Process ids the daemon has had: each start leaves a line in its log."""
        log = self.folder / f"n-{daemon}.log"
        return [int(line) for line in log.read_text().splitlines()] if log.exists() else []

    def end(self) -> str:
        self.process.terminate()
        said, _ = self.process.communicate(timeout=DEADLINE)
        return said


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    script = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    processes = [
        {"name": "first", "argv": [sys.executable, "-c", script]},
        {"name": "second", "argv": [sys.executable, "-c", script], "after": str(tmp_path / "socket")},
    ]
    settings = {
        "name": "n",
        "logs": str(tmp_path),
        "keep": [],
        "kubelet_directory": str(tmp_path / "kubelet"),
        "containerd_directory": str(tmp_path / "containerd"),
        "cgroup": "/pincompute-test/absent",
        "path": os.environ["PATH"],
        "processes": processes,
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    running = Keeper(tmp_path)
    yield running
    if running.process.poll() is None:
        running.end()


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_killed_daemon_starts_again_with_its_reason_told(keeper: Keeper) -> None:
    eventually(lambda: len(keeper.starts("first")) == 1, "the first start")
    os.kill(keeper.starts("first")[0], signal.SIGKILL)
    eventually(lambda: len(keeper.starts("first")) == 2, "a second start")
    assert "first ended (signal 9); it starts again in" in keeper.end()


def test_daemon_waits_for_the_path_it_needs(keeper: Keeper) -> None:
    eventually(lambda: len(keeper.starts("first")) == 1, "the first start")
    assert keeper.starts("second") == []
    (keeper.folder / "socket").touch()
    eventually(lambda: len(keeper.starts("second")) == 1, "the start of what waited")


def test_what_a_pod_writes_to_a_file_of_the_node_is_bounded_while_the_daemons_run(keeper: Keeper) -> None:
    (keeper.folder / "socket").touch()
    eventually(lambda: bool(keeper.starts("first") and keeper.starts("second")), "both starts")
    message = keeper.folder / "kubelet" / "pods" / "uid" / "containers" / "web" / "3db59d87"
    message.parent.mkdir(parents=True)
    message.write_bytes(b"x" * (1 << 20))
    eventually(lambda: message.stat().st_size == uncounted_files.LARGEST, "the file is cut")


def test_ending_it_ends_its_daemons(keeper: Keeper) -> None:
    (keeper.folder / "socket").touch()
    eventually(lambda: bool(keeper.starts("first") and keeper.starts("second")), "both starts")
    keeper.end()
    assert keeper.process.returncode == 0
    assert all(gone(pid) for daemon in ("first", "second") for pid in keeper.starts(daemon))


def test_delay_doubles_up_to_a_bound_and_is_forgiven_after_a_steady_life() -> None:
    daemon = NodeDaemon(DaemonCommand(name="d", argv=("/bin/true",)))
    delays: list[float] = []
    for number in range(12):
        daemon.pid, daemon.started = 1, float(number)
        daemon.ended(now=float(number))
        delays.append(daemon.delay)
        assert not daemon.startable(now=daemon.due - 0.01)
        assert daemon.startable(now=daemon.due)
    assert delays[:3] == [2 * FIRST_DELAY, 4 * FIRST_DELAY, 8 * FIRST_DELAY]
    assert delays[-1] == LAST_DELAY
    daemon.pid, daemon.started = 1, 100.0
    daemon.ended(now=100.0 + STEADY + 1)
    assert daemon.delay == FIRST_DELAY
