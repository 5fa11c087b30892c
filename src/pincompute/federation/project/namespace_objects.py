"""Lists the objects that every namespace of a project must hold, such as the NetworkPolicy in members, before a pod may run.

To add a kind, add its resource with the names to `IN_MEMBERS` or `ON_HOST` and its manifests to `of`. The project controller
then applies them, repairs what somebody changes or removes, and removes what is no longer listed; a member gets no shard before
it holds all of them. Admission policies let nobody but the federation and administrators write these objects.
Write out every field that an API server would fill in, in its own notation ("1", not "1000m"): content that differs from the
listed one counts as changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from operator import is_
from typing import Any, TypeAlias

from pincompute.api.builtin import LIMITRANGES, NAMESPACES, NETWORKPOLICIES, RESOURCEQUOTAS, ROLEBINDINGS, LimitRange
from pincompute.api.labels import HOST, MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.api.projects import PROJECTS, Project
from pincompute.domain import namespace_quotas, network_isolation, project_namespace, project_roles
from pincompute.domain.project_namespace import NamespaceOwner
from pincompute.engine.plan import Apply, Delete, Ref, Replace, update
from pincompute.kube.cache_views import Views

Names: TypeAlias = Mapping[Resource[Any], tuple[str, ...]]

IN_MEMBERS: Names = {
    NETWORKPOLICIES: (network_isolation.NAME,),
    LIMITRANGES: (namespace_quotas.LIMIT_RANGE,),
    RESOURCEQUOTAS: (namespace_quotas.PODS_QUOTA, namespace_quotas.OBJECTS_QUOTA),
    ROLEBINDINGS: tuple(role.name for role in project_roles.IN_MEMBERS),
}
ON_HOST: Names = {
    RESOURCEQUOTAS: (namespace_quotas.OBJECTS_QUOTA,),
    ROLEBINDINGS: tuple(role.name for role in project_roles.ON_HOST),
}
"""All names of listed objects, by kind: an admission policy lets the federation take one back that lost its label."""

LABELS: Mapping[str, str] = {MANAGED_BY: PINCOMPUTE}
"""Processes cache only objects of these kinds that carry these labels: the platform's."""

Write: TypeAlias = Apply | Replace | Delete
Place: TypeAlias = tuple[Resource[Any], str]
Present: TypeAlias = Mapping[Place, Any]
"""The platform's objects of these kinds in one namespace, by kind and name."""

_RANGE: Place = (LIMITRANGES, namespace_quotas.LIMIT_RANGE)
_QUOTA: Place = (RESOURCEQUOTAS, namespace_quotas.PODS_QUOTA)

_OTHERS = {
    NamespaceOwner.FOREIGN: "not the platform's",
    NamespaceOwner.FORMER: "a former project's",
    NamespaceOwner.UNCLAIMED: "not adopted yet",
}
_BY_KIND = {(resource.api_version, resource.kind): resource for resource in (*IN_MEMBERS, *ON_HOST)}
_CONTENT = {"spec": "spec", "roleRef": "role_ref", "subjects": "subjects"}  # parts of manifests, and the fields that hold them
_FIXED = "roleRef"  # an API server lets nobody change it


def kinds(cluster: str) -> tuple[Resource[Any], ...]:
    """Returns the kinds of which the project's namespace in the cluster must hold objects."""
    return tuple(ON_HOST if cluster == HOST else IN_MEMBERS)


def of(project: Project, cluster: str) -> tuple[Manifest, ...]:
    """Returns the listed objects: kind, name and content; `listed` adds namespace and labels."""
    if cluster == HOST:
        return (namespace_quotas.host_quota(), *map(project_roles.binding, project_roles.ON_HOST))
    return (
        network_isolation.policy(project),
        namespace_quotas.limit_range(project),
        *namespace_quotas.quotas(project),
        *map(project_roles.binding, project_roles.IN_MEMBERS),
    )


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One object that the namespace must hold."""

    resource: Resource[Any]
    name: str
    key: Key
    body: Manifest

    def equals(self, there: Object | None) -> bool:
        """Returns whether the object is there, as it is listed."""
        if there is None or there.deleting or not all(self.holds(there, part) for part in _CONTENT):
            return False
        return self.body["metadata"]["labels"].items() <= there.metadata.labels.items()

    def holds(self, there: Object, part: str) -> bool:
        """Returns whether a part of the object's content is as listed."""
        return part not in self.body or getattr(there, _CONTENT[part]) == self.body[part]


_listed: dict[tuple[str, bool], tuple[Project, tuple[ListedObject, ...]]] = {}  # with the project they were made for
_whole: dict[str, dict[str, tuple[Object | None, ...]]] = {}  # by project and cluster, what was there when nothing was lacking


def listed(project: Project, cluster: str) -> tuple[ListedObject, ...]:
    """Returns the listed objects complete, made once for as long as the project stays the same; all members hold the same."""
    place = (project.metadata.name, cluster == HOST)
    known = _listed.get(place)
    if known is None or known[0] is not project:
        known = _listed[place] = (project, tuple(_complete(project, manifest) for manifest in of(project, cluster)))
    return known[1]


