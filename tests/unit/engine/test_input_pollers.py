"""How inputs are asked over HTTP: against a server on loopback, and tables of what Prometheus may answer."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from pincompute.engine.external_inputs import AT_ONCE, EventDelivery, HookCall, HookVerdict, HttpStatusQuery, MetricQuery
from pincompute.engine.input_pollers import (
    ASKED_AGAIN,
    LONGEST_TEXT,
    SHOWN,
    EventPoller,
    HttpEndpoint,
    NoAnswer,
    number,
    over_http,
    verdict,
)


async def answer(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/api/v1/query":
            assert request.query["query"] == 'sum(rate(http_requests_total{app="web"}[1m]))'
            assert request.headers["User-Agent"].startswith("pincompute/")
            return web.json_response({"status": "success", "data": {"resultType": "scalar", "result": [1.0, "12.5"]}})
        case "/guarded/api/v1/query":
            figure = {"Bearer first": "1", "Bearer second": "2"}[request.headers["Authorization"]]
            return web.json_response({"status": "success", "data": {"resultType": "scalar", "result": [1.0, figure]}})
        case "/parts/api/v1/query":
            parts = web.StreamResponse()
            await parts.prepare(request)
            for part in (b'{"status":"success","data":{"resultType":', b'"scalar","result":[1.0,"7"]}}'):
                await parts.write(part)
                await asyncio.sleep(0.05)  # so that they arrive one after the other
            return parts
        case "/events":
            assert request.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
            assert request.headers["Authorization"] == "Bearer first"
            return web.Response(status={"taken": 202, "moved": 302, "refused": 403}[(await request.json())["id"]])
        case "/hook":
            assert request.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
            assert request.headers["Authorization"] == "Bearer first"
            return web.Response(
                status=(await request.json())["answer"], text="as you\n\x1b[31mwish", headers={"Location": "/ok"}
            )
        case "/endless":
            return await _endless(request)
        case "/moved":
            return web.Response(status=302, headers={"Location": "/ok"})
        case "/ok":
            return web.Response(text="fine")
        case _:
            return web.Response(status=503)


async def _endless(request: web.Request) -> web.StreamResponse:
    parts = web.StreamResponse(status=403)
    await parts.prepare(request)
    with suppress(ConnectionError):
        while True:
            await parts.write(b"no " * 100)
    return parts


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
    for base in (server, f"{server}/"):
        async with over_http(HttpEndpoint(base)) as pollers:
            assert await pollers[MetricQuery].poll(MetricQuery(query)) == 12.5


async def test_an_answer_that_arrives_in_parts_is_read_whole(server: str) -> None:
    async with over_http(HttpEndpoint(f"{server}/parts")) as pollers:
        assert await pollers[MetricQuery].poll(MetricQuery("up")) == 7.0


async def test_a_query_carries_the_present_token(server: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    source = HttpEndpoint(f"{server}/guarded", token)
    async with over_http(source) as pollers:
        for present, figure in (("first", 1.0), ("second", 2.0)):
            token.write_text(f"{present}\n")
            assert await pollers[MetricQuery].poll(MetricQuery("up")) == figure


async def test_an_event_is_delivered_when_the_endpoint_takes_it(server: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    endpoint = HttpEndpoint(f"{server}/events", token)
    async with over_http(notifications=endpoint) as pollers:
        assert await pollers[EventDelivery].poll(EventDelivery("taken", b'{"id":"taken"}'))
        for status, event in ((302, "moved"), (403, "refused")):
            with pytest.raises(NoAnswer, match=f"HTTP status {status}"):
                await pollers[EventDelivery].poll(EventDelivery(event, json.dumps({"id": event}).encode()))


VERDICTS: dict[int, str] = {200: "Accepted", 204: "Accepted", 202: "Waiting", 400: "Refused", 403: "Refused", 404: "Refused"}
NO_VERDICTS = (302, 307, 408, 425, 429, 500, 503)


@pytest.mark.parametrize("status", [*VERDICTS, *NO_VERDICTS])
async def test_the_status_code_of_a_hook_is_its_verdict(server: str, tmp_path: Path, status: int) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    call = HookCall("id", "gate", json.dumps({"answer": status}).encode())
    async with over_http(hooks={"gate": HttpEndpoint(f"{server}/hook", token)}) as pollers:
        if status in NO_VERDICTS:
            with pytest.raises(NoAnswer, match=f"it answers with HTTP status {status}"):
                await pollers[HookCall].poll(call)
            return
        found = await pollers[HookCall].poll(call)
    assert (found.state, found.text) == (VERDICTS[status], "" if status == 204 else "as you [31mwish")


async def test_no_more_of_what_a_hook_says_is_read_than_is_shown(server: str) -> None:
    async with over_http(hooks={"gate": HttpEndpoint(f"{server}/endless")}) as pollers, asyncio.timeout(5):
        found = await pollers[HookCall].poll(HookCall("id", "gate", b"{}"))
    assert found == HookVerdict("Refused", f"{('no ' * SHOWN)[:SHOWN]}…")
    assert verdict(403, ("ä" * LONGEST_TEXT).encode()[: LONGEST_TEXT - 1]).text == f"{'ä' * SHOWN}…"


async def test_only_a_hook_of_the_settings_is_called_and_no_message_names_its_server(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\nvalue")  # no header can hold it
    nowhere = {"gate": HttpEndpoint("http://127.0.0.1:9"), "guarded": HttpEndpoint("http://127.0.0.1:9", token)}
    async with over_http(hooks=nowhere) as pollers:
        for name in (*nowhere, "http://127.0.0.1:9"):
            with pytest.raises(NoAnswer) as told:
                await pollers[HookCall].poll(HookCall("id", name, b"{}"))
            assert "127.0.0.1" not in str(told.value)
            assert "secret" not in str(told.value)


async def test_a_hook_is_called_without_a_proxy_of_the_environment(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with over_http(hooks={"gate": HttpEndpoint(f"{server}/ok")}) as pollers:
        assert (await pollers[HookCall].poll(HookCall("id", "gate", b"{}"))).state == "Accepted"


async def test_servers_that_hang_take_no_connection_from_another(server: str) -> None:
    """As many requests hang as the engine has on their way to four servers."""
    opened = asyncio.Queue[asyncio.StreamWriter]()
    hanging = await asyncio.start_server(lambda _, writer: opened.put_nowait(writer), "127.0.0.1", 0)
    where = HttpEndpoint(f"http://127.0.0.1:{hanging.sockets[0].getsockname()[1]}")
    async with over_http(hooks={"hangs": where, "gate": HttpEndpoint(f"{server}/ok")}) as pollers:
        poller = pollers[HookCall]
        waiting = [asyncio.ensure_future(poller.poll(HookCall(str(each), "hangs", b"{}"))) for each in range(4 * AT_ONCE)]
        async with asyncio.timeout(5):
            ends = [await opened.get() for _ in waiting]
            assert (await poller.poll(HookCall("id", "gate", b"{}"))).state == "Accepted"
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
    hanging.close()
    for writer in ends:
        writer.close()
        await writer.wait_closed()


async def test_an_endpoint_that_takes_no_events_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with over_http(notifications=HttpEndpoint("http://127.0.0.1:9")) as pollers:
        for number in range(3):
            with pytest.raises((OSError, NoAnswer)):
                await pollers[EventDelivery].poll(EventDelivery(str(number), b"{}"))
    assert [record.message for record in caplog.records] == ["notifications are not taken"]


async def test_an_endpoint_that_refuses_one_event_does_not_flip_the_log(
    server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each other event that it took said that it takes events again, and each next try that it does not."""
    token = tmp_path / "token"
    token.write_text("first\n")
    caplog.set_level(logging.INFO)
    now = [0.0]

    async def deliver(poller: EventPoller, event: str) -> None:
        with suppress(NoAnswer):
            await poller.poll(EventDelivery(event, json.dumps({"id": event}).encode()))

    async with aiohttp.ClientSession() as session:
        poller = EventPoller(session, HttpEndpoint(f"{server}/events", token), lambda: now[0])
        for event in ("refused", "taken", "refused", "taken"):
            await deliver(poller, event)
        assert [record.message for record in caplog.records] == ["notifications are not taken"]
        now[0] += ASKED_AGAIN + 1  # nobody wants to deliver the refused one any more
        await deliver(poller, "taken")
    assert [record.message for record in caplog.records][1:] == ["notifications are taken again"]


async def test_messages_about_prometheus_name_neither_the_server_nor_the_token(tmp_path: Path) -> None:
    """They reach users, who do not administer it."""
    token = tmp_path / "token"
    token.write_text("secret\nvalue")  # no header can hold it
    for source in (HttpEndpoint("http://127.0.0.1:9"), HttpEndpoint("http://127.0.0.1:9", token)):
        async with over_http(source) as pollers:
            with pytest.raises(NoAnswer) as told:
                await pollers[MetricQuery].poll(MetricQuery("up"))
        assert "127.0.0.1" not in str(told.value)
        assert "secret" not in str(told.value)
    async with over_http() as pollers:
        with pytest.raises(NoAnswer, match="the platform has no Prometheus"):
            await pollers[MetricQuery].poll(MetricQuery("up"))


async def test_what_does_not_answer_is_named() -> None:
    nowhere = "http://127.0.0.1:9"
    async with over_http() as pollers:
        with pytest.raises(NoAnswer, match=r"http://127.0.0.1:9 does not answer"):
            await pollers[HttpStatusQuery].poll(HttpStatusQuery(nowhere))


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
