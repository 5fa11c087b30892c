"""Makes the CustomResourceDefinition of every kind from its struct, the pod template's schema and the rules.

A shard's template is stored unvalidated because the host has validated it, and because a member with an older definition must
not drop a field that it does not know.
"""

from __future__ import annotations

import copy
from typing import Any

from pincompute.api import (
    daemons,
    member_clusters,
    projects,
    revisions,
    rule_compiler,
    settings,
    sidecars,
    structural_schema,
    template_schema,
    validation_rules,
)
from pincompute.api.kinds import AGE, KINDS, Column, Kinds, WorkloadKind
from pincompute.api.meta import Manifest, Resource
from pincompute.api.structural_schema import Schema

_READY = ".status.conditions[?(@.type=='Ready')]"


def host(kinds: Kinds = KINDS) -> list[Manifest]:
    """What the host cluster must know."""
    workloads = (_workload(kind) for kind in kinds)
    return [*workloads, _revision(), _member_cluster(), _project(), *_settings(), _sidecar(), _daemon()]


def member(kinds: Kinds = KINDS) -> list[Manifest]:
    """What a member cluster must know."""
    return [*(_shard(kind) for kind in kinds), _cluster_capacity(), _sidecar_shard(), _daemon_shard()]


def workload_schema(kind: WorkloadKind) -> Schema:
    """The schema of a workload with its rules, which an admission policy judges (see `policies`) and not the definition."""
    root = structural_schema.of_kind(kind.workload.type)
    _attach(root, validation_rules.WORKLOAD_NAME)
    for path, more in kind.rules.items():
        _attach(structural_schema.at(root, path), *more)
    _set_placement(root)
    for path in kind.templates:
        _set_template(root, path, kind.pod_rules)
    return root


def _workload(kind: WorkloadKind) -> Manifest:
    root = rule_compiler.without_rules(workload_schema(kind))
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    return _definition(kind.workload, root, kind.columns, (kind.short,), scale if kind.scalable else None)


def _revision() -> Manifest:
    columns = (
        Column("Number", ".spec.number", "integer", "Counts the revisions of its workload"),
        Column("Revision", ".spec.revision", description="Name of the template"),
        Column("Workload", ".metadata.ownerReferences[0].name", description="Whose template it was"),
        Column("Note", ".spec.note", description="What somebody noted about it"),
        AGE,
        Column("Image", ".spec.template.spec.containers[*].image", description="Images of the containers", priority=1),
    )
    return _definition(revisions.PINREVISIONS, structural_schema.of_kind(revisions.PINREVISIONS.type), columns, ("pr",))


def _member_cluster() -> Manifest:
    root = structural_schema.of_kind(member_clusters.MEMBERCLUSTERS.type)
    _attach(root, validation_rules.CLUSTER_NAME, validation_rules.RESERVED_CLUSTER_NAMES)
    _attach(structural_schema.at(root, "spec.zone"), validation_rules.DNS_LABEL, validation_rules.IMMUTABLE_ZONE)
    columns = (
        Column("Zone", ".spec.zone"),
        Column("Ready", f"{_READY}.status"),
        Column("Nodes", ".status.capacity.readyNodes", "integer", "Nodes that are ready"),
        Column("Pods", ".status.capacity.runningPods", "integer", "Pods that run"),
        Column("Version", ".status.capacity.kubeletVersion"),
        Column("Message", f"{_READY}.message"),
        AGE,
        Column("Unschedulable", ".spec.unschedulable", "boolean", "Takes no new work", 1),
    )
    return _definition(member_clusters.MEMBERCLUSTERS, root, columns, ("mc",))


def _project() -> Manifest:
    root = structural_schema.of_kind(projects.PROJECTS.type)
    _attach(root, validation_rules.PROJECT_NAME, validation_rules.RESERVED_PROJECT_NAMES)
    _attach(structural_schema.at(root, "spec.podSecurity"), *validation_rules.POD_SECURITY)
    _attach(structural_schema.at(root, "spec.podSecurity.until"), validation_rules.UNTIL)
    _attach(structural_schema.at(root, "spec.network.egress[]"), validation_rules.PUBLIC_ADDRESSES)
    _attach(structural_schema.at(root, "spec.network.egress[].ports[]"), validation_rules.PORT_RANGE)
    for amount in ("cpu", "memory", "storage"):
        _attach(structural_schema.at(root, f"spec.limits.{amount}"), validation_rules.QUANTITY)
    columns = (
        Column("Ready", f"{_READY}.status"),
        Column("Security", ".status.podSecurity", description="Level of Pod Security that holds now"),
        Column("Description", ".spec.description"),
        Column("Message", f"{_READY}.message"),
        AGE,
    )
    return _definition(projects.PROJECTS, root, columns, ("proj",))


