"""Makes the DaemonSet of a daemon in one member, and the figures of its nodes.

The DaemonSet updates as many nodes as the shard allows; where it allows none, it only makes copies that are missing. Kubernetes
ends a copy at once where a version does not select its node, so a version that would end more than it may is refused. A copy
has the rights of Pod Security `restricted`, and beyond them exactly what the daemon says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from pincompute.api import conditions, json_digest, labels, merge_patch, quantity
from pincompute.api.builtin import DAEMONSETS, ContainerStatus, DaemonSet, Node, Pod, Taint
from pincompute.api.daemons import (
    PINDAEMONSHARDS,
    DaemonContainer,
    DaemonToleration,
    DaemonVersion,
    DaemonVolume,
    PinDaemonShard,
    PinDaemonShardStatus,
)
from pincompute.api.meta import Key, Manifest
from pincompute.api.quantity import Quantity
from pincompute.domain import container_failure, shard_pods

MIRROR = "kubernetes.io/config.mirror"  # annotation on pods that show what a node runs from a file of its own
ESCALATING = "SYS_ADMIN"  # Kubernetes takes no container that has this capability and may not gain privileges
KEEP_AWAY = ("NoSchedule", "NoExecute")  # effects of taints that end a copy which does not tolerate them
STATE_OF_NODE = "node.kubernetes.io/"  # of taints for what is wrong with a node, which Kubernetes lets every daemon tolerate


def key(shard: PinDaemonShard) -> Key:
    return Key(labels.DAEMONS_NAMESPACE, shard.metadata.name)


def render(shard: PinDaemonShard) -> Manifest:
    """Returns the DaemonSet, with the digest of all of it."""
    name, version = shard.metadata.name, shard.spec.version
    of_pods = {labels.MANAGED_BY: labels.PINCOMPUTE, labels.DAEMON: name, labels.REVISION: version.revision}
    spec: Manifest = {
        "selector": {"matchLabels": {labels.DAEMON: name}},
        "updateStrategy": _strategy(shard.spec.max_unavailable),
        "revisionHistoryLimit": 1,
        "template": {"metadata": {"labels": of_pods}, "spec": _pod(name, version)},
    }
    metadata = {
        "name": name,
        "namespace": labels.DAEMONS_NAMESPACE,
        "labels": of_pods,
        "annotations": {labels.RENDERED: json_digest.of(spec)[:16]},
        "ownerReferences": [shard_pods.owner(PINDAEMONSHARDS, shard)],
    }
    return {"apiVersion": DAEMONSETS.api_version, "kind": DAEMONSETS.kind, "metadata": metadata, "spec": spec}


def is_rendered(found: DaemonSet, wanted: Manifest) -> bool:
    """Returns whether the DaemonSet is what the operator would write, as nobody else may write it."""
    return found.metadata.annotations.get(labels.RENDERED) == wanted["metadata"]["annotations"][labels.RENDERED]


def _strategy(max_unavailable: int) -> Manifest:
    if not max_unavailable:
        return {"type": "OnDelete"}
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": max_unavailable, "maxSurge": 0}}


def _pod(name: str, version: DaemonVersion) -> Manifest:
    container = version.container
    security = container.security_context
    return {
        "priorityClassName": labels.priority_class(labels.DAEMONS),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "nodeSelector": dict(version.node_selector),
        "tolerations": [merge_patch.to_json(each) | {"operator": each.operator} for each in version.tolerations],
        **({"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"} if security.host_network else {}),
        **({"hostPID": True} if security.host_pid else {}),
        "securityContext": {} if security.privileged else {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(name, container)],
        "volumes": [_volume(each) for each in container.volumes],
    }


def _container(name: str, container: DaemonContainer) -> Manifest:
    health = container.health
    probe: Manifest = {}
    if health is not None:
        asked = {"path": health.path, "port": health.port}
        probe = {"readinessProbe": {"httpGet": asked, "periodSeconds": health.period_seconds}}
    fields = ({"name": n, "valueFrom": {"fieldRef": {"fieldPath": f}}} for n, f in container.pod_fields.items())
    return {
        "name": name,
        "image": container.image,
        **({"command": list(container.command)} if container.command else {}),
        **({"args": list(container.args)} if container.args else {}),
        "env": [*({"name": n, "value": v} for n, v in container.env.items()), *fields],
        "ports": [_port(each.name, each.port, each.host_port, each.protocol) for each in container.ports],
        "resources": {
            "requests": {"cpu": container.cpu, "memory": container.memory},
            "limits": {"memory": container.memory, "ephemeral-storage": _storage(container)},
        },
        "volumeMounts": [_mount(each) for each in container.volumes],
        "securityContext": _security(container),
        **probe,
    }


def _storage(container: DaemonContainer) -> str:
    """Returns what a copy may write to its node's disk: Kubernetes counts empty folders too against the limits of a pod."""
    folders = (each.size_limit for each in container.volumes if each.host_path is None)
    total = sum(quantity.memory_bytes(each) for each in (container.storage, *folders))
    return quantity.shortest(Quantity(total * quantity.UNIT))


