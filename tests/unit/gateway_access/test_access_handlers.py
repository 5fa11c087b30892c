"""Every route of the gateway as callers see it who may not use it: the same table as test_access_matrix, on the wire.

Where the table says allowed, nothing is asked here: what a route then does is its own tests' business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from access_fixtures import World
from litestar import Litestar
from test_access_matrix import PEOPLE, PLACES, TABLE, TOKENS, _wanted

from pincompute.gateway import application, composition
from pincompute.gateway.audit import AuditLog, verify
from pincompute.gateway.audit import hash_chain as chains
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import OPERATION, Caller, Operation
from pincompute.gateway.gateway_settings import AuditSettings, GatewaySettings, LimitSettings
from pincompute.gateway.middleware import RequestGuards
from pincompute.gateway.openapi_document import OpenApiDocument
from pincompute.gateway.request_limits import RequestLimiter
from pincompute.kube.cluster_set import Clusters

STATUS = {"denied": 403, "hidden": 404}
UNLIMITED = LimitSettings(rate=1e9, burst=1e9, caller_rate=1e9, caller_burst=1e9, capacity=1e9)


@dataclass
class As:
    """Whoever the test says."""

    caller: Caller | None = None

    async def identify(self, _scope: Any, *, basic: bool = False) -> Caller:
        assert self.caller is not None
        return self.caller


@dataclass
class Gateway:
    audit: AuditLog
    world: World = field(default_factory=World)
    caller: As = field(default_factory=As)

    def __post_init__(self) -> None:
        limiter = RequestLimiter(UNLIMITED, self.world.authorizer.belongs)
        guards = RequestGuards(self.caller, limiter, self.world.authorizer, self.audit)
        clusters = Clusters(user_agent="test")
        parts = application.ApplicationParts(
            GatewaySettings(), CacheReads(clusters), guards, OpenApiDocument(str), dict.fromkeys(composition.GIVEN)
        )
        self.app: Litestar = application.build(parts, composition.routes())

    def routes(self) -> Iterator[tuple[str, str, Operation]]:
        """Method, path and operation; streams over WebSocket are asked by their own tests."""
        for route in self.app.routes:
            for handler in getattr(route, "route_handlers", ()):
                if OPERATION in handler.opt:
                    for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"}):
                        yield method, route.path, handler.opt[OPERATION]

    def refusals(self, kind: str) -> Iterator[tuple[str, str, int]]:
        """Method, path and status of all that the table does not allow."""
        for method, template, operation in self.routes():
            for place in ("member", "other", "absent") if "{project" in template else ("region",):
                wanted = _wanted(TABLE[kind][place], operation.resource, operation.verb)
                if wanted != "allowed":
                    yield method, _path(template, PLACES[place]), 401 if kind == "anonymous" else STATUS[wanted]


def _path(template: str, project: str) -> str:
    return re.sub(r"\{(\w+)(:\w+)?\}", lambda found: project if found[1] == "project" else "hello", template)


async def test_routes_refuse_as_the_table_says_and_each_refusal_is_recorded(tmp_path: Path) -> None:
    """All kinds of caller against one gateway, whose application takes a while to make."""
    wrong, refused = list[str](), 0
    async with AuditLog(AuditSettings(), tmp_path / "audit.log") as audit:
        gateway = Gateway(audit)
        transport = httpx2.ASGITransport(app=gateway.app)
        async with httpx2.AsyncClient(transport=transport, base_url="https://gateway") as http:
            for kind in TABLE:
                gateway.caller.caller = PEOPLE[kind] if kind in PEOPLE else await TOKENS[kind](gateway.world)
                for method, path, wanted in gateway.refusals(kind):
                    answer = await http.request(method, path)
                    refused += 1
                    if (answer.status_code, answer.headers["content-type"]) != (wanted, "application/problem+json"):
                        wrong.append(f"{kind}: {method} {path} gives {answer.status_code}, expected {wanted}")
    assert wrong == []
    denials = [chains.decode(line) for line in (tmp_path / "audit.log").read_bytes().splitlines()]
    assert [record.allowed for record in denials] == [False] * refused
    assert not verify(tmp_path / "audit.log").faults


async def test_a_project_that_may_not_be_seen_answers_like_one_that_does_not_exist(tmp_path: Path) -> None:
    async with AuditLog(AuditSettings(), tmp_path / "audit.log") as audit:
        gateway = Gateway(audit)
        gateway.caller.caller = PEOPLE["user without a role"]
        compared = 0
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=gateway.app), base_url="https://gateway") as http:
            for method, template, _ in gateway.routes():
                if "{project" not in template:
                    continue
                said = {"x-request-id": "same"}
                hidden = await http.request(method, _path(template, "demo"), headers=said)
                absent = await http.request(method, _path(template, "nope"), headers=said)
                assert (hidden.status_code, absent.status_code) == (404, 404)
                assert hidden.text.replace("demo", "nope") == absent.text
                assert [name for name in hidden.headers if name != "date"] == [
                    name for name in absent.headers if name != "date"
                ]
                compared += 1
        assert compared > 20
