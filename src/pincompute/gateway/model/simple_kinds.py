"""Every kind of the simple model, in one table: routes, validation, differences, streams and rights are made from it."""

from __future__ import annotations

from typing import Any, TypeAlias

from pincompute.api import kinds as workloads
from pincompute.api.kinds import entry_points
from pincompute.gateway.model.app_form import APP
from pincompute.gateway.model.project_form import PROJECT
from pincompute.gateway.model.simple_kind import SimpleKind
from pincompute.gateway.model.unit_form import UNIT

SimpleKinds: TypeAlias = tuple[SimpleKind[Any], ...]

KINDS: SimpleKinds = (APP, UNIT, *entry_points.load("pincompute.simple_forms"), PROJECT)


def of_workloads(kinds: SimpleKinds) -> workloads.Kinds:
    """Those among them that run something."""
    return tuple(kind.workload for kind in kinds if kind.workload is not None)


def in_projects(kinds: SimpleKinds) -> SimpleKinds:
    return tuple(kind for kind in kinds if kind.in_project)