def forget_members(project: str, left: Collection[str]) -> None:
    """Forgets the members that are gone; these are left."""
    known = _whole.get(project, {})
    for member in known.keys() - set(left):
        del known[member]


def forget(project: str) -> None:
    """Forgets a project that is gone."""
    for on_host in (True, False):
        _listed.pop((project, on_host), None)
    _whole.pop(project, None)


def _complete(project: Project, manifest: Manifest) -> ListedObject:
    name = project.metadata.name
    resource = _BY_KIND[manifest["apiVersion"], manifest["kind"]]
    metadata = manifest["metadata"]
    marks = {**metadata.get("labels", {}), **project_namespace.labels_of(name, project.metadata.uid)}
    body = {**manifest, "metadata": {**metadata, "namespace": name, "labels": marks}}
    return ListedObject(resource, metadata["name"], Key(name, metadata["name"]), body)


def present(project: Project, cluster: str, views: Views) -> Present:
    """Returns the platform's objects in the project's namespace. Raises Unknown until every kind has synced there."""
    namespace = project.metadata.name
    return {
        (resource, obj.metadata.name): obj
        for resource in kinds(cluster)
        for obj in views.view(cluster, resource).list(namespace)
    }


def writes(project: Project, cluster: str, there: Present) -> tuple[Write, ...]:
    """Returns what makes the namespace hold the listed objects and none of an earlier list. Of the LimitRange and the quota of
    pods, one waits for the other: its repair follows when the other's is seen.
    """
    wanted = {(made.resource, made.name): made for made in listed(project, cluster)}
    found = ((place, _repair(project, cluster, made, there.get(place))) for place, made in wanted.items())
    repairs = {place: repair for place, repair in found if repair is not None}
    if repairs.keys() >= {_RANGE, _QUOTA}:
        del repairs[_second(wanted[_RANGE], there.get(_RANGE))]
    surplus = (_delete(cluster, place[0], obj) for place, obj in there.items() if place not in wanted and not obj.deleting)
    return (*repairs.values(), *surplus)


def _second(limits: ListedObject, there: LimitRange | None) -> Place:
    """Returns which of the two is written second, so that the quota never counts more than it was made for, or nothing where it
    has to count: the quota follows the LimitRange, unless that is to fill in more than now.
    """
    before = namespace_quotas.filled_in(there.spec) if there is not None and not there.deleting else None
    wanted = namespace_quotas.filled_in(limits.body["spec"])
    return _RANGE if before is not None and wanted is not None and before < wanted else _QUOTA


def _repair(project: Project, cluster: str, made: ListedObject, there: Object | None) -> Write | None:
    if made.equals(there) or (there is not None and there.deleting):
        return None
    ref = Ref(cluster, made.resource, made.key)
    if there is None:
        return Apply(ref, made.body, f"the namespace of {project.metadata.name} in {cluster} lacks it", reserved=True)
    if not made.holds(there, _FIXED):
        return Delete(ref, there.metadata.uid, f"somebody changed it in {cluster}, and it has to be made anew")
    return update(ref, there.metadata, made.body, f"somebody changed it in {cluster}")  # a replacement drops added fields too


def _delete(cluster: str, resource: Resource[Any], obj: Object) -> Delete:
    return Delete(Ref(cluster, resource, obj.key), obj.metadata.uid, "the project no longer needs it")


def lacking(project: str, cluster: str, views: Views) -> str:
    """Returns why no pod of the project may start in the cluster, as a clause; empty when its namespace is the project's own
    and holds every listed object. Raises Unknown until that can be seen.
    """
    found = views.view(HOST, PROJECTS).get(Key("", project))
    namespace = views.view(cluster, NAMESPACES).get(Key("", project))
    if found is None:
        return f"Project {project} does not exist"
    if namespace is None:
        return f"namespace {project} is missing"
    if namespace.deleting:
        return f"namespace {project} is being deleted"
    wanted = listed(found, cluster)
    there = [views.view(cluster, made.resource).get(made.key) for made in wanted]
    judged = (found, namespace, *there)
    if _same(judged, _whole.get(project, {}).get(cluster, ())):
        return ""
    owner = project_namespace.owner(namespace, found.metadata)
    if owner is not NamespaceOwner.PROJECT:
        return f"namespace {project} is {_OTHERS[owner]}"
    names = ", ".join(
        f"{made.resource.kind} {made.name}" for made, obj in zip(wanted, there, strict=True) if not made.equals(obj)
    )
    if names:
        return f"namespace {project} lacks {names}"
    _whole.setdefault(project, {})[cluster] = judged
    return ""


def _same(one: tuple[Object | None, ...], other: tuple[Object | None, ...]) -> bool:
    """Returns whether these are the very objects: a cache gives another one for every change."""
    return len(one) == len(other) and all(map(is_, one, other))
