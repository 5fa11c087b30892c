"""The simple model: the form of objects that users write and see. Pure functions map it to resources and back without loss."""

from pincompute.gateway.model.object_encoder import RESOURCE, SIMPLE, ObjectEncoder, etag
from pincompute.gateway.model.project_form import PROJECT, Project
from pincompute.gateway.model.simple_kind import AUTHOR, SimpleKind
from pincompute.gateway.model.simple_kind_table import KINDS, SimpleKinds, in_projects, of_workloads
from pincompute.gateway.model.workload_forms import APP, UNIT, App, Unit

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
