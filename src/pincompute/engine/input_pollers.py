"""Polls external inputs over HTTP: a status code, a number from Prometheus, whether an event is taken, or the verdict of a
hook. It follows no redirects.
"""

from __future__ import annotations

import logging
import math
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import msgspec

from pincompute import __version__
from pincompute.engine.external_inputs import (
    EventDelivery,
    HookCall,
    HookVerdict,
    HttpStatusQuery,
    MetricQuery,
    Pollers,
)

log = logging.getLogger(__name__)

LONGEST = 1024 * 1024  # bytes of an answer that are read
SHOWN = 300  # characters of its error that go into a status
LONGEST_TEXT = 4 * SHOWN  # bytes of a hook's text that are read
COME_AGAIN = (408, 425, 429)  # with which a server says nothing about the question
TAKEN_WITHIN = aiohttp.ClientTimeout(total=8.0)  # shorter than the input's deadline, so that a slow endpoint is logged
ASKED_AGAIN = 600.0  # seconds in which an event that is still to be delivered is tried again, also behind many others
CLOUD_EVENT = "application/cloudevents+json; charset=utf-8"


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
class HttpEndpoint:
    """A server that an administrator has named: its URL, a file with the bearer token that it wants, and one with the
    authority of its certificate. The file of the token is read for each request, so that the token may change.
    """

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token_file.read_text('ascii').strip()}"} if self.token_file else {}

    def tls(self) -> ssl.SSLContext | bool:
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file else True


