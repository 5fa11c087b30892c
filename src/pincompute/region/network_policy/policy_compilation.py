"""Compiles a NetworkPolicy into nftables rules. It is pure: the rules name sets of addresses, and others fill the sets.

A rule that permits a packet ends in `accept`. A packet that no rule of any policy accepts meets the `drop` at the end of its
namespace's chain.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from pincompute.api.meta import Key
from pincompute.api.network_policies import (
    EgressRule,
    IngressRule,
    IpBlock,
    NetworkPolicy,
    PolicyPeer,
    PolicyPort,
    PolicySelector,
    Requirements,
)

Direction: TypeAlias = Literal["ingress", "egress"]
DIRECTIONS: tuple[Direction, ...] = ("ingress", "egress")
OWN: dict[Direction, str] = {"ingress": "daddr", "egress": "saddr"}  # where a packet carries the address of the policy's pod
PEER: dict[Direction, str] = {"ingress": "saddr", "egress": "daddr"}
NAMESPACE_NAME = "kubernetes.io/metadata.name"


class PodSelection(NamedTuple):
    """Pods by label, in namespaces by label; `namespace` names the only one that may match, and is empty for many."""

    namespace: str
    namespaces: Requirements
    pods: Requirements

    @property
    def set_name(self) -> str:
        return f"pods-{_digest(self)}"


class NamedPorts(NamedTuple):
    """The ports that pods of a selection call by this name."""

    selection: PodSelection
    protocol: str
    port: str

    @property
    def set_name(self) -> str:
        return f"ports-{_digest(self)}"


Members: TypeAlias = PodSelection | NamedPorts
"""What a set of the table holds: addresses of pods, or addresses with ports."""

EVERY_POD = PodSelection("", (), ())


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy's rules by direction; a direction that it does not restrict is absent."""

    target: PodSelection
    rules: dict[Direction, tuple[str, ...]]
    members: frozenset[Members]


class _RuleCondition(NamedTuple):
    """A condition of a rule, and the sets that it looks into."""

    text: str
    members: tuple[Members, ...] = ()


def compile_policy(policy: NetworkPolicy) -> CompiledPolicy:
    """Raises ValueError for a policy with an address that Python reads differently from the API server, as 010.0.0.0/8."""
    namespace, spec = policy.metadata.namespace, policy.spec
    target = PodSelection(namespace, (), spec.pod_selector.requirements)
    compiled: dict[Direction, list[_RuleCondition]] = {}
    if spec.isolates_ingress:
        compiled["ingress"] = [m for rule in spec.ingress for m in _accepts("ingress", rule, target)]
    if spec.isolates_egress:
        compiled["egress"] = [m for rule in spec.egress for m in _accepts("egress", rule, target)]
    members = {member for matches in compiled.values() for match in matches for member in match.members}
    return CompiledPolicy(
        target,
        {direction: tuple(match.text for match in matches) for direction, matches in compiled.items()},
        frozenset({target, *members}),
    )


def closed_policy(policy: NetworkPolicy) -> CompiledPolicy:
    """Returns the policy without a rule: it isolates the pods that it selects."""
    spec = policy.spec
    isolates = {"ingress": spec.isolates_ingress, "egress": spec.isolates_egress}
    target = PodSelection(policy.metadata.namespace, (), spec.pod_selector.requirements)
    return CompiledPolicy(target, {direction: () for direction in DIRECTIONS if isolates[direction]}, frozenset({target}))


def policy_chain(direction: Direction, policy: Key) -> str:
    return f"{direction}-policy-{_digest(policy)}"


def namespace_chain(direction: Direction, namespace: str) -> str:
    return f"{direction}-namespace-{namespace}"


def namespace_rules(direction: Direction, policies: Iterable[tuple[Key, CompiledPolicy]]) -> tuple[str, ...]:
    """Rules that every isolated pod of a namespace passes: the policies that select it, and then the denial."""
    jumps = (_jump(direction, key, policy) for key, policy in sorted(policies) if direction in policy.rules)
    return (*jumps, "drop")


