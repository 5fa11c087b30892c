"""Retries: only what is safe, with jitter, cap and budget, and the server's own wish (S-260)."""

from __future__ import annotations

import asyncio

import pytest
from fake_server import answering, document, problem
from pincompute_sdk import AsyncClient, Client, errors
from pincompute_sdk.core import retry
from pincompute_sdk.core.configuration import Context
from pincompute_sdk.core.http_messages import HttpRequest, HttpResponse, NoResponse, Outcome

POLICY = retry.Policy()
QUICK = retry.Policy(first=0.001, cap=0.002)
GET, POST = HttpRequest("GET", "/"), HttpRequest("POST", "/")
KEYED = HttpRequest("POST", "/", headers={"Idempotency-Key": "k"})
BUSY, BROKEN, SLOW_DOWN = HttpResponse(503, {}), HttpResponse(500, {}), HttpResponse(429, {"retry-after": "3"})
DROPPED, REFUSED = NoResponse("dropped", ""), NoResponse("refused", "")
APP = {"name": "hello", "project": "demo", "replicas": 2}
WRITTEN = {"message": "will be", "links": {"self": "/", "watch": "/"}, "item": APP}

CASES: dict[str, tuple[HttpRequest, Outcome, retry.RetryState, float | None]] = {
    "the first wait is at most the first step": (GET, BUSY, retry.RetryState(1, 0), 0.1),
    "waits double": (GET, BUSY, retry.RetryState(3, 0), 0.4),
    "waits are capped": (GET, BUSY, retry.RetryState(5, 0), 1.6),
    "attempts end": (GET, BUSY, retry.RetryState(6, 0), None),
    "they go on while a server that was reached is gone": (GET, REFUSED, retry.RetryState(6, 0, reached=True), 3.2),
    "not while it answers": (GET, BUSY, retry.RetryState(6, 0, reached=True), None),
    "they end then as well": (GET, REFUSED, retry.RetryState(11, 0, reached=True), None),
    "a server that was never reached may be elsewhere": (GET, REFUSED, retry.RetryState(6, 0), None),
    "the budget ends": (GET, BUSY, retry.RetryState(2, 29.95), None),
    "a wait the server asks for is kept": (GET, SLOW_DOWN, retry.RetryState(1, 0), 3.1),
    "one that does not fit into the budget ends at once": (
        GET,
        HttpResponse(503, {"retry-after": "3600"}),
        retry.RetryState(1, 0),
        None,
    ),
    "a bug of the server is not repeated": (GET, BROKEN, retry.RetryState(1, 0), None),
    "a write without a key is not repeated": (POST, BUSY, retry.RetryState(1, 0), None),
    "a write with a key is": (KEYED, BUSY, retry.RetryState(1, 0), 0.1),
    "a write that may have arrived is not repeated": (POST, DROPPED, retry.RetryState(1, 0), None),
    "a write that surely did not arrive is": (POST, REFUSED, retry.RetryState(1, 0), 0.1),
    "a write that was refused for its rate is": (POST, SLOW_DOWN, retry.RetryState(1, 0), 3.1),
    "what is not trusted stays so": (GET, NoResponse("untrusted", ""), retry.RetryState(1, 0), None),
    "an unknown name stays so": (GET, NoResponse("unresolved", ""), retry.RetryState(1, 0), None),
}


@pytest.mark.parametrize("case", CASES)
def test_pause(case: str) -> None:
    request, outcome, tried, want = CASES[case]
    assert retry.pause(POLICY, request, outcome, tried, 0.5) == (want if want is None else pytest.approx(want))


def test_jitter_is_full() -> None:
    """From nothing to the whole step, so that clients that failed together do not come back together."""
    assert retry.pause(POLICY, GET, BUSY, retry.RetryState(4, 0), 0.0) == 0.0
    assert retry.pause(POLICY, GET, BUSY, retry.RetryState(4, 0), 0.999) == pytest.approx(1.6, abs=0.01)


def test_all_calls_of_a_client_share_a_budget_of_retries() -> None:
    budget = retry.RetryBudget(tokens=1)
    assert [budget.spend(), budget.spend()] == [True, False]
    for _ in range(5):
        budget.earn()
    assert budget.spend()


def test_a_read_is_repeated_until_it_is_answered() -> None:
    with (
        answering(problem(503, "unavailable"), problem(503, "unavailable"), document(APP)) as server,
        _client(server.url) as pin,
    ):
        assert pin.apps.get("demo", "hello").replicas == 2
        assert len(server.asked) == 3
        assert pin.state.metrics.retries["GET", "/v1/projects/{project}/apps/{name}"] == 2


def test_a_create_is_repeated_under_one_key() -> None:
    with answering(problem(503, "unavailable"), document(WRITTEN, 201)) as server, _client(server.url) as pin:
        pin.apps.create("demo", APP)
        keys = {asked.headers["idempotency-key"] for asked in server.asked}
        assert len(server.asked) == 2
        assert len(keys) == 1
        pin.apps.create("demo", APP)
        assert server.asked[-1].headers["idempotency-key"] not in keys


async def test_the_asynchronous_client_does_the_same() -> None:
    with answering(problem(429, "too-many-requests"), document(APP)) as server:
        async with AsyncClient(Context(server=server.url), policy=QUICK) as pin:
            assert (await pin.apps.get("demo", "hello")).name == "hello"
        assert len(server.asked) == 2


async def test_a_cancelled_call_is_not_repeated() -> None:
    with answering(problem(503, "unavailable")) as server:
        async with AsyncClient(Context(server=server.url), policy=retry.Policy(first=60, cap=60, budget=1000)) as pin:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await pin.apps.get("demo", "hello")
        assert len(server.asked) == 1


def test_what_is_refused_is_asked_once() -> None:
    with answering(problem(403, "forbidden")) as server, _client(server.url) as pin:
        with pytest.raises(errors.ForbiddenError):
            pin.apps.get("demo", "hello")
        assert len(server.asked) == 1


def _client(url: str) -> Client:
    return Client(Context(server=url), policy=QUICK)
