"""CustomResourceDefinitions of every kind, made from the structs, the pod template's schema and the rules.

The surprising rule: a shard's template is stored as it comes, because the host validated it, and a member with an older
definition must not drop a field it does not know.
"""

from __future__ import annotations

import copy
from typing import Any

from pincompute.api import clusters, podtemplate, revisions, rules, schema, violations
from pincompute.api.kinds import AGE, KINDS, Column, Kind, Kinds
from pincompute.api.meta import Manifest, Resource
from pincompute.api.schema import Schema

_READY = ".status.conditions[?(@.type=='Ready')]"


def host(kinds: Kinds = KINDS) -> list[Manifest]:
    """What the host cluster must know."""
    return [*(_workload(kind) for kind in kinds), _revision(), _member_cluster(), _project()]


def member(kinds: Kinds = KINDS) -> list[Manifest]:
    """What a member cluster must know."""
    return [*(_shard(kind) for kind in kinds), _cluster_capacity()]


def workload_schema(kind: Kind) -> Schema:
    """The schema of a workload with its rules, which an admission policy judges (see `policies`) and not the definition."""
    root = schema.of_kind(kind.workload.type)
    _attach(root, rules.WORKLOAD_NAME)
    for path, more in kind.rules.items():
        _attach(schema.at(root, path), *more)
    _set_placement(root)
    for path in kind.templates:
        _set_template(root, path, kind.pod_rules)
    return root


def _workload(kind: Kind) -> Manifest:
    root = violations.without_rules(workload_schema(kind))
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


def _shard(kind: Kind) -> Manifest:
    return _definition(kind.shard, schema.of_kind(kind.shard.type), kind.shard_columns, (kind.shard_short,))


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


def _set_template(root: Schema, path: str, more: tuple[rules.Rule, ...]) -> None:
    template = copy.deepcopy(podtemplate.schema())
    for part in ("labels", "annotations"):
        _attach(schema.at(template, f"metadata.{part}"), *rules.KEYS)
    pod = schema.at(template, "spec")
    _attach(pod, *rules.POD_SPEC, *more)
    for where in ("containers", "initContainers"):
        _attach(schema.at(pod, f"{where}[].ports"), rules.PORTS)
        _attach(schema.at(pod, f"{where}[].resources"), rules.REQUESTS_FIT)
    above, _, name = path.rpartition(".")
    fields = schema.at(root, above)["properties"]
    fields[name] = template | {"description": fields[name]["description"]}


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
