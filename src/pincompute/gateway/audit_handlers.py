"""Handles requests about the audit log of this gateway: its verification, and the search in it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, TypeAlias

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler

from pincompute.gateway import parameter_values, problems
from pincompute.gateway.audit import AuditError, AuditPage, AuditQuery, AuditReport, HeadAnchors, search, verify
from pincompute.gateway.audit.record_search import LONGEST_PAGE
from pincompute.gateway.call_context import Call, may
from pincompute.gateway.gateway_settings import GatewaySettings
from pincompute.gateway.problems import FieldError

_HEAD = "The head of an earlier report, kept elsewhere: a log that was cut off at its end since then lacks it."
Head: TypeAlias = Annotated[str, QueryParameter(description=_HEAD, pattern="^([0-9a-f]{64})?$")]


@post("/v1/admin/audit/verify", opt=may("audit", "get", cost=20), operation_id="verifyAudit", tags=["admin"], status_code=200)
async def verify_audit(
    settings: NamedDependency[GatewaySettings], anchors: NamedDependency[HeadAnchors], head: Head = ""
) -> Response[AuditReport]:
    """Read the whole audit log of this gateway, name every line that is not as it was written, and say what anchors prove."""
    anchored = await anchors.read()
    try:
        return Response(await asyncio.to_thread(verify, settings.path(settings.audit.file), head, anchored))
    except (AuditError, OSError) as problem:
        raise problems.unavailable(str(problem)) from None


def _audit_query(
    call: NamedDependency[Call],
    who: Annotated[str, QueryParameter(description="Only what this caller did or tried.")] = "",
    what: Annotated[str, QueryParameter(description="Only this operation: shells, or open shells.")] = "",
    project: Annotated[str, QueryParameter(description="Only in this project.")] = "",
    name: Annotated[str, QueryParameter(description="Only on the workload of this name.")] = "",
    identity: Annotated[str, QueryParameter(name="request", description="Only the request with this id.")] = "",
    since: Annotated[str, QueryParameter(description="Only at or after this: RFC 3339, or an age as 15m, 2h, 3d.")] = "",
    until: Annotated[str, QueryParameter(description="Only at or before this: RFC 3339, or an age.")] = "",
    denied: Annotated[bool, QueryParameter(description="Only requests that permissions denied.")] = False,
) -> AuditQuery:
    """Raises Problem."""
    verb, _, resource = what.strip().rpartition(" ")
    return AuditQuery(
        caller=who,
        resource=resource,
        verb=verb.strip(),
        project=project,
        name=name,
        request=identity,
        since=parameter_values.moment("since", since, call.at),
        until=parameter_values.moment("until", until, call.at),
        denied=denied,
    )


@get(
    "/v1/admin/audit",
    opt=may("audit", "list", cost=20),
    operation_id="searchAudit",
    tags=["admin"],
    dependencies={"asked": Provide(_audit_query, sync_to_thread=False)},
)
async def search_audit(
    settings: NamedDependency[GatewaySettings],
    anchors: NamedDependency[HeadAnchors],
    asked: NamedDependency[AuditQuery],
    limit: Annotated[int, QueryParameter(description=f"Records of a page, 1 to {LONGEST_PAGE}.")] = 100,
    cursor: Annotated[str, QueryParameter(description="The cursor of the page before.")] = "",
) -> Response[AuditPage]:
    """Search the audit log of this gateway from its newest record backwards. A page reads a bounded part of it."""
    if not 1 <= limit <= LONGEST_PAGE:
        raise problems.invalid(FieldError("limit", f"1 to {LONGEST_PAGE}", f"{limit} is outside"))
    try:
        page = await asyncio.to_thread(search, settings.path(settings.audit.file), asked, cursor, limit)
    except ValueError as problem:
        raise problems.malformed(f"cursor: {problem}", "send the cursor of the last answer, or none to start again") from None
    except OSError as problem:
        raise problems.unavailable(str(problem)) from None
    return Response(msgspec.structs.replace(page, gateway=anchors.name))


ROUTES: Sequence[ControllerRouterHandler] = (verify_audit, search_audit)
