"""The supervisor of a region: it runs the programs of `<home>/programs.json`, each with a `program_runner`.

`python -m pincompute.region.process.supervisor HOME` starts it.
It outlives the terminal and can be replaced at any moment: it recognises programs by their environment (`region_processes`), so
a supervisor that starts after a `kill -9` of the last one takes over what still runs as wanted and ends the rest. It imports
nothing large, because it runs as long as the region does.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

import msgspec

from pincompute.region import atomic_files, file_locks
from pincompute.region.process import region_processes, supervisor_socket
from pincompute.region.process.program import Program
from pincompute.region.process.program_runner import AdoptedProgram, ProgramRunner, ProgramState, digest

SETTLE = 0.2  # seconds in which changes of state are gathered into one write
TRIM = 60.0  # seconds between two checks of the size of logs
QUESTION = 10.0  # seconds a client has for its one line


class Supervisor:
    """Runners by name, and the tasks that drive them."""

    def __init__(self, home: Path, tasks: asyncio.TaskGroup) -> None:
        self._home = home
        self._tasks = tasks
        self._runners: dict[str, ProgramRunner] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._one_change = asyncio.Lock()
        self._stopped = False
        self.finished = asyncio.Event()

    async def reload(self) -> None:
        """Make what runs equal to what is wanted."""
        async with self._one_change:
            await self._apply(self._wanted())

    async def stop(self) -> None:
        """End everything, in order, and then the supervisor."""
        async with self._one_change:
            await self._apply(())
            self._stopped = True

    async def stop_and_finish(self) -> None:
        """Stops everything after a signal, to which nobody expects an answer."""
        await self.stop()
        self.finished.set()

    def state(self, programs: tuple[ProgramState, ...] = (), *, error: str = "") -> supervisor_socket.SupervisorState:
        known = programs or tuple(runner.state for runner in self._runners.values())
        return supervisor_socket.SupervisorState(pid=os.getpid(), programs=known, error=error)

    async def _probed(self) -> tuple[ProgramState, ...]:
        """All at the same time, so that the answer takes no longer than one probe."""
        return tuple(await asyncio.gather(*(runner.probed() for runner in self._runners.values())))

    async def adopt(self) -> None:
        """Take over what a predecessor left, if it is still wanted as it is; end the rest."""
        wanted = {program.name: program for program in self._wanted()}
        adopted: dict[str, region_processes.RegionProcess] = {}
        for process in region_processes.of_home(self._home):
            program = wanted.get(process.program)
            if program and process.leader and process.digest == digest(program) and process.program not in adopted:
                adopted[process.program] = process
        await self._end_leftovers(frozenset(adopted))
        starting = self._left_starting()
        for program in wanted.values():
            left = adopted.get(program.name)
            self._start(program, AdoptedProgram(left.pid, left.pid in starting) if left is not None else None)

    def _left_starting(self) -> frozenset[int]:
        """The processes that were not ready yet when the predecessor wrote its last state."""
        try:
            written = (self._home / supervisor_socket.STATE).read_bytes()
            programs = msgspec.json.decode(written, type=supervisor_socket.SupervisorState).programs
        except (OSError, msgspec.DecodeError):
            return frozenset()
        return frozenset(program.pid for program in programs if program.phase == "starting")

    async def save(self) -> None:
        """Write the state after every burst of changes."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            with suppress(OSError):  # a full disk must not end the region; `status` asks the socket anyway
                atomic_files.write(self._home / supervisor_socket.STATE, msgspec.json.format(msgspec.json.encode(self.state())))
            await asyncio.sleep(SETTLE)

    async def trim_logs(self) -> None:
        while True:
            await asyncio.sleep(TRIM)
            for runner in self._runners.values():
                with suppress(OSError):  # a full disk: the next attempt may succeed
                    runner.log.trim()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one command of one client."""
        try:
            async with asyncio.timeout(QUESTION):
                line = await reader.readline()
            writer.write(msgspec.json.encode(await self._obey(line)) + b"\n")
            async with asyncio.timeout(QUESTION):
                await writer.drain()
        except (TimeoutError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()
            if self._stopped:
                self.finished.set()

    async def _obey(self, line: bytes) -> supervisor_socket.SupervisorState:
        try:
            command = msgspec.json.decode(line, type=supervisor_socket.SupervisorCommand).command
            if command == "probe":
                return self.state(await self._probed())
            if command == "reload":
                await self.reload()
            if command == "stop":
                await self.stop()
        except (OSError, msgspec.DecodeError) as error:
            return self.state(error=str(error))
        return self.state()

    def _wanted(self) -> tuple[Program, ...]:
        path = self._home / supervisor_socket.PROGRAMS
        try:
            return msgspec.json.decode(path.read_bytes(), type=tuple[Program, ...])
        except msgspec.DecodeError as error:
            raise msgspec.DecodeError(f"{path}: {error}") from error

    async def _apply(self, wanted: tuple[Program, ...]) -> None:
        kept = {program.name for program in wanted if self._is_running_as(program)}
        await self._end({name for name in self._runners if name not in kept})
        for program in wanted:
            if program.name not in kept:
                self._start(program, None)
        self._changed.set()

    def _is_running_as(self, program: Program) -> bool:
        runner = self._runners.get(program.name)
        return runner is not None and runner.program == program

    def _start(self, program: Program, adopted: AdoptedProgram | None) -> None:
        runner = ProgramRunner(program, self._home, self._changed.set)
        self._runners[program.name] = runner
        self._running[program.name] = self._tasks.create_task(runner.run(self._runners, adopted), name=program.name)
        self._changed.set()

    async def _end(self, names: set[str]) -> None:
        """End several programs at the same time, each after those it must outlive."""
        async with asyncio.TaskGroup() as endings:
            for name in names:
                endings.create_task(self._end_one(name, [self._running[n] for n in self._after(name) & names]))
        for name in names:
            del self._runners[name], self._running[name]

    def _after(self, name: str) -> set[str]:
        return set(self._runners[name].program.stop_after)

    async def _end_one(self, name: str, before: list[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        self._running[name].cancel()
        await asyncio.wait([self._running[name]])

    async def _end_leftovers(self, adopted: frozenset[str]) -> None:
        """End leaders that nobody wants. What lives in a namespace of its own ends with the leader that made it."""
        unwanted = [
            p
            for p in region_processes.of_home(self._home)
            if p.leader and p.program not in adopted | {region_processes.SUPERVISOR}
        ]
        async with asyncio.TaskGroup() as endings:
            for process in unwanted:
                endings.create_task(region_processes.end_group(process.pid, grace=5.0))


async def supervise(home: Path, started: int) -> None:
    """Run until `stop` comes. `started` is the pipe on which the parent learns that the supervisor answers commands."""
    async with asyncio.TaskGroup() as tasks:
        supervisor = Supervisor(home, tasks)
        (home / supervisor_socket.SOCKET).unlink(missing_ok=True)
        await supervisor.adopt()
        with supervisor_socket.socket_path(home) as path:
            server = await asyncio.start_unix_server(supervisor.answer, path)
        loop = asyncio.get_running_loop()
        stopping: list[asyncio.Task[None]] = []
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: stopping.append(tasks.create_task(supervisor.stop_and_finish())))
        chores = [tasks.create_task(supervisor.save()), tasks.create_task(supervisor.trim_logs())]
        os.write(started, b"ready")
        os.close(started)
        await supervisor.finished.wait()
        server.close()
        for chore in chores:
            chore.cancel()
    (home / supervisor_socket.SOCKET).unlink(missing_ok=True)
    (home / supervisor_socket.STATE).unlink(missing_ok=True)


def main(home: Path) -> int:
    """Detach from the terminal (two forks, a new session) and supervise; the caller returns when commands are answered."""
    read, write = os.pipe()
    if os.fork():
        os.close(write)
        message = os.read(read, 4096).decode()
        return 0 if message == "ready" else _failed(message)
    os.close(read)
    os.setsid()
    if os.fork():
        os._exit(0)
    _detach(home)
    try:
        with file_locks.lock(home / "supervisor.lock"):
            asyncio.run(supervise(home, write))
    except file_locks.Locked:
        with suppress(OSError):
            os.write(write, b"another supervisor already runs for this home")
    except BaseException as error:  # noqa: BLE001 - the last frame: the log gets everything, the caller what it can read
        traceback.print_exc()
        with suppress(OSError):
            os.write(write, str(error).encode()[:2000] or b"stopped")
    os._exit(0)


def _failed(message: str) -> int:
    print(f"the supervisor did not start: {message or 'it ended; see logs/supervisor.log in the home'}", file=sys.stderr)
    return 1


def _detach(home: Path) -> None:
    os.umask(0o077)
    os.chdir("/")
    log = home / "logs" / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(time.strftime("%FT%TZ", time.gmtime()), "supervisor", os.getpid(), "for", home, flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
