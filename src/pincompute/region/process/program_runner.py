"""Runs one program again and again: prepare, start, wait until it is ready, wait until it ends, back off.

A program that a predecessor started is taken over as it is, and judged by its liveness at once if it was ready before.
Cancelling `run` ends the program and its process group.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from pincompute.region.process import readiness_probes, region_processes
from pincompute.region.process.program import Program
from pincompute.region.process.program_log import ProgramLog

Phase: TypeAlias = Literal["waiting", "starting", "ready", "unready", "backoff", "stopping", "stopped"]

FIRST_DELAY = 0.2  # seconds before the first restart; doubles
LONGEST_DELAY = 20.0
STEADY = 15.0  # seconds a program must have run for the next failure to count as the first
PREPARE = 60.0  # seconds a command of `prepare` may take
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")  # nothing else of the user's shell reaches a program


class ProgramState(msgspec.Struct, frozen=True, kw_only=True):
    """What `status` shows. `reason` says why it is not ready, `last_end` what ended it last; `since` is Unix time."""

    name: str
    phase: Phase = "waiting"
    pid: int = 0
    since: float = 0.0
    restarts: int = 0
    reason: str = ""
    last_end: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """How many requests in succession got no answer. Those before a request that came late do not count: this process or the
    machine did not run in between, and its programs may not have run either.
    """

    period: float
    requests: int = 0
    last: float = float("inf")

    def after(self, begun: float, *, answered: bool) -> Silence:
        """`begun` is when the request began, in seconds of a clock."""
        late = begun - self.last > 2 * self.period
        return Silence(self.period, 0 if answered else 1 + (0 if late else self.requests), begun)


def digest(program: Program) -> str:
    """Changes when anything about the program does."""
    return hashlib.blake2b(msgspec.json.encode(program), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class AdoptedProgram:
    """A process that a predecessor left. `starting`: it was not ready yet as far as the predecessor knew."""

    pid: int
    starting: bool = False


class ProgramRunner:
    """One program and its present state."""

    def __init__(self, program: Program, home: Path, changed: Callable[[], None]) -> None:
        self.program = program
        self.ready = asyncio.Event()
        self.state = ProgramState(name=program.name, since=time.time())
        self._home = home
        self.log = ProgramLog(home / "logs" / f"{program.name}.log")
        self._changed = changed
        self._child: subprocess.Popen[bytes] | None = None
        self._hung = ""  # why this life of the program was ended, before the words for how it ended

    async def run(self, needs: Mapping[str, ProgramRunner], adopted: AdoptedProgram | None) -> None:
        """Run for ever; `adopted` is the process a predecessor left."""
        delay = FIRST_DELAY
        try:
            while True:
                begun = time.monotonic()
                reason = await self._live(needs, adopted)
                adopted = None
                delay = FIRST_DELAY if time.monotonic() - begun > STEADY else delay
                self.state = msgspec.structs.replace(self.state, restarts=self.state.restarts + 1, last_end=reason)
                self._set("backoff", reason=f"{reason}; again in {delay:.1f} s")
                await asyncio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
        finally:
            self._set("stopped")

    async def probed(self) -> ProgramState:
        """The state now: a program that was ready may hang or be stopped since."""
        state = self.state
        if state.phase != "ready":
            return state
        obstacle = await self._obstacle(state.pid)
        return msgspec.structs.replace(state, phase="unready", reason=obstacle) if obstacle else state

    async def _obstacle(self, pid: int) -> str:
        if stop := _stop(pid):
            return stop
        if self.program.ready is None:
            return ""
        obstacle = await readiness_probes.obstacle(self.program.ready)
        return obstacle and (_stop(pid) or obstacle)  # a stop signal may take effect while the probe waits

    async def _live(self, needs: Mapping[str, ProgramRunner], adopted: AdoptedProgram | None) -> str:
        """One life of the program; returns why it ended."""
        if adopted is not None:
            return await self._attend(adopted.pid, "starting" if adopted.starting else "unready")
        failure = await self._prepare(needs)
        if failure:
            return failure
        try:
            self._child = self._spawn(self.program.argv, self.program.directory)
        except OSError as error:
            return f"cannot be started: {error}"
        return await self._attend(self._child.pid, "starting")

    async def _prepare(self, needs: Mapping[str, ProgramRunner]) -> str:
        for name in self.program.needs:
            if name in needs and not needs[name].ready.is_set():
                self._set("waiting", reason=f"waits for {name}")
                await needs[name].ready.wait()
        for command in self.program.prepare:
            failure = await self._command(command)
            if failure:
                return failure
        return ""

    async def _command(self, command: tuple[str, ...]) -> str:
        """Run one command of `prepare` to its end; returns what went wrong."""
        try:
            child = self._spawn(command, "/")
        except OSError as error:
            return f"{command[0]} cannot be run: {error}"
        try:
            async with asyncio.timeout(PREPARE):
                await region_processes.ended(child.pid)
        except TimeoutError:
            return f"`{' '.join(command)}` took longer than {PREPARE:g} s"
        finally:
            child.kill()
            status = child.wait(timeout=10)
        return "" if status == 0 else f"`{' '.join(command)}` failed with status {status}: {self.log.last_line()}"

    def _spawn(self, argv: tuple[str, ...], directory: str) -> subprocess.Popen[bytes]:
        """Start in a session of its own, writing to the program's log."""
        with self.log.open() as log:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                umask=self.program.umask,
                stdout=log,
                stderr=log,
                cwd=directory,
                env=self._environment(),
                start_new_session=True,
            )

    async def _attend(self, pid: int, phase: Phase) -> str:
        """Wait for the end of the process; say on the way when it gets ready. `phase` is what it is until then."""
        begun, self._hung = time.monotonic(), ""
        self._set(phase, pid=pid)
        try:
            async with asyncio.TaskGroup() as tasks:
                probing = tasks.create_task(self._probe(pid, phase))
                await region_processes.ended(pid)
                probing.cancel()
        except asyncio.CancelledError:
            self._set("stopping", pid=pid)
            await region_processes.end_group(pid, self.program.grace)
            raise
        finally:
            self.ready.clear()
            status = self._reap()
        region_processes.signal_group(pid, signal.SIGKILL)  # what the dead leader left behind
        return f"{self._hung}{status} after {time.monotonic() - begun:.1f} s: {self.log.last_line()}"

    async def _probe(self, pid: int, phase: Phase) -> None:
        """Judge the liveness of what starts only once it is ready."""
        if phase == "starting":
            await self._get_ready(pid, phase)
            await self._end_when_silent(pid)
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._get_ready(pid, phase))
            tasks.create_task(self._end_when_silent(pid))

    async def _get_ready(self, pid: int, phase: Phase) -> None:
        pause = 0.05
        while self.program.ready is not None:
            obstacle = await readiness_probes.obstacle(self.program.ready)
            if not obstacle:
                break
            self._set(phase, pid=pid, reason=obstacle)
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, 0.5)
        self.ready.set()
        self._set("ready", pid=pid)

    async def _end_when_silent(self, pid: int) -> None:
        live = self.program.live
        if live is None:
            return
        silence = Silence(live.period)
        while silence.requests < live.failures:
            begun = time.monotonic()
            answered = await readiness_probes.answers(live.http, live.period)
            await asyncio.sleep(begun + live.period - time.monotonic())
            silence = silence.after(begun, answered=answered or region_processes.is_stopped(pid))
        self._hung = f"was stopped, because {live.http.url} gave no answer for {live.failures * live.period:g} s; "
        with suppress(TimeoutError):  # what the kernel does not end now, it ends later
            await region_processes.end_group(pid, self.program.grace)

    def _reap(self) -> str:
        """How the process ended; only its parent can know."""
        child, self._child = self._child, None
        if child is None:
            return "ended"
        status = child.wait(timeout=10)
        return f"ended by signal {-status}" if status < 0 else f"ended with status {status}"

    def _environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        marks = {
            region_processes.HOME: str(self._home),
            region_processes.PROGRAM: self.program.name,
            region_processes.DIGEST: digest(self.program),
        }
        return inherited | self.program.environment | marks

    def _set(self, phase: Phase, *, pid: int = 0, reason: str = "") -> None:
        since = self.state.since if phase == self.state.phase else time.time()
        state = msgspec.structs.replace(self.state, phase=phase, pid=pid, since=since, reason=reason)
        if state != self.state:
            self.state = state
            self._changed()


def _stop(pid: int) -> str:
    """Says how to continue a process that a signal stopped; empty if none did."""
    return f"its process is stopped by a signal; `kill -CONT {pid}` continues it" if region_processes.is_stopped(pid) else ""