@dataclass(frozen=True, slots=True)
class PrometheusPoller:
    """Answers MetricQuery by an instant query that must yield exactly one number.

    Its messages reach users, so they name neither the server nor what it wants.
    """

    session: aiohttp.ClientSession
    source: HttpEndpoint | None
    tls: ssl.SSLContext | bool = True

    async def poll(self, question: MetricQuery) -> float:
        if self.source is None:
            raise NoAnswer("the platform has no Prometheus; an administrator names one in the federation's settings")
        url = f"{self.source.url.rstrip('/')}/api/v1/query"
        try:
            async with self.session.get(
                url,
                params={"query": question.query},
                headers=self.source.headers(),
                ssl=self.tls,
                allow_redirects=False,
            ) as response:
                body = await _content(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoAnswer(f"the platform's Prometheus does not answer ({type(error).__name__})") from error
        return number(body, response.status)


class EventPoller:
    """Answers EventDelivery by a POST of the event, after the HTTP binding of CloudEvents 1.0 in structured mode. Any status
    code from 200 to 299 means that the endpoint has taken it.
    """

    def __init__(
        self, session: aiohttp.ClientSession, endpoint: HttpEndpoint | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._session = session
        self._endpoint = endpoint
        self._clock = clock
        self._tls = endpoint.tls() if endpoint is not None else True
        self._refused: dict[str, float] = {}  # ids of events that the last try did not deliver, with the time of that

    async def poll(self, question: EventDelivery) -> bool:
        try:
            await self._post(question.content)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, NoAnswer) as error:
            self._note_refusal(question.id, str(error) or type(error).__name__)
            raise
        self._note_taken(question.id)
        return True

    async def _post(self, event: bytes) -> None:
        endpoint = self._endpoint
        if endpoint is None:
            raise NoAnswer("the platform has no notification endpoint; an administrator names one in the federation's settings")
        headers = {"Content-Type": CLOUD_EVENT, **endpoint.headers()}
        async with self._session.post(
            endpoint.url, data=event, headers=headers, ssl=self._tls, allow_redirects=False, timeout=TAKEN_WITHIN
        ) as response:
            if response.status // 100 != 2:
                raise NoAnswer(f"the notification endpoint answers with HTTP status {response.status}")

    def _note_refusal(self, event: str, why: str) -> None:
        """Logs when the endpoint begins to refuse events, once, however many it refuses."""
        self._forget()
        if not self._refused:
            log.warning("notifications are not taken", extra={"event": event, "why": why})
        self._refused.pop(event, None)
        self._refused[event] = self._clock()

    def _note_taken(self, event: str) -> None:
        """Logs when no event is refused any more: one that the endpoint never takes says nothing of the others."""
        waited = bool(self._refused)
        self._refused.pop(event, None)
        self._forget()
        if waited and not self._refused:
            log.info("notifications are taken again")

    def _forget(self) -> None:
        """Forgets events that nobody wants to deliver any more. Those tried last stand last."""
        before = self._clock() - ASKED_AGAIN
        while self._refused and self._refused[oldest := next(iter(self._refused))] < before:
            del self._refused[oldest]


class HookPoller:
    """Answers HookCall by a POST of its event, as `EventPoller` does. The status code is the verdict, and the body its text.

    Its messages reach users, so they do not name the server. An unusable authority of a certificate is an error at the start.
    """

    def __init__(self, session: aiohttp.ClientSession, endpoints: Mapping[str, HttpEndpoint]) -> None:
        self._session = session
        self._endpoints = {name: (endpoint, endpoint.tls()) for name, endpoint in endpoints.items()}

    async def poll(self, question: HookCall) -> HookVerdict:
        if question.hook not in self._endpoints:
            raise NoAnswer("the federation's settings do not name it")
        endpoint, tls = self._endpoints[question.hook]
        try:
            headers = {"Content-Type": CLOUD_EVENT, **endpoint.headers()}
            async with self._session.post(
                endpoint.url, data=question.content, headers=headers, ssl=tls, allow_redirects=False
            ) as response:
                return verdict(response.status, await _beginning(response))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NoAnswer(f"it does not answer ({type(error).__name__})") from error


def verdict(status: int, body: bytes) -> HookVerdict:
    """Returns the verdict of an answer. Raises NoAnswer where it is none."""
    text = _one_line(body)
    if status == HTTPStatus.ACCEPTED:
        return HookVerdict("Waiting", text)
    if status // 100 == 2:
        return HookVerdict("Accepted", text)
    if status // 100 == 4 and status not in COME_AGAIN:
        return HookVerdict("Refused", text)
    raise NoAnswer(f"it answers with HTTP status {status}")


def _one_line(body: bytes) -> str:
    """Returns the text without anything that a terminal may obey, and not too long."""
    text = "".join(letter if letter.isprintable() else " " for letter in body.decode("utf-8", "replace"))
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]}…"


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Reads no more of the answer than is shown of it."""
    found = bytearray()
    async for piece in response.content.iter_any():
        found += piece
        if len(found) >= LONGEST_TEXT:
            response.close()
            break
    return bytes(found[:LONGEST_TEXT])


async def _content(response: aiohttp.ClientResponse) -> bytes:
    """Reads the whole answer: one read gives what has arrived. Raises ValueError for more than LONGEST."""
    found = bytearray()
    async for piece in response.content.iter_any():
        found += piece
        if len(found) > LONGEST:
            raise ValueError(f"an answer has more than {LONGEST} bytes")
    return bytes(found)


def number(body: bytes, status: int) -> float:
    """Returns the one number in an answer to an instant query."""
    try:
        answer = msgspec.json.decode(body, type=_PrometheusAnswer)
        if answer.status != "success" or answer.data is None:
            raise NoAnswer(f"the query is refused: {answer.error[:SHOWN] or 'no reason given'}")
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
async def over_http(
    prometheus: HttpEndpoint | None = None,
    notifications: HttpEndpoint | None = None,
    hooks: Mapping[str, HttpEndpoint] = MappingProxyType({}),
) -> AsyncGenerator[Pollers]:
    """Returns the pollers of a process, with the base of Prometheus' HTTP API, where notifications go, and the hooks by name.
    Deadlines are those of the inputs.
    """
    tls = prometheus.tls() if prometheus is not None else True
    headers: dict[str, Any] = {"User-Agent": f"pincompute/{__version__}"}
    connector = aiohttp.TCPConnector(limit=0)  # the engine bounds requests per server; a common bound would join the servers
    async with aiohttp.ClientSession(connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield {
            HttpStatusQuery: HttpPoller(session),
            MetricQuery: PrometheusPoller(session, prometheus, tls),
            EventDelivery: EventPoller(session, notifications),
            HookCall: HookPoller(session, hooks),
        }
