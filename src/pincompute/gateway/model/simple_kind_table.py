"""Lists every kind of the simple model. Routes, validation, differences, streams and permissions are made from the list."""

from __future__ import annotations

from typing import Any, TypeAlias

from pincompute.api import kinds as workloads
from pincompute.api.kinds import entry_points
from pincompute.gateway.model.project_form import PROJECT
from pincompute.gateway.model.simple_kind import SimpleKind
from pincompute.gateway.model.workload_forms import APP, UNIT

SimpleKinds: TypeAlias = tuple[SimpleKind[Any], ...]

KINDS: SimpleKinds = (APP, UNIT, *entry_points.load("pincompute.simple_forms"), PROJECT)


def of_workloads(kinds: SimpleKinds) -> workloads.Kinds:
    """The workload kinds among them."""
    return tuple(kind.workload for kind in kinds if kind.workload is not None)


def in_projects(kinds: SimpleKinds) -> SimpleKinds:
    return tuple(kind for kind in kinds if kind.in_project)