def _port(name: str, port: int, host_port: int | None, protocol: str) -> Manifest:
    of_node = {"hostPort": host_port} if host_port is not None else {}
    return {"name": name, "containerPort": port, "protocol": protocol, **of_node}


def _mount(volume: DaemonVolume) -> Manifest:
    return {"name": volume.name, "mountPath": volume.mount_path, **({"readOnly": True} if volume.read_only else {})}


def _volume(volume: DaemonVolume) -> Manifest:
    if volume.host_path is None:
        return {"name": volume.name, "emptyDir": {"sizeLimit": volume.size_limit}}
    return {"name": volume.name, "hostPath": {"path": volume.host_path.path, "type": volume.host_path.type}}


def _security(container: DaemonContainer) -> Manifest:
    given = container.security_context
    user = {} if given.run_as_user is None else {"runAsUser": given.run_as_user}
    made: Manifest = {
        "readOnlyRootFilesystem": given.read_only_root_filesystem,
        "runAsNonRoot": given.run_as_user != 0 and not given.privileged,
        **user,
    }
    if given.privileged:
        return {**made, "privileged": True}
    added = {"add": list(given.capabilities)} if given.capabilities else {}
    escalates = any(each.removeprefix("CAP_") == ESCALATING for each in given.capabilities)
    return {**made, "allowPrivilegeEscalation": escalates, "capabilities": {"drop": ["ALL"], **added}}


def daemon_of(pod: Pod) -> str:
    """Returns the daemon that a pod is a copy of by the DaemonSet that owns it, or an empty text. A label proves nothing, and a
    mirror pod comes from a file of its node.
    """
    if pod.metadata.namespace != labels.DAEMONS_NAMESPACE or MIRROR in pod.metadata.annotations:
        return ""
    owners = (each for each in pod.metadata.owner_references if each.controller and each.kind == DAEMONSETS.kind)
    return next((each.name for each in owners), "")


def copies(found: DaemonSet | None, pods: Iterable[Pod]) -> tuple[Pod, ...]:
    """Returns those of the pods that the DaemonSet has made; without one, all that a former one of the name has left."""
    return tuple(pod for pod in pods if found is None or _is_owned(pod, found))


def _is_owned(pod: Pod, found: DaemonSet) -> bool:
    return any(each.uid == found.metadata.uid for each in pod.metadata.owner_references)


def status(
    shard: PinDaemonShard, found: DaemonSet | None, pods: Iterable[Pod], not_ready_nodes: Collection[str]
) -> PinDaemonShardStatus:
    """Returns the figures, in nodes. `not_ready_nodes` are the nodes of the pods that are not ready themselves.

    What the update may still take is reported before it is in force, and taken back when Kubernetes no longer acts on it.
    """
    before, meta = shard.status, shard.metadata
    acted_on = in_force(shard, found)
    held = max(before.observed_max_unavailable, shard.spec.max_unavailable, _max_unavailable(found))
    live = [pod for pod in pods if not pod.deleting]
    updated = [pod for pod in live if pod.metadata.labels.get(labels.REVISION) == shard.spec.version.revision]
    ready, updated_ready = _nodes(filter(_is_ready, live)), _nodes(filter(_is_ready, updated))
    unavailable = [pod for pod in updated if _node(pod) not in updated_ready and pod.spec.node_name not in not_ready_nodes]
    failures = {_node(pod): why for pod in unavailable if (why := failure(pod))}
    nodes = found.status.desired_number_scheduled if found is not None else 0
    return PinDaemonShardStatus(
        observed_generation=meta.generation if acted_on else before.observed_generation,
        observed_max_unavailable=shard.spec.max_unavailable if acted_on else held,
        revision=shard.spec.version.revision,
        nodes=nodes,
        ready=min(nodes, len(ready)),
        updated=min(nodes, len(_nodes(updated))),
        updated_ready=min(nodes, len(updated_ready)),
        updated_unavailable=min(nodes, len(_nodes(unavailable))),
        failing=min(nodes, len(failures)),
        not_ready_nodes=min(nodes, len(not_ready_nodes)),
        message=_message(shard, sorted(failures.values()), live, not_ready_nodes),
    )


def _nodes(pods: Iterable[Pod]) -> frozenset[str]:
    return frozenset(map(_node, pods))


def _node(pod: Pod) -> str:
    """Returns the node of a copy. One that waits for room has none yet, and is the only one for its node."""
    return pod.spec.node_name or pod.metadata.uid


