"""The simple form: the form of objects that users write and see. Pure functions map it to resources and back without loss."""

from __future__ import annotations

from typing import Any, TypeAlias

from pincompute.api import kinds as workloads
from pincompute.api.kinds import entry_points
from pincompute.gateway.model.object_encoder import RESOURCE, SIMPLE, ObjectEncoder, etag
from pincompute.gateway.model.project_form import PROJECT, Project
from pincompute.gateway.model.simple_kind import SimpleKind
from pincompute.gateway.model.workload_forms import APP, UNIT, App, Unit

__all__ = [
    "APP",
    "KINDS",
    "PROJECT",
    "RESOURCE",
    "SIMPLE",
    "UNIT",
    "App",
    "ObjectEncoder",
    "Project",
    "SimpleKind",
    "SimpleKinds",
    "Unit",
    "etag",
    "in_projects",
    "of_workloads",
]

SimpleKinds: TypeAlias = tuple[SimpleKind[Any], ...]

KINDS: SimpleKinds = (APP, UNIT, *entry_points.load("pincompute.simple_forms"), PROJECT)


def of_workloads(kinds: SimpleKinds) -> workloads.Kinds:
    """The workload kinds among them."""
    return tuple(kind.workload for kind in kinds if kind.workload is not None)


def in_projects(kinds: SimpleKinds) -> SimpleKinds:
    return tuple(kind for kind in kinds if kind.in_project)
