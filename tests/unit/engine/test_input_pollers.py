"""How inputs are asked over HTTP: against a server on loopback, and tables of what Prometheus may answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from pincompute.engine.external_inputs import HttpStatusQuery, MetricQuery
from pincompute.engine.input_pollers import NoAnswer, number, over_http


async def answer(request: web.Request) -> web.Response:
    match request.path:
        case "/api/v1/query":
            assert request.query["query"] == 'sum(rate(http_requests_total{app="web"}[1m]))'
            assert request.headers["User-Agent"].startswith("pincompute/")
            return web.json_response({"status": "success", "data": {"resultType": "scalar", "result": [1.0, "12.5"]}})
        case "/moved":
            return web.Response(status=302, headers={"Location": "/ok"})
        case "/ok":
            return web.Response(text="fine")
        case _:
            return web.Response(status=503)


@pytest.fixture
async def server() -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(("path", "status"), [("/ok", 200), ("/moved", 302), ("/broken", 503)])
async def test_an_http_check_says_the_status_code_of_the_very_url(server: str, path: str, status: int) -> None:
    async with over_http() as pollers:
        assert await pollers[HttpStatusQuery].poll(HttpStatusQuery(server + path)) == status


async def test_a_metric_query_says_a_number(server: str) -> None:
    query = 'sum(rate(http_requests_total{app="web"}[1m]))'
    async with over_http() as pollers:
        for base in (server, f"{server}/"):
            assert await pollers[MetricQuery].poll(MetricQuery(base, query)) == 12.5


async def test_what_does_not_answer_is_named() -> None:
    nowhere = "http://127.0.0.1:9"
    async with over_http() as pollers:
        for poller, question in (
            (pollers[HttpStatusQuery], HttpStatusQuery(nowhere)),
            (pollers[MetricQuery], MetricQuery(nowhere, "up")),
        ):
            with pytest.raises(NoAnswer, match=r"http://127.0.0.1:9 does not answer"):
                await poller.poll(question)


def vector(*values: str) -> dict[str, Any]:
    series = [{"metric": {"pod": str(n)}, "value": [1.5, value]} for n, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": series}}


NUMBERS: dict[str, tuple[Any, float]] = {
    "one series": (vector("3"), 3.0),
    "a scalar": ({"status": "success", "data": {"resultType": "scalar", "result": [1.5, "0.25"]}}, 0.25),
    "infinity, which is a number": (vector("+Inf"), float("inf")),
    "with warnings": ({**vector("3"), "warnings": ["slow"]}, 3.0),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_an_answer_that_is_a_number(case: str) -> None:
    body, expected = NUMBERS[case]
    assert number(json.dumps(body).encode(), 200) == expected


REFUSED: dict[str, tuple[Any, str]] = {
    "no series": (vector(), "comes to 0 numbers: expected one; sum or filter them"),
    "several series": (vector("1", "2"), "comes to 2 numbers"),
    "no number": (vector("NaN"), "no number"),
    "a text": (vector("many"), "what is no answer to a query"),
    "a range": ({"status": "success", "data": {"resultType": "matrix", "result": []}}, "comes to a matrix"),
    "a mistake in the query": ({"status": "error", "errorType": "bad_data", "error": "parse error"}, "parse error"),
    "something else": ({"hello": 1}, "HTTP status 502 with what is no answer to a query"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_answer_that_is_no_number_says_why(case: str) -> None:
    body, message = REFUSED[case]
    with pytest.raises(NoAnswer, match=message):
        number(json.dumps(body).encode(), 502)


def test_an_answer_that_is_no_json_says_why() -> None:
    with pytest.raises(NoAnswer, match="HTTP status 502 with what is no answer"):
        number(b"<html>bad gateway</html>", 502)
