"""Every kind of the simple model, in one table: routes, validation, differences, streams and rights are made from it."""

from __future__ import annotations

from typing import Any, TypeAlias

from pincompute.api import kinds as workloads
from pincompute.api.kinds import extensions
from pincompute.gateway.model.app import APP
from pincompute.gateway.model.kind import Kind
from pincompute.gateway.model.project import PROJECT
from pincompute.gateway.model.unit import UNIT

Kinds: TypeAlias = tuple[Kind[Any], ...]

KINDS: Kinds = (APP, UNIT, *extensions.load("pincompute.simple_forms"), PROJECT)


def of_workloads(kinds: Kinds) -> workloads.Kinds:
    """Those among them that run something."""
    return tuple(kind.workload for kind in kinds if kind.workload is not None)


def in_projects(kinds: Kinds) -> Kinds:
    return tuple(kind for kind in kinds if kind.in_project)
