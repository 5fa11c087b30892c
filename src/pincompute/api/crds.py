"""CustomResourceDefinitions of every kind, made from the structs, the pod template's schema and the rules.

The surprising rule: a shard's template is stored as it comes, because the host validated it, and a member with an older
definition must not drop a field it does not know.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from pincompute.api import clusters, podtemplate, revisions, rules, schema, shards, workloads
from pincompute.api.meta import Manifest, Resource
from pincompute.api.schema import Schema


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`; priority 1 shows it with -o wide only."""

    name: str
    path: str
    type: str = "string"
    description: str = ""
    priority: int = 0

    def manifest(self) -> Manifest:
        more: Manifest = {"description": self.description} if self.description else {}
        return {"name": self.name, "jsonPath": self.path, "type": self.type, "priority": self.priority, **more}


AGE = Column("Age", ".metadata.creationTimestamp", "date")
_WORKLOAD_COLUMNS = (
    Column("Phase", ".status.phase", description="Is it running"),
    Column("Ready", ".status.readyReplicas", "integer", "Pods that are ready"),
    Column("Where", ".status.where", description="Replicas by member cluster"),
    Column("Revision", ".status.revision", description="Present revision of the template"),
    Column("Message", ".status.message", description="Why it is not running as wanted, and what to do"),
    AGE,
    Column("Tier", ".spec.tier", description="Reserved, OnDemand or Preemptible", priority=1),
    Column("Image", ".spec.template.spec.containers[*].image", description="Images of the containers", priority=1),
)
_SHARD_COLUMNS = (
    Column("Wanted", ".spec.mix[*].replicas", description="Replicas by revision"),
    Column("Ready", ".status.readyReplicas", "integer", "Pods that are ready"),
    Column("Revision", ".spec.mix[*].revision", description="Revisions in the mix"),
    Column("Message", ".status.message", description="What is wrong, if anything"),
    AGE,
)
_READY = ".status.conditions[?(@.type=='Ready')]"


def host() -> list[Manifest]:
    """What the host cluster must know."""
    return [_pinapp(), _pinpod(), _revision(), _member_cluster(), _project()]


def member() -> list[Manifest]:
    """What a member cluster must know."""
    return [_shard(shards.PINAPPSHARDS, "pas"), _shard(shards.PINPODSHARDS, "pps"), _cluster_capacity()]


def _pinapp() -> Manifest:
    root = schema.of_kind(workloads.PINAPPS.type)
    _attach(root, rules.WORKLOAD_NAME)
    _attach(schema.at(root, "spec.update"), *rules.UPDATE)
    _attach(schema.at(root, "spec.disruption"), rules.DISRUPTION)
    _set_placement(root)
    _set_template(root, *rules.SERVICE_POD_SPEC)
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    phase, *rest = _WORKLOAD_COLUMNS
    columns = (phase, Column("Wanted", ".spec.replicas", "integer", "Replicas asked for"), *rest)
    return _definition(workloads.PINAPPS, root, columns, ("pa",), scale)


def _pinpod() -> Manifest:
    root = schema.of_kind(workloads.PINPODS.type)
    _attach(root, rules.WORKLOAD_NAME)
    _attach(schema.at(root, "spec.update"), *rules.UPDATE)
    _set_placement(root)
    _set_template(root)
    return _definition(workloads.PINPODS, root, _WORKLOAD_COLUMNS, ("pp",))


def _revision() -> Manifest:
    columns = (
        Column("Number", ".spec.number", "integer", "Counts the revisions of its workload"),
        Column("Revision", ".spec.revision", description="Name of the template"),
        Column("Workload", ".metadata.ownerReferences[0].name", description="Whose template it was"),
        AGE,
        Column("Image", ".spec.template.spec.containers[*].image", description="Images of the containers", priority=1),
    )
    return _definition(revisions.PINREVISIONS, schema.of_kind(revisions.PINREVISIONS.type), columns, ("pr",))


def _member_cluster() -> Manifest:
    root = schema.of_kind(clusters.MEMBERCLUSTERS.type)
    _attach(root, rules.CLUSTER_NAME, rules.RESERVED_CLUSTER_NAMES)
    _attach(schema.at(root, "spec.zone"), rules.DNS_LABEL, rules.IMMUTABLE_ZONE)
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
    return _definition(clusters.MEMBERCLUSTERS, root, columns, ("mc",))


def _project() -> Manifest:
    root = schema.of_kind(clusters.PROJECTS.type)
    _attach(root, rules.PROJECT_NAME, rules.RESERVED_PROJECT_NAMES)
    columns = (
        Column("Ready", f"{_READY}.status"),
        Column("Description", ".spec.description"),
        Column("Message", f"{_READY}.message"),
        AGE,
    )
    return _definition(clusters.PROJECTS, root, columns, ("proj",))


def _shard(resource: Resource[Any], short: str) -> Manifest:
    return _definition(resource, schema.of_kind(resource.type), _SHARD_COLUMNS, (short,))


def _cluster_capacity() -> Manifest:
    root = schema.of_kind(clusters.CLUSTERCAPACITIES.type)
    _attach(root, rules.SINGLETON)
    columns = (
        Column("Nodes", ".status.capacity.readyNodes", "integer"),
        Column("CPU", ".status.capacity.allocatable.cpu", "integer", "Milli-cores"),
        Column("Requested", ".status.capacity.requested.cpu", "integer", "Milli-cores requested"),
        Column("Pods", ".status.capacity.runningPods", "integer"),
        AGE,
    )
    return _definition(clusters.CLUSTERCAPACITIES, root, columns, ("cc",))


def _set_placement(root: Schema) -> None:
    for names in ("zones", "clusters"):
        _attach(schema.at(root, f"spec.placement.{names}[]"), rules.DNS_LABEL)


def _set_template(root: Schema, *more: rules.Rule) -> None:
    template = copy.deepcopy(podtemplate.schema())
    for part in ("labels", "annotations"):
        _attach(schema.at(template, f"metadata.{part}"), *rules.KEYS)
    pod = schema.at(template, "spec")
    _attach(pod, *rules.POD_SPEC, *more)
    for where in ("containers", "initContainers"):
        _attach(schema.at(pod, f"{where}[].ports"), rules.PORTS)
        _attach(schema.at(pod, f"{where}[].resources"), rules.REQUESTS_FIT)
    spec = schema.at(root, "spec")
    spec["properties"]["template"] = template | {"description": spec["properties"]["template"]["description"]}


def _attach(part: Schema, *more: rules.Rule) -> None:
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
