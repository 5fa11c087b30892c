"""Handles what administrators decide about a project, its Pod Security and its limits, and what it uses of these.

Each is the only way to change its field through the gateway, so the audit log has an operation of its own for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from pincompute.api import resource_requests
from pincompute.api.meta import Struct, doc
from pincompute.api.projects import PodSecurity, Project, ProjectLimits
from pincompute.api.resource_requests import STORAGE
from pincompute.domain import project_limits
from pincompute.gateway import problems
from pincompute.gateway.access import Authorizer
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call, may
from pincompute.gateway.images.stored_bytes import StoredBytes
from pincompute.gateway.middleware import CALL
from pincompute.gateway.model import PROJECT
from pincompute.gateway.model.document_validation import DesiredResource, DocumentScope, read
from pincompute.gateway.model.simple_kind import stated_spec, users
from pincompute.gateway.problems import FieldError, Problem
from pincompute.gateway.workloads.object_writer import ObjectWriter, WriteOptions

_POLICIES = "/v1/admin/projects/{name:str}"


class NewPodSecurity(PodSecurity, forbid_unknown_fields=True):
    """What the pods of the project may do on their nodes. Left out: restricted."""


class NewProjectLimits(ProjectLimits, forbid_unknown_fields=True):
    """How much the project may ask for. What is left out has its default again."""


class LimitUse(Struct):
    """One limit of a project, and what of it is used."""

    name: Annotated[str, doc("As in the project's limits.")]
    used: Annotated[
        str,
        doc(
            "What it takes. Workloads that are being deleted count until they are gone. `unknown` is possible. Empty for "
            "defaultContainerStorage, which bounds each container by itself."
        ),
    ]
    allowed: Annotated[str, doc("What they may take together.")]
    default: Annotated[bool, doc("No administrator has set this limit.")] = False


class LimitUses(Struct):
    items: Annotated[tuple[LimitUse, ...], doc("Every limit.")]


@put(f"{_POLICIES}/pod-security", opt=may("policies", "update"), operation_id="setPodSecurity", tags=["admin"])
async def set_pod_security(
    name: FromPath[str],
    data: JSONBody[NewPodSecurity],
    reads: NamedDependency[CacheReads],
    authorizer: NamedDependency[Authorizer],
    call: NamedDependency[Call],
    request: Request[Any, Any, Any],
) -> PodSecurity:
    """Set the Pod Security level of one project: lower it, or set it back to restricted.

    `privileged` needs a reason, a name and an end.
    """
    _note(request, call)
    security = msgspec.convert(msgspec.to_builtins(data), PodSecurity)
    _refuse_past(security, call.at)

    def wanted(obj: Any) -> DesiredResource:
        return _with_field(obj, "podSecurity", security)

    changed: Any = await ObjectWriter(PROJECT, reads, authorizer).change(wanted, "", name, WriteOptions(call))
    return changed.spec.pod_security


@put(f"{_POLICIES}/limits", opt=may("policies", "update"), operation_id="setProjectLimits", tags=["admin"])
async def set_limits(
    name: FromPath[str],
    data: JSONBody[NewProjectLimits],
    reads: NamedDependency[CacheReads],
    authorizer: NamedDependency[Authorizer],
    call: NamedDependency[Call],
    request: Request[Any, Any, Any],
) -> ProjectLimits:
    """Set the limits of one project. A limit below what is used stops nothing that runs, and replicas of it are made again
    after an eviction or an update. It refuses what takes more."""
    _note(request, call)
    limits = msgspec.convert(msgspec.to_builtins(data), ProjectLimits)

    def wanted(obj: Any) -> DesiredResource:
        return _with_field(obj, "limits", limits)

    changed: Any = await ObjectWriter(PROJECT, reads, authorizer).change(wanted, "", name, WriteOptions(call))
    return changed.spec.limits


@get("/v1/projects/{project:str}/limits", opt=may("projects", "get"), operation_id="getProjectLimits", tags=["projects"])
async def get_limits(
    project: FromPath[str], reads: NamedDependency[CacheReads], stored: NamedDependency[StoredBytes]
) -> LimitUses:
    """The limits of a project, and what its workloads and its images use of them."""
    found: Project = reads.existing(PROJECT, "", project)
    allowed = project_limits.allowed(found)
    images = await stored.of(project)
    used = {**reads.project_limits.used(project), project_limits.IMAGES: images.total if images is not None else None}
    return LimitUses(
        items=(*(_use(limit, allowed, used, found) for limit in project_limits.LIMITS), _default_container_storage(found))
    )


def _default_container_storage(project: Project) -> LimitUse:
    amount = resource_requests.part(STORAGE, project_limits.default_container_storage(project)).removeprefix(f"{STORAGE} ")
    return LimitUse(
        name="defaultContainerStorage", used="", allowed=amount, default=project.spec.limits.default_container_storage is None
    )


def _use(
    limit: project_limits.Limit, allowed: project_limits.Requests, used: Mapping[str, int | None], project: Project
) -> LimitUse:
    number = used.get(limit.resource, 0)
    return LimitUse(
        name=limit.name,
        used=project_limits.used_text(limit, number) if number is not None else "unknown",
        allowed=project_limits.text(limit, allowed[limit.resource]),
        default=limit.set_by(project) is None,
    )


def _note(request: Request[Any, Any, Any], call: Call) -> None:
    """Notes the project for the audit record. The right is one of the region, so the path has no project."""
    request.scope[CALL] = replace(call, project=call.name, name="")  # type: ignore[literal-required]


def _refuse_past(security: PodSecurity, now: datetime) -> None:
    if security.level_at(now) != security.level:
        message = f"{security.until} is past or no day of the calendar: write a time to come"
        raise problems.invalid(FieldError("until", "a time to come", message))


def _with_field(obj: Project, field: str, value: Struct) -> DesiredResource:
    """The project with this value in a field of its spec. Raises Problem, with the fields as the body names them."""
    head = {"apiVersion": PROJECT.resource.api_version, "kind": PROJECT.resource.kind}
    notes = {"labels": users(obj.metadata.labels), "annotations": users(obj.metadata.annotations)}
    metadata = {"name": obj.metadata.name, **notes}
    spec = {**stated_spec(obj), field: msgspec.to_builtins(value)}
    try:
        return read(PROJECT, {**head, "metadata": metadata, "spec": spec}, DocumentScope("", obj.metadata.name))
    except Problem as problem:
        errors = (FieldError(e.field.removeprefix(f"spec.{field}."), e.expected, e.message) for e in problem.errors)
        raise problems.invalid(*errors) from None


ROUTES = (set_pod_security, set_limits, get_limits)
