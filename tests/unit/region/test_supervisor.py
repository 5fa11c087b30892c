"""The supervisor with real processes: order, restarts, reasons, and being replaced while its programs run."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from pincompute.region import atomic_files, home, lifecycle
from pincompute.region.layout import Layout, RegionSpec
from pincompute.region.process import region_processes, supervisor_socket
from pincompute.region.process.program import FileReady, HttpReady, Liveness, Program, TcpReady
from pincompute.region.process.program_runner import ProgramState, Silence
from pincompute.region.process.supervisor import SETTLE

pytestmark = pytest.mark.programs

DEADLINE = 20.0


class Region:
    """A home with a supervisor and programs of the test's choice."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def want(self, *programs: Program) -> None:
        atomic_files.write(self.home / supervisor_socket.PROGRAMS, msgspec.json.encode(programs))
        lifecycle.supervise(self.home)

    def state(self, name: str) -> ProgramState:
        return next(p for p in supervisor_socket.ask(self.home, "status", 5.0).programs if p.name == name)

    def supervisor(self) -> int:
        return supervisor_socket.ask(self.home, "status", 5.0).pid

    def until(self, name: str, holds: Callable[[ProgramState], bool]) -> ProgramState:
        end = time.monotonic() + DEADLINE
        while not holds(state := self.state(name)):
            assert time.monotonic() < end, state
            time.sleep(0.02)
        return state

    def ready(self, name: str) -> ProgramState:
        return self.until(name, lambda state: state.phase == "ready")

    def written(self, name: str) -> str:
        path = self.home / name
        return path.read_text() if path.exists() else ""


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    home = tmp_path / "home"
    home.mkdir()
    made = Region(home)
    yield made
    lifecycle.end_programs(home)
    assert not list(region_processes.of_home(home))


def shell(name: str, script: str, **rest: object) -> Program:
    return msgspec.convert({"name": name, "argv": ("/bin/sh", "-c", script), "grace": 3.0, **rest}, Program)


def sleeper(name: str, **rest: object) -> Program:
    return shell(name, "exec sleep 600", **rest)


def gone(pid: int) -> None:
    end = time.monotonic() + DEADLINE
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end, pid
        time.sleep(0.02)


def kill_supervisor(region: Region) -> None:
    pid = region.supervisor()
    os.kill(pid, signal.SIGKILL)
    gone(pid)


def test_a_program_starts_when_what_it_needs_is_ready(region: Region) -> None:
    at = region.home
    first = shell(
        "first",
        f"echo begun >>{at}/order; while [ ! -e {at}/go ]; do sleep 0.02; done; echo ready >>{at}/order; "
        f"touch {at}/first-ready; exec sleep 600",
        ready=FileReady(path=f"{at}/first-ready"),
    )
    second = shell(
        "second",
        f"echo second >>{at}/order; touch {at}/second-ready; exec sleep 600",
        needs=("first",),
        ready=FileReady(path=f"{at}/second-ready"),
    )
    region.want(second, first)
    region.until("second", lambda state: state.reason == "waits for first")
    region.until("first", lambda state: "does not exist yet" in state.reason)
    (at / "go").touch()
    region.ready("second")
    assert region.written("order").split() == ["begun", "ready", "second"]


def test_a_program_that_dies_is_started_again_and_says_why(region: Region) -> None:
    at = region.home
    region.want(shell("frail", f"test -e {at}/well && exec sleep 600; echo no such luck >&2; exit 7"))
    state = region.until("frail", lambda state: state.restarts >= 2)
    assert "ended with status 7" in state.last_end
    assert "no such luck" in state.last_end
    (at / "well").touch()
    assert region.ready("frail").restarts >= 2


def test_a_program_that_is_killed_is_started_again(region: Region) -> None:
    region.want(sleeper("steady"))
    before = region.ready("steady")
    os.kill(before.pid, signal.SIGKILL)
    after = region.until("steady", lambda state: state.phase == "ready" and state.pid != before.pid)
    assert "ended by signal 9" in after.last_end


