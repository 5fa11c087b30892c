"""What one pod takes of its node's table of connections, in the real kernel; each time beside another pod that connects."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pods_network import ADDRESSES, ADDRESSING, DNS, DNS_PORT, MACHINE, PodsNetwork
from test_network_policy_kernel import policy, state

from pincompute.region.network_policy import nft_script
from pincompute.region.network_policy.nft_script import NEW_CONNECTIONS, OPEN_CONNECTIONS
from pincompute.region.nodes import connection_tracking

ROOT = os.geteuid() == 0 and all(map(shutil.which, ("ip", "nft", "nsenter")))
pytestmark = [pytest.mark.programs, pytest.mark.skipif(not ROOT, reason="needs root, iproute2 and nftables")]

MANY = OPEN_CONNECTIONS + 500
FEW = 10


@pytest.fixture(scope="module")
def made() -> Iterator[PodsNetwork]:
    with PodsNetwork() as made:
        made.inside("", connection_tracking.shorten_timeouts)
        yield made


@pytest.fixture
def network(made: PodsNetwork) -> PodsNetwork:
    """A node that has seen no connection yet."""
    made.nft(f"add table {nft_script.CONNECTIONS}\ndelete table {nft_script.CONNECTIONS}")
    made.nft(nft_script.whole(ADDRESSING, state(policy("z", ingress=[])).whole()))
    made.inside("", connection_tracking.forget_all)
    return made


def entries(network: PodsNetwork) -> int:
    return int(network.in_node("cat", "/proc/sys/net/netfilter/nf_conntrack_count"))


def forgotten(network: PodsNetwork, pod: str) -> int:
    """Drops the pod's entries and counts them. The kernel's own count also has packets of the node itself."""
    return network.inside("", lambda: connection_tracking.forget({ADDRESSES[pod]}))


def send(network: PodsNetwork, pod: str, target: str, times: int) -> None:
    """Each packet to a port of its own."""

    def go() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for port in range(10_000, 10_000 + times):
                sender.sendto(b"x", (target, port))

    network.inside(pod, go)


def ask_dns(network: PodsNetwork, pod: str, times: int) -> None:
    """Each question from a port of its own."""

    def go() -> None:
        for port in range(10_000, 10_000 + times):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind(("", port))
                sender.sendto(b"x", (DNS, 53))

    network.inside(pod, go)


def connects(network: PodsNetwork, source: str, target: str) -> bool:
    return bool(network.connected({(source, target, 80)}, {(source, target, 80)}))


def test_a_pod_has_only_so_many_connections_open(network: PodsNetwork):
    send(network, "x/a", ADDRESSES["y/a"], OPEN_CONNECTIONS - FEW)
    one_more = {("x/a", "y/b", 80)}
    with ExitStack() as stack:
        for _ in range(FEW):
            client = network.inside("x/a", lambda: socket.create_connection((ADDRESSES["y/a"], 80), 5))
            stack.callback(client.close)
        assert network.connected((), one_more) == set()
        assert connects(network, "x/b", "y/b")
        network.nft(nft_script.whole(ADDRESSING, state().whole()))
        assert network.connected((), one_more) == set(), "a new enforcer forgets nothing"
    network.inside("", connection_tracking.forget_all)
    assert network.connected(one_more, one_more) == one_more


def test_an_address_that_no_pod_has_any_more_leaves_no_entry(network: PodsNetwork):
    for pod in ("x/a", "x/b"):
        send(network, pod, ADDRESSES["y/a"], MANY)
    assert forgotten(network, "x/a") > OPEN_CONNECTIONS / 2
    assert forgotten(network, "x/a") == 0
    assert connects(network, "x/a", "y/b"), "the next pod with the address begins with all its connections"
    assert network.connected((), {("x/b", "y/b", 80)}) == set(), "another pod keeps its own"
    assert forgotten(network, "x/b") > OPEN_CONNECTIONS / 2


def test_packets_that_are_no_connection_count_as_one_each(network: PodsNetwork):
    send(network, "x/a", ADDRESSES["y/a"], MANY)
    assert OPEN_CONNECTIONS / 2 < entries(network) <= OPEN_CONNECTIONS + 10
    assert network.connected((), {("x/a", "y/b", 80)}) == set()
    assert connects(network, "x/b", "y/b")


def test_packets_of_one_connection_count_once(network: PodsNetwork):
    def go() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(MANY):
                sender.sendto(b"x", (ADDRESSES["y/a"], 9))

    network.inside("x/a", go)
    assert connects(network, "x/a", "y/b")


def test_what_policies_refuse_counts_as_nothing(network: PodsNetwork):
    send(network, "x/a", ADDRESSES["z/a"], MANY)
    assert entries(network) < 10
    assert connects(network, "x/a", "y/b")


def test_a_pod_begins_only_so_many_connections_in_a_second(network: PodsNetwork):
    send(network, "x/a", ADDRESSES["y/a"], 10 * NEW_CONNECTIONS)
    rules = network.in_node("nft", "list", "chain", *nft_script.CONNECTIONS.split(), "from_pods").splitlines()
    (rate,) = (rule for rule in rules if "limit rate" in rule)
    assert "counter packets 0 " not in rate
    assert connects(network, "x/b", "y/b")


def test_questions_to_the_dns_leave_no_entry_and_are_answered(network: PodsNetwork):
    server = network.inside("machine", _dns_server)
    client = network.inside("x/a", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with server, client:
        client.settimeout(5)
        client.connect((DNS, 53))
        client.send(b"question")
        question, asked = server.recvfrom(512)
        assert asked == (ADDRESSES["x/a"], client.getsockname()[1])
        server.sendto(question, asked)
        assert client.recv(512) == b"question"
        ask_dns(network, "x/a", MANY)
    assert entries(network) < 10
    assert connects(network, "x/a", "y/b")


def test_a_node_that_starts_forgets_connections(network: PodsNetwork):
    send(network, "x/a", ADDRESSES["y/a"], MANY)
    network.inside("", connection_tracking.forget_all)
    assert forgotten(network, "x/a") == 0
    assert connects(network, "x/a", "y/b")


def test_entries_of_connections_that_are_over_end_soon(network: PodsNetwork):
    shown = network.in_node("sysctl", "-n", *(f"net.netfilter.{name}" for name in connection_tracking.TIMEOUTS))
    assert list(map(int, shown.split())) == list(connection_tracking.TIMEOUTS.values())
    assert Path("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close").read_text() == "10\n", "the machine keeps its own"


def _dns_server() -> socket.socket:
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((MACHINE, DNS_PORT))
    server.settimeout(5)
    return server
