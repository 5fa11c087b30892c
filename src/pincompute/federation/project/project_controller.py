"""Gives every Project a namespace of the same name in the host and in every member.

In each of them the API server enforces the Pod Security Standard `restricted` (M-97), or the level to which an administrator
lowered the project. The controller puts its labels back in every cluster that answers, and a lowered level back when it ends.
An existing namespace without our label belongs to somebody else. The controller reports it and never takes it over (S-002).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import msgspec

from pincompute.api import conditions, labels
from pincompute.api.builtin import NAMESPACES, Namespace
from pincompute.api.conditions import Condition
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Manifest
from pincompute.api.projects import PROJECTS, RESTRICTED, PodSecurityLevel, Project
from pincompute.domain import pod_security_defaults
from pincompute.engine.controller import Card, Controller, ReadAccess, WriteAccess, own_key
from pincompute.engine.plan import Apply, Plan, Ref, Replace, plan, status_update
from pincompute.federation.member import member_state
from pincompute.kube.cache_views import Unknown, Views

UNSEEN_POLL = 0.5  # seconds between reconciliations while a member cannot be seen: its first event may not be about a namespace


@dataclass(frozen=True, slots=True)
class ObservedProject:
    """`namespaces` holds the project's namespace by cluster, None where it is missing; clusters that cannot be seen are
    absent.
    """

    now: datetime
    project: Project
    namespaces: tuple[tuple[str, Namespace | None], ...]
    unseen: bool = False


def decide(observed: ObservedProject) -> Plan:
    project = observed.project
    if project.deleting:
        return Plan(why="is being deleted; its namespaces are the administrator's to remove")
    level = project.spec.pod_security.level_at(observed.now)
    wanted = manifest(project.metadata.name, level)
    applies = tuple(_apply(wanted, cluster) for cluster, there in observed.namespaces if not _prepared(wanted, there))
    foreign = tuple(cluster for cluster, there in observed.namespaces if there is not None and not _ours(there))
    wake_after = UNSEEN_POLL if observed.unseen else _seconds_lowered(project, observed.now)
    return plan(
        tuple(a for a in applies if a.ref.cluster not in foreign),
        _report(observed, level, applies, foreign),
        wake_after=wake_after,
    )


def _seconds_lowered(project: Project, now: datetime) -> float | None:
    """Returns the seconds until a lowered level of Pod Security ends; None where none does."""
    security = project.spec.pod_security
    if security.end is None or security.level_at(now) == RESTRICTED:
        return None
    return (security.end - now).total_seconds()


def observe(key: Key, views: Views, now: datetime) -> ObservedProject | None:
    project = views.view(HOST, PROJECTS).get(key)
    if project is None:
        return None
    name = Key("", key.name)
    namespaces = [(HOST, views.view(HOST, NAMESPACES).get(name))]
    staying = [member for member in member_state.observe(views) if not member.leaving]
    for member in staying:
        if member.reachable:
            with suppress(Unknown):
                namespaces.append((member.name, views.view(member.name, NAMESPACES).get(name)))
    return ObservedProject(now, project, tuple(namespaces), unseen=len(namespaces) <= len(staying))


def manifest(project: str, level: PodSecurityLevel = RESTRICTED) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": project,
            "labels": {
                labels.MANAGED_BY: labels.PINCOMPUTE,
                labels.PROJECT: project,
                **pod_security_defaults.namespace_labels(level),
            },
        },
    }


def _ours(there: Namespace) -> bool:
    return there.metadata.labels.get(labels.MANAGED_BY) == labels.PINCOMPUTE


def _prepared(wanted: Manifest, there: Namespace | None) -> bool:
    return there is not None and _ours(there) and wanted["metadata"]["labels"].items() <= there.metadata.labels.items()


def _apply(wanted: Manifest, cluster: str) -> Apply:
    name: str = wanted["metadata"]["name"]
    return Apply(Ref(cluster, NAMESPACES, Key("", name)), wanted, f"project {name} needs its namespace in {cluster}")


def _report(
    observed: ObservedProject, level: PodSecurityLevel, missing: tuple[Apply, ...], foreign: tuple[str, ...]
) -> tuple[Replace, ...]:
    """Reports Ready once every cluster that answers has the namespace."""
    project = observed.project
    condition = _condition(project, missing, foreign)
    status = msgspec.structs.replace(
        project.status,
        observed_generation=project.metadata.generation,
        pod_security=level,
        conditions=conditions.merge(project.status.conditions, (condition,), observed.now),
    )
    return status_update(Ref(HOST, PROJECTS, project.key), project.metadata, project.status, status, condition.message)


def _condition(project: Project, missing: tuple[Apply, ...], foreign: tuple[str, ...]) -> Condition:
    generation = project.metadata.generation
    if foreign:
        message = (
            f"namespace {project.metadata.name} in {', '.join(foreign)} exists and is not the platform's; choose another "
            f"name, or hand it over: kubectl label namespace {project.metadata.name} {labels.MANAGED_BY}={labels.PINCOMPUTE}"
        )
        return Condition(type="Ready", status="False", observed_generation=generation, reason="NameTaken", message=message)
    if missing:
        clusters = ", ".join(a.ref.cluster for a in missing)
        message = f"namespaces are being made in {clusters}"
        return Condition(type="Ready", status="False", observed_generation=generation, reason="Preparing", message=message)
    message = "every cluster has the project's namespace"
    return Condition(type="Ready", status="True", observed_generation=generation, reason="Prepared", message=message)


def _named_like(_cluster: str, namespace: Namespace) -> tuple[Key, ...]:
    return (Key("", namespace.metadata.name),)


CONTROLLER = Controller(
    Card(
        name="federation.projects",
        promise="Every project has its namespace in the host and in every member that answers.",
        key="Project",
        reads=(
            ReadAccess("host", PROJECTS, own_key),
            ReadAccess("host", NAMESPACES, _named_like),
            ReadAccess("members", NAMESPACES, _named_like),
            ReadAccess("host", MEMBERCLUSTERS, lambda _cluster, _obj: ()),
        ),
        writes=(
            WriteAccess("host", NAMESPACES, ("apply",)),
            WriteAccess("members", NAMESPACES, ("apply",)),
            WriteAccess("host", PROJECTS, ("status",)),
        ),
    ),
    observe,
    decide,
)
