"""Gives every Project a namespace of the same name in the host and in every member, and removes them when it is deleted.

In each of them the API server enforces the Pod Security Standard `restricted` (M-97), or the level to which an administrator
lowered the project. Those in members hold the objects that `namespace_objects` lists. The controller puts back what somebody
changes, in every cluster that answers, and a lowered level when it ends.
A namespace is the project's own by the platform's label, the project's name and the Project's uid. Any other namespace of this
name belongs to somebody else, or to a former project: the controller reports it and never takes it over (S-002). A namespace of
a version that wrote no uid is adopted once, unless it is older than the Project.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import msgspec

from pincompute.api import conditions
from pincompute.api.builtin import NAMESPACES
from pincompute.api.conditions import Condition
from pincompute.api.kinds import KINDS
from pincompute.api.labels import HOST, NAMESPACES_FINALIZER
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Manifest, Object
from pincompute.api.projects import PROJECTS, RESTRICTED, AllowedProject, PodSecurityLevel, Project, SidecarRoom
from pincompute.api.sidecars import PINSIDECARS, PinSidecar
from pincompute.domain import network_isolation, pod_security_defaults, project_limits, project_namespace
from pincompute.domain.project_namespace import NamespaceOwner
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.plan import Action, Apply, Confirm, Create, Patch, Plan, Ref, Replace, cluster_of, plan, status_update
from pincompute.federation.project import namespace_objects, project_deletion, project_namespaces
from pincompute.federation.project.project_namespaces import BY_ALLOWED, ObservedProject, ProjectNamespace
from pincompute.federation.workload.update_hooks import NO_HOOKS, HookProjects, names_for
from pincompute.kube.cache_views import Views

NETWORK_ALLOWED = "NetworkAllowed"
UNSYNCED_POLL = (
    0.5  # seconds between reconciliations while a member cannot be seen: its first event may be about something else
)


def decide(observed: ObservedProject) -> Plan:
    project = observed.project
    if project.deleting:
        return project_deletion.decide(observed)
    if NAMESPACES_FINALIZER not in project.metadata.finalizers:  # a project of a version that left the namespaces behind
        return plan((_add_finalizer(project),))
    project = _with_status(observed)
    body = manifest(project, project.spec.pod_security.level_at(observed.now))
    writes = tuple(write for found in observed.namespaces for write in _writes(project, body, found))
    report = _report(observed, project, _condition(observed, writes))
    wake_after = UNSYNCED_POLL if observed.unsynced else _seconds_lowered(project, observed.now)
    return plan(_confirm_project(project) if writes else (), (*writes, *report), wake_after=wake_after)


def _with_status(observed: ObservedProject) -> Project:
    """Returns the project with the parts of its status that its namespaces follow from, as they are to be written."""
    project = observed.project
    status = msgspec.structs.replace(
        project.status,
        allowed_projects=network_isolation.allowed_projects(project, observed.uids),
        quota_basis=project_limits.quota_basis(project, observed.used),
        sidecar_room=observed.sidecar_room,
        allowed_hooks=observed.allowed_hooks,
    )
    return project if status == project.status else msgspec.structs.replace(project, status=status)


def manifest(project: Project, level: PodSecurityLevel = RESTRICTED) -> Manifest:
    name, uid = project.metadata.name, project.metadata.uid
    labels = {**project_namespace.labels_of(name, uid), **pod_security_defaults.namespace_labels(level)}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _seconds_lowered(project: Project, now: datetime) -> float | None:
    """Returns the seconds until a lowered level of Pod Security ends; None where none does."""
    security = project.spec.pod_security
    if security.end is None or security.level_at(now) == RESTRICTED:
        return None
    return (security.end - now).total_seconds()


def _add_finalizer(project: Project) -> Patch:
    meta = project.metadata
    body: Manifest = {"metadata": {"finalizers": [*meta.finalizers, NAMESPACES_FINALIZER]}}
    why = "its namespaces go before it does"
    return Patch(Ref(HOST, PROJECTS, project.key), body, meta.uid, meta.resource_version, why)


def _confirm_project(project: Project) -> tuple[Confirm, ...]:
    """Proves that the project is there and is not being deleted: a namespace made after its deletion would stay for ever."""
    meta = project.metadata
    return (Confirm(Ref(HOST, PROJECTS, project.key), meta.uid, resource_version=meta.resource_version),)


def _writes(project: Project, body: Manifest, found: ProjectNamespace) -> Iterator[Action]:
    """Yields what the cluster lacks: the namespace, or what its labels or its contents should be."""
    if found.there is None:
        ref = Ref(found.cluster, NAMESPACES, Key("", project.metadata.name))
        yield Create(ref, body, f"project {project.metadata.name} needs its namespace in {found.cluster}")
    elif found.claimable and not found.there.deleting:
        if not body["metadata"]["labels"].items() <= found.there.metadata.labels.items():
            yield Apply(found.ref, body, f"the namespace in {found.cluster} lacks labels", found.there.metadata.uid)
        if found.owner is NamespaceOwner.PROJECT:
            yield from namespace_objects.writes(project, found.cluster, found.objects)


def _report(observed: ObservedProject, project: Project, condition: Condition) -> tuple[Replace, ...]:
    wanted = (condition, *_network_condition(observed, project.status.allowed_projects))
    status = msgspec.structs.replace(
        project.status,
        observed_generation=project.metadata.generation,
        pod_security=project.spec.pod_security.level_at(observed.now),
        conditions=conditions.merge(project.status.conditions, wanted, observed.now),
    )
    return status_update(Ref(HOST, PROJECTS, project.key), project.metadata, observed.project.status, status, condition.message)


def _condition(observed: ObservedProject, writes: tuple[Action, ...]) -> Condition:
    """Returns Ready once every cluster that answers has the namespace, with everything in it."""
    name = observed.project.metadata.name
    if foreign := _clusters(observed, NamespaceOwner.FOREIGN):
        return _not_ready(
            observed,
            "NameTaken",
            f"namespace {name} in {foreign} exists and is not the platform's; choose another name, or hand it over as an "
            f"administrator of that cluster: {_handover(observed.project)}",
        )
    if former := _clusters(observed, NamespaceOwner.FORMER):
        return _not_ready(
            observed,
            "FormerNamespace",
            f"{former} still holds the namespace of a former project {name}, which this project does not inherit; an "
            f"administrator of that cluster removes it: kubectl delete namespace {name}; or, to give this project "
            f"everything in it: {_handover(observed.project)}",
        )
    going = [found.cluster for found in observed.namespaces if found.there is not None and found.there.deleting]
    if writes or going:
        clusters = ", ".join(dict.fromkeys((*(cluster_of(write) for write in writes), *going)))
        return _not_ready(observed, "Preparing", f"namespaces are being prepared in {clusters}")
    generation = observed.project.metadata.generation
    message = "every cluster has the project's namespace"
    return Condition(type="Ready", status="True", observed_generation=generation, reason="Prepared", message=message)


def _network_condition(observed: ObservedProject, allowed: tuple[AllowedProject, ...]) -> Iterator[Condition]:
    """Yields NetworkAllowed for a project that lets others in, or did."""
    project = observed.project
    if not project.spec.network.allow_from and conditions.find(project.status.conditions, NETWORK_ALLOWED) is None:
        return
    later = ", ".join(each.name for each in allowed if observed.uids.get(each.name, each.uid) != each.uid)
    made = Condition(type=NETWORK_ALLOWED, status="True", observed_generation=project.metadata.generation)
    if later:
        message = (
            f"{later}: another project has this name than when you allowed it, and it is not let in; to let it in, remove the "
            "name from network.allowFrom, save, and add it again"
        )
        yield msgspec.structs.replace(made, status="False", reason="LaterProject", message=message)
    else:
        message = "the projects in network.allowFrom are let in"
        yield msgspec.structs.replace(made, reason="Allowed", message=message)


def _handover(project: Project) -> str:
    """Returns the command that makes the namespace the project's own."""
    labels = project_namespace.labels_of(project.metadata.name, project.metadata.uid)
    pairs = " ".join(f"{name}={value}" for name, value in labels.items())
    return f"kubectl label --overwrite namespace {project.metadata.name} {pairs}"


