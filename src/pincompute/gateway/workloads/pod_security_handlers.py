"""HTTP handler of a project's Pod Security: an administrator says what its pods may do on their nodes, until when and why.

It is the only way to change the level through the gateway, so the audit log has an operation of its own for it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from litestar import put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from pincompute.api.projects import PodSecurity, Project
from pincompute.gateway import problems
from pincompute.gateway.access import Authorizer
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call, may
from pincompute.gateway.model import PROJECT
from pincompute.gateway.model.document_validation import DesiredResource, DocumentScope, read
from pincompute.gateway.model.simple_kind import stated_spec, users
from pincompute.gateway.problems import FieldError, Problem
from pincompute.gateway.workloads.object_writer import ObjectWriter, WriteOptions

PATH = "/v1/admin/projects/{name:str}/pod-security"


class NewPodSecurity(PodSecurity, forbid_unknown_fields=True):
    """What the pods of the project may do on their nodes. Left out: restricted."""


@put(PATH, opt=may("policies", "update"), operation_id="setPodSecurity", tags=["admin"])
async def set_pod_security(
    name: FromPath[str],
    data: JSONBody[NewPodSecurity],
    reads: NamedDependency[CacheReads],
    authorizer: NamedDependency[Authorizer],
    call: NamedDependency[Call],
) -> PodSecurity:
    """Set the Pod Security level of one project: lower it, or set it back to restricted.

    `privileged` needs a reason, a name and an end.
    """
    security = msgspec.convert(msgspec.to_builtins(data), PodSecurity)
    _refuse_past(security, call.at)

    def wanted(obj: Any) -> DesiredResource:
        return _with_security(obj, security)

    changed: Any = await ObjectWriter(PROJECT, reads, authorizer).change(wanted, "", name, WriteOptions(call))
    return changed.spec.pod_security


def _refuse_past(security: PodSecurity, now: datetime) -> None:
    if security.level_at(now) != security.level:
        message = f"{security.until} is past or no day of the calendar: write a time to come"
        raise problems.invalid(FieldError("until", "a time to come", message))


def _with_security(obj: Project, security: PodSecurity) -> DesiredResource:
    """Raises Problem, with the fields as the body names them."""
    head = {"apiVersion": PROJECT.resource.api_version, "kind": PROJECT.resource.kind}
    notes = {"labels": users(obj.metadata.labels), "annotations": users(obj.metadata.annotations)}
    metadata = {"name": obj.metadata.name, **notes}
    spec = {**stated_spec(obj), "podSecurity": msgspec.to_builtins(security)}
    try:
        return read(PROJECT, {**head, "metadata": metadata, "spec": spec}, DocumentScope("", obj.metadata.name))
    except Problem as problem:
        errors = (FieldError(e.field.removeprefix("spec.podSecurity."), e.expected, e.message) for e in problem.errors)
        raise problems.invalid(*errors) from None


ROUTES = (set_pod_security,)
