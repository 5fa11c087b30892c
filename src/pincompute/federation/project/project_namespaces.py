"""Gathers a project's namespaces in all clusters, as far as the caches show them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from pincompute.api import resource_requests
from pincompute.api.builtin import NAMESPACES, Namespace
from pincompute.api.kinds import KINDS, WorkloadKind, WorkloadObject
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Object, Resource
from pincompute.api.projects import PROJECTS, Project, SidecarRoom
from pincompute.api.resource_requests import NOTHING, Requests
from pincompute.api.sidecars import PINSIDECARS
from pincompute.domain import project_limits, project_namespace
from pincompute.domain.project_namespace import NamespaceOwner
from pincompute.engine.plan import Ref
from pincompute.federation.member import member_state
from pincompute.federation.project import namespace_objects
from pincompute.federation.project.namespace_objects import Present
from pincompute.kube.cache_views import Unknown, Views
from pincompute.kube.indexer import Index, IndexEntry, OfSpec, Sum

BY_ALLOWED = "allowed"  # index over projects: the names in spec.network.allowFrom
BY_PROJECT = "project"  # sum over workloads: what they take of the limits of their project


def _allowed(project: Project) -> Iterable[str]:
    return project.spec.network.allow_from


def _entry(kind: WorkloadKind, obj: WorkloadObject) -> Iterable[IndexEntry]:
    return (IndexEntry(obj.metadata.namespace, 0, project_limits.counted_use(kind, obj)),)


INDEXES: Mapping[Resource[Any], Mapping[str, Index[Any]]] = {
    PROJECTS: {BY_ALLOWED: _allowed},
    **{kind.workload: {BY_PROJECT: OfSpec(Sum(partial(_entry, kind)), project_limits.status_of_use)} for kind in KINDS},
}


@dataclass(frozen=True, slots=True)
class ProjectNamespace:
    """The project's namespace in one cluster, None where it is missing, and the platform's objects in it."""

    cluster: str
    there: Namespace | None
    owner: NamespaceOwner | None = None
    objects: Present = field(default_factory=dict[tuple[Resource[Any], str], Object])

    @property
    def claimable(self) -> bool:
        """Returns whether it is the project's, or may become it."""
        return self.owner in (NamespaceOwner.PROJECT, NamespaceOwner.UNCLAIMED)

    @property
    def ref(self) -> Ref:
        assert self.there is not None  # noqa: S101 - callers chose namespaces that exist
        return Ref(self.cluster, NAMESPACES, self.there.key)


@dataclass(frozen=True, slots=True)
class ObservedProject:
    """`namespaces`: of the clusters that can be seen, the host's first. `unreachable`: members that do not answer. `unsynced`:
    members that answer and cannot be seen yet. `zones`: of members, by name. `uids`: of the projects that
    `spec.network.allowFrom` names, by name. `used`: what its workloads take of its limits, by resource.
    `sidecar_room`: what sidecars may request in all pods. `allowed_hooks`: those that its updates may name.
    """

    now: datetime
    project: Project
    namespaces: tuple[ProjectNamespace, ...]
    unreachable: tuple[str, ...] = ()
    unsynced: tuple[str, ...] = ()
    zones: Mapping[str, str] = field(default_factory=dict[str, str])
    uids: Mapping[str, str] = field(default_factory=dict[str, str])
    used: Requests = field(default_factory=dict[str, int])
    sidecar_room: SidecarRoom = field(default_factory=SidecarRoom)
    allowed_hooks: tuple[str, ...] = ()


def observe(key: Key, views: Views, now: datetime) -> ObservedProject | None:
    """A member that is being removed gets nothing new, but a deleted project leaves it as long as it answers."""
    project = views.view(HOST, PROJECTS).get(key)
    if project is None:
        namespace_objects.forget(key.name)
        return None
    members = member_state.observe(views)
    namespace_objects.forget_members(key.name, [member.name for member in members])
    concerned = [member for member in members if not member.leaving or project.deleting]
    answering = [member.name for member in concerned if member.reachable]
    unreachable = tuple(member.name for member in concerned if not member.reachable and not member.leaving)
    seen = [_in_cluster(HOST, project, views), *_in_members(answering, project, views)]
    unsynced = tuple(name for name in answering if not any(found.cluster == name for found in seen))
    zones = {member.name: member.zone for member in concerned}
    took, sidecars = taken(key.name, views), tuple(views.view(HOST, PINSIDECARS).list())
    return ObservedProject(
        now,
        project,
        tuple(seen),
        unreachable,
        unsynced,
        zones,
        _uids(project, views),
        project_limits.with_sidecars(took, sidecars),
        project_limits.room_for_sidecars(project, took, sidecars),
    )


def taken(project: str, views: Views) -> Requests:
    """Returns what the project's workloads take, without what `project_limits.with_sidecars` adds. Raises Unknown until every
    kind has synced.
    """
    found: Requests = NOTHING
    for kind in KINDS:
        found = resource_requests.plus(found, views.view(HOST, kind.workload).total(BY_PROJECT, project))
    return found


def _uids(project: Project, views: Views) -> dict[str, str]:
    projects = views.view(HOST, PROJECTS)
    named = (projects.get(Key("", name)) for name in project.spec.network.allow_from)
    return {found.metadata.name: found.metadata.uid for found in named if found is not None}


def _in_members(members: list[str], project: Project, views: Views) -> Iterator[ProjectNamespace]:
    for name in members:
        try:
            yield _in_cluster(name, project, views)
        except Unknown:
            continue


def _in_cluster(cluster: str, project: Project, views: Views) -> ProjectNamespace:
    there = views.view(cluster, NAMESPACES).get(Key("", project.metadata.name))
    objects = namespace_objects.present(project, cluster, views)
    owner = project_namespace.owner(there, project.metadata) if there is not None else None
    return ProjectNamespace(cluster, there, owner, objects)