def replaceable(shard: PinDaemonShard, pods: Iterable[Pod], not_ready_nodes: Collection[str]) -> list[Pod]:
    """Returns the copies of another version that cannot serve, on nodes that live: to replace them takes nothing from anybody,
    so a corrected version heals them whatever the account has left. One that runs and is not ready may be ready in a moment, so
    only a version that has proved itself replaces it.
    """
    others = (pod for pod in pods if pod.metadata.labels.get(labels.REVISION) != shard.spec.version.revision)
    there = (pod for pod in others if not pod.deleting and not _is_ready(pod) and pod.spec.node_name not in not_ready_nodes)
    return [pod for pod in there if shard.spec.proven or failure(pod)]


def refusal(shard: PinDaemonShard, found: DaemonSet | None, pods: Iterable[Pod], nodes: Mapping[str, Node]) -> str:
    """Returns why a version that has yet to prove itself may not be written here: it would take the copies from more nodes than
    may be without one, or from all. Empty where it may, and where it is there already. `nodes` are those of the pods.
    """
    spec = shard.spec
    if found is None or spec.proven or found.metadata.labels.get(labels.REVISION) == spec.version.revision:
        return ""
    having = {pod.spec.node_name for pod in pods if not pod.deleting} & nodes.keys()
    losing = [name for name in having if not _selects(spec.version, nodes[name])]
    would = f"version {spec.version.revision} would end the copies on {len(losing)} of {len(having)} nodes"
    correct = f"{would}, which its nodeSelector and tolerations leave out: correct these"
    if having and len(losing) == len(having):
        return f"{correct}, or delete the daemon and write it anew"
    if len(losing) > spec.max_unavailable:
        return f"{correct}, or allow it with update.maxUnavailable ({spec.max_unavailable} may be without a copy here now)"
    return ""


def _selects(version: DaemonVersion, node: Node) -> bool:
    """Returns whether a node is to have a copy. Kubernetes itself lets copies stay under the taints of a node's own state."""
    taints = (each for each in node.spec.taints if each.effect in KEEP_AWAY and not each.key.startswith(STATE_OF_NODE))
    has = node.metadata.labels
    return all(has.get(name) == value for name, value in version.node_selector.items()) and all(
        any(_tolerates(toleration, taint) for toleration in version.tolerations) for taint in taints
    )


def _tolerates(toleration: DaemonToleration, taint: Taint) -> bool:
    if toleration.effect not in ("", taint.effect) or (toleration.key or taint.key) != taint.key:
        return False
    return toleration.operator == "Exists" or toleration.value == taint.value


def in_force(shard: PinDaemonShard, found: DaemonSet | None) -> bool:
    """Returns whether Kubernetes acts on the DaemonSet as the shard says now."""
    return found is not None and is_rendered(found, render(shard)) and _is_observed(found)


def _message(shard: PinDaemonShard, failures: list[str], live: list[Pod], not_ready_nodes: Collection[str]) -> str:
    if failures:
        return failures[0]
    waiting = sorted(why for pod in live if not pod.spec.node_name and (why := _no_room(pod)))
    if waiting:
        return f"{shard.metadata.name} has no room: {waiting[0]}"
    return f"{min(not_ready_nodes)} is not ready" if not_ready_nodes else ""


def _no_room(pod: Pod) -> str:
    found = conditions.find(pod.status.conditions, "PodScheduled")
    return container_failure.short(found.message) if found is not None and found.status == "False" else ""


def _is_observed(found: DaemonSet) -> bool:
    return found.status.observed_generation >= found.metadata.generation


def _max_unavailable(found: DaemonSet | None) -> int:
    rolling = found.spec.update_strategy.rolling_update if found is not None else None
    given = rolling.max_unavailable if rolling is not None else 0
    return given if isinstance(given, int) else 0


def _is_ready(pod: Pod) -> bool:
    return conditions.is_true(pod.status.conditions, "Ready")


def failure(pod: Pod) -> str:
    """Returns why a copy cannot start or has crashed; empty where it runs, is starting, or waits for a registry that does not
    answer, which no other version would help.
    """
    return next(_failures(pod), "")


def _failures(pod: Pod) -> Iterator[str]:
    images = {container.name: container.image for container in pod.spec.containers}
    for found in pod.status.container_statuses:
        if why := _failure(found, images.get(found.name, "")):
            yield why


def _failure(found: ContainerStatus, image: str) -> str:
    if found.state is None:
        return ""
    again = f"pin admin daemon status {found.name}"
    if found.state.terminated is not None:
        return container_failure.ended(found.name, found.state.terminated, again).message
    waiting = found.state.waiting
    if waiting is None:
        return ""
    if waiting.reason in container_failure.IMAGE:
        pull = container_failure.image_pull(found.name, image, waiting.reason, waiting.message)
        return pull.message if pull.final else ""
    if waiting.reason in container_failure.START:
        return container_failure.start(found.name, waiting.reason, waiting.message).message
    if waiting.reason != "CrashLoopBackOff":
        return ""
    last = found.last_state.terminated if found.last_state is not None else None
    return container_failure.ended(found.name, last, again).message if last is not None else f"{found.name} crashes"
