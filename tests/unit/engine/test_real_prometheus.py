"""The queries of health gates in a real Prometheus, which reads the metrics of two projects from a page on loopback."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from pincompute.api.workloads import HealthMetric
from pincompute.domain import metric_query
from pincompute.engine.external_inputs import MetricQuery, Pollers
from pincompute.engine.input_pollers import HttpEndpoint, NoAnswer, over_http

PROMETHEUS = shutil.which("prometheus")
pytestmark = [pytest.mark.programs, pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")]
PATIENCE = 60.0

FIGURES: dict[str, tuple[HealthMetric, float | str]] = {
    "a maximum, of the own project only": (HealthMetric(name="x", metric="load", function="Maximum", window_seconds=15), 3.0),
    "an average": (HealthMetric(name="x", metric="load", function="Average", window_seconds=15), 2.0),
    "of some series": (
        HealthMetric(name="x", metric="load", function="Maximum", labels={"pod": "a|x"}, window_seconds=15),
        1.0,
    ),
    "a part that never happened is 0": (
        HealthMetric(name="x", metric="requests_total", function="Ratio", part={"code": "5.."}, window_seconds=15),
        0.0,
    ),
    "a part": (
        HealthMetric(name="x", metric="requests_total", function="Ratio", part={"code": "404"}, window_seconds=15),
        0.25,
    ),
    "a part by a label that does not exist": (
        HealthMetric(name="x", metric="requests_total", function="Ratio", part={"cod": "5.."}, window_seconds=15),
        "comes to 0 numbers",
    ),
    "a quantile": (
        HealthMetric(name="x", metric="seconds_bucket", function="Quantile", quantile=0.5, window_seconds=15),
        0.5,
    ),
    "a metric that does not exist": (HealthMetric(name="x", metric="lod", window_seconds=15), "comes to 0 numbers"),
    "a pattern that is none": (
        HealthMetric(name="x", metric="load", labels={"pod": "("}, window_seconds=15),
        "the query is refused: .*missing closing",
    ),
    "a value that would be more": (
        HealthMetric(name="x", metric="load", labels={"pod": 'a"} or load{namespace="bank'}, window_seconds=15),
        "comes to 0 numbers",
    ),
    "a sample that is too old": (HealthMetric(name="x", metric="old", function="Maximum", window_seconds=3600), "0 numbers"),
}


def page(scrapes: int) -> str:
    """The figures of two projects; the counters grow with each scrape."""
    lines = ['load{namespace="shop",pod="a"} 1', 'load{namespace="shop",pod="b"} 3', 'load{namespace="bank",pod="a"} 99']
    for code, count in (("200", 3), ("404", 1)):
        lines.append(f'requests_total{{namespace="shop",code="{code}"}} {count * scrapes}')
    lines.append(f'requests_total{{namespace="bank",code="500"}} {1000 * scrapes}')
    lines += [f'seconds_bucket{{namespace="shop",le="{le}"}} {4 * scrapes}' for le in ("1", "+Inf")]
    return "\n".join(lines) + "\n"


@asynccontextmanager
async def exporter() -> AsyncIterator[str]:
    """Serves the page; yields its address."""
    scrapes = itertools.count(1)
    started = int(time.time() * 1000)

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=page(next(scrapes)) + f'old{{namespace="shop"}} 5 {started - 240_000}\n')

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@asynccontextmanager
async def prometheus(target: str, folder: Path) -> AsyncIterator[str]:
    """Runs a Prometheus that scrapes the target each second; yields its URL."""
    assert PROMETHEUS is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    job = {"job_name": "shop", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}
    (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": [job]}))
    files = (f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}")
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            PROMETHEUS, *files, f"--web.listen-address={address}", stdout=log, stderr=log
        )
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        await process.wait()


async def known(pollers: Pollers, *metrics: HealthMetric) -> None:
    """Returns when Prometheus has figures of all of these metrics."""
    async with asyncio.timeout(PATIENCE):
        for metric in metrics:
            while True:
                try:
                    await pollers[MetricQuery].poll(MetricQuery(metric_query.promql(metric, "shop")))
                    break
                except NoAnswer:
                    await asyncio.sleep(0.2)


async def test_a_real_prometheus_answers_the_queries_of_gates(tmp_path: Path) -> None:
    async with exporter() as target, prometheus(target, tmp_path) as url, over_http(HttpEndpoint(url)) as pollers:
        await known(pollers, *(metric for metric, figure in FIGURES.values() if isinstance(figure, float)))
        for name, (metric, figure) in FIGURES.items():
            question = MetricQuery(metric_query.promql(metric, "shop"))
            if isinstance(figure, float):
                assert await pollers[MetricQuery].poll(question) == pytest.approx(figure, rel=0.01), name
                continue
            with pytest.raises(NoAnswer, match=figure):
                await pollers[MetricQuery].poll(question)