def _jump(direction: Direction, key: Key, policy: CompiledPolicy) -> str:
    selected = f"ip {OWN[direction]} @{policy.target.set_name} " if policy.target.pods else ""
    return f'{selected}jump {policy_chain(direction, key)} comment "{str(key)[:120]}"'


def _accepts(direction: Direction, rule: IngressRule | EgressRule, target: PodSelection) -> Iterator[_RuleCondition]:
    """Yields a rule for each pair of a peer and a protocol; no peers are every peer, no ports every port."""
    for peer in rule.peers or (None,):
        found = _peer(direction, peer, target.namespace)
        if found is None:
            continue
        named = target if direction == "ingress" else found.members[0] if found.members else EVERY_POD
        assert isinstance(named, PodSelection)  # noqa: S101 - of a peer
        for port in _ports(rule.ports, named):
            text = " ".join(part for part in (found.text, port.text, "accept") if part)
            yield _RuleCondition(text, (*found.members, *port.members))


def _peer(direction: Direction, peer: PolicyPeer | None, namespace: str) -> _RuleCondition | None:
    """Returns the match of one peer; None for one of another address family, which never matches."""
    if peer is None:
        return _RuleCondition("")
    side = PEER[direction]
    if peer.ip_block is not None:
        block = _block(side, peer.ip_block)
        return None if block is None else _RuleCondition(block)
    selection = _selection(peer, namespace)
    return _RuleCondition(f"ip {side} @{selection.set_name}", (selection,))


def _selection(peer: PolicyPeer, namespace: str) -> PodSelection:
    pods = (peer.pod_selector or PolicySelector()).requirements
    if peer.namespace_selector is None:
        return PodSelection(namespace, (), pods)
    namespaces = peer.namespace_selector.requirements
    return PodSelection(_one_namespace(namespaces), namespaces, pods)


def _one_namespace(requirements: Requirements) -> str:
    """Returns the namespace that the API server's own label names, so that pods of others need not be compared."""
    named = (r.values[0] for r in requirements if r.key == NAMESPACE_NAME and r.operator == "In" and len(r.values) == 1)
    return next(named, "")


def _block(side: str, block: IpBlock) -> str | None:
    network = ipaddress.ip_network(block.cidr, strict=False)
    if network.version != 4:  # pods have no other addresses
        return None
    excluded = [
        n for cidr in block.excluded if isinstance(n := ipaddress.ip_network(cidr, strict=False), ipaddress.IPv4Network)
    ]
    match = f"ip {side} {network}"
    if not excluded:
        return match
    return f"{match} ip {side} != {{ {', '.join(str(n) for n in ipaddress.collapse_addresses(excluded))} }}"


def _ports(ports: tuple[PolicyPort, ...], named: PodSelection) -> Iterator[_RuleCondition]:
    if not ports:
        yield _RuleCondition("")
    for protocol in sorted({port.protocol for port in ports}):
        same = [port for port in ports if port.protocol == protocol]
        yield from _of_protocol(protocol, same, named)


def _of_protocol(protocol: str, ports: list[PolicyPort], named: PodSelection) -> Iterator[_RuleCondition]:
    kernel_name = protocol.lower()
    if any(port.port is None for port in ports):
        yield _RuleCondition(f"meta l4proto {kernel_name}")
        return
    ranges = _joined((port.port, port.end_port or port.port) for port in ports if isinstance(port.port, int))
    if ranges:
        yield _RuleCondition(f"{kernel_name} dport {{ {', '.join(ranges)} }}")
    for port in ports:
        if isinstance(port.port, str):
            members = NamedPorts(named, protocol, port.port)
            yield _RuleCondition(f"ip daddr . {kernel_name} dport @{members.set_name}", (members,))


def _joined(ranges: Iterable[tuple[int, int]]) -> list[str]:
    """Joins ranges that overlap or touch, because a set refuses overlapping ones."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return [str(first) if first == last else f"{first}-{last}" for first, last in joined]


def _digest(value: object) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=8).hexdigest()
