"""Keeps the DaemonSet of each daemon as its shard says, and reports how many nodes have a ready copy of which version.

What an update may take is reported before the DaemonSet may take it. So the federation never gives a part of the account to
another member that this one may still use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pincompute.api import conditions
from pincompute.api.builtin import DAEMONSETS, NODES, PODS, DaemonSet, Node, Pod
from pincompute.api.daemons import PINDAEMONSHARDS, PinDaemonShard
from pincompute.api.labels import DAEMONS_NAMESPACE, LOCAL, PODS_FINALIZER
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.domain import daemon_set
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.plan import Action, Confirm, Create, Delete, Patch, Plan, Ref, plan, status_update, update
from pincompute.kube.cache_views import Unknown, View, Views

BY_DAEMON = "daemon"  # index over pods: the daemon that they are copies of
BY_DAEMON_NODE = "daemon-node"  # index over copies: their node


def _by_daemon(pod: Pod) -> Iterable[str]:
    name = daemon_set.daemon_of(pod)
    return (name,) if name else ()


def _by_node(pod: Pod) -> Iterable[str]:
    return (pod.spec.node_name,) if pod.spec.node_name and any(_by_daemon(pod)) else ()


INDEXES: Mapping[Resource[Any], Mapping[str, Any]] = {PODS: {BY_DAEMON: _by_daemon, BY_DAEMON_NODE: _by_node}}


@dataclass(frozen=True, slots=True)
class ObservedDaemon:
    """`pods` are the copies, and `nodes` their nodes by name; `not_ready_nodes`: those that are not, or gone."""

    shard: PinDaemonShard
    daemon_set: DaemonSet | None
    pods: tuple[Pod, ...]
    not_ready_nodes: frozenset[str]
    nodes: Mapping[str, Node] = field(default_factory=dict[str, Node])

    @property
    def ref(self) -> Ref:
        return Ref(LOCAL, PINDAEMONSHARDS, self.shard.key)

    @property
    def daemon_set_ref(self) -> Ref:
        return Ref(LOCAL, DAEMONSETS, daemon_set.key(self.shard))


def decide(seen: ObservedDaemon) -> Plan:
    shard = seen.shard
    if shard.deleting:
        return _ended(seen)
    status = daemon_set.status(shard, seen.daemon_set, seen.pods, seen.not_ready_nodes)
    refusal = daemon_set.refusal(shard, seen.daemon_set, seen.pods, seen.nodes)
    if refusal:
        status = msgspec.structs.replace(status, message=refusal)
    writes = () if refusal else _write(seen, daemon_set.render(shard)) or _replacements(seen)
    guard = (Confirm(seen.ref, shard.metadata.uid, shard.metadata.generation),) if writes else ()
    report = status_update(seen.ref, shard.metadata, shard.status, status, "its nodes changed")
    return plan(guard, report, writes)


def _write(seen: ObservedDaemon, wanted: Manifest) -> tuple[Action, ...]:
    found = seen.daemon_set
    if found is None:
        return (Create(seen.daemon_set_ref, wanted, "the daemon has no DaemonSet here"),)
    if found.deleting or daemon_set.is_rendered(found, wanted):
        return ()
    spec = seen.shard.spec
    why = f"{spec.max_unavailable} nodes may be without a ready copy for version {spec.version.revision}"
    return (update(seen.daemon_set_ref, found.metadata, wanted, why),)


def _replacements(seen: ObservedDaemon) -> tuple[Action, ...]:
    """Ends copies of another version that do not serve. A copy that serves now is another version of the pod, and stays."""
    if not daemon_set.in_force(seen.shard, seen.daemon_set):
        return ()
    found = daemon_set.replaceable(seen.shard, seen.pods, seen.not_ready_nodes)
    why = f"does not serve, and is to have version {seen.shard.spec.version.revision}"
    return tuple(Delete(Ref(LOCAL, PODS, p.key), p.metadata.uid, why, p.metadata.resource_version) for p in found)


def _ended(seen: ObservedDaemon) -> Plan:
    """Removes the DaemonSet and waits for its pods, then lets the shard go."""
    meta = seen.shard.metadata
    if PODS_FINALIZER not in meta.finalizers:
        return Plan(why="the shard is being deleted by others")
    found = seen.daemon_set
    if found is not None:
        last = () if found.deleting else (Delete(seen.daemon_set_ref, found.metadata.uid, "its daemon is deleted"),)
        return plan(last, why="waits for the DaemonSet to go")
    if seen.pods:
        return plan(why=f"waits for {len(seen.pods)} copies to end")
    body: Manifest = {"metadata": {"finalizers": [each for each in meta.finalizers if each != PODS_FINALIZER]}}
    gone = (Confirm(seen.daemon_set_ref, ""),)
    return plan(gone, (Patch(seen.ref, body, meta.uid, meta.resource_version, "no copy runs here any more"),))


def observe(key: Key, views: Views, _now: object) -> ObservedDaemon | None:
    """Raises Unknown until shards, DaemonSets, pods and nodes are known."""
    shard: PinDaemonShard | None = _synced(views, PINDAEMONSHARDS).get(key)
    if shard is None:
        return None
    found: DaemonSet | None = _synced(views, DAEMONSETS).get(daemon_set.key(shard))
    pods = daemon_set.copies(found, _synced(views, PODS).by(BY_DAEMON, key.name))
    nodes = _nodes(pods, _synced(views, NODES))
    not_ready = frozenset(name for name, node in nodes.items() if not _is_up(node))
    return ObservedDaemon(shard, found, pods, not_ready, {name: node for name, node in nodes.items() if node is not None})


def _nodes(pods: Iterable[Pod], nodes: View[Node]) -> Mapping[str, Node | None]:
    """Returns the nodes of the pods by name; None for one that is gone."""
    names = {pod.spec.node_name for pod in pods if pod.spec.node_name}
    return {name: nodes.get(Key("", name)) for name in names}


def _is_up(node: Node | None) -> bool:
    return node is not None and conditions.is_true(node.status.conditions, "Ready")


def _synced(views: Views, resource: Resource[Any]) -> View[Any]:
    view = views.view(LOCAL, resource)
    if not view.synced:
        raise Unknown(f"{resource} have not synced")
    return view


def _of_pod(_cluster: str, pod: Pod) -> Iterable[Key]:
    return [Key("", name) for name in _by_daemon(pod)]


def _of_daemon_set(_cluster: str, obj: Object) -> Iterable[Key]:
    return (Key("", obj.metadata.name),)


def _nothing(_cluster: str, _obj: Object) -> Iterable[Key]:
    return ()


def _on_node(cluster: str, node: Node, views: Views) -> Iterable[Key]:
    """Returns the daemons that have a copy on the node."""
    return [key for pod in views.view(LOCAL, PODS).by(BY_DAEMON_NODE, node.metadata.name) for key in _of_pod(cluster, pod)]


def _read_of(node: Node) -> object:
    return _is_up(node), node.metadata.labels, node.spec.taints


CONTROLLER: Controller[Key, ObservedDaemon] = Controller(
    Card(
        name="operator.daemon",
        promise="Each daemon has a copy per node here, and an update takes no more nodes at a time than the shard allows.",
        key="the PinDaemonShard",
        reads=(
            ReadAccess("local", PINDAEMONSHARDS, own_key),
            ReadAccess("local", DAEMONSETS, _of_daemon_set, namespace=DAEMONS_NAMESPACE),
            ReadAccess("local", PODS, _of_pod),
            ReadAccess("local", NODES, _nothing, _on_node, part=_read_of),
        ),
        writes=(
            WriteAccess("local", PINDAEMONSHARDS, ("patch", "status")),
            WriteAccess("local", DAEMONSETS, ("create", "update", "delete"), namespace=DAEMONS_NAMESPACE),
            WriteAccess("local", PODS, ("delete",), namespace=DAEMONS_NAMESPACE),
        ),
        coalesce=0.5,
    ),
    observe,
    decide,
)