def _clusters(observed: ObservedProject, owner: NamespaceOwner) -> str:
    return ", ".join(found.cluster for found in observed.namespaces if found.owner is owner)


def _not_ready(observed: ObservedProject, reason: str, message: str) -> Condition:
    generation = observed.project.metadata.generation
    return Condition(type="Ready", status="False", observed_generation=generation, reason=reason, message=message)


def _allowing(_cluster: str, project: Project, views: Views) -> Iterator[Key]:
    """Yields the projects that name this one in spec.network.allowFrom."""
    for found in views.view(HOST, PROJECTS).by(BY_ALLOWED, project.metadata.name):
        yield found.key


def _changing_quotas(_cluster: str, workload: Object, views: Views) -> Iterator[Key]:
    """Yields the project of the workload if its quotas are to follow from other amounts than its status holds."""
    project = views.view(HOST, PROJECTS).get(Key("", workload.metadata.namespace))
    if project is not None and not project.deleting and _other_quotas(project, views):
        yield project.key


def _other_quotas(project: Project, views: Views) -> bool:
    """Returns whether quotas are to follow from other amounts than the status holds. Most projects need no sum for that."""
    known = tuple(views.view(HOST, PINSIDECARS).list())
    if not known and project.status.sidecar_room == SidecarRoom() and not project_limits.quotas_follow_use(project):
        return False
    taken = project_namespaces.taken(project.metadata.name, views)
    if project_limits.room_for_sidecars(project, taken, known) != project.status.sidecar_room:
        return True
    used = project_limits.with_sidecars(taken, known)
    return project_limits.quota_basis(project, used) != project.status.quota_basis


