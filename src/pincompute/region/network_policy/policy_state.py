"""Keeps what the kernel must enforce, and what changed since it was last told. It does no I/O.

It follows pods, namespaces and policies one by one. A pod's change costs its own elements; a policy's change costs its chain,
and the pods of the namespaces that it names. A pod that is not in the table yet has no network but DNS. An address that two
pods claim, one of which has lost it and does not say so yet, is nobody's.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from pincompute.api import labels
from pincompute.api.builtin import Namespace
from pincompute.api.meta import Key
from pincompute.api.network_policies import NetworkPod, NetworkPolicy, Requirements
from pincompute.region.network_policy.policy_compilation import (
    DIRECTIONS,
    CompiledPolicy,
    Direction,
    Members,
    NamedPorts,
    PodSelection,
    closed_policy,
    compile_policy,
    namespace_chain,
    namespace_rules,
    policy_chain,
)

K = TypeVar("K")
V = TypeVar("V")

log = logging.getLogger(__name__)

Element: TypeAlias = tuple[str, str]
"""A set or map, and a key in it."""


@dataclass(slots=True)
class RuleChange:
    """What differs between two states of the table. A value of None says that it is gone."""

    sets: dict[str, bool | None] = field(default_factory=dict[str, "bool | None"])  # whether it holds ports beside addresses
    chains: dict[str, tuple[str, ...] | None] = field(default_factory=dict[str, "tuple[str, ...] | None"])
    elements: dict[Element, str | None] = field(default_factory=dict[Element, "str | None"])  # the verdict, empty in sets
    replaced: frozenset[Element] = frozenset()  # elements that are there with another verdict

    def __bool__(self) -> bool:
        return bool(self.sets or self.chains or self.elements)


class PolicyState:
    """The table as it should be. `take` returns what changed since the last `take`; `whole` returns all of it."""

    def __init__(self) -> None:
        self._pods: dict[Key, NetworkPod] = {}
        self._claims: defaultdict[str, set[Key]] = defaultdict(set)  # address -> pods that say they have it
        self._in_namespace: defaultdict[str, set[Key]] = defaultdict(set)
        self._labels: dict[str, dict[str, str]] = {}
        self._policies: defaultdict[str, dict[Key, CompiledPolicy]] = defaultdict(dict)
        self._uses: Counter[Members] = Counter()
        self._scopes: defaultdict[str, dict[Members, None]] = defaultdict(dict)  # by namespace; those of all under ""
        self._held: dict[Key, dict[Element, str]] = {}  # elements by pod
        self._sets: dict[str, bool] = {}
        self._chains: dict[str, tuple[str, ...]] = {}
        self._elements: dict[Element, str] = {}
        self._before = RuleChange()
        self._given_up: set[str] = set()

    def pod(self, key: Key, pod: NetworkPod | None) -> None:
        """The pod is now so; None when it is gone."""
        old = self._pods.pop(key, None)
        self._in_namespace[key.namespace].discard(key)
        touched = {key}
        if old is not None:
            self._claims[old.address].discard(key)
            touched |= self._claims[old.address] or self._give_up(old.address)
        if pod is not None and _is_ipv4(pod.address):
            self._given_up.discard(pod.address)
            self._pods[key] = pod
            self._in_namespace[key.namespace].add(key)
            self._claims[pod.address].add(key)
            touched |= self._claims[pod.address]
        self._refresh_all(touched)

    def namespace(self, name: str, namespace: Namespace | None) -> None:
        """The namespace is now so; None when it is gone."""
        present = None if namespace is None else namespace.metadata.labels
        if present == self._labels.get(name):
            return
        if present is None:
            del self._labels[name]
        else:
            self._labels[name] = present
        self._rebuild_chains(name)
        self._refresh_all(self._in_namespace[name])
        if present is None:
            self._drop_chains(name)

    def policy(self, key: Key, policy: NetworkPolicy | None) -> None:
        """The policy is now so; None when it is gone."""
        new = None if policy is None else _compiled(policy)
        old = self._policies[key.namespace].pop(key, None)
        if new is not None:
            self._policies[key.namespace][key] = new
        before, after = (frozenset[Members]() if p is None else p.members for p in (old, new))
        scopes = self._use(after - before, 1) | self._use(before - after, -1)
        for direction in DIRECTIONS:
            self._set_chain(policy_chain(direction, key), None if new is None else new.rules.get(direction))
        self._rebuild_chains(key.namespace)
        self._refresh_all(self._pods if "" in scopes else self._of_namespaces({key.namespace, *scopes}))

    def take(self) -> RuleChange:
        """Returns what changed since the last time."""
        before, self._before = self._before, RuleChange()
        change = RuleChange(
            {name: self._sets.get(name) for name, old in before.sets.items() if old != self._sets.get(name)},
            {name: self._chains.get(name) for name, old in before.chains.items() if old != self._chains.get(name)},
        )
        for element, old in before.elements.items():
            new = self._elements.get(element)
            there = None if change.sets.get(element[0]) is not None else old  # a set that is new holds nothing yet
            gone = element[0] in change.sets and change.sets[element[0]] is None
            if new != there and not gone:
                change.elements[element] = new
        change.replaced = frozenset(
            e for e, new in change.elements.items() if new is not None and before.elements[e] is not None
        )
        return change

    def take_given_up(self) -> frozenset[str]:
        """Returns the addresses that pods have given up since the last time, and that no other pod has."""
        given_up, self._given_up = frozenset(self._given_up), set()
        return given_up

    def whole(self) -> RuleChange:
        """Returns everything, as a change of an empty table."""
        self._before = RuleChange()
        return RuleChange(dict(self._sets), dict(self._chains), dict(self._elements))

    def _give_up(self, address: str) -> set[Key]:
        self._given_up.add(address)
        return self._claims.pop(address)

    def _of_namespaces(self, names: Iterable[str]) -> Iterator[Key]:
        return (key for name in names for key in self._in_namespace[name])

    def _use(self, members: Iterable[Members], by: int) -> set[str]:
        """Counts uses of sets; returns the namespaces whose pods must be compared with sets that came or went."""
        scopes: set[str] = set()
        for member in members:
            self._uses[member] += by
            scope = _selection(member).namespace
            if by > 0 and self._uses[member] == 1:
                self._scopes[scope][member] = None
                self._set_set(member.set_name, isinstance(member, NamedPorts))
                scopes.add(scope)
            elif self._uses[member] == 0:
                del self._uses[member], self._scopes[scope][member]
                self._set_set(member.set_name, None)
                scopes.add(scope)
        return scopes

    def _rebuild_chains(self, namespace: str) -> None:
        if namespace not in self._labels:
            return
        for direction in DIRECTIONS:
            rules = namespace_rules(direction, self._policies[namespace].items())
            self._set_chain(namespace_chain(direction, namespace), rules)

    def _drop_chains(self, namespace: str) -> None:
        for direction in DIRECTIONS:
            self._set_chain(namespace_chain(direction, namespace), None)

    def _refresh_all(self, keys: Iterable[Key]) -> None:
        for key in tuple(keys):
            self._refresh(key)

    def _refresh(self, key: Key) -> None:
        """Brings the elements of one pod up to date."""
        old, new = self._held.pop(key, {}), dict(self._elements_of(key))
        for element in old.keys() - new.keys():
            self._set_element(element, None)
        for element, verdict in new.items():
            self._set_element(element, verdict)
        if new:
            self._held[key] = new

    def _elements_of(self, key: Key) -> Iterator[tuple[Element, str]]:
        pod, of_namespace = self._pods.get(key), self._labels.get(key.namespace)
        if pod is None or of_namespace is None or len(self._claims[pod.address]) > 1:
            return
        for member in (*self._scopes[key.namespace], *self._scopes[""]):
            if not _selects(_selection(member), of_namespace, pod):
                continue
            if isinstance(member, PodSelection):
                yield (member.set_name, pod.address), ""
            else:
                yield from (((member.set_name, f"{pod.address} . {port}"), "") for port in _numbers(member, pod))
        for direction in DIRECTIONS:
            isolated = self._isolated(direction, pod, of_namespace)
            yield (direction, pod.address), f"goto {namespace_chain(direction, key.namespace)}" if isolated else "accept"

    def _isolated(self, direction: Direction, pod: NetworkPod, of_namespace: Mapping[str, str]) -> bool:
        """A pod of a project is isolated before its first policy comes; any other, when a policy selects it."""
        if labels.PROJECT in of_namespace:
            return True
        policies = self._policies[pod.metadata.namespace].values()
        return any(direction in p.rules and _selects(p.target, of_namespace, pod) for p in policies)

    def _set_set(self, name: str, with_ports: bool | None) -> None:
        self._before.sets.setdefault(name, self._sets.get(name))
        _put(self._sets, name, with_ports)

    def _set_chain(self, name: str, rules: tuple[str, ...] | None) -> None:
        if self._chains.get(name) != rules:
            self._before.chains.setdefault(name, self._chains.get(name))
            _put(self._chains, name, rules)

    def _set_element(self, element: Element, verdict: str | None) -> None:
        if self._elements.get(element) != verdict:
            self._before.elements.setdefault(element, self._elements.get(element))
            _put(self._elements, element, verdict)


def _compiled(policy: NetworkPolicy) -> CompiledPolicy:
    """Returns the policy closed when it does not compile: one bad policy costs no other one."""
    try:
        return compile_policy(policy)
    except ValueError as error:
        said = {"policy": str(policy.key), "problem": str(error)}
        log.error("a network policy that does not compile is closed", extra=said)  # noqa: TRY400 - the trace says no more
        return closed_policy(policy)


def _put(table: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def _selection(member: Members) -> PodSelection:
    return member if isinstance(member, PodSelection) else member.selection


def _selects(selection: PodSelection, of_namespace: Mapping[str, str], pod: NetworkPod) -> bool:
    """Returns whether a selection that may match the pod's namespace selects the pod."""
    return _hold(selection.namespaces, of_namespace) and _hold(selection.pods, pod.metadata.labels)


def _hold(requirements: Requirements, held: Mapping[str, str]) -> bool:
    return all(requirement.holds(held) for requirement in requirements)


def _numbers(named: NamedPorts, pod: NetworkPod) -> set[int]:
    ports = (port for container in (*pod.spec.containers, *pod.spec.init_containers) for port in container.ports)
    return {port.container_port for port in ports if (port.name, port.protocol) == (named.port, named.protocol)}


def _is_ipv4(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).version == 4
    except ValueError:
        return False
