"""The first process of a node: it arranges the node's file system, then runs the node's daemons.

It is process 1 of its own process namespace: when it ends, however it ends, the kernel ends everything in the node. Daemons
may die alone: containers are children of their shims, not of kubelet or containerd, so a restarted daemon finds them running.

Folders that daemons insist on (/run, /var/lib, /var/log) are private and in memory; what must last is bound over them.
Run as `python -m pincompute.region.nodes.node_init SETTINGS.json`, by root, in new mount and process namespaces.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pincompute.region.nodes import cgroups, connection_tracking, uncounted_files

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PRIVATE = ("/run", "/var/lib", "/var/log")
KERNEL = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What kubelet sets for the whole machine. It finds these values already there, in files of the node's own."""

PID_MAX = Path("/proc/sys/kernel/pid_max")
SHARE = 4  # the pods of one node may have a fourth of the machine's processes and threads

FIRST_DELAY, LAST_DELAY = 0.1, 10.0  # seconds between a daemon's end and its next start
STEADY = 30.0  # a daemon that ran so long starts again after FIRST_DELAY
POLL = 0.02  # seconds between two checks while a start is due or awaited
GRACE = 3.0  # seconds that kubelet and kube-proxy, then all containers, then containerd have to end
WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


class DaemonCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon of the node, started once the path `after` exists."""

    name: str
    argv: tuple[str, ...]
    after: str = ""


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`keep` are folders that stay visible even below a private one; `processes` are the container runtime and its users.

    `bound` are folders of the node by the path where programs of the node look for them.
    `pid_max` is a file with the machine's own limit: a process namespace has one of its own, which is higher.
    """

    name: str
    logs: str
    keep: tuple[str, ...]
    kubelet_directory: str
    containerd_directory: str
    cgroup: str
    path: str
    processes: tuple[DaemonCommand, ...]
    pid_max: str = str(PID_MAX)
    bound: dict[str, str] = {}


@dataclass(slots=True)
class NodeDaemon:
    """One daemon's state: `pid` is 0 while it does not run, `due` the earliest time of its next start."""

    process: DaemonCommand
    pid: int = 0
    started: float = 0.0
    due: float = 0.0
    delay: float = FIRST_DELAY

    def startable(self, now: float) -> bool:
        return not self.pid and now >= self.due and (not self.process.after or Path(self.process.after).exists())

    def ended(self, now: float) -> None:
        self.delay = FIRST_DELAY if now - self.started > STEADY else min(2 * self.delay, LAST_DELAY)
        self.pid, self.due = 0, now + self.delay


def main(path: str) -> None:
    settings = msgspec.json.decode(Path(path).read_bytes(), type=NodeSettings)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    arrange(settings)
    daemons = [NodeDaemon(process) for process in settings.processes]
    keep_running(settings, daemons)
    stop(settings, daemons)


def arrange(settings: NodeSettings) -> None:
    """Everything the daemons expect to find. Mounts made here end with the namespace."""
    kept = [(folder, os.open(folder, os.O_PATH)) for folder in settings.keep]
    _mount("--make-rshared", "/")
    for folder in PRIVATE:
        _mount("-t", "tmpfs", "-o", "mode=755", "node", folder)
    for folder, descriptor in kept:
        if any(Path(folder).is_relative_to(private) for private in PRIVATE):
            Path(folder).mkdir(parents=True, exist_ok=True)
            _mount("--no-canonicalize", "--bind", f"/proc/self/fd/{descriptor}", folder, keep_open=descriptor)
        os.close(descriptor)
    for target, source in {"/var/lib/kubelet": settings.kubelet_directory, **settings.bound}.items():
        _bind(source, target)
    _show_kernel_settings(KERNEL | {"kernel/pid_max": str(_share_of_processes(settings))})
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")  # of this network namespace
    lift_message_queue_limit()
    connection_tracking.forget_all()  # those of an earlier life: they would count for new pods with the same addresses
    cgroups.remove(settings.cgroup)  # those of an earlier life: kubelet would wait 3 s for each container they name
    cgroups.enter(settings.cgroup, "system")  # daemons and shims; kubelet puts pods beside it