def test_a_program_that_cannot_be_started_is_shown_and_tried_again(region: Region) -> None:
    program = Program(name="absent", argv=(str(region.home / "absent"),))
    region.want(program, sleeper("other"))
    assert "cannot be started" in region.until("absent", lambda state: state.restarts >= 1).last_end
    region.ready("other")
    (region.home / "absent").write_text("#!/bin/sh\nexec sleep 600\n")
    (region.home / "absent").chmod(0o755)
    region.ready("absent")


def test_prepare_runs_before_each_start_and_its_failure_is_the_reason(region: Region) -> None:
    at = region.home
    prepare = (("sh", "-c", f"echo prepared >>{at}/order"), ("sh", "-c", f"test -e {at}/allowed || (echo not allowed; exit 3)"))
    region.want(sleeper("careful", prepare=prepare))
    state = region.until("careful", lambda state: state.restarts >= 1)
    assert "failed with status 3: not allowed" in state.last_end
    (at / "allowed").touch()
    pid = region.ready("careful").pid
    ran = len(region.written("order").split())
    os.kill(pid, signal.SIGKILL)
    region.until("careful", lambda state: state.phase == "ready" and state.pid != pid)
    assert len(region.written("order").split()) == ran + 1


def test_a_successor_takes_over_what_runs_as_wanted(region: Region) -> None:
    programs = (sleeper("one"), sleeper("two"))
    region.want(*programs)
    pids = {name: region.ready(name).pid for name in ("one", "two")}
    kill_supervisor(region)
    os.kill(pids["two"], signal.SIGKILL)
    region.want(*programs)
    assert region.ready("one").pid == pids["one"]
    assert region.ready("two").pid != pids["two"]
    os.kill(pids["one"], signal.SIGKILL)  # what was taken over is looked after like any other
    region.until("one", lambda state: state.phase == "ready" and state.pid != pids["one"])


def test_a_successor_ends_what_is_not_wanted_any_more(region: Region) -> None:
    region.want(sleeper("kept"), sleeper("dropped"), sleeper("changed"))
    pids = {name: region.ready(name).pid for name in ("kept", "dropped", "changed")}
    kill_supervisor(region)
    region.want(sleeper("kept"), sleeper("changed", environment={"NEW": "yes"}))
    gone(pids["dropped"])
    gone(pids["changed"])
    assert region.ready("kept").pid == pids["kept"]
    region.ready("changed")


def test_a_change_of_the_wanted_list_touches_only_what_changed(region: Region) -> None:
    region.want(sleeper("kept"), sleeper("dropped"), sleeper("changed"))
    pids = {name: region.ready(name).pid for name in ("kept", "dropped", "changed")}
    supervisor = region.supervisor()
    region.want(sleeper("kept"), sleeper("changed", grace=2.0), sleeper("added"))
    assert not Path(f"/proc/{pids['dropped']}").exists(), "the answer comes when it has ended"
    assert region.ready("changed").pid != pids["changed"]
    region.ready("added")
    assert (region.ready("kept").pid, region.supervisor()) == (pids["kept"], supervisor)


def test_programs_end_after_those_they_must_outlive(region: Region) -> None:
    at = region.home

    def polite(name: str, **rest: object) -> Program:
        script = f"trap 'echo {name} >>{at}/ends; exit 0' TERM; touch {at}/{name}; while :; do sleep 0.05; done"
        return shell(name, script, ready=FileReady(path=f"{at}/{name}"), **rest)

    region.want(polite("store", stop_after=("server",)), polite("server", stop_after=("client",)), polite("client"))
    for name in ("store", "server", "client"):
        region.ready(name)
    supervisor_socket.ask(region.home, "stop", DEADLINE)
    assert region.written("ends").split() == ["client", "server", "store"]


def test_a_program_that_ignores_the_signal_is_killed_with_its_children(region: Region) -> None:
    at = region.home
    script = f"trap '' TERM; sleep 600 & echo $! >{at}/pid; mv {at}/pid {at}/child; while :; do sleep 0.05; done"
    region.want(shell("stubborn", script, grace=0.2, ready=FileReady(path=f"{at}/child")))
    pid = region.ready("stubborn").pid
    child = int(region.written("child"))
    supervisor_socket.ask(region.home, "stop", DEADLINE)
    gone(pid)
    gone(child)