def _settings() -> list[Manifest]:
    columns = (
        Column("Version", ".spec.version", "integer", "The version in use"),
        Column("Set", ".spec.versions[-1:].time", "date", "When a version was set last"),
        Column("By", ".spec.versions[-1:].author", description="Who set it"),
        AGE,
    )
    made: list[Manifest] = []
    for kind, short in ((settings.SECRET, "psec"), (settings.CONFIG, "pcfg")):
        root = structural_schema.of_kind(kind.resource.type)
        _attach(root, validation_rules.SETTING_NAME)
        made.append(_definition(kind.resource, root, columns, (short,)))
    return made


def _sidecar() -> Manifest:
    root = structural_schema.of_kind(sidecars.PINSIDECARS.type)
    _attach(root, validation_rules.SIDECAR_NAME)
    container = structural_schema.at(root, "spec.container")
    _set_program(container)
    _attach(structural_schema.at(container, "shared"), *validation_rules.SHARED_ONCE)
    shared = structural_schema.at(container, "shared[]")
    _attach(structural_schema.at(shared, "name"), validation_rules.DNS_LABEL)
    _attach(structural_schema.at(shared, "mountPath"), validation_rules.FOLDER)
    _attach(structural_schema.at(shared, "sizeLimit"), validation_rules.QUANTITY)
    _attach(structural_schema.at(root, "spec.update"), *validation_rules.FLEET_UPDATE)
    columns = (
        Column("State", ".status.rollout.state", description="How far the version has come"),
        Column("Pods", ".status.pods", "integer", "Pods that have it"),
        Column("Updated", ".status.updated", "integer", "Pods with the wanted version"),
        Column("Paid by", ".spec.paidBy", description="Whose its requests are"),
        Column("Image", ".spec.container.image"),
        Column("Message", ".status.message", description="What waits or is wrong"),
        AGE,
    )
    return _definition(sidecars.PINSIDECARS, root, columns, ("ps",))


def _set_program(container: Schema) -> None:
    """Sets the rules of a program of the platform, which sidecars and daemons have in common."""
    for amount in ("cpu", "memory"):
        _attach(structural_schema.at(container, amount), validation_rules.QUANTITY)
    _attach(container, *validation_rules.SIDECAR_AMOUNTS)
    _attach(structural_schema.at(container, "image"), validation_rules.SIDECAR_IMAGE, validation_rules.PROGRAM_IMAGE)
    for variables in ("env", "podFields"):
        _attach(structural_schema.at(container, variables), validation_rules.VARIABLE_NAMES)
    _attach(structural_schema.at(container, "podFields")["additionalProperties"], validation_rules.POD_FIELD)


def _daemon() -> Manifest:
    root = structural_schema.of_kind(daemons.PINDAEMONS.type)
    _attach(root, validation_rules.DAEMON_NAME)
    container = structural_schema.at(root, "spec.container")
    _set_program(container)
    _attach(structural_schema.at(container, "storage"), validation_rules.QUANTITY)
    _attach(container, validation_rules.NODE_IMAGE)
    _attach(structural_schema.at(container, "ports"), validation_rules.DAEMON_PORTS)
    _attach(structural_schema.at(container, "ports[].name"), validation_rules.PORT_NAME)
    _attach(structural_schema.at(container, "volumes"), *validation_rules.DAEMON_VOLUMES)
    volume = structural_schema.at(container, "volumes[]")
    _attach(structural_schema.at(volume, "name"), validation_rules.DNS_LABEL)
    _attach(structural_schema.at(volume, "mountPath"), validation_rules.FOLDER)
    _attach(structural_schema.at(volume, "sizeLimit"), validation_rules.QUANTITY)
    _attach(structural_schema.at(volume, "hostPath.path"), validation_rules.HOST_PATH)
    security = structural_schema.at(container, "securityContext")
    _attach(security, validation_rules.PRIVILEGES)
    _attach(structural_schema.at(security, "capabilities[]"), validation_rules.CAPABILITY)
    selector = structural_schema.at(root, "spec.nodeSelector")
    _attach(selector, validation_rules.NODE_LABELS)
    _attach(selector["additionalProperties"], validation_rules.LABEL_VALUE)
    _attach(structural_schema.at(root, "spec.tolerations[]"), *validation_rules.DAEMON_TOLERATION)
    _attach(structural_schema.at(root, "spec.sharing"), *validation_rules.SHARING)
    _attach(structural_schema.at(root, "spec.update"), *validation_rules.DAEMON_UPDATE)
    columns = (
        Column("State", ".status.rollout.state", description="How far the version has come"),
        Column("Nodes", ".status.nodes", "integer", "Nodes that should have a copy"),
        Column("Ready", ".status.ready", "integer", "Nodes with a ready copy"),
        Column("Updated", ".status.updated", "integer", "Nodes with the wanted version"),
        Column("Image", ".spec.container.image"),
        Column("Message", ".status.message", description="What waits or is wrong"),
        AGE,
    )
    return _definition(daemons.PINDAEMONS, root, columns, ("pd",))


