"""Polls external inputs over HTTP: a status code, or a number from Prometheus. It follows no redirects."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from pincompute import __version__
from pincompute.engine.external_inputs import HttpStatusQuery, MetricQuery, Pollers

LONGEST = 1024 * 1024  # bytes of an answer that are read


class NoAnswer(Exception):  # noqa: N818 - an answer, not an error
    """The server's answer cannot be used."""


@dataclass(frozen=True, slots=True)
class HttpPoller:
    """Answers HttpStatusQuery. It does not read the body."""

    session: aiohttp.ClientSession

    async def poll(self, question: HttpStatusQuery) -> int:
        try:
            async with self.session.get(question.url, allow_redirects=False) as response:
                return response.status
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer(f"{question.url} does not answer: {error}") from error


class _Data(msgspec.Struct, rename="camel"):
    result_type: str
    result: msgspec.Raw


class _PrometheusAnswer(msgspec.Struct, rename="camel"):
    status: str
    error: str = ""
    data: _Data | None = None


class _Series(msgspec.Struct):
    value: tuple[float, str]


@dataclass(frozen=True, slots=True)
class PrometheusPoller:
    """Answers MetricQuery by an instant query that must yield exactly one number."""

    session: aiohttp.ClientSession

    async def poll(self, question: MetricQuery) -> float:
        url = f"{question.server.rstrip('/')}/api/v1/query"
        try:
            async with self.session.get(url, params={"query": question.query}, allow_redirects=False) as response:
                body = await response.content.read(LONGEST)
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer(f"{question.server} does not answer: {error}") from error
        return number(body, response.status)


def number(body: bytes, status: int) -> float:
    """Returns the one number in an answer to an instant query."""
    try:
        answer = msgspec.json.decode(body, type=_PrometheusAnswer)
        if answer.status != "success" or answer.data is None:
            raise NoAnswer(f"the query is refused: {answer.error or 'no reason given'}")
        value = _only(answer.data)
    except (msgspec.MsgspecError, ValueError) as error:
        raise NoAnswer(f"HTTP status {status} with what is no answer to a query: {error}") from error
    if math.isnan(value):
        raise NoAnswer("the query comes to no number (NaN)")
    return value


def _only(data: _Data) -> float:
    if data.result_type == "scalar":
        return float(msgspec.json.decode(data.result, type=tuple[float, str])[1])
    if data.result_type != "vector":
        raise NoAnswer(f"the query comes to a {data.result_type}: expected one number")
    series = msgspec.json.decode(data.result, type=list[_Series])
    if len(series) != 1:
        raise NoAnswer(f"the query comes to {len(series)} numbers: expected one; sum or filter them")
    return float(series[0].value[1])


@asynccontextmanager
async def over_http() -> AsyncGenerator[Pollers]:
    """Returns the pollers of a process. Deadlines are those of the inputs."""
    headers: dict[str, Any] = {"User-Agent": f"pincompute/{__version__}"}
    async with aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield {HttpStatusQuery: HttpPoller(session), MetricQuery: PrometheusPoller(session)}
