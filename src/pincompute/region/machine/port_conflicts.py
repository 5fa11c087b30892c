"""Names the process that holds a port the region needs, before a program of the region fails because of it."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pincompute.region.home import VARIABLE
from pincompute.region.layout import Layout
from pincompute.region.process import region_processes
from pincompute.region.region_error import RegionError


def wanted(layout: Layout) -> tuple[tuple[str, int, str], ...]:
    """Address, port and purpose of everything the region listens on."""
    found = [
        (layout.address, int(where.rpartition(":")[2]), purpose)
        for where, purpose in ((layout.registry, "registry"), (layout.gateway, "gateway"), (layout.issuer, "issuer"))
    ]
    found.append(("127.0.0.1", layout.gateway_health, "gateway, its health port"))
    for name, index in (("host", 0), *((member.name, 1 + member.index) for member in layout.spec.members)):
        ports = layout.ports(index)
        found.append((layout.address, ports.apiserver, f"{name}-apiserver"))
        for port, purpose in (
            (ports.etcd, "etcd"),
            (ports.etcd_peer, "etcd, its peer port"),
            (ports.controller_manager, "controller-manager"),
            (ports.scheduler, "scheduler"),
            (ports.operator, "operator" if index else "federation"),
            *([(ports.usage, "usage")] if index else []),
        ):
            found.append(("127.0.0.1", port, f"{name}-{purpose}"))
    return tuple(found)


def check(listeners: Iterable[tuple[str, int, str]], home: Path) -> None:
    """Refuse with the port, its purpose and the process that holds it; the region's own processes may hold theirs."""
    taken = [listener for listener in listeners if not _free(*listener[:2])]
    if not taken:
        return
    own = {socket for process in region_processes.of_home(home) for socket in _sockets(Path(f"/proc/{process.pid}"))}
    for address, port, purpose in taken:
        if own.isdisjoint(_inodes(port)):
            raise RegionError(
                f"port {port} on {address}, wanted by {purpose}, is held by {_name(holder(port))}: end that process, "
                f"or start the region in another {VARIABLE}, which gets other ports"
            )


def holder(port: int) -> int:
    """Process id of what listens on the port; 0 when it belongs to another user and cannot be seen."""
    inodes = _inodes(port)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and inodes & _sockets(entry):
            return int(entry.name)
    return 0


def _inodes(port: int) -> set[str]:
    return {f"socket:[{inode}]" for table in ("tcp", "tcp6") for inode in _listening(Path("/proc/net") / table, port)}


def _name(pid: int) -> str:
    if not pid:
        return "a process of another user"
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return f"process {pid} ({command[:120]})"


def _free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def _listening(table: Path, port: int) -> Iterable[str]:
    if not table.exists():
        return
    for line in table.read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:  # 0A: LISTEN
            yield fields[9]


def _sockets(process: Path) -> set[str]:
    """What the process has open, as the kernel names it; descriptors come and go meanwhile."""
    found: set[str] = set()
    with suppress(OSError):
        for link in (process / "fd").iterdir():
            with suppress(OSError):
                found.add(str(link.readlink()))
    return found
