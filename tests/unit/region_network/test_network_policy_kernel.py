"""The rules of NetworkPolicies in the real kernel, for the cases with which Kubernetes tests a network plugin.

The cases are those of Kubernetes' `test/e2e/network/netpol`: namespaces x, y and z with pods a, b and c in each, and a policy
or a few. Each row says which connections the policies stop; all others must be made.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from pods_network import ADDRESSES, ADDRESSING, GATEWAY, NAMESPACES, PODS, PORTS, Connection, PodsNetwork

from pincompute.api import labels
from pincompute.api.builtin import Namespace
from pincompute.api.meta import Key, ObjectMeta
from pincompute.api.network_policies import NetworkPod, NetworkPolicy
from pincompute.api.projects import AllowedProject, Project, ProjectNetwork, ProjectSpec, ProjectStatus
from pincompute.domain import network_isolation
from pincompute.region.network_policy import nft_script
from pincompute.region.network_policy.policy_state import PolicyState

ROOT = os.geteuid() == 0 and all(map(shutil.which, ("ip", "nft", "nsenter")))
pytestmark = [pytest.mark.programs, pytest.mark.skipif(not ROOT, reason="needs root, iproute2 and nftables")]

TRIED = {(source, target, port) for source in PODS for target in PODS for port in PORTS if source != target}


@pytest.fixture(scope="module")
def network() -> Iterator[PodsNetwork]:
    with PodsNetwork() as made:
        yield made


def namespace(name: str, **more: str) -> Namespace:
    return Namespace(metadata=ObjectMeta(name=name, labels={"kubernetes.io/metadata.name": name, "ns": name, **more}))


def pod(name: str, **more: str) -> NetworkPod:
    of, own = name.split("/")
    ports = [{"name": f"serve-{port}-tcp", "containerPort": port} for port in PORTS]
    return msgspec.convert(
        {
            "metadata": {"name": own, "namespace": of, "labels": {"pod": own, **more}},
            "spec": {"containers": [{"ports": ports}]},
            "status": {"podIP": ADDRESSES[name], "phase": "Running"},
        },
        NetworkPod,
    )


def policy(in_namespace: str, pods: dict[str, Any] | None = None, **spec: Any) -> NetworkPolicy:
    types = [kind.title() for kind in ("ingress", "egress") if kind in spec]
    name = hashlib.sha256(f"{pods}{spec}".encode()).hexdigest()[:12]
    return msgspec.convert(
        {
            "metadata": {"name": name, "namespace": in_namespace},
            "spec": {"podSelector": pods or {}, "policyTypes": types, **spec},
        },
        NetworkPolicy,
    )


def state(*policies: NetworkPolicy) -> PolicyState:
    made = PolicyState()
    for name in NAMESPACES:
        made.namespace(name, namespace(name))
    for name in PODS:
        made.pod(Key(*name.split("/")), pod(name))
    for one in policies:
        made.policy(one.key, one)
    return made


A = {"matchLabels": {"pod": "a"}}
B = {"matchLabels": {"pod": "b"}}
NOT_X = {"matchExpressions": [{"key": "ns", "operator": "NotIn", "values": ["x"]}]}
B_OR_C = {"matchExpressions": [{"key": "pod", "operator": "In", "values": ["b", "c"]}]}


def of(name: str) -> dict[str, Any]:
    return {"matchLabels": {"ns": name}}


def named(port: int) -> dict[str, Any]:
    return {"port": f"serve-{port}-tcp", "protocol": "TCP"}


def block(cidr: str, *excluded: str) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr, **({"except": list(excluded)} if excluded else {})}}


def address(name: str) -> str:
    return f"{ADDRESSES[name]}/32"


Stops = Callable[[str, str, int], bool]


def to_a(source: str, target: str, *allowed: str) -> bool:
    """Into x/a, but for these."""
    return target == "x/a" and source not in allowed and source[0] not in allowed


def from_a(source: str, target: str, *allowed: str) -> bool:
    return source == "x/a" and target not in allowed and target[0] not in allowed


CASES: dict[str, tuple[tuple[NetworkPolicy, ...], Stops]] = {
    "no policy": ((), lambda s, t, p: False),
    "default-deny-ingress": ((policy("x", ingress=[]),), lambda s, t, p: t[0] == "x"),
    "default-deny-all": ((policy("x", ingress=[], egress=[]),), lambda s, t, p: "x" in (s[0], t[0])),
    "ingress from a pod by label": (
        (policy("x", A, ingress=[{"from": [{"podSelector": B}]}]),),
        lambda s, t, p: to_a(s, t, "x/b"),
    ),
    "ingress from a namespace by label": (
        (policy("x", A, ingress=[{"from": [{"namespaceSelector": of("y")}]}]),),
        lambda s, t, p: to_a(s, t, "y"),
    ),
    "ingress by an expression over pods": (
        (policy("x", A, ingress=[{"from": [{"podSelector": B_OR_C}]}]),),
        lambda s, t, p: to_a(s, t, "x/b", "x/c"),
    ),
    "ingress by an expression over namespaces": (
        (policy("x", A, ingress=[{"from": [{"namespaceSelector": NOT_X}]}]),),
        lambda s, t, p: to_a(s, t, "y", "z"),
    ),
    "ingress from a pod or a namespace": (
        (policy("x", A, ingress=[{"from": [{"namespaceSelector": NOT_X}, {"podSelector": B}]}]),),
        lambda s, t, p: to_a(s, t, "y", "z", "x/b"),
    ),
    "ingress from a pod and a namespace": (
        (policy("x", A, ingress=[{"from": [{"namespaceSelector": NOT_X, "podSelector": B}]}]),),
        lambda s, t, p: to_a(s, t, "y/b", "z/b"),
    ),
    "ingress from several pods and namespaces": (
        (policy("x", A, ingress=[{"from": [{"namespaceSelector": NOT_X, "podSelector": B_OR_C}]}]),),
        lambda s, t, p: to_a(s, t, "y/b", "z/b", "y/c", "z/c"),
    ),
    "ingress from every pod of the namespace": (
        (policy("x", ingress=[{"from": [{"podSelector": {}}]}]),),
        lambda s, t, p: t[0] == "x" and s[0] != "x",
    ),
    "ingress from every namespace": ((policy("x", ingress=[{"from": [{"namespaceSelector": {}}]}]),), lambda s, t, p: False),
    "ingress at one port": (
        (policy("x", A, ingress=[{"from": [{"namespaceSelector": of("y")}], "ports": [{"port": 81}]}]),),
        lambda s, t, p: to_a(s, t, "y") or (to_a(s, t) and p == 80),
    ),
    "stacked policies that select the same pod": (
        tuple(policy("x", A, ingress=[{"from": [{"namespaceSelector": of("y")}], "ports": [{"port": p}]}]) for p in PORTS),
        lambda s, t, p: to_a(s, t, "y"),
    ),
    "allow-all": ((policy("x", ingress=[{}]),), lambda s, t, p: False),
    "ingress at a named port": ((policy("x", ingress=[{"ports": [named(81)]}]),), lambda s, t, p: t[0] == "x" and p == 80),
    "ingress from a namespace at a named port": (
        (policy("x", A, ingress=[{"from": [{"namespaceSelector": of("y")}], "ports": [named(80)]}]),),
        lambda s, t, p: to_a(s, t, "y") or (to_a(s, t) and p == 81),
    ),
    "egress at a named port": ((policy("x", egress=[{"ports": [named(80)]}]),), lambda s, t, p: s[0] == "x" and p == 81),
    "egress to a pod at a named port": (
        (policy("x", A, egress=[{"to": [{"podSelector": B}], "ports": [named(80)]}]),),
        lambda s, t, p: from_a(s, t, "x/b") or (from_a(s, t) and p == 81),
    ),
    "egress of a pod": ((policy("x", A, egress=[]),), lambda s, t, p: from_a(s, t)),
    "egress of a namespace": ((policy("x", egress=[]),), lambda s, t, p: s[0] == "x"),
    "ingress and egress together": (
        (policy("x", A, ingress=[{"from": [{"podSelector": B}]}], egress=[{"ports": [{"port": 80}]}]),),
        lambda s, t, p: to_a(s, t, "x/b") or (from_a(s, t) and p == 81),
    ),
    "egress that the server allows and the client does not": (
        (
            policy("x", A, egress=[{"to": [{"namespaceSelector": of("y"), "podSelector": A}]}]),
            policy("y", A, ingress=[{"from": [{"namespaceSelector": of("x"), "podSelector": A}]}]),
            policy("y", B, ingress=[{"from": [{"namespaceSelector": of("x"), "podSelector": A}]}]),
        ),
        lambda s, t, p: from_a(s, t, "y/a") or (t in ("y/a", "y/b") and s != "x/a"),
    ),
    "an allow-all beside narrower policies": (
        (policy("x", A, ingress=[{"from": [{"podSelector": B}]}]), policy("x", A, ingress=[{}])),
        lambda s, t, p: False,
    ),
    "egress to addresses": (
        (policy("x", A, egress=[{"to": [block(address("x/b"))]}]),),
        lambda s, t, p: from_a(s, t, "x/b"),
    ),
    "egress to addresses but for some": (
        (policy("x", A, egress=[{"to": [block("10.77.16.0/20", address("x/b"), address("y/c"))]}]),),
        lambda s, t, p: from_a(s, t) and t in ("x/b", "y/c"),
    ),
    "an exception that another rule allows": (
        (policy("x", A, egress=[{"to": [block("10.77.16.0/20", address("x/b"))]}, {"to": [block(address("x/b"))]}]),),
        lambda s, t, p: False,
    ),
    "ingress from addresses": (
        (policy("x", A, ingress=[{"from": [block(address("z/b"))]}]),),
        lambda s, t, p: to_a(s, t, "z/b"),
    ),
    "addresses of the other family": ((policy("x", A, egress=[{"to": [block("::/0")]}]),), lambda s, t, p: from_a(s, t)),
    "another protocol": ((policy("x", A, ingress=[{"ports": [{"protocol": "UDP"}]}]),), lambda s, t, p: to_a(s, t)),
    "every port of the protocol": ((policy("x", A, ingress=[{"ports": [{"protocol": "TCP"}]}]),), lambda s, t, p: False),
    "a range of ports, overlapping another": (
        (policy("x", A, ingress=[{"ports": [{"port": 81, "endPort": 90}, {"port": 85, "endPort": 99}, {"port": 81}]}]),),
        lambda s, t, p: to_a(s, t) and p == 80,
    ),
    "exceptions that overlap": (
        (policy("x", A, egress=[{"to": [block("10.0.0.0/8", "10.77.16.0/24", address("x/b"))]}]),),
        lambda s, t, p: from_a(s, t),
    ),
    "a policy of one direction leaves the other open": ((policy("x", A, ingress=[]),), lambda s, t, p: to_a(s, t)),
}


def _allowed(stops: Stops) -> set[Connection]:
    return {connection for connection in TRIED if not stops(*connection)}


def _proves(network: PodsNetwork, stops: Stops) -> None:
    wanted = _allowed(stops)
    made = network.connected(wanted, TRIED)
    assert made - wanted == set(), "made, and should not"
    assert wanted - made == set(), "not made, and should"


@pytest.mark.parametrize("case", CASES)
def test_policies_stop_these_connections_and_no_others(network: PodsNetwork, case: str):
    policies, stops = CASES[case]
    network.nft(nft_script.whole(ADDRESSING, state(*policies).whole()))
    _proves(network, stops)


def test_changes_are_the_difference_between_two_tables(network: PodsNetwork):
    """Each row of the table after the other, by changes alone; in the end the kernel holds what a new table holds."""
    kept = state()
    network.nft(nft_script.whole(ADDRESSING, kept.whole()))
    applied: tuple[NetworkPolicy, ...] = ()
    for policies, _ in CASES.values():
        for one in applied:
            kept.policy(one.key, None)
        for one in policies:
            kept.policy(one.key, one)
        network.nft(nft_script.changed(kept.take()))
        applied = policies
    shown = ("nft", "--stateless", "list", "table", *nft_script.TABLE.split())
    changed = network.in_node(*shown)
    network.nft(nft_script.whole(ADDRESSING, state(*applied).whole()))
    assert sorted(changed.split()) == sorted(network.in_node(*shown).split())


def test_labels_that_change_take_effect(network: PodsNetwork):
    of_x = policy("x", A, ingress=[{"from": [{"namespaceSelector": {"matchLabels": {"team": "blue"}}}]}])
    kept = state(of_x, policy("x", {"matchLabels": {"target": "isolated"}}, ingress=[]))
    network.nft(nft_script.whole(ADDRESSING, kept.whole()))
    _proves(network, lambda s, t, p: to_a(s, t))
    kept.namespace("y", namespace("y", team="blue"))
    kept.pod(Key("x", "b"), pod("x/b", target="isolated"))
    network.nft(nft_script.changed(kept.take()))
    _proves(network, lambda s, t, p: to_a(s, t, "y") or t == "x/b")
    kept.policy(of_x.key, None)
    network.nft(nft_script.changed(kept.take()))
    _proves(network, lambda s, t, p: t == "x/b")


def test_pods_of_a_project_and_unknown_ones_are_closed(network: PodsNetwork):
    """A project is closed before its policy comes, and an address that no pod has yet is closed to everybody."""
    kept = state()
    kept.namespace("x", namespace("x", **{labels.PROJECT: "x"}))
    kept.pod(Key("y", "a"), None)
    network.nft(nft_script.whole(ADDRESSING, kept.whole()))
    _proves(network, lambda s, t, p: "x" in (s[0], t[0]) or "y/a" in (s, t))


def test_projects_are_closed_to_each_other_but_for_whom_they_allow(network: PodsNetwork):
    """The policies that the federation makes: x lets y in, and z would let in a former x."""
    kept = state()
    uids = {"x": {"y": "uid-y"}, "z": {"x": "former"}}
    for name in NAMESPACES:
        allowed = tuple(AllowedProject(name=other, uid=uid) for other, uid in uids.get(name, {}).items())
        spec = ProjectSpec(network=ProjectNetwork(allow_from=tuple(each.name for each in allowed)))
        made = network_isolation.policy(
            Project(metadata=ObjectMeta(name=name), spec=spec, status=ProjectStatus(allowed_projects=allowed))
        )
        meta = {"name": "pincompute", "namespace": name}
        kept.namespace(name, namespace(name, **{labels.PROJECT: name, labels.PROJECT_UID: f"uid-{name}"}))
        kept.policy(Key(name, "pincompute"), msgspec.convert({**made, "metadata": meta}, NetworkPolicy))
    network.nft(nft_script.whole(ADDRESSING, kept.whole()))
    _proves(network, lambda s, t, p: s[0] != t[0] and (s[0], t[0]) != ("y", "x"))


def test_a_node_whose_policies_are_unknown_is_closed(network: PodsNetwork):
    network.nft(f"add table {nft_script.TABLE}\ndelete table {nft_script.TABLE}\n{nft_script.closed()}")
    _proves(network, lambda s, t, p: True)


def test_a_connection_ends_when_its_permission_does(network: PodsNetwork):
    kept = state()
    network.nft(nft_script.whole(ADDRESSING, kept.whole()))
    client = network.inside("y/a", lambda: socket.create_connection((ADDRESSES["x/a"], 80), 5))
    client.setsockopt(socket.IPPROTO_TCP, 18, 500)  # TCP_USER_TIMEOUT: half a second without an answer
    client.sendall(b"before")
    one = policy("x", A, ingress=[])
    kept.policy(one.key, one)
    network.nft(nft_script.changed(kept.take()))
    with pytest.raises(TimeoutError):
        _send_for_ever(client)
    client.close()


def _send_for_ever(client: socket.socket) -> None:
    for _ in range(100):
        client.sendall(b"after")
        time.sleep(0.05)
    raise AssertionError("the connection goes on")


def test_pods_reach_nothing_of_their_node_and_the_node_reaches_pods(network: PodsNetwork):
    """Also for pods that no policy selects, and over the addresses that IPv6 makes by itself."""
    network.nft(nft_script.whole(ADDRESSING, state().whole()))
    listener = network.inside("", lambda: socket.create_server((GATEWAY, 10250)))
    to_node = ("x/a", GATEWAY, 10250)
    assert network.connected((), {to_node}) == set()
    probe = {("", pod, 80) for pod in PODS}
    network.nft(nft_script.whole(ADDRESSING, state(policy("x", ingress=[], egress=[])).whole()))
    assert network.connected(probe, probe) == probe
    listener.close()


def test_pods_reach_no_pod_by_ipv6(network: PodsNetwork):
    network.nft(f"add table {nft_script.TABLE}\ndelete table {nft_script.TABLE}")
    target = network.inside("x/a", _link_local)
    listener = network.inside("x/a", lambda: socket.create_server(("::", 90), family=socket.AF_INET6))

    def connect() -> int:
        client = socket.socket(socket.AF_INET6)
        client.settimeout(0.3)
        try:
            return client.connect_ex((target, 90, 0, socket.if_nametoindex("eth0")))
        finally:
            client.close()

    deadline = time.monotonic() + 5
    while network.inside("y/a", connect) != 0:  # until the kernel has made sure that nobody else has the address
        assert time.monotonic() < deadline
        time.sleep(0.1)
    network.nft(nft_script.whole(ADDRESSING, state(policy("x", ingress=[])).whole()))
    assert network.inside("y/a", connect) != 0
    listener.close()


def _link_local() -> str:
    with open("/proc/thread-self/net/if_inet6") as lines:  # noqa: PTH123 - of this thread's network
        raw = next(line.split()[0] for line in lines if line.startswith("fe80"))
    return ":".join(raw[at : at + 4] for at in range(0, 32, 4))