def _daemon_shard() -> Manifest:
    columns = (
        Column("Nodes", ".status.nodes", "integer", "Nodes that should have a copy"),
        Column("Ready", ".status.ready", "integer", "Nodes with a ready copy"),
        Column("Version", ".spec.version.revision", description="Version that nodes are brought to"),
        AGE,
    )
    return _definition(daemons.PINDAEMONSHARDS, _stored_as_it_comes(daemons.PINDAEMONSHARDS), columns, ("pds",))


def _sidecar_shard() -> Manifest:
    columns = (
        Column("Pods", ".status.pods", "integer", "Pods that have it"),
        Column("Target", ".spec.target", description="Version that pods are brought to"),
        AGE,
    )
    return _definition(sidecars.PINSIDECARSHARDS, _stored_as_it_comes(sidecars.PINSIDECARSHARDS), columns, ("pss",))


def _shard(kind: WorkloadKind) -> Manifest:
    return _definition(kind.shard, _stored_as_it_comes(kind.shard), kind.shard_columns, (kind.shard_short,))


def _stored_as_it_comes(shard: Resource[Any]) -> Schema:
    """Returns the schema of a shard, which leaves spec and status as they come: only the platform writes them, and the API
    server is spared their schema.
    """
    root = structural_schema.of_kind(shard.type)
    for part in ("spec", "status"):
        root["properties"][part] = structural_schema.opaque(root["properties"][part]["description"])
    return root


def _cluster_capacity() -> Manifest:
    root = structural_schema.of_kind(member_clusters.CLUSTERCAPACITIES.type)
    _attach(root, validation_rules.SINGLETON)
    columns = (
        Column("Nodes", ".status.capacity.readyNodes", "integer"),
        Column("CPU", ".status.capacity.allocatable.cpu", "integer", "Milli-cores"),
        Column("Requested", ".status.capacity.requested.cpu", "integer", "Milli-cores requested"),
        Column("Pods", ".status.capacity.runningPods", "integer"),
        AGE,
    )
    return _definition(member_clusters.CLUSTERCAPACITIES, root, columns, ("cc",))


def _set_placement(root: Schema) -> None:
    for names in ("zones", "clusters"):
        _attach(structural_schema.at(root, f"spec.placement.{names}[]"), validation_rules.DNS_LABEL)


def _set_template(root: Schema, path: str, more: tuple[validation_rules.Rule, ...]) -> None:
    template = copy.deepcopy(template_schema.schema())
    _attach(structural_schema.at(template, "metadata.labels"), *validation_rules.KEYS)
    annotations = structural_schema.at(template, "metadata.annotations")
    _attach(annotations, *validation_rules.ANNOTATION_KEYS, validation_rules.NOTES_LENGTH)
    pod = structural_schema.at(template, "spec")
    _attach(pod, *validation_rules.POD_SPEC, *more)
    _attach(structural_schema.at(pod, "tolerations[]"), validation_rules.TOLERATION)
    for where in ("containers", "initContainers"):
        _attach(structural_schema.at(pod, f"{where}[]"), *validation_rules.NAMED_PORTS)
        _attach(structural_schema.at(pod, f"{where}[].ports"), validation_rules.PORTS)
        _attach(structural_schema.at(pod, f"{where}[].resources"), validation_rules.REQUESTS_FIT)
    for whose in ("", "containers[].", "initContainers[]."):
        for part in ("requests", "limits"):
            _attach(structural_schema.at(pod, f"{whose}resources.{part}"), *validation_rules.LEAST_AMOUNTS)
    above, _, name = path.rpartition(".")
    fields = structural_schema.at(root, above)["properties"]
    fields[name] = template | {"description": fields[name]["description"]}


def _attach(part: Schema, *more: validation_rules.Rule) -> None:
    part.setdefault("x-kubernetes-validations", []).extend(rule.manifest() for rule in more)


def _definition(
    resource: Resource[Any], root: Schema, columns: tuple[Column, ...], short: tuple[str, ...], scale: Manifest | None = None
) -> Manifest:
    served: Manifest = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": root},
        "subresources": {"status": {}, **({"scale": scale} if scale else {})},
        "additionalPrinterColumns": [column.manifest() for column in columns],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{resource.group}"},
        "spec": {
            "group": resource.group,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": resource.kind.lower(),
                "shortNames": list(short),
                "categories": ["pincompute"],
            },
            "versions": [served],
        },
    }
