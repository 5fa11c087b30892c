"""The fast path charges, records and answers a request once, also when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from pincompute.gateway.access import ALLOWED, Decision
from pincompute.gateway.call_context import Caller
from pincompute.gateway.middleware import RequestGuards
from pincompute.gateway.model import KINDS
from pincompute.gateway.problems import Problem
from pincompute.gateway.read_fast_path import ReadFastPath
from pincompute.kube.api_errors import RequestInfo, Unreachable
from pincompute.kube.cache_views import Unknown


@dataclass
class Counting:
    """Guards that let everybody in and count, a catalog that fails in the way it is told to, and the router behind."""

    failure: Exception
    after_begin: bool = False
    identified: int = 0
    charged: int = 0
    routed: int = 0
    sent: list[Any] = field(default_factory=list)

    async def identify(self, _scope: Any, *, basic: bool = False) -> Caller:
        self.identified += 1
        return Caller("ann")

    @asynccontextmanager
    async def admit(self, _caller: Caller, _operation: Any, _project: str) -> AsyncIterator[None]:
        self.charged += 1
        yield

    def decide(self, *_: Any) -> Decision:
        return ALLOWED

    def one(self, *_: Any) -> tuple[bytes, dict[str, str]]:
        raise self.failure

    def page(self, *_: Any) -> tuple[bytes, dict[str, str]]:
        raise self.failure

    async def router(self, *_: Any) -> None:
        self.routed += 1

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if self.after_begin:
            raise self.failure

    def ask(self, path: str) -> None:
        guards: Any = RequestGuards(self, self, self, self)  # type: ignore[arg-type]
        catalog: Any = self
        fast_path = ReadFastPath(self.router, guards, catalog, KINDS)
        scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "client": ("::1", 1)}
        asyncio.run(fast_path(scope, self.receive, self.send))

    async def receive(self) -> Any:
        raise AssertionError


FAILURES = {
    "nobody foresaw it": (RuntimeError("boom"), 500, "internal"),
    "the host does not answer": (Unreachable(RequestInfo("host", "GET", "/"), "refused"), 503, "unavailable"),
    "nothing is known yet": (Unknown("apps have not synced"), 503, "unavailable"),
    "there is no such object": (Problem("not-found", "there is no app", "look at the list"), 404, "not-found"),
}


@pytest.mark.parametrize("path", ["/v1/projects/shop/apps/hello", "/v1/projects/shop/units"])
@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_is_charged_and_answered_once(case: str, path: str) -> None:
    failure, status, code = FAILURES[case]
    there = Counting(failure)
    there.ask(path)
    assert (there.identified, there.charged, there.routed) == (1, 1, 0)
    assert [message["type"] for message in there.sent] == ["http.response.start", "http.response.body"]
    assert there.sent[0]["status"] == status
    body = msgspec.json.decode(there.sent[1]["body"])
    assert body["code"] == code
    assert (b"x-request-id", body["requestId"].encode()) in there.sent[0]["headers"]


def test_what_nobody_foresaw_is_told_without_its_details() -> None:
    there = Counting(RuntimeError("the secret is xyzzy"))
    there.ask("/v1/projects/shop/apps/hello")
    assert b"xyzzy" not in there.sent[1]["body"]


def test_a_failure_in_the_middle_of_an_answer_begins_no_second_one() -> None:
    there = Counting(ConnectionResetError("the caller has gone"), after_begin=True)
    there.one = lambda *_: (b"{}", {})  # type: ignore[method-assign]
    with pytest.raises(ConnectionResetError):
        there.ask("/v1/projects/shop/apps/hello")
    assert (len(there.sent), there.charged, there.routed) == (1, 1, 0)


def test_what_is_not_for_the_fast_path_goes_to_the_router_uncharged() -> None:
    there = Counting(RuntimeError("boom"))
    there.ask("/v1/projects/shop/apps/hello/logs")
    assert (there.charged, there.routed, there.sent) == (0, 1, [])