def test_a_probe_finds_a_program_that_is_frozen_or_hangs(region: Region) -> None:
    port = free_port()
    web = shell("web", f"exec python3 -m http.server {port} --bind 127.0.0.1", ready=HttpReady(url=f"http://127.0.0.1:{port}/"))
    hung = shell(
        "hung", "touch alive; exec sleep 600", ready=FileReady(path=f"{region.home}/alive"), directory=str(region.home)
    )
    region.want(web, hung, sleeper("well"))
    pid = region.ready("web").pid
    region.ready("hung")
    region.ready("well")
    os.kill(pid, signal.SIGSTOP)
    (region.home / "alive").unlink()
    found = {program.name: program for program in supervisor_socket.ask(region.home, "probe", DEADLINE).programs}
    assert {name: program.phase for name, program in found.items()} == {"web": "unready", "hung": "unready", "well": "ready"}
    assert found["web"].reason == f"its process is stopped by a signal; `kill -CONT {pid}` continues it"
    assert found["hung"].reason == f"{region.home}/alive does not exist yet"
    os.kill(pid, signal.SIGCONT)
    (region.home / "alive").touch()
    assert {program.phase for program in supervisor_socket.ask(region.home, "probe", DEADLINE).programs} == {"ready"}


BLOCKING = """
import asyncio, pathlib, sys, time
from prometheus_client import CollectorRegistry
from pincompute.engine import event_loop_watchdog, health_endpoints

event_loop_watchdog.BLOCKED_AFTER = 0.2
home, port, delay = pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])

def deadlock():
    while (home / "block").exists():
        time.sleep(0.01)

async def main():
    await asyncio.sleep(delay)
    async with health_endpoints.serve(CollectorRegistry(), port):
        while True:
            deadlock()
            await asyncio.sleep(0.01)

asyncio.run(main())
"""


def blocking(home: Path, delay: float = 0.0) -> Program:
    """A program of the platform's kind, whose event loop is blocked while there is a file `block`."""
    at = f"http://127.0.0.1:{free_port()}"
    live = Liveness(http=HttpReady(url=f"{at}/livez"), period=0.5, failures=3)
    argv = (sys.executable, "-c", BLOCKING, str(home), at.rpartition(":")[2], str(delay))
    return Program(name="loop", argv=argv, ready=HttpReady(url=f"{at}/readyz"), live=live, grace=0.5)


def test_a_program_whose_event_loop_stands_is_started_again(region: Region) -> None:
    program = blocking(region.home)
    region.want(program)
    pid = region.ready("loop").pid
    (region.home / "block").touch()
    end = region.until("loop", lambda state: state.restarts == 1).last_end
    assert program.live is not None
    assert end.startswith(f"was stopped, because {program.live.http.url} gave no answer for 1.5 s; ended by signal ")
    said = region.written("logs/loop.log")
    assert said.count("the event loop is blocked") == 1  # although nothing in the loop could say so
    (region.home / "block").unlink()
    assert region.ready("loop").pid != pid


def test_a_program_that_starts_slowly_or_is_frozen_is_not_hung(region: Region) -> None:
    region.want(blocking(region.home, delay=3.0))  # longer than its liveness allows
    pid = region.ready("loop").pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3.0)
    assert (region.state("loop").restarts, region.state("loop").pid) == (0, pid)
    os.kill(pid, signal.SIGCONT)
    region.ready("loop")


def test_a_program_that_hangs_while_the_supervisor_is_replaced_is_started_again(region: Region) -> None:
    """It counted as starting for ever, because a program that starts is not judged."""
    region.want(blocking(region.home))
    pid = region.ready("loop").pid
    time.sleep(2 * SETTLE)  # the supervisor writes its state
    (region.home / "block").touch()
    for _ in range(2):  # the second successor knows it from the first one
        kill_supervisor(region)
        lifecycle.supervise(region.home)
        assert region.until("loop", lambda state: state.phase != "waiting").phase == "unready"
        time.sleep(2 * SETTLE)
    assert "gave no answer for 1.5 s; ended after" in region.until("loop", lambda state: state.restarts == 1).last_end
    (region.home / "block").unlink()
    assert region.ready("loop").pid != pid


