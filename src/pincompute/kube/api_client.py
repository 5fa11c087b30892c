"""The client of one API server: deadlines, a rate limit, a circuit breaker, and safe retries.

The client retries reads always, and writes only when the server said 429 or when nothing was sent. It never repeats a write
whose fate is unknown: the caller reconciles again and decides anew.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from itertools import count
from typing import Self, TypeVar

import aiohttp

from pincompute import __version__
from pincompute.api.meta import Key, Object, Resource
from pincompute.kube import object_decoding
from pincompute.kube.api_errors import KubeError, RequestInfo, TooManyRequests, Unauthorized, Unavailable, Unreachable
from pincompute.kube.backoff import Backoff, BackoffLimits
from pincompute.kube.circuit_breaker import CircuitBreaker
from pincompute.kube.clock import SYSTEM, Clock
from pincompute.kube.http_connection import ApiCall, HttpConnection
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.kube.rate_limiter import RateLimiter

T = TypeVar("T", bound=Object)

DEADLINE = 10.0  # seconds for a request with its retries, unless the caller says otherwise
ATTEMPTS = 4
RETRY = BackoffLimits(base=0.1, cap=5.0)
JSON = "application/json"


class ApiClient:
    """One API server as one process uses it."""

    def __init__(
        self,
        config: ClusterConfig,
        *,
        name: str,
        user_agent: str = f"pincompute/{__version__}",
        qps: float = 800.0,
        burst: float = 1600.0,
        clock: Clock = SYSTEM,
    ) -> None:
        self.name = name
        self.clock = clock
        self.breaker = CircuitBreaker(clock=clock)
        self._bucket = RateLimiter(qps, burst, clock)
        self._connection = HttpConnection(config, name, user_agent, clock, self.breaker)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def config(self) -> ClusterConfig:
        return self._connection.config

    def use(self, config: ClusterConfig) -> None:
        """Uses new credentials for the same server; open watches go on (S-012)."""
        self._connection.use(config)

    async def close(self) -> None:
        await self._connection.close()

    def now(self) -> datetime | None:
        """Returns the server's time, to about a second, by its last answer; None before the first."""
        return self._connection.now()

    async def request(
        self,
        verb: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        deadline: float = DEADLINE,
        attempts: int = ATTEMPTS,
    ) -> bytes:
        """Returns the body of a successful answer; raises a KubeError otherwise."""
        call = self._call(verb, path, query or {}, accept, body, content_type)
        end = self.clock.monotonic() + deadline
        backoff = Backoff(RETRY, self.clock)
        for attempt in count(1):
            try:
                return await self._attempt(call, end)
            except KubeError as error:
                wait = backoff.next(at_least=error.retry_after)
                late = self.clock.monotonic() + wait >= end
                if attempt >= attempts or late or not self._repeatable(error, attempt):
                    raise
            await self.clock.sleep(wait)
        raise AssertionError  # count() has no end

    def stream(
        self, path: str, query: Mapping[str, str], inactivity: float
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Yields a watch's answer in pieces; fails after `inactivity` seconds without a byte. It does not retry, because the
        informer does.
        """
        call = self._call("GET", path, query, JSON, None, "")
        self._admit(call.request)
        return self._connection.stream(call, inactivity)

    def websocket(
        self, path: str, query: Sequence[tuple[str, str]], protocol: str
    ) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        """Opens a WebSocket to a subresource of a pod, such as exec. It does not retry, because the program may have
        started.
        """
        call = ApiCall(RequestInfo(self.name, "GET", path), query, {})
        self._admit(call.request)
        return self._connection.websocket(call, protocol)

    async def probe(self, deadline: float) -> None:
        """Asks /readyz once, past the rate limit and the breaker; an answer closes the breaker."""
        await self._connection.exchange(self._call("GET", "/readyz", {}, "*/*", None, ""), deadline)

    async def get(self, resource: Resource[T], key: Key) -> T:
        body = await self.request("GET", resource.path(key.namespace, key.name))
        return object_decoding.object_decoder(resource.type).decode(body)

    async def list_page(
        self,
        resource: Resource[T],
        namespace: str = "",
        *,
        query: Mapping[str, str] | None = None,
        limit: int = 500,
        token: str = "",
    ) -> object_decoding.ObjectPage[T]:
        """Returns one page; `query` may hold labelSelector and fieldSelector."""
        asked = {**(query or {}), "limit": str(limit), **({"continue": token} if token else {})}
        body = await self.request("GET", resource.path(namespace), query=asked, deadline=30.0)
        return object_decoding.page_decoder(resource.type).decode(body)

    async def _attempt(self, call: ApiCall, end: float) -> bytes:
        self._admit(call.request)
        if not await self._bucket.take(end - self.clock.monotonic()):
            raise Unreachable(call.request, "our own rate limit leaves no time before the deadline", sent=False)
        return await self._connection.exchange(call, max(0.001, end - self.clock.monotonic()))

    def _admit(self, request: RequestInfo) -> None:
        if not self.breaker.admit():
            raise Unreachable(request, f"did not answer {self.breaker.failures} times in a row and is given a rest", sent=False)

    def _repeatable(self, error: KubeError, attempt: int) -> bool:
        if isinstance(error, TooManyRequests):
            return True
        if isinstance(error, Unauthorized):  # an exec plugin or a file may have something newer
            return attempt == 1
        if self.breaker.open:
            return False
        reading = error.request.verb == "GET"
        if isinstance(error, Unreachable):
            return reading or not error.sent
        return reading and isinstance(error, Unavailable)

    def _call(
        self, verb: str, path: str, query: Mapping[str, str], accept: str, body: bytes | None, content_type: str
    ) -> ApiCall:
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        return ApiCall(RequestInfo(self.name, verb, path), query, headers, body)
