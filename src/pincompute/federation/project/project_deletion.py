"""Removes what a deleted project has: the host's namespace with its workloads first, then the members' namespaces.

Workloads go by their normal way, which ends their pods in all members. A member that does not answer holds the project until it
answers or is removed from the region. The Project goes last, so a new project of its name finds nothing of it.
"""

from __future__ import annotations

import msgspec

from pincompute.api import conditions
from pincompute.api.builtin import NAMESPACES
from pincompute.api.conditions import Condition
from pincompute.api.labels import HOST, NAMESPACES_FINALIZER
from pincompute.api.meta import Key
from pincompute.api.projects import PROJECTS, RemainingNamespace
from pincompute.engine.plan import Confirm, Delete, Patch, Plan, Ref, Replace, Stage, plan, status_update
from pincompute.federation.project.project_namespaces import ObservedProject, ProjectNamespace

READY = "Ready"
UNSEEN = "it does not answer, at least in part"


def decide(observed: ObservedProject) -> Plan:
    if NAMESPACES_FINALIZER not in observed.project.metadata.finalizers:
        return Plan(why="is being deleted")
    host, *members = observed.namespaces
    if host.claimable:
        return plan((*_deletions(host), *_report(observed, (host,))))
    left = tuple(found for found in members if found.claimable)
    if left or observed.unreachable or observed.unsynced:
        return plan((*_deletions(*left), *_report(observed, left)))
    return plan(_absence(observed), (_remove_finalizer(observed),))


def _deletions(*namespaces: ProjectNamespace) -> tuple[Delete, ...]:
    return tuple(
        Delete(found.ref, found.there.metadata.uid, "its project is deleted")
        for found in namespaces
        if found.there is not None and not found.there.deleting
    )


def _report(observed: ObservedProject, left: tuple[ProjectNamespace, ...]) -> tuple[Replace, ...]:
    """Says in which clusters something is left, and why."""
    project = observed.project
    unseen = (*observed.unreachable, *observed.unsynced)
    messages = {found.cluster: _progress(found) for found in left} | dict.fromkeys(sorted(unseen), UNSEEN)
    remaining = tuple(
        RemainingNamespace(cluster=cluster, zone=observed.zones.get(cluster, ""), message=message)
        for cluster, message in messages.items()
    )
    message = "; ".join(f"{_place(line)}: {line.message}" for line in remaining)
    generation = project.metadata.generation
    condition = Condition(
        type=READY, status="False", observed_generation=generation, reason="Deleting", message=f"is being deleted; {message}"
    )
    status = msgspec.structs.replace(
        project.status,
        observed_generation=generation,
        conditions=conditions.merge(project.status.conditions, (condition,), observed.now),
        remaining=remaining,
    )
    return status_update(Ref(HOST, PROJECTS, project.key), project.metadata, project.status, status, condition.message)


def _place(line: RemainingNamespace) -> str:
    return f"zone {line.zone}" if line.zone else "the host"


def _progress(found: ProjectNamespace) -> str:
    """Returns what the API server says about content that is left; it says so only after it has tried to delete it."""
    told = found.there.status.conditions if found.there is not None else ()
    left = [c.message for c in told if c.status == "True" and c.reason in ("SomeResourcesRemain", "SomeFinalizersRemain")]
    return " ".join(left) or "the namespace is being removed"


def _absence(observed: ObservedProject) -> Stage:
    """Returns the proof that no cluster holds a namespace of the project: an empty cache is none."""
    key = Key("", observed.project.metadata.name)
    return tuple(Confirm(Ref(found.cluster, NAMESPACES, key), "") for found in observed.namespaces if found.there is None)


def _remove_finalizer(observed: ObservedProject) -> Patch:
    metadata = observed.project.metadata
    kept = [finalizer for finalizer in metadata.finalizers if finalizer != NAMESPACES_FINALIZER]
    ref = Ref(HOST, PROJECTS, observed.project.key)
    return Patch(ref, {"metadata": {"finalizers": kept}}, metadata.uid, metadata.resource_version, "no cluster holds it")
