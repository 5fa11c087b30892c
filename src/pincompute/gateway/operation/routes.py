"""Routes of the operation API. Apps and units have the same ones, made by the same functions.

The only thing they do is to turn a request into values, and an answer into bytes.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec
from litestar import Request as HttpRequest
from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ControllerRouterHandler

from pincompute.api.workloads import PINAPPS, PINPODS
from pincompute.gateway.calls import Call, may
from pincompute.gateway.operation.acting import Done, Verbs
from pincompute.gateway.operation.replicas import Target
from pincompute.gateway.operation.verbs import Request, Verb

Plural: TypeAlias = Literal["apps", "units"]

KINDS: dict[Plural, str] = {"apps": PINAPPS.kind, "units": PINPODS.kind}
_PLAIN: tuple[Verb, ...] = ("pause", "resume", "stop", "start")


class _Body(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    pass


class Reason(_Body):
    """Why; it is kept with the workload's history."""

    reason: str = ""


class Restarting(_Body):
    """With a `replica` only that one restarts; with a `container` only that one of it, while the others keep running."""

    reason: str = ""
    replica: str = ""
    container: str = ""


class Scaling(_Body):
    """How many replicas there should be."""

    replicas: int
    reason: str = ""


class RollingBack(_Body):
    """To which revision; empty is the newest that ran well before the present one."""

    revision: str = ""
    reason: str = ""


def path(plural: Plural, tail: str) -> str:
    return f"/v1/projects/{{project:str}}/{plural}/{{name:str}}/{tail}"


def named(verb: str, plural: Plural, thing: str = "") -> dict[str, Any]:
    """How a route stands in the OpenAPI document."""
    return {"operation_id": f"{verb}{plural.removesuffix('s').capitalize()}{thing}", "tags": [plural]}


def _plain(plural: Plural, verb: Verb) -> HTTPRouteHandler:
    @post(path(plural, verb), opt=may(plural, verb), status_code=200, **named(verb, plural))
    async def handle(
        project: str, name: str, call: Call, request: HttpRequest[Any, Any, Any], verbs: Verbs, data: Reason | None = None
    ) -> Response[Done]:
        asked = _request(verb, call, request, data.reason if data else "")
        return _answer(await verbs.carry_out(Target(KINDS[plural], project, name), asked))

    return handle


def _restart(plural: Plural) -> HTTPRouteHandler:
    @post(path(plural, "restart"), opt=may(plural, "restart"), status_code=200, **named("restart", plural))
    async def handle(
        project: str, name: str, call: Call, request: HttpRequest[Any, Any, Any], verbs: Verbs, data: Restarting | None = None
    ) -> Response[Done]:
        body, target = data or Restarting(), Target(KINDS[plural], project, name)
        asked = _request("restart", call, request, body.reason)
        if body.container:
            return _answer(await verbs.restart_container(target, body.replica, body.container, asked))
        if body.replica:
            return _answer(await verbs.restart_replica(target, body.replica, asked))
        return _answer(await verbs.carry_out(target, asked))

    return handle


def _scale(plural: Plural) -> HTTPRouteHandler:
    @post(path(plural, "scale"), opt=may(plural, "scale"), status_code=200, **named("scale", plural))
    async def handle(
        project: str, name: str, call: Call, request: HttpRequest[Any, Any, Any], verbs: Verbs, data: Scaling
    ) -> Response[Done]:
        asked = _request("scale", call, request, data.reason, replicas=data.replicas)
        return _answer(await verbs.carry_out(Target(KINDS[plural], project, name), asked))

    return handle


def _rollback(plural: Plural) -> HTTPRouteHandler:
    @post(path(plural, "rollback"), opt=may(plural, "rollback"), status_code=200, **named("rollback", plural))
    async def handle(
        project: str, name: str, call: Call, request: HttpRequest[Any, Any, Any], verbs: Verbs, data: RollingBack | None = None
    ) -> Response[Done]:
        body = data or RollingBack()
        asked = _request("rollback", call, request, body.reason, to=body.revision)
        return _answer(await verbs.carry_out(Target(KINDS[plural], project, name), asked))

    return handle


def _request(
    verb: Verb, call: Call, request: HttpRequest[Any, Any, Any], why: str, *, replicas: int | None = None, to: str = ""
) -> Request:
    """An Idempotency-Key tells a repetition; without one every request is a wish of its own."""
    key = request.headers.get("Idempotency-Key", "") or call.id
    return Request(verb=verb, by=call.caller.name, why=why, at=call.at, id=key, replicas=replicas, to=to)


def _answer(done: Done) -> Response[Done]:
    return Response(done, headers={"Pincompute-Version": done.version})


def _of(plural: Plural) -> tuple[ControllerRouterHandler, ...]:
    return (*(_plain(plural, verb) for verb in _PLAIN), _restart(plural), _scale(plural), _rollback(plural))


ROUTES: tuple[ControllerRouterHandler, ...] = (*_of("apps"), *_of("units"))
