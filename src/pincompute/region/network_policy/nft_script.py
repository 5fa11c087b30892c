"""Writes the nftables table of a node: the frame that never changes, and changes of what is in it. It does no I/O.

Packets from pods pass the chain `from_pods`, packets to pods `to_pods`: each pod's address leads to its namespace's chain, and
an address that is in no map is dropped. The cluster's DNS is open to all of them, because a program that asks in the moment
before its pod is known would wait seconds to ask again. A reply is accepted because its connection is known; packets in the
other direction are judged every time, so a connection ends when its permission does. Nothing but replies enters the node itself
from pods.

The kernel keeps an entry for each connection in a table of bounded size, which all pods of the node share. So a pod's address
may have only so many open, and begin only so many in a second: the first packet of one too many is dropped, and TCP sends it
again. Only packets that policies have accepted are counted, and only the first of each connection. Questions to the cluster's
DNS and the answers are translated packet by packet, without an entry.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from pincompute.region.network_policy.policy_state import RuleChange

TABLE = "inet pincompute_network"
CONNECTIONS = "inet pincompute_connections"  # a table of its own, because it stays when the other one is replaced
POD_BRIDGE = "cni0"
BATCH = 500  # elements in one command
OPEN_CONNECTIONS = 1024  # of one pod; 250 pods fit in 262144 entries, the kernel's table on a machine with 4 GiB and more
NEW_CONNECTIONS = 2000  # of one pod in a second: a closed one keeps its entry for seconds, and does not count as open
DNS_PORT = 53
REPLY = "ct state established,related ct direction reply accept"


class NodeAddresses(msgspec.Struct, frozen=True, kw_only=True):
    """What the frame of a node's table names. Pods of the region have addresses in `region` outside `bridge`."""

    pods: str  # range of this node
    region: str
    bridge: str
    machine: str  # where the cluster's DNS answers, and from where API servers reach pods
    dns_port: int
    dns: str  # the Service address that pods ask


def closed() -> str:
    """Returns a table in which pods have no network, for the time before policies are known."""
    lines = [f"add table {TABLE}"]
    for hook, interface in (("forward", "iifname"), ("input", "iifname"), ("forward", "oifname")):
        chain = f"closed_{hook}_{interface}"
        lines += [
            f"add chain {TABLE} {chain} {{ type filter hook {hook} priority filter - 10; policy accept; }}",
            f'add rule {TABLE} {chain} {interface} "{POD_BRIDGE}" drop',
        ]
    return _script(lines)


def whole(node: NodeAddresses, change: RuleChange) -> str:
    """Returns the whole table, which takes the place of the former one in one transaction. Connections stay counted."""
    replaced = (f"add table {TABLE}", f"delete table {TABLE}", f"add table {TABLE}")
    return _script([*replaced, *_frame(node), *_commands(change), *_connections(node)])


def changed(change: RuleChange) -> str:
    return _script(_commands(change))


def _frame(node: NodeAddresses) -> Iterator[str]:
    for name in ("ingress", "egress"):
        yield f"add map {TABLE} {name} {{ type ipv4_addr : verdict; }}"
    dns = f"ip daddr {node.machine} meta l4proto {{ tcp, udp }} th dport {node.dns_port} accept"
    yield from _hook("from_pods", "forward", "filter - 10", _from_pods(node, dns))
    yield from _hook("to_pods", "forward", "filter - 5", _to_pods(node))
    yield from _hook("to_node", "input", "filter - 10", _to_node(node))
    yield from _hook("dns_untracked", "prerouting", "raw", _dns_untracked(node))
    yield from _hook("dns_answers", "postrouting", "mangle", _dns_answers(node))


def _from_pods(node: NodeAddresses, dns: str) -> Iterator[str]:
    yield f'iifname != "{POD_BRIDGE}" accept'
    yield "meta nfproto != ipv4 drop"
    yield f"ip saddr != {node.pods} drop"
    yield REPLY
    yield dns
    yield "ip saddr vmap @egress"
    yield "drop"


