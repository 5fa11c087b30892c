"""Parameters that a route does not know are refused, and those that are wrong are named as they were sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from gateway.served_gateway import Running, running

from pincompute.gateway import request_parameters
from pincompute.gateway.composition import printed_document
from pincompute.gateway.gateway_settings import LimitSettings
from pincompute.gateway.problems import Problem

APPS = "/v1/projects/shop/apps"
PLENTY = 1e9  # tokens a second: limits have tests of their own
METHODS = ("get", "put", "post", "delete", "patch")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One for all: nothing that is asked for here changes anything."""
    async with running(
        tmp_path_factory.mktemp("gateway"), limits=LimitSettings(caller_rate=PLENTY, caller_burst=PLENTY)
    ) as found:
        yield found


def operations() -> list[tuple[str, str, str]]:
    """Method, path and operation id of all that the document knows."""
    paths: dict[str, Any] = json.loads(printed_document())["paths"]
    found = [(m.upper(), path, item[m]["operationId"]) for path, item in paths.items() for m in METHODS if m in item]
    return [(method, path.replace("{project}", "shop").replace("{name}", "hello"), name) for method, path, name in found]


@pytest.mark.asyncio(loop_scope="module")
async def test_no_route_passes_over_a_parameter_that_it_does_not_know(gateway: Running):
    asked, root = operations(), gateway.issuer.token("root")
    for method, path, name in asked:
        status, text = await gateway.send(method, f"{path}?nonsense=1", None, root)
        problem = json.loads(text)
        fields = [error["field"] for error in problem.get("errors", ())]
        assert (status, problem["code"], fields) == (400, "malformed", ["nonsense"]), (name, problem)
    assert len(asked) > 60


@pytest.mark.asyncio(loop_scope="module")
async def test_a_misspelt_parameter_is_told_what_was_meant_and_what_there_is(gateway: Running):
    """A list that passed it over would show everything."""
    for path in (APPS, "/v1/apps", "/v1/projects", f"{APPS}/watch"):
        status, problem, _ = await gateway.ask("alice", "GET", f"{path}?lable=team%3Dweb&limit=1")
        assert (status, problem["errors"][0]["message"]) == (400, "is not a query parameter: write label"), path
        assert "label, limit, " in problem["remedy"]
    _, problem, _ = await gateway.ask("alice", "GET", f"{APPS}/hello/logs?folow=true&containr=web")
    assert "folow: is not a query parameter: write follow" in problem["detail"]
    assert "containr: is not a query parameter: write container" in problem["detail"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_socket_with_an_unknown_parameter_does_not_open(gateway: Running):
    bearer = {"Authorization": f"Bearer {await gateway.token('alice')}"}
    for tail in ("shell?comand=sh", "forward?ports=80"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await gateway.http.ws_connect(f"{gateway.url}{APPS}/hello/{tail}", headers=bearer)
        assert refused.value.status == 400


@pytest.mark.asyncio(loop_scope="module")
async def test_who_may_not_do_it_learns_nothing_of_its_parameters(gateway: Running):
    assert (await gateway.ask("mallory", "GET", f"{APPS}?lable=x"))[0] == 404
    assert (await gateway.ask("", "GET", f"{APPS}?lable=x"))[0] == 401


@pytest.mark.parametrize(
    ("query", "named"),
    [(b"a=1&b=2&&", ""), (b"", ""), (b"%61=1", ""), (b"A=1", "A"), (b"c", "c"), (b"%C3%BC=1&\xff=2", "ü, \ufffd")],
)
def test_names_are_compared_as_they_are_meant(query: bytes, named: str):
    with pytest.raises(Problem) if named else nullcontext() as refused:
        request_parameters.refuse_unknown(query, frozenset("ab"))
    errors = refused.value.errors if refused else ()
    assert ", ".join(error.field for error in errors) == named


@pytest.mark.parametrize(
    ("method", "tail", "body", "headers", "field"),
    [
        ("POST", "", {"name": "hello"}, {"Idempotency-Key": "k" * 300}, "Idempotency-Key"),
        ("POST", "/hello/scale", {"replicas": 1}, {"Idempotency-Key": "k" * 300}, "Idempotency-Key"),
        ("DELETE", "/hello?dryRun=perhaps", None, {}, "dryRun"),
        ("GET", "/hello/history?oldestFirst=perhaps", None, {}, "oldestFirst"),
        ("GET", "/hello/files?path=", None, {}, "path"),
        ("POST", "/hello/exec", {"command": ["ls"], "timeoutSeconds": "long"}, {}, "timeoutSeconds"),
        ("POST", "/hello/pause", [1], {}, "body"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_wrong_is_named_as_it_was_sent(
    gateway: Running, method: str, tail: str, body: Any, headers: dict[str, str], field: str
):
    status, problem, _ = await gateway.ask("alice", method, APPS + tail, body, **headers)
    assert (status, problem["errors"][0]["field"]) == (400, field), problem
    assert problem["detail"].startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("/v1/apps?sort=age", "one of name, created, state, ready, -name, -created, -state, -ready"),
        ("/v1/resources/apps?tier=Gold", "one of Reserved, OnDemand, Preemptible"),
        ("/v1/projects?sort=ready", "one of name, created, -name, -created"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_a_value_that_is_none_of_the_choices_is_told_what_they_are(gateway: Running, asked: str, expected: str):
    status, problem, _ = await gateway.ask("alice", "GET", asked)
    (error,) = problem["errors"]
    assert (status, error["expected"]) == (400, expected), problem
    assert error["message"].endswith(f": must be {expected}")
