"""The simple model: what users write and see, mapped to resources and back by pure functions, without loss."""

from pincompute.gateway.model.app_form import APP, App
from pincompute.gateway.model.object_encoder import RESOURCE, SIMPLE, ObjectEncoder, etag
from pincompute.gateway.model.project_form import PROJECT, Project
from pincompute.gateway.model.simple_kind import AUTHOR, SimpleKind
from pincompute.gateway.model.simple_kinds import KINDS, SimpleKinds, in_projects, of_workloads
from pincompute.gateway.model.unit_form import UNIT, Unit

__all__ = [
    "APP",
    "AUTHOR",
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
