"""Conducts one call without I/O: a generator that asks its driver to send, to wait, or to renew the token.

The synchronous and the asynchronous driver run the same generator, so both retry and fail in the same way.
"""

from __future__ import annotations

import platform
import random
import time
import uuid
import warnings
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import pincompute_sdk
from pincompute_sdk.core import error_mapping, hooks, retry
from pincompute_sdk.core.http_messages import HttpRequest, HttpResponse, NoResponse, Outcome

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Send:
    request: HttpRequest


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class Renew:
    """Get an access token in place of this one, if that is possible; the next attempt uses what the session has then."""

    token: str


Step: TypeAlias = Send | Sleep | Renew
Exchange: TypeAlias = Generator[Step, Outcome | None, HttpResponse]


class DeprecationNotice(UserWarning):
    """The server announces that it will stop to serve this version of the SDK."""


@dataclass(slots=True)
class ClientSession:
    """The state of a client between its calls.

    `token`, `renewable` and `renewal_due` do no I/O. `renew` replaces the given token; it waits for files and the issuer.
    """

    server: str
    token: Callable[[], str]
    renewable: Callable[[], bool] = lambda: False
    renewal_due: Callable[[], bool] = lambda: False
    renew: Callable[[str], None] = lambda _token: None
    policy: retry.Policy = field(default_factory=retry.Policy)
    callers_hooks: tuple[hooks.Hook, ...] = ()
    budget: retry.RetryBudget = field(default_factory=retry.RetryBudget)
    metrics: hooks.ClientMetrics = field(default_factory=hooks.ClientMetrics)
    written: str = ""  # the newest version that our own writes were answered with
    server_version: str = ""
    reached: bool = False  # the server answered, or at least took a request
    warned: set[str] = field(default_factory=set[str])

    def dressed(self, request: HttpRequest) -> HttpRequest:
        """The request with the headers every call carries."""
        headers = {"User-Agent": user_agent(), "Accept": "application/json", **request.headers}
        headers["Pincompute-Sdk"] = pincompute_sdk.__version__
        token = self.token()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self.written:
            headers["Pincompute-Min-Version"] = self.written
        return replace(request, headers=headers)

    def learn(self, request: HttpRequest, answer: HttpResponse) -> None:
        self.server_version = answer.headers.get("pincompute-server", self.server_version)
        version = answer.headers.get("pincompute-version", "")
        if request.method in WRITES and answer.ok and _newer(version, self.written):
            self.written = version
        self._heed(answer.headers)

    def _heed(self, headers: Mapping[str, str]) -> None:
        """Warns once per notice, with the version to move to."""
        notice = headers.get("deprecation", "")
        if not notice:
            return
        target = headers.get("pincompute-sdk", "")
        wanted = f"pincompute-sdk {target}" if target else "a newer pincompute-sdk"
        until = f"; it is served until {headers['sunset']}" if headers.get("sunset") else ""
        text = f"this server has deprecated what pincompute-sdk {pincompute_sdk.__version__} calls: move to {wanted}{until}"
        if text not in self.warned:
            self.warned.add(text)
            warnings.warn(text, DeprecationNotice, stacklevel=2)

    def tell(self, attempt: hooks.Attempt) -> None:
        for hook in (hooks.log, self.metrics, *self.callers_hooks):
            hook(attempt)


def exchange(session: ClientSession, request: HttpRequest) -> Exchange:
    """Sends `request` until it succeeds, may not be repeated, or the budget is used up. Raises PinError."""
    tried, renewed = retry.RetryState(0, 0.0), False
    session.budget.earn()
    while True:
        if session.renewal_due():
            yield Renew(session.token())
        began, used = time.monotonic(), session.token()
        outcome = yield Send(session.dressed(request))
        if outcome is None:
            raise TypeError("a driver answers Send with an outcome")
        session.reached = session.reached or not (isinstance(outcome, NoResponse) and outcome.unsent)
        tried = retry.RetryState(tried.attempts + 1, tried.waited, session.reached)
        wait = _pause(session, request, outcome, tried)
        session.tell(_attempt(request, outcome, time.monotonic() - began, tried.attempts, wait))
        if isinstance(outcome, HttpResponse):
            session.learn(request, outcome)
            if outcome.ok:
                return outcome
            if outcome.status == 401 and not renewed and session.renewable():
                renewed = True
                yield Renew(used)
                continue
        if wait is None:
            raise error_mapping.error(session, outcome)
        yield Sleep(wait)
        tried = retry.RetryState(tried.attempts, tried.waited + wait, session.reached)


def _pause(session: ClientSession, request: HttpRequest, outcome: Outcome, tried: retry.RetryState) -> float | None:
    if isinstance(outcome, HttpResponse) and outcome.ok:
        return None
    wait = retry.pause(session.policy, request, outcome, tried, random.random())  # noqa: S311 - jitter, not a secret
    return wait if wait is not None and session.budget.spend() else None


def _attempt(request: HttpRequest, outcome: Outcome, seconds: float, number: int, wait: float | None) -> hooks.Attempt:
    failed = isinstance(outcome, NoResponse)
    result = outcome.trouble if failed else str(outcome.status)
    request_id = "" if failed else outcome.request_id
    return hooks.Attempt(request.method, request.route or request.path, result, seconds, number, request_id, wait)


def idempotency_key() -> str:
    return str(uuid.uuid4())


def user_agent() -> str:
    return f"pincompute-sdk/{pincompute_sdk.__version__} python/{platform.python_version()}"


def _newer(version: str, than: str) -> bool:
    """A version is `kind.number` and only grows; of another kind, the one that was written last counts."""
    kind, _, number = version.rpartition(".")
    before, _, least = than.rpartition(".")
    if kind == before and number.isdigit() and least.isdigit():
        return int(number) > int(least)
    return bool(version) and version != than
