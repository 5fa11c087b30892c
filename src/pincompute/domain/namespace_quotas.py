"""Makes the ResourceQuotas and the LimitRange that stand behind a project's limits, in its namespace in every cluster.

The gateway judges the limits first. The quotas hold for whoever reaches the API server of a member, and are never the first to
refuse what the gateway accepted: each member's allows `HEADROOM` times the limits, or times what the project still uses of
earlier ones (`project_limits.quota_basis`). Each also has room for the sidecars of the platform in the pods that have them,
whoever pays for them, because no project asked for one that selects its pods (`Project.status.sidecarRoom`). There are two
quotas, because an API server writes a quota's status for each pod that the quota counts, and the counts of other objects would
make that status larger.

The quota on the host counts what users with kubectl could fill its store with. It does not count workloads: an API server
writes its status for each object that it counts, and that took 7 to 9 % more CPU for each app. Nor does it count the kinds
that the platform alone writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pincompute.api import quantity, settings, template_hash
from pincompute.api.meta import Manifest
from pincompute.api.projects import Project
from pincompute.api.quantity import InvalidQuantityError, Quantity
from pincompute.api.resource_requests import CPU, MEMORY, PODS, STORAGE
from pincompute.domain import project_limits
from pincompute.domain.project_limits import LEAST_STORAGE, VOLUMES, WORKLOADS

PODS_QUOTA, OBJECTS_QUOTA = "pincompute-pods", "pincompute-objects"
LIMIT_RANGE = "pincompute"
HEADROOM = 3
"""All replicas of a project may run in one member, as many again surge there in an update, and as many are still ending."""

_POD_AMOUNTS = {PODS: "pods", CPU: "requests.cpu", MEMORY: "requests.memory"}
_INJECTED = 4
"""Sidecars of the platform in a pod. What they may write counts in no limit of a project."""
_CLAIMS = 4  # volume claims a pod
_CLAIMED = "requests.storage"  # what all volume claims request together, whoever makes them
_VALUES = 2 * settings.MOST * settings.MOST_VERSIONS
"""All versions of settings of one kind that a project may have, and as many again that are being made or removed. The project's
limit is not in it: a lowered one keeps no value that is there from a member.
"""

_OBJECTS: Mapping[str, int] = {
    "count/configmaps": 500 + _VALUES,
    "count/secrets": 500 + _VALUES,
    "count/serviceaccounts": 100,
    "count/replicationcontrollers": 100,
    "count/podtemplates": 100,
    "count/deployments.apps": 100,
    "count/statefulsets.apps": 100,
    "count/daemonsets.apps": 100,
    "count/replicasets.apps": 500,
    "count/controllerrevisions.apps": 500,
    "count/jobs.batch": 500,
    "count/cronjobs.batch": 100,
    "count/horizontalpodautoscalers.autoscaling": 100,
    "count/ingresses.networking.k8s.io": 100,
    "count/networkpolicies.networking.k8s.io": 100,
    "count/roles.rbac.authorization.k8s.io": 100,
    "count/rolebindings.rbac.authorization.k8s.io": 100,
    "count/leases.coordination.k8s.io": 100,
}
"""Objects that do not grow with the project's limits: how many there may be. The platform makes few or none of most."""


_NOT_ON_HOST: Mapping[str, int] = {
    "pods": 100,
    "services": 100,
    "persistentvolumeclaims": 100,
    _CLAIMED: 100 << 30,
    "count/endpointslices.discovery.k8s.io": 100,
}
"""Objects of which the platform makes none on the host, where no pod runs."""


def host_quota() -> Manifest:
    """Returns the quota on the host, the same for every project."""
    objects = {**_OBJECTS, **_NOT_ON_HOST}
    return _quota(OBJECTS_QUOTA, {name: _amount(name, number) for name, number in objects.items()})


def quotas(project: Project) -> tuple[Manifest, Manifest]:
    """Returns the quota of pods and the quota of other objects, with every amount as an API server writes it."""
    allowed = project_limits.quota_amounts(project)
    room = project_limits.sidecar_room(project)
    pods = {key: _amount(name, HEADROOM * (allowed[name] + room.get(name, 0))) for name, key in _POD_AMOUNTS.items()}
    each, injected = project_limits.default_container_storage(project), _INJECTED * allowed[PODS]
    for kind, beside in (("requests", LEAST_STORAGE), ("limits", each)):
        pods[f"{kind}.{STORAGE}"] = _amount(STORAGE, HEADROOM * (allowed[STORAGE] + injected * beside))
    services = HEADROOM * allowed[WORKLOADS]
    growing = {
        "persistentvolumeclaims": _CLAIMS * HEADROOM * allowed[PODS],
        _CLAIMED: HEADROOM * allowed[VOLUMES],
        "services": services,
        "count/endpointslices.discovery.k8s.io": 2 * services,
    }
    objects = {key: _amount(key, number) for key, number in {**_OBJECTS, **growing}.items()}
    return _quota(PODS_QUOTA, pods), _quota(OBJECTS_QUOTA, objects)


def limit_range(project: Project) -> Manifest:
    """Returns the LimitRange: requests of a container that says nothing, and how much it may write to its own file system. Pods
    of the platform say all but the latter. It requests the least of that, so that it takes no room on nodes.

    It has no maximum, because Kubernetes would make the maximum the limit of every container without one.
    """
    least = _amount(STORAGE, LEAST_STORAGE)
    requests = {"cpu": template_hash.DEFAULT_CPU, "memory": template_hash.DEFAULT_MEMORY, STORAGE: least}
    limits = {STORAGE: _amount(STORAGE, project_limits.default_container_storage(project))}
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": {"name": LIMIT_RANGE},
        "spec": {"limits": [{"type": "Container", "default": limits, "defaultRequest": requests}]},
    }


def filled_in(spec: Mapping[str, Any]) -> int | None:
    """Returns how many bytes a container may write that says nothing, by a LimitRange; None where that says nothing either."""
    rows: list[Manifest] = spec.get("limits") or []
    amounts: list[Manifest] = [row.get("default") or {} for row in rows if row.get("type") == "Container"]
    try:
        return quantity.parse(str(amounts[0][STORAGE])).whole
    except (LookupError, InvalidQuantityError):
        return None


def _quota(name: str, hard: Mapping[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": dict(hard)}}


def _amount(name: str, number: int) -> str:
    nanos = number * (quantity.MILLI if name == CPU else quantity.UNIT)
    return quantity.canonical(quantity.shortest(Quantity(nanos)))