def _with_sidecar(_cluster: str, _sidecar: PinSidecar, views: Views) -> Iterator[Key]:
    """Yields the projects whose quotas are to follow from other amounts since sidecars have changed."""
    for project in views.view(HOST, PROJECTS).list():
        if not project.deleting and _other_quotas(project, views):
            yield project.key


def _every_project(_member: str, views: Views) -> Iterator[Key]:
    """Yields all projects: each has a namespace in every member."""
    for project in views.view(HOST, PROJECTS).list():
        yield project.key


def _named_like(_cluster: str, namespace: Object) -> tuple[Key, ...]:
    return (Key("", namespace.metadata.name),)


def _within(_cluster: str, obj: Object) -> tuple[Key, ...]:
    return (Key("", obj.metadata.namespace),)


CARD = Card(
    name="federation.projects",
    promise="Every project has its namespace in the host and in every member that answers; a deleted one has none.",
    key="Project",
    reads=(
        ReadAccess("host", PROJECTS, own_key, _allowing),
        ReadAccess("host", NAMESPACES, _named_like),
        ReadAccess("members", NAMESPACES, _named_like),
        ReadAccess("host", MEMBERCLUSTERS, lambda _cluster, _obj: ()),
        *(ReadAccess("host", kind.workload, lambda _cluster, _obj: (), _changing_quotas) for kind in KINDS),
        ReadAccess("host", PINSIDECARS, lambda _cluster, _obj: (), _with_sidecar, project_limits.basis_of_sidecar),
        *(ReadAccess("host", kind, _within) for kind in namespace_objects.ON_HOST),
        *(ReadAccess("members", kind, _within) for kind in namespace_objects.IN_MEMBERS),
    ),
    writes=(
        WriteAccess("host", NAMESPACES, ("create", "apply", "delete")),
        WriteAccess("members", NAMESPACES, ("create", "apply", "delete")),
        *(WriteAccess("host", kind, ("apply", "update", "delete")) for kind in namespace_objects.ON_HOST),
        *(WriteAccess("members", kind, ("apply", "update", "delete")) for kind in namespace_objects.IN_MEMBERS),
        WriteAccess("host", PROJECTS, ("patch", "status")),
    ),
    contact=_every_project,
)


def controller(hooks: HookProjects = NO_HOOKS) -> Controller[Key, ObservedProject]:
    """Returns the controller. `hooks` are those that updates may ask, and the projects of these."""

    def observe(key: Key, views: Views, now: datetime) -> ObservedProject | None:
        seen = project_namespaces.observe(key, views, now)
        return replace(seen, allowed_hooks=tuple(sorted(names_for(key.name, hooks)))) if seen is not None else None

    return Controller(CARD, observe, decide)


CONTROLLER = controller()
