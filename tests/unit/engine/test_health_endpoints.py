"""A process's own HTTP port, and its log lines."""

from __future__ import annotations

import io
import json
import logging
import sys

import aiohttp
import pytest

from pincompute.engine import health_endpoints, structured_logs
from pincompute.engine.metrics import Metrics


async def fetch(port: int, path: str) -> tuple[int, str, str]:
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
        return answer.status, await answer.text(), answer.headers["Content-Type"]


async def test_live_ready_and_metrics_on_one_port() -> None:
    metrics, waits = Metrics(), ["pods of a1"]
    metrics.reconciliations.labels("federation.x", "acted").inc()
    metrics.watch_queue("federation.x", lambda: 7, lambda: 1)
    async with health_endpoints.serve(metrics.registry, 0, lambda: tuple(waits)) as port:
        assert (await fetch(port, "/livez"))[:2] == (200, "ok\n")
        assert (await fetch(port, "/readyz"))[:2] == (503, "waiting for pods of a1\n")
        waits.clear()
        assert (await fetch(port, "/readyz"))[0] == 200
        status, text, content_type = await fetch(port, "/metrics")
    assert status == 200
    assert content_type.startswith(("text/plain", "application/openmetrics-text"))
    assert 'pincompute_reconcile_total{controller="federation.x",outcome="acted"} 1.0' in text
    assert 'pincompute_queue_depth{controller="federation.x"} 7.0' in text
    assert 'pincompute_loop_stalls_total{cause="computing"} ' in text, "who shows metrics is watched"


def test_two_engines_in_one_process_have_metrics_of_their_own() -> None:
    one, other = Metrics(), Metrics()
    one.reconciliations.labels("c", "acted").inc()
    assert other.registry.get_sample_value("pincompute_reconcile_total", {"controller": "c", "outcome": "acted"}) is None


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "pincompute.engine", "levelname": "INFO", "msg": "acted", "created": 0.0})
    vars(made).update(extra)
    return made


def test_a_json_line_carries_the_facts_as_keys() -> None:
    assert json.loads(structured_logs.Json().format(record(key="shop/web", why=object))) == {
        "time": "1970-01-01T00:00:00.000Z",
        "level": "info",
        "message": "acted",
        "logger": "pincompute.engine",
        "key": "shop/web",
        "why": "<class 'object'>",
    }


def test_a_text_line_is_for_people() -> None:
    line = structured_logs.Text().format(record(key="shop/web", why="scaled up", none=""))
    assert line == "1970-01-01T00:00:00.000Z INFO    acted  key=shop/web why='scaled up' none=''"


@pytest.mark.parametrize("style", [structured_logs.Json(), structured_logs.Text()])
def test_exceptions_are_shown(style: logging.Formatter) -> None:
    try:
        int("odd")
    except ValueError:
        assert "ValueError: invalid literal" in style.format(record(exc_info=sys.exc_info()))


def test_configure_replaces_what_was_there() -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    try:
        structured_logs.configure("json", stream=stream)
        logging.getLogger("x").info("hello", extra={"n": 1})
        assert json.loads(stream.getvalue())["n"] == 1
    finally:
        root.handlers[:] = before
        root.setLevel(level)
