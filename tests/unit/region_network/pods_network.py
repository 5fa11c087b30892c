"""A node's network in the real kernel: nine pods in three namespaces on a bridge, the machine, and connections between them."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self, TypeVar

from pincompute.region.network_policy.nft_script import NodeAddresses

T = TypeVar("T")

NAMESPACES, NAMES, PORTS = ("x", "y", "z"), ("a", "b", "c"), (80, 81)
PODS = tuple(f"{namespace}/{name}" for namespace in NAMESPACES for name in NAMES)
ADDRESSES = {pod: f"10.77.16.{10 + number}" for number, pod in enumerate(PODS)}
GATEWAY, MACHINE = "10.77.16.1", "10.77.0.1"
DNS, DNS_PORT = "10.177.16.10", 5353
ADDRESSING = NodeAddresses(
    pods="10.77.16.0/20", region="10.77.0.0/16", bridge="10.77.0.0/24", machine=MACHINE, dns_port=DNS_PORT, dns=DNS
)
CLONE_NEWNET = 0x40000000
ARRIVES, LATE = 5.0, 0.2  # seconds for connections that should be made, then for others to prove that they are not

Connection = tuple[str, str, int]
"""From a pod, to a pod, at a port."""


class PodsNetwork:
    """The namespaces, and a listener at every port of every pod. The node routes to a namespace with the machine's address."""

    def __init__(self) -> None:
        self._prefix = f"pctest{os.getpid()}"
        self.node = f"{self._prefix}-node"
        self._listeners: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._ip("netns", "add", self.node)
        for command in (
            f"-n {self.node} link set lo up",
            f"-n {self.node} link add cni0 type bridge",
            f"-n {self.node} address add {GATEWAY}/20 dev cni0",
            f"-n {self.node} link set cni0 up",
        ):
            self._ip(*command.split())
        self.in_node("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        self._add_machine()
        for number, pod in enumerate(PODS):
            self._add(number, pod)
        self._listeners = [self.inside(pod, lambda port=port: _listener(port)) for pod in PODS for port in PORTS]
        return self

    def __exit__(self, *_: object) -> None:
        for listener in self._listeners:
            listener.close()
        for name in (self.node, *(self._namespace(pod) for pod in ("machine", *PODS))):
            subprocess.run(("ip", "netns", "delete", name), check=False, capture_output=True)

    def _add_machine(self) -> None:
        name = self._namespace("machine")
        for command in (
            f"netns add {name}",
            f"-n {self.node} link add eth0 type veth peer name node netns {name}",
            f"-n {self.node} address add 10.77.0.10/24 dev eth0",
            f"-n {self.node} link set eth0 up",
            f"-n {self.node} route add default via {MACHINE}",
            f"-n {name} address add {MACHINE}/24 dev node",
            f"-n {name} link set node up",
            f"-n {name} route add 10.77.16.0/20 via 10.77.0.10",
        ):
            self._ip(*command.split())

    def _add(self, number: int, pod: str) -> None:
        name = self._namespace(pod)
        for command in (
            f"netns add {name}",
            f"-n {self.node} link add v{number} type veth peer name eth0 netns {name}",
            f"-n {self.node} link set v{number} master cni0 up",
            f"-n {name} address add {ADDRESSES[pod]}/20 dev eth0",
            f"-n {name} link set eth0 up",
            f"-n {name} link set lo up",
            f"-n {name} route add default via {GATEWAY}",
        ):
            self._ip(*command.split())

    def in_node(self, *command: str, text: str = "") -> str:
        inside = ("nsenter", f"--net=/run/netns/{self.node}", *command)
        done = subprocess.run(inside, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}\n{text}"
        return done.stdout

    def nft(self, script: str) -> None:
        self.in_node("nft", "-f", "-", text=script)

    def inside(self, pod: str, make: Callable[[], T]) -> T:
        """Runs `make` in a pod's network; the sockets that it makes stay there. An empty name is the node."""
        name = self._namespace(pod) if pod else self.node
        made: list[T] = []

        def enter() -> None:
            with Path(f"/run/netns/{name}").open() as entry:
                assert ctypes.CDLL(None, use_errno=True).setns(entry.fileno(), CLONE_NEWNET) == 0
            made.append(make())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return made[0]

    def connected(self, wanted: Iterable[Connection], tried: Iterable[Connection]) -> set[Connection]:
        """Returns which of the tried connections are made: waits for those wanted, and then a moment for the others."""
        waiting = {self._connect(connection): connection for connection in tried}
        missing, made = set(wanted), set[Connection]()
        deadline = time.monotonic() + ARRIVES
        while waiting and time.monotonic() < deadline:
            if not missing:
                deadline = min(deadline, time.monotonic() + LATE)
                missing = {("", "", 0)}  # nothing more is waited for
            _, writable, _ = select.select([], list(waiting), [], max(0.0, deadline - time.monotonic()))
            for ready in writable:
                connection = waiting.pop(ready)
                if ready.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    made.add(connection)
                missing.discard(connection)
                ready.close()
        for left in waiting:
            left.close()
        return made

    def _connect(self, connection: Connection) -> socket.socket:
        source, target, port = connection
        return self.inside(source, lambda: _connecting(ADDRESSES.get(target, target), port))

    def _namespace(self, pod: str) -> str:
        return f"{self._prefix}-{pod.replace('/', '-')}"

    def _ip(self, *arguments: str) -> None:
        subprocess.run(("ip", *arguments), check=True, capture_output=True)


def _listener(port: int) -> socket.socket:
    listener = socket.socket()
    listener.bind(("", port))
    listener.listen(4096)
    return listener


def _connecting(address: str, port: int) -> socket.socket:
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((address, port))
    return client
