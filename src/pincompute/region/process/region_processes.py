"""Finds the processes of a region by the marks in their environment, never by name.

Every program runs as the leader of a session of its own with PINCOMPUTE_HOME, PINCOMPUTE_PROGRAM and PINCOMPUTE_DIGEST in
its environment, so a supervisor that was killed leaves nothing its successor cannot recognise. What lacks both of the first
two, or names another home, is not ours and is not touched.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOME = "PINCOMPUTE_HOME"
PROGRAM = "PINCOMPUTE_PROGRAM"
DIGEST = "PINCOMPUTE_DIGEST"
SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True)
class RegionProcess:
    """A live process of a region. `leader`: it leads its session and sees the same process ids as we do."""

    pid: int
    started: int  # clock ticks since boot; with the pid it names a process for ever
    program: str
    digest: str
    leader: bool


def of_home(home: Path) -> Iterator[RegionProcess]:
    """Every process of the region whose home this is, oldest first."""
    found = (inspect(int(entry.name), home) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return iter(sorted((process for process in found if process is not None), key=lambda process: process.started))


def inspect(pid: int, home: Path) -> RegionProcess | None:
    """The process if it belongs to this home; None if it does not, has ended or is not readable."""
    try:
        environment = dict(_pairs(Path(f"/proc/{pid}/environ").read_bytes()))
        if environment.get(HOME) != str(home) or PROGRAM not in environment:
            return None
        session, started = _stat(pid)
        same_namespace = Path(f"/proc/{pid}/ns/pid").readlink() == Path("/proc/self/ns/pid").readlink()
    except (OSError, ValueError):
        return None
    leader = same_namespace and session == pid
    return RegionProcess(pid, started, environment[PROGRAM], environment.get(DIGEST, ""), leader)


def alive(process: RegionProcess) -> bool:
    try:
        return _stat(process.pid)[1] == process.started and _state(process.pid) != "Z"
    except (OSError, ValueError):
        return False


def is_stopped(pid: int) -> bool:
    """Whether a signal or a debugger stopped the process."""
    try:
        return _state(pid) in ("T", "t")
    except (OSError, ValueError):
        return False


async def ended(pid: int) -> None:
    """Return when the process has ended, child or not. A process that is gone already has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def readable() -> None:
        if not done.done():
            done.set_result(None)

    loop.add_reader(descriptor, readable)
    try:
        await done
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def signal_group(leader: int, number: signal.Signals) -> None:
    """Signal a whole process group; a group that is gone needs no signal."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):  # the kernel answers EPERM for a group of zombies on some systems
        return


async def end_group(leader: int, grace: float) -> None:
    """SIGTERM, time to finish, SIGKILL; afterwards also for what the leader left in its group."""
    signal_group(leader, signal.SIGTERM)
    try:
        async with asyncio.timeout(grace):
            await ended(leader)
    except TimeoutError:
        signal_group(leader, signal.SIGKILL)
        async with asyncio.timeout(10):
            await ended(leader)
    signal_group(leader, signal.SIGKILL)


async def end_all(home: Path, grace: float) -> list[RegionProcess]:
    """End every process of a region that has no supervisor; returns what would not die."""
    left = [process for process in of_home(home) if process.pid != os.getpid()]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in left:
            _signal(process, number)
        left = await _still_alive(left, grace)
        if not left:
            break
    return left


async def _still_alive(processes: list[RegionProcess], seconds: float) -> list[RegionProcess]:
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
            for process in processes:
                tasks.create_task(ended(process.pid))
    except TimeoutError:
        pass
    return [process for process in processes if alive(process)]


def _signal(process: RegionProcess, number: signal.Signals) -> None:
    if not alive(process):
        return
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return


def _pairs(environ: bytes) -> Iterator[tuple[str, str]]:
    for entry in environ.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals:
            yield name.decode(errors="replace"), value.decode(errors="replace")


def _stat(pid: int) -> tuple[int, int]:
    """Session and start time. The command's name, in brackets, may itself hold brackets and spaces."""
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return int(fields[3]), int(fields[19])


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
