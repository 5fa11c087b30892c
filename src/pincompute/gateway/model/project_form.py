"""Defines how users write a project, and where each field stands in its resource."""

from __future__ import annotations

from typing import Annotated

from pincompute.api.conditions import find
from pincompute.api.meta import Struct, doc
from pincompute.api.projects import (
    PROJECTS,
    RESTRICTED,
    PodSecurity,
    PodSecurityLevel,
    ProjectLimits,
    ProjectMember,
    ProjectNetwork,
    RemainingNamespace,
)
from pincompute.api.projects import Project as ProjectObject
from pincompute.gateway.model.field_mapping import field, table
from pincompute.gateway.model.simple_kind import SimpleKind, SimpleObject


class ProjectStatus(Struct):
    ready: Annotated[bool, doc("Workloads can be created.")]
    pod_security: Annotated[PodSecurityLevel, doc("The level that holds now; restricted when a lowered one has ended.")] = (
        RESTRICTED
    )
    message: Annotated[str, doc("What is so, and what to do.")] = ""
    remaining: Annotated[
        tuple[RemainingNamespace, ...], doc("Of a project that is being deleted: where something of it is left.")
    ] = ()


class Project(SimpleObject, tag_field="kind", tag="Project"):
    """A project: its workloads, its members and what they may do."""

    description: Annotated[str, doc("What it is for.")] = ""
    members: Annotated[tuple[ProjectMember, ...], doc("Who may do what.")] = ()
    pod_security: Annotated[
        PodSecurity | None, doc("What its replicas may do on their nodes. Only an administrator changes it.")
    ] = None
    network: Annotated[ProjectNetwork, doc("Who may connect to its replicas from outside, and where they may connect to.")] = (
        ProjectNetwork()
    )
    limits: Annotated[ProjectLimits | None, doc("How much it may ask for. Only an administrator changes it.")] = None
    status: Annotated[ProjectStatus | None, doc("Whether it is ready.")] = None


def _status(obj: ProjectObject) -> ProjectStatus:
    ready = find(obj.status.conditions, "Ready")
    return ProjectStatus(
        ready=ready is not None and ready.status == "True",
        pod_security=obj.status.pod_security,
        message=ready.message if ready is not None else "it is being prepared",
        remaining=obj.status.remaining,
    )


PROJECT: SimpleKind[Project] = SimpleKind(
    "projects",
    Project,
    PROJECTS,
    table(
        field("description", "description"),
        field("members", "members"),
        field("podSecurity", "podSecurity"),
        field("network", "network"),
        field("limits", "limits"),
    ),
    _status,
    example={"kind": "Project", "name": "demo", "description": "Where things are tried"},
    patch={"description": "Where things are shown"},
)
