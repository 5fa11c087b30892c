"""The simple model: what users write and see, mapped to resources and back by pure functions, without loss."""

from pincompute.gateway.model.encoding import RESOURCE, SIMPLE, Form, etag
from pincompute.gateway.model.kinds import APP, AUTHOR, KINDS, PROJECT, UNIT, App, Kind, Project, Unit

__all__ = ["APP", "AUTHOR", "KINDS", "PROJECT", "RESOURCE", "SIMPLE", "UNIT", "App", "Form", "Kind", "Project", "Unit", "etag"]
