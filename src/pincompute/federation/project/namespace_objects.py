"""Lists the objects that every member namespace of a project must hold before a pod may run there, such as its NetworkPolicy.

To add a kind, add its resource with the names to `NAMES` and its manifests to `of`. The project controller then applies them,
repairs what somebody changes or removes, and removes what is no longer listed; a member gets no shard before it holds all of
them. Admission policies let nobody but the federation and administrators write these objects.
Write out every field that an API server would fill in, in its own notation ("1", not "1000m"): a spec that differs from the
listed one counts as changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pincompute.api.builtin import NAMESPACES, NETWORKPOLICIES
from pincompute.api.labels import HOST, MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.api.projects import PROJECTS, Project
from pincompute.domain import network_isolation, project_namespace
from pincompute.domain.project_namespace import NamespaceOwner
from pincompute.engine.plan import Apply, Delete, Ref, Replace, update
from pincompute.kube.cache_views import Views

NAMES: Mapping[Resource[Any], tuple[str, ...]] = {NETWORKPOLICIES: (network_isolation.NAME,)}
"""All names of listed objects, by kind: an admission policy lets the federation take one back that lost its label."""

KINDS: tuple[Resource[Any], ...] = tuple(NAMES)
LABELS: Mapping[str, str] = {MANAGED_BY: PINCOMPUTE}
"""Processes cache only objects of these kinds that carry these labels: the platform's."""

Write: TypeAlias = Apply | Replace | Delete
Present: TypeAlias = Mapping[tuple[Resource[Any], str], Object]
"""The platform's objects of these kinds in one namespace, by kind and name."""

_OTHERS = {
    NamespaceOwner.FOREIGN: "not the platform's",
    NamespaceOwner.FORMER: "a former project's",
    NamespaceOwner.UNCLAIMED: "not adopted yet",
}
_BY_KIND = {(resource.api_version, resource.kind): resource for resource in KINDS}


def of(project: Project) -> tuple[Manifest, ...]:
    """Returns the listed objects: kind, name and spec; `listed` adds namespace and labels."""
    return (network_isolation.policy(project),)


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One object that the namespace must hold."""

    resource: Resource[Any]
    name: str
    body: Manifest

    def equals(self, there: Object | None) -> bool:
        """Returns whether the object is there, as it is listed."""
        if there is None or there.deleting or there.spec != self.body["spec"]:  # type: ignore[attr-defined]
            return False
        return self.body["metadata"]["labels"].items() <= there.metadata.labels.items()


_listed: dict[str, tuple[Project, tuple[ListedObject, ...]]] = {}  # by name, with the project they were made for


def listed(project: Project) -> tuple[ListedObject, ...]:
    """Returns the listed objects complete, made once for as long as the project stays the same."""
    name = project.metadata.name
    known = _listed.get(name)
    if known is None or known[0] is not project:
        known = _listed[name] = (project, tuple(_complete(project, manifest) for manifest in of(project)))
    return known[1]


def forget(project: str) -> None:
    """Forgets a project that is gone."""
    _listed.pop(project, None)


def _complete(project: Project, manifest: Manifest) -> ListedObject:
    name = project.metadata.name
    resource = _BY_KIND[manifest["apiVersion"], manifest["kind"]]
    metadata = manifest["metadata"]
    labels = {**metadata.get("labels", {}), **project_namespace.labels_of(name, project.metadata.uid)}
    return ListedObject(resource, metadata["name"], {**manifest, "metadata": {**metadata, "namespace": name, "labels": labels}})


def present(project: Project, member: str, views: Views) -> Present:
    """Returns the platform's objects in the project's namespace. Raises Unknown until every kind has synced there."""
    namespace = project.metadata.name
    return {(resource, obj.metadata.name): obj for resource in KINDS for obj in views.view(member, resource).list(namespace)}


def writes(project: Project, member: str, there: Present) -> tuple[Write, ...]:
    """Returns what makes the namespace hold the listed objects and none of an earlier list."""
    wanted = {(made.resource, made.name): made for made in listed(project)}
    repairs = (_repair(project, member, made, there.get(place)) for place, made in wanted.items())
    surplus = (_delete(member, place[0], obj) for place, obj in there.items() if place not in wanted and not obj.deleting)
    return (*(repair for repair in repairs if repair is not None), *surplus)


def _repair(project: Project, member: str, made: ListedObject, there: Object | None) -> Apply | Replace | None:
    if made.equals(there) or (there is not None and there.deleting):
        return None
    ref = Ref(member, made.resource, Key(project.metadata.name, made.name))
    if there is None:
        return Apply(ref, made.body, f"the namespace of {project.metadata.name} in {member} lacks it")
    return update(ref, there.metadata, made.body, f"somebody changed it in {member}")  # a replacement drops added fields too


def _delete(member: str, resource: Resource[Any], obj: Object) -> Delete:
    return Delete(Ref(member, resource, obj.key), obj.metadata.uid, "the project no longer needs it")


def lacking(project: str, member: str, views: Views) -> str:
    """Returns why no pod of the project may start in the member, as a clause; empty when its namespace is the project's own and
    holds every listed object. Raises Unknown until that can be seen.
    """
    found = views.view(HOST, PROJECTS).get(Key("", project))
    namespace = views.view(member, NAMESPACES).get(Key("", project))
    if found is None:
        return f"Project {project} does not exist"
    if namespace is None:
        return f"namespace {project} is missing"
    if namespace.deleting:
        return f"namespace {project} is being deleted"
    owner = project_namespace.owner(namespace, found.metadata)
    if owner is not NamespaceOwner.PROJECT:
        return f"namespace {project} is {_OTHERS[owner]}"
    missing = (
        f"{made.resource.kind} {made.name}"
        for made in listed(found)
        if not made.equals(views.view(member, made.resource).get(Key(project, made.name)))
    )
    names = ", ".join(missing)
    return f"namespace {project} lacks {names}" if names else ""
