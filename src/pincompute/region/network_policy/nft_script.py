"""Writes the nftables table of a node: the frame that never changes, and changes of what is in it. It does no I/O.

Packets from pods pass the chain `from_pods`, packets to pods `to_pods`: each pod's address leads to its namespace's chain, and
an address that is in no map is dropped. The cluster's DNS is open to all of them, because a program that asks in the moment
before its pod is known would wait seconds to ask again. A reply is accepted because its connection is known; packets in the
other direction are judged every time, so a connection ends when its permission does. Nothing but replies enters the node itself
from pods.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from pincompute.region.network_policy.policy_state import RuleChange

TABLE = "inet pincompute_network"
POD_BRIDGE = "cni0"
BATCH = 500  # elements in one command
REPLY = "ct state established,related ct direction reply accept"


class NodeAddresses(msgspec.Struct, frozen=True, kw_only=True):
    """What the frame of a node's table names. Pods of the region have addresses in `region` outside `bridge`."""

    pods: str  # range of this node
    region: str
    bridge: str
    machine: str  # where the cluster's DNS answers, and from where API servers reach pods
    dns_port: int


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
    """Returns the whole table, which takes the place of the former one in one transaction."""
    return _script([f"add table {TABLE}", f"delete table {TABLE}", f"add table {TABLE}", *_frame(node), *_commands(change)])


def changed(change: RuleChange) -> str:
    return _script(_commands(change))


def _frame(node: NodeAddresses) -> Iterator[str]:
    for name in ("ingress", "egress"):
        yield f"add map {TABLE} {name} {{ type ipv4_addr : verdict; }}"
    dns = f"ip daddr {node.machine} meta l4proto {{ tcp, udp }} th dport {node.dns_port} accept"
    yield from _hook("from_pods", "forward", "filter - 10", _from_pods(node, dns))
    yield from _hook("to_pods", "forward", "filter - 5", _to_pods(node))
    yield from _hook("to_node", "input", "filter - 10", _to_node(node))


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


def _hook(name: str, hook: str, priority: str, rules: Iterable[str]) -> Iterator[str]:
    yield f"add chain {TABLE} {name} {{ type filter hook {hook} priority {priority}; policy accept; }}"
    yield from (f"add rule {TABLE} {name} {rule}" for rule in rules)


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
