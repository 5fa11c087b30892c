"""Defines projects: a team's namespace in every cluster, and who may do what in it."""

from __future__ import annotations

from typing import Annotated

from pincompute.api.conditions import Conditions
from pincompute.api.meta import GROUP, NAME, VERSION, Object, Resource, Struct, doc


class ProjectMember(Struct):
    name: Annotated[
        str,
        doc(
            "User name as authentication gives it; `group:NAME` is everybody in a group, `service:NAME` a service account.",
            minLength=1,
            maxLength=260,
        ),
    ]
    role: Annotated[
        str,
        doc(
            "viewer reads, developer changes workloads, operator also acts on running ones, owner also changes the project; "
            "or the name of a role that the region's gateway defines. A name that is not defined allows nothing.",
            pattern=NAME,
            maxLength=63,
        ),
    ] = "developer"


class ProjectSpec(Struct):
    description: Annotated[str, doc("What the project is for.", maxLength=1024)] = ""
    members: Annotated[
        tuple[ProjectMember, ...],
        doc("Who may do what.", maxItems=500, x_kubernetes_list_type="map", x_kubernetes_list_map_keys=["name"]),
    ] = ()


class RemainingNamespace(Struct):
    cluster: Annotated[str, doc("The cluster that still holds something of the project, or may hold it.")]
    message: Annotated[str, doc("What is left there, or why that is not known.")] = ""


class ProjectStatus(Struct):
    observed_generation: Annotated[int, doc("The last metadata.generation that was acted on.")] = 0
    conditions: Conditions = ()
    remaining: Annotated[
        tuple[RemainingNamespace, ...], doc("Of a project that is being deleted: where something of it is left.")
    ] = ()


class Project(Object):
    """A tenant: one namespace of the same name in the host and in every member."""

    spec: Annotated[ProjectSpec, doc("Who works in it.")] = ProjectSpec()
    status: Annotated[ProjectStatus, doc("Whether its namespaces exist everywhere.")] = ProjectStatus()


PROJECTS = Resource(GROUP, VERSION, "Project", "projects", False, Project)
