"""The simple model: what users write and see, mapped to resources and back by pure functions, without loss."""

from pincompute.gateway.model.app import APP, App
from pincompute.gateway.model.encoding import RESOURCE, SIMPLE, Form, etag
from pincompute.gateway.model.kind import AUTHOR, Kind
from pincompute.gateway.model.kinds import KINDS, Kinds, in_projects, of_workloads
from pincompute.gateway.model.project import PROJECT, Project
from pincompute.gateway.model.unit import UNIT, Unit

__all__ = [
    "APP",
    "AUTHOR",
    "KINDS",
    "PROJECT",
    "RESOURCE",
    "SIMPLE",
    "UNIT",
    "App",
    "Form",
    "Kind",
    "Kinds",
    "Project",
    "Unit",
    "etag",
    "in_projects",
    "of_workloads",
]