def test_a_program_that_starts_while_the_supervisor_is_replaced_may_start_slowly(region: Region) -> None:
    region.want(blocking(region.home, delay=4.0))
    pid = region.until("loop", lambda state: state.phase == "starting").pid
    time.sleep(2 * SETTLE)
    kill_supervisor(region)
    lifecycle.supervise(region.home)
    after = region.ready("loop")
    assert (after.pid, after.restarts) == (pid, 0)


def test_a_machine_that_stood_still_says_nothing_of_its_programs() -> None:
    silence = Silence(10.0)
    for begun in (0.0, 10.0, 20.0, 30.0, 40.0):
        silence = silence.after(begun, answered=False)
    assert silence.requests == 5
    assert silence.after(50.0, answered=False).requests == 6
    assert silence.after(50.0, answered=True).requests == 0
    assert silence.after(3600.0, answered=False).requests == 1


def test_a_program_that_logs_json_is_quoted_by_its_message(region: Region) -> None:
    line = '{"level": "error", "message": "cannot listen", "error": "address in use"}'
    region.want(shell("json", f"echo '{line}'; exit 1"))
    state = region.until("json", lambda state: state.restarts >= 1)
    assert state.last_end.endswith(" s: cannot listen: address in use")


def test_a_region_that_is_not_up_is_named_before_anything_else_fails(tmp_path: Path) -> None:
    home.save(Layout(tmp_path, RegionSpec(slot=0, members=())))
    with pytest.raises(lifecycle.RegionError, match="is not up: `pincompute region up`"):
        lifecycle.running(tmp_path)


def test_stopping_leaves_no_process_no_socket_and_no_state(region: Region) -> None:
    region.want(sleeper("one"))
    region.ready("one")
    supervisor = region.supervisor()
    assert supervisor_socket.ask(region.home, "stop", DEADLINE).programs == ()
    gone(supervisor)
    assert not (region.home / supervisor_socket.SOCKET).exists()
    assert not (region.home / supervisor_socket.STATE).exists()


def test_everything_ends_without_a_supervisor_too(region: Region) -> None:
    region.want(sleeper("one"), sleeper("two"))
    pids = [region.ready(name).pid for name in ("one", "two")]
    kill_supervisor(region)
    lifecycle.end_programs(region.home)
    for pid in pids:
        gone(pid)


def test_processes_of_others_are_not_touched(region: Region, tmp_path: Path) -> None:
    marks = ({region_processes.HOME: str(region.home)}, {region_processes.HOME: str(tmp_path), region_processes.PROGRAM: "one"})
    others = [subprocess.Popen(("sleep", "600"), env={"PATH": os.environ["PATH"], **mark}) for mark in marks]
    try:
        region.want(sleeper("one"))
        region.ready("one")
        lifecycle.end_programs(region.home)
        assert [other.poll() for other in others] == [None, None]
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_two_supervisors_never_share_a_home(region: Region) -> None:
    region.want(sleeper("one"))
    pid = region.supervisor()
    with pytest.raises(lifecycle.RegionError, match="another supervisor already runs"):
        lifecycle._start_supervisor(region.home)
    assert region.supervisor() == pid


def test_a_list_that_cannot_be_read_changes_nothing(region: Region) -> None:
    region.want(sleeper("one"))
    pid = region.ready("one").pid
    (region.home / supervisor_socket.PROGRAMS).write_text('[{"name": "two"}]')
    with pytest.raises(lifecycle.RegionError, match="refused its programs"):
        lifecycle.supervise(region.home)
    assert region.state("one").pid == pid


def test_readiness_by_port_waits_for_the_port(region: Region) -> None:
    port = free_port()
    script = f"exec python3 -m http.server {port} --bind 127.0.0.1"
    region.want(shell("web", script, ready=TcpReady(host="127.0.0.1", port=port), environment={"PYTHONUNBUFFERED": "1"}))
    region.ready("web")
    assert asyncio.run(connects(port))


async def connects(port: int) -> bool:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()
    return True


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
