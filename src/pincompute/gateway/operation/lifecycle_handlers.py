"""Handles the lifecycle verbs, from pause to retry, in the same way for every kind."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, HeaderParameter, JSONBody
from litestar.types import ControllerRouterHandler

from pincompute.api.kinds import Kinds, WorkloadKind
from pincompute.gateway.call_context import Call, may
from pincompute.gateway.operation import kept_revisions, replica_status
from pincompute.gateway.operation.lifecycle_rules import LifecycleRequest, LifecycleVerb
from pincompute.gateway.operation.lifecycle_service import LifecycleResult, LifecycleService
from pincompute.gateway.operation.logs import log_handlers
from pincompute.gateway.operation.replica_lookup import WorkloadRef
from pincompute.gateway.operation.replica_streams import stream_handlers
from pincompute.gateway.operation.route_paths import named, path
from pincompute.gateway.workloads.responses import DryRun

IdempotencyKey = Annotated[
    str,
    HeaderParameter(name="Idempotency-Key", description="The same key again is the same wish.", max_length=128),
]
_PLAIN: tuple[LifecycleVerb, ...] = ("pause", "resume", "stop", "start", "approve", "abort", "retry")


class _LifecycleBody(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True):
    pass


class Reason(_LifecycleBody):
    """Why; it is kept with the workload's history."""

    reason: str = ""


class RestartOptions(_LifecycleBody):
    """With a `replica` only that one restarts; with a `container` only that one, of the replica or of all, while the others
    keep running.
    """

    reason: str = ""
    replica: str = ""
    container: str = ""


class ScaleOptions(_LifecycleBody):
    """How many replicas there should be."""

    replicas: int
    reason: str = ""


class RollbackOptions(_LifecycleBody):
    """To which revision; empty is the newest that ran well before the present one. With `force` also to one that has failed."""

    revision: str = ""
    force: bool = False
    reason: str = ""


def _plain(kind: WorkloadKind, verb: LifecycleVerb) -> HTTPRouteHandler:
    @post(path(kind, verb), opt=may(kind.plural, verb, noun=kind.word), status_code=200, **named(verb, kind))
    async def handle(
        project: FromPath[str],
        name: FromPath[str],
        call: NamedDependency[Call],
        lifecycle: NamedDependency[LifecycleService],
        data: JSONBody[Reason | None] = None,
        key: IdempotencyKey = "",
    ) -> Response[LifecycleResult]:
        """Answers what will be, and where to watch it come about; a second time it changes nothing."""
        asked = _request(verb, call, key, data.reason if data else "")
        return _answer(await lifecycle.execute(WorkloadRef(kind, project, name), asked, call))

    return handle


def _restart(kind: WorkloadKind) -> HTTPRouteHandler:
    @post(path(kind, "restart"), opt=may(kind.plural, "restart", noun=kind.word), status_code=200, **named("restart", kind))
    async def handle(
        project: FromPath[str],
        name: FromPath[str],
        call: NamedDependency[Call],
        lifecycle: NamedDependency[LifecycleService],
        data: JSONBody[RestartOptions | None] = None,
        key: IdempotencyKey = "",
    ) -> Response[LifecycleResult]:
        """All of it, one replica, or one container of a replica or of all replicas."""
        body, target = data or RestartOptions(), WorkloadRef(kind, project, name)
        asked = _request("restart", call, key, body.reason)
        if body.replica or (body.container and not kind.scalable):
            return _answer(await lifecycle.restart(target, body.replica, body.container, asked))
        return _answer(await lifecycle.execute(target, replace(asked, container=body.container), call))

    return handle


def _scale(kind: WorkloadKind) -> HTTPRouteHandler:
    @post(path(kind, "scale"), opt=may(kind.plural, "scale", noun=kind.word), status_code=200, **named("scale", kind))
    async def handle(
        project: FromPath[str],
        name: FromPath[str],
        call: NamedDependency[Call],
        lifecycle: NamedDependency[LifecycleService],
        data: JSONBody[ScaleOptions],
        key: IdempotencyKey = "",
    ) -> Response[LifecycleResult]:
        """So many replicas; of what is stopped, so many once it is started."""
        asked = _request("scale", call, key, data.reason, replicas=data.replicas)
        return _answer(await lifecycle.execute(WorkloadRef(kind, project, name), asked, call))

    return handle


def _rollback(kind: WorkloadKind) -> HTTPRouteHandler:
    @post(path(kind, "rollback"), opt=may(kind.plural, "rollback", noun=kind.word), status_code=200, **named("rollback", kind))
    async def handle(
        project: FromPath[str],
        name: FromPath[str],
        call: NamedDependency[Call],
        lifecycle: NamedDependency[LifecycleService],
        data: JSONBody[RollbackOptions | None] = None,
        key: IdempotencyKey = "",
        dry_run: DryRun = False,
    ) -> Response[LifecycleResult]:
        """To an earlier revision; a dry run tells which, and field by field what it would change."""
        body = data or RollbackOptions()
        asked = _request("rollback", call, key, body.reason, to=body.revision, force=body.force)
        act = lifecycle.dry_run_of if call.judged_only(dry_run) else lifecycle.execute
        return _answer(await act(WorkloadRef(kind, project, name), asked, call))

    return handle


def _request(
    verb: LifecycleVerb, call: Call, key: str, why: str, *, replicas: int | None = None, to: str = "", force: bool = False
) -> LifecycleRequest:
    """Without a key every request is a new one. A reason in the body replaces the header's."""
    why = why or call.reason
    by = call.caller.principal
    return LifecycleRequest(verb=verb, by=by, why=why, at=call.at, id=call.id, key=key, replicas=replicas, to=to, force=force)


def _answer(done: LifecycleResult) -> Response[LifecycleResult]:
    return Response(done, headers={"Pincompute-Version": done.version})


def _of(kind: WorkloadKind) -> tuple[ControllerRouterHandler, ...]:
    plain = (_plain(kind, verb) for verb in _PLAIN)
    verbs = (*plain, _restart(kind), _scale(kind), _rollback(kind))
    return (*verbs, replica_status.route(kind), log_handlers.route(kind), *stream_handlers.routes(kind))


def routes(kinds: Kinds) -> tuple[ControllerRouterHandler, ...]:
    return (*(route for kind in kinds for route in _of(kind)), *kept_revisions.routes(kinds))
