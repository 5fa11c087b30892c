"""Describes a resource type to the store: how it is served, validated, merged and created."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from pincompute.api import builtin
from pincompute.api.meta import Manifest, Object, Resource
from pincompute.testing.apiserver import error_responses, merge_strategies
from pincompute.testing.apiserver.jsondata import part
from pincompute.testing.apiserver.merge_strategies import MergeStrategy

CONFIGMAPS = builtin.CONFIGMAPS
SERVICES = Resource("", "v1", "Service", "services", True, Object)
SERVICEACCOUNTS = Resource("", "v1", "ServiceAccount", "serviceaccounts", True, Object)
EVENTS = Resource("", "v1", "Event", "events", True, Object)
DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments", True, Object)
CRDS = Resource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False, Object)

BUILT_IN: tuple[Resource[Any], ...] = (
    builtin.NAMESPACES,
    builtin.PODS,
    builtin.NODES,
    builtin.SECRETS,
    builtin.ROLEBINDINGS,
    builtin.LEASES,
    builtin.PODDISRUPTIONBUDGETS,
    builtin.NETWORKPOLICIES,
    builtin.RESOURCEQUOTAS,
    builtin.LIMITRANGES,
    CONFIGMAPS,
    SERVICES,
    SERVICEACCOUNTS,
    EVENTS,
    DEPLOYMENTS,
    CRDS,
)

_WITH_STATUS = (
    "namespaces",
    "pods",
    "nodes",
    "services",
    "deployments",
    "customresourcedefinitions",
    "poddisruptionbudgets",
    "resourcequotas",
)
_WITH_GENERATION = ("pods", "deployments", "customresourcedefinitions", "poddisruptionbudgets", "networkpolicies")


@dataclass(frozen=True, slots=True)
class ServedKind:
    """`schema` is there for custom kinds only; `scale` holds the paths of the scale subresource, as a CRD names them.

    Custom kinds differ in three ways: an update must name the version it was read at, a status write leaves metadata alone,
    and there is no strategic merge patch.
    """

    resource: Resource[Any]
    shape: MergeStrategy
    status: bool = True
    generations: bool = True
    custom: bool = True
    schema: Manifest | None = None
    scale: Manifest | None = None

    @property
    def empty(self) -> Manifest:
        """Returns what a creation is compared to: built-in kinds have their parts from the beginning."""
        return {"metadata": {}} if self.custom else {"metadata": {}, "spec": {}, "status": {}}

    def hidden(self, subresource: str) -> tuple[tuple[str, ...], ...]:
        """Returns roots that a write through this subresource leaves alone."""
        if subresource != "status":
            return (("f:status",),) if self.status else ()
        return (("f:spec",), ("f:metadata",)) if self.custom else (("f:spec",),)


def built_in(resource: Resource[Any]) -> ServedKind:
    plural = resource.plural
    return ServedKind(
        resource,
        merge_strategies.SERVICE if plural == "services" else merge_strategies.BUILT_IN,
        status=plural in _WITH_STATUS,
        generations=plural in _WITH_GENERATION,
        custom=False,
    )


def custom(resource: Resource[Any], *, status: bool, schema: Manifest | None, scale: Manifest | None) -> ServedKind:
    """Returns a custom kind; without a schema it keeps every field and merges by field."""
    shape = (
        merge_strategies.read(schema)
        if schema
        else MergeStrategy(fields={"metadata": merge_strategies.BUILT_IN}, rest=merge_strategies.DEDUCED)
    )
    return ServedKind(resource, shape, status=status, schema=schema, scale=scale)


def defined(definition: Manifest) -> ServedKind:
    """Returns the kind that a CustomResourceDefinition describes; the store serves its one storage version."""
    spec: Manifest = definition["spec"]
    version = next((v for v in spec["versions"] if v.get("storage")), None)
    if version is None:
        raise error_responses.bad_request("spec.versions: expected one version with storage: true")
    resource = Resource(
        group=spec["group"],
        version=version["name"],
        kind=spec["names"]["kind"],
        plural=spec["names"]["plural"],
        namespaced=spec["scope"] == "Namespaced",
        type=Object,
    )
    subresources: Manifest = version.get("subresources") or {}
    return custom(
        resource,
        status="status" in subresources,
        schema=cast("Manifest | None", part(version, "schema").get("openAPIV3Schema")),
        scale=subresources.get("scale"),
    )
