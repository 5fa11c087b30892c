"""Passes every request through identity, limits, permissions, the handler and the audit record, in this order.

What is refused on the way is recorded as well. A caller who may not see an object gets the answer for one that does not exist.
The middleware is plain ASGI around each route.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from pincompute.gateway import problems, reason_header, request_parameters
from pincompute.gateway.access import Authenticator, Authorizer, Decision
from pincompute.gateway.call_context import ANONYMOUS, OPERATION, PUBLIC, Call, Caller, Operation
from pincompute.gateway.problems import Problem
from pincompute.gateway.request_limits import RequestLimiter
from pincompute.gateway.request_parameters import PARAMETERS
from pincompute.kube.clock import SYSTEM

log = logging.getLogger(__name__)

ALLOW = "allow"  # key in a route's `opt`: the methods of its path, for OPTIONS
CALL = "pincompute.call"  # key in the ASGI scope
REQUEST_ID = "pincompute.request-id"
LONGEST_ID = 64
LONGEST_REASON = 120  # bytes of a close frame's reason
CLOSE_CODES = 4000  # a WebSocket that is refused with a status is closed with this and the status
DENIALS = frozenset({401, 403})


class RequestAuditor(Protocol):
    async def begin(self, call: Call) -> None:
        """Records that a call begins. Raises Problem 503 when a record is a must and cannot be written."""
        ...

    async def opened(self, call: Call) -> None:
        """Records where `call.stream` leads, before it is opened. Raises Problem 503 as `begin` does."""
        ...

    async def record(self, call: Call, *, allowed: bool, status: int, why: str = "") -> None:
        """The outcome, or a denial. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class RequestGuards:
    """The services that decide about a request."""

    authenticator: Authenticator
    limiter: RequestLimiter
    authorizer: Authorizer
    audit: RequestAuditor
    now: Callable[[], datetime] = SYSTEM.wall


class RequestMiddleware:
    """One for each route: Litestar wraps every route's application in it."""

    def __init__(self, app: ASGIApp, guards: RequestGuards) -> None:
        self.app = app
        self._guards = guards

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._pass(scope, receive, send)
            return
        answer = StatusRecorder(send)
        try:
            await self._pass(scope, receive, answer)
        except Problem as problem:
            if answer.status:
                await answer(
                    {"type": "websocket.close", "code": CLOSE_CODES + problem.status, "reason": close_reason(problem.detail)}
                )
            else:
                await refuse_socket(scope, answer, problem)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        options = scope["route_handler"].opt
        if ALLOW in options:
            await _name_methods(options[ALLOW], send)
            return
        if PUBLIC in options:
            _refuse_unknown(scope)
            await self.app(scope, receive, send)
            return
        operation: Operation = options[OPERATION]
        caller = await self._identify(scope, operation)
        call = _call(scope, caller, operation, self._guards.now())
        scope[CALL] = call  # type: ignore[literal-required]
        async with self._guards.limiter.admit(caller, operation, call.project):
            await self._authorize(call)
            await self._serve(call, scope, receive, send)

    async def _identify(self, scope: Scope, operation: Operation) -> Caller:
        """A bad credential is a denial. It is recorded unless its address sends too many of them."""
        try:
            return await self._guards.authenticator.identify(scope, basic=operation.basic)
        except Problem as problem:
            call = _call(scope, ANONYMOUS, operation, self._guards.now())
            if await self._guards.limiter.failed_login(call.source):
                await self._guards.audit.record(call, allowed=False, status=problem.status, why=problem.detail)
            raise

    async def _authorize(self, call: Call) -> None:
        decision = self._guards.authorizer.decide(call.caller, call.operation, call.project, call.name)
        if decision.allowed:
            return
        problem = _refusal(call, decision)
        await self._guards.audit.record(call, allowed=False, status=problem.status, why=decision.why)
        raise problem

    async def _serve(self, call: Call, scope: Scope, receive: Receive, send: Send) -> None:
        _refuse_unknown(scope)
        if not call.operation.audited:
            await self.app(scope, receive, send)
            return
        call = scope[CALL] = replace(call, reason=reason_header.read(scope["headers"]))  # type: ignore[literal-required]
        await self._guards.audit.begin(call)
        answer = StatusRecorder(send)
        try:
            await self.app(scope, receive, answer)
        except Problem as problem:
            answer.status = problem.status
            raise
        finally:  # the handler may have said in the scope what it was about
            status = answer.status or 500
            await self._guards.audit.record(scope[CALL], allowed=status not in DENIALS, status=status)  # type: ignore[literal-required]


def _refuse_unknown(scope: Scope) -> None:
    if scope["query_string"]:
        request_parameters.refuse_unknown(scope["query_string"], scope["route_handler"].opt[PARAMETERS].query)


class StatusRecorder:
    """Remembers the status of the answer that passes through."""

    def __init__(self, send: Send) -> None:
        self.status = 0
        self._send = send

    async def __call__(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self.status = message["status"]  # type: ignore[typeddict-item]
            case "websocket.accept":
                self.status = 101
            case "websocket.close" if not self.status:  # it is refused by a close code of ours
                self.status = max(0, message.get("code", 0) - CLOSE_CODES)
            case _:
                pass
        await self._send(message)


async def _name_methods(methods: str, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": [(b"allow", methods.encode())]})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def refuse_socket(scope: Any, send: Send, problem: Problem) -> None:
    """Refuse a WebSocket that is not accepted: with the problem document if the server can send one, else a close code."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await problems.send_to(send, problem, request_id(scope), "websocket.http.response")
    else:
        await send({"type": "websocket.close", "code": CLOSE_CODES + problem.status, "reason": close_reason(problem.detail)})


def close_reason(text: str) -> str:
    """As much of a text as a close frame has room for."""
    return text.encode()[:LONGEST_REASON].decode(errors="ignore")


def _call(scope: Scope, caller: Caller, operation: Operation, at: datetime) -> Call:
    path = scope["path_params"]
    client: tuple[str, int] | None = scope["client"]
    return Call(
        id=request_id(scope),
        caller=caller,
        operation=operation,
        project=str(path.get("project", "")),
        name=str(path.get("name", "")),
        source=client[0] if client else "",
        at=at,
    )


def _refusal(call: Call, decision: Decision) -> Problem:
    if call.caller == ANONYMOUS:
        return problems.unauthenticated("this request needs a login")
    if decision.hidden:
        return problems.not_found(what(call))
    place = f" in project {call.project}" if call.project else ""
    detail = f"{call.caller.principal} may not {call.operation}{place}: {decision.why}"
    if decision.remedy:
        return problems.forbidden(detail, decision.remedy)
    return problems.forbidden(detail) if call.project else problems.forbidden(detail, _of_the_region(call.operation))


def _of_the_region(operation: Operation) -> str:
    """The remedy where no project has an owner to ask."""
    if (operation.resource, operation.verb) == ("projects", "create"):
        return "ask an administrator to create it, or for the platform role project-creator"
    return "ask an administrator for a platform role that allows it"


def what(call: Call) -> str:
    """The object of a call, as its problem names it."""
    if call.project and call.name:
        return f"{call.operation.noun or call.operation.resource.removesuffix('s')} {call.project}/{call.name}"
    return f"project {call.project}" if call.project else call.operation.resource


def request_id(scope: Any) -> str:
    """The id that the caller sent if it is safe to print, otherwise a new one."""
    known = scope.get(REQUEST_ID)
    if known is None:
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
        usable = 0 < len(given) <= LONGEST_ID and given.replace("-", "").isalnum() and given.isascii()
        known = scope[REQUEST_ID] = given if usable else secrets.token_hex(16)
    return known