def _to_pods(node: NodeAddresses) -> Iterator[str]:
    yield f'oifname != "{POD_BRIDGE}" accept'
    yield "meta nfproto != ipv4 drop"
    yield REPLY
    yield f"ip saddr {node.machine} accept"
    yield "ip daddr vmap @ingress"
    yield "drop"


def _to_node(node: NodeAddresses) -> Iterator[str]:
    yield REPLY
    yield f'iifname "{POD_BRIDGE}" drop'
    yield f"ip saddr {node.region} ip saddr != {node.bridge} drop"


def _dns_untracked(node: NodeAddresses) -> Iterator[str]:
    answering = f"{node.machine} udp sport {node.dns_port}"
    yield (
        f'iifname "{POD_BRIDGE}" ip daddr {node.dns} udp dport {DNS_PORT}'
        f" ip daddr set {node.machine} udp dport set {node.dns_port}"
    )
    yield f'iifname "{POD_BRIDGE}" ip daddr {node.machine} udp dport {node.dns_port} notrack'
    yield f'iifname != "{POD_BRIDGE}" ip saddr {answering} notrack'


def _dns_answers(node: NodeAddresses) -> Iterator[str]:
    """The answer comes from the address that was asked."""
    answer = f'oifname "{POD_BRIDGE}" ip saddr {node.machine} udp sport {node.dns_port}'
    yield f"{answer} ip saddr set {node.dns} udp sport set {DNS_PORT}"


def _connections(node: NodeAddresses) -> Iterator[str]:
    """Behind the chains that judge. An entry is confirmed when the first packet of its connection has passed all chains."""
    addresses = ipaddress.ip_network(node.pods).num_addresses
    yield f"add table {CONNECTIONS}"
    for name in ("open", "new"):
        yield f"add set {CONNECTIONS} {name} {{ type ipv4_addr; size {addresses}; flags dynamic; }}"
    rules = (
        f'iifname != "{POD_BRIDGE}" accept',
        "ct status confirmed accept",
        "ct state untracked accept",
        f"add @new {{ ip saddr limit rate over {NEW_CONNECTIONS}/second burst {NEW_CONNECTIONS} packets }} counter drop",
        f"add @open {{ ip saddr ct count over {OPEN_CONNECTIONS} }} counter drop",
    )
    chain, *lines = _hook("from_pods", "forward", "filter - 1", rules, CONNECTIONS)
    yield from (chain, f"flush chain {CONNECTIONS} from_pods", *lines)


def _hook(name: str, hook: str, priority: str, rules: Iterable[str], table: str = TABLE) -> Iterator[str]:
    yield f"add chain {table} {name} {{ type filter hook {hook} priority {priority}; policy accept; }}"
    yield from (f"add rule {table} {name} {rule}" for rule in rules)


def _commands(change: RuleChange) -> Iterator[str]:
    """What is named must be there first, and goes last."""
    for name, with_ports in change.sets.items():
        if with_ports is not None:
            yield f"add set {TABLE} {name} {{ type ipv4_addr{' . inet_service' if with_ports else ''}; }}"
    present = {name: rules for name, rules in change.chains.items() if rules is not None}
    for name in change.chains:
        yield f"add chain {TABLE} {name}"
        yield f"flush chain {TABLE} {name}"
    for name, rules in present.items():
        yield from (f"add rule {TABLE} {name} {rule}" for rule in rules)
    yield from _element_commands(change)
    yield from (f"delete chain {TABLE} {name}" for name in change.chains if name not in present)
    yield from (f"delete set {TABLE} {name}" for name, with_ports in change.sets.items() if with_ports is None)


def _element_commands(change: RuleChange) -> Iterator[str]:
    gone: defaultdict[str, list[str]] = defaultdict(list)
    come: defaultdict[str, list[str]] = defaultdict(list)
    for element, verdict in change.elements.items():
        name, key = element
        if verdict is None or element in change.replaced:
            gone[name].append(key)
        if verdict is not None:
            come[name].append(f"{key} : {verdict}" if verdict else key)
    for command, elements in (("delete", gone), ("add", come)):
        for name, keys in elements.items():
            for first in range(0, len(keys), BATCH):
                yield f"{command} element {TABLE} {name} {{ {', '.join(keys[first : first + BATCH])} }}"


def _script(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