def lift_message_queue_limit() -> None:
    """Lifts the limit on POSIX messages, which counts by user id over all pods; whoever starts from here inherits that.

    Each pod has a number of queues of its own, and their messages count in its memory limit. Without CAP_SYS_RESOURCE the limit
    stays as it is.
    """
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def keep_running(settings: NodeSettings, daemons: list[NodeDaemon]) -> None:
    """Start and restart the daemons, and bound what pods write to files of the node, until a signal ends this process."""
    look = 0.0
    while True:
        now = time.monotonic()
        if now >= look:
            uncounted_files.cut(Path(settings.kubelet_directory), Path(settings.containerd_directory))
            look = now + uncounted_files.EVERY
        for daemon in daemons:
            if daemon.startable(now):
                daemon.pid, daemon.started = _spawn(settings, daemon.process), now
        waiting = any(not daemon.pid for daemon in daemons)
        received = signal.sigtimedwait(WATCHED, POLL if waiting else uncounted_files.EVERY)
        if received is not None and received.si_signo != signal.SIGCHLD:
            return
        for pid, status in _reap():
            _note_end(daemons, pid, status)


def stop(settings: NodeSettings, daemons: list[NodeDaemon]) -> None:
    """Who starts containers first, then the containers, last the runtime, which writes their logs."""
    runtime, *others = (daemon.pid for daemon in daemons)
    pods = f"{settings.cgroup}/kubepods"
    _end(set(others))
    _terminate(cgroups.processes(pods))
    _reap_until(lambda _: not cgroups.processes(pods))
    _end({runtime})


def _end(pids: set[int]) -> None:
    running = pids - {0}
    _terminate(running)
    _reap_until(lambda ended: running <= ended)


def _terminate(pids: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _reap_until(done: Callable[[set[int]], bool]) -> None:
    """Collect what ends until `done` says so of the collected, for GRACE at most."""
    ended: set[int] = set()
    deadline = time.monotonic() + GRACE
    while not done(ended) and time.monotonic() < deadline:
        signal.sigtimedwait(WATCHED, POLL)
        ended |= {pid for pid, _ in _reap()}


def _reap() -> Iterator[tuple[int, int]]:
    """Every child that has ended, with its exit code (negative: the signal); orphans of the node come here too."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended[0], os.waitstatus_to_exitcode(ended[1])


def _note_end(daemons: list[NodeDaemon], pid: int, code: int) -> None:
    daemon = next((daemon for daemon in daemons if daemon.pid == pid), None)
    if daemon is None:
        return
    daemon.ended(time.monotonic())
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    print(f"{daemon.process.name} ended ({how}); it starts again in {daemon.delay:g} s", flush=True)


def _spawn(settings: NodeSettings, process: DaemonCommand) -> int:
    log = Path(settings.logs) / f"{settings.name}-{process.name}.log"
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        process.argv[0],
        process.argv,
        {**os.environ, "PATH": settings.path},
        file_actions=((os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600), (os.POSIX_SPAWN_DUP2, 1, 2)),
        setsid=True,
        setsigmask=(),
    )


def _share_of_processes(settings: NodeSettings) -> int:
    """Kubelet allows the pods of a node as many processes together as it believes that the machine may have."""
    limits = (Path(settings.pid_max), PID_MAX.with_name("threads-max"))
    return min(int(limit.read_text()) for limit in limits) // SHARE


def _show_kernel_settings(wanted: dict[str, str]) -> None:
    shown = Path("/run/sysctl")
    for name, value in wanted.items():
        file = shown / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        _mount("--bind", str(file), f"/proc/sys/{name}")


def _bind(source: str, target: str) -> None:
    Path(source).mkdir(parents=True, exist_ok=True)
    Path(target).mkdir(parents=True, exist_ok=True)
    _mount("--bind", source, target)


def _mount(*arguments: str, keep_open: int | None = None) -> None:
    subprocess.run(("mount", *arguments), check=True, timeout=10.0, pass_fds=() if keep_open is None else (keep_open,))


if __name__ == "__main__":
    main(sys.argv[1])
