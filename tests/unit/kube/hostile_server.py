"""An HTTP server that lists and watches pods and misbehaves as API servers, proxies and networks do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

Body = dict[str, Any]
DROP = web.Response(status=500)
"""Answer that cuts the connection instead: the client cannot know what became of its request."""


@dataclass(slots=True)
class ReceivedRequest:
    """One request as the server saw it."""

    verb: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""

    @property
    def watch(self) -> bool:
        return "watch" in self.query


@dataclass(slots=True, eq=False)
class WatchStream:
    """An open watch: what to send next; None ends it."""

    request: web.Request
    lines: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    mute: bool = False


@dataclass(slots=True)
class HostileServer:
    """`answer` may return a response instead of the honest one; `gone_as_status` picks how an old version is refused."""

    objects: dict[str, Body] = field(default_factory=dict)
    hold: asyncio.Event | None = None  # while it is not set, requests are not answered
    version: int = 100
    floor: int = 0
    gone_as_status: bool = False
    answer: Callable[[ReceivedRequest], web.Response | None] = lambda _seen: None
    requests: list[ReceivedRequest] = field(default_factory=list)
    streams: set[WatchStream] = field(default_factory=set)
    log: list[tuple[int, bytes]] = field(default_factory=list)
    port: int = 0
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Nothing listens any more and every connection is cut."""
        assert self._runner is not None
        for stream in self.streams:
            stream.lines.put_nowait(None)
        await self._runner.cleanup()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def watches(self) -> int:
        return sum(seen.watch for seen in self.requests)

    @property
    def lists(self) -> int:
        return sum(not seen.watch and seen.path.endswith("/pods") for seen in self.requests)

    def truth(self) -> dict[str, str]:
        return {name: obj["metadata"]["resourceVersion"] for name, obj in self.objects.items()}

    # what happens in the cluster

    def put(self, name: str, **spec: Any) -> Body:
        kind = "MODIFIED" if name in self.objects else "ADDED"
        uid = self.objects[name]["metadata"]["uid"] if name in self.objects else f"uid-{name}-{self.version}"
        self.version += 1
        self.objects[name] = pod(name, uid, self.version, **spec)
        self._event(kind, self.objects[name])
        return self.objects[name]

    def delete(self, name: str) -> None:
        gone = self.objects.pop(name)
        self.version += 1
        last = {**gone, "metadata": {**gone["metadata"], "resourceVersion": str(self.version)}}
        self._event("DELETED", last)

    def bookmark(self) -> None:
        self._send(event("BOOKMARK", {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": str(self.version)}}))

    # what happens to the connection

    def compact(self) -> None:
        """Forgets every event so far."""
        self.floor = self.version

    def end(self) -> None:
        for stream in tuple(self.streams):
            stream.lines.put_nowait(None)

    def raw(self, data: bytes) -> None:
        self._send(data)

    def reset(self, half: bytes) -> None:
        """Sends the start of a line, then a TCP reset."""
        for stream in tuple(self.streams):
            stream.lines.put_nowait(half)
            stream.lines.put_nowait(b"RESET")

    def mute(self) -> None:
        """Open streams stay open and never say anything again."""
        for stream in self.streams:
            stream.mute = True

    def _event(self, kind: str, obj: Body) -> None:
        line = event(kind, obj)
        self.log.append((self.version, line))
        self._send(line)

    def _send(self, data: bytes) -> None:
        for stream in self.streams:
            if not stream.mute:
                stream.lines.put_nowait(data)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen = ReceivedRequest(request.method, request.path, dict(request.query), dict(request.headers), await request.read())
        self.requests.append(seen)
        if self.hold is not None:
            await self.hold.wait()
        answer = self.answer(seen)
        if answer is DROP and request.transport is not None:
            request.transport.abort()
        if answer is not None:
            return answer
        if request.path == "/readyz":
            return web.Response(text="ok")
        return await self._watch(request) if seen.watch else self._list(request)

    def _list(self, request: web.Request) -> web.Response:
        limit, token = int(request.query.get("limit", "0")), request.query.get("continue", "")
        if token and int(token.split(":")[0]) < self.floor:
            return status(410, "Expired", "the page token is too old")
        names = sorted(self.objects)
        start = names.index(token.split(":")[1]) if token else 0
        page = names[start : start + limit] if limit else names
        rest = names[start + len(page) :]
        version = token.split(":")[0] if token else str(self.version)
        meta = {"resourceVersion": version, **({"continue": f"{version}:{rest[0]}"} if rest else {})}
        items = [self.objects[name] for name in page]
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": meta, "items": items or None})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        since = int(request.query["resourceVersion"])
        old = since < self.floor
        if old and self.gone_as_status:
            return status(410, "Expired", "too old resource version")
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        if old:
            await response.write(event("ERROR", failure(410, "Expired", "too old resource version")))
            return response
        stream = WatchStream(request)
        for version, line in self.log:
            if version > since:
                stream.lines.put_nowait(line)
        self.streams.add(stream)
        try:
            await self._pump(stream, response)
        finally:
            self.streams.discard(stream)
        return response

    async def _pump(self, stream: WatchStream, response: web.StreamResponse) -> None:
        while (data := await stream.lines.get()) is not None:
            if data == b"RESET":
                await asyncio.sleep(0)
                assert stream.request.transport is not None
                stream.request.transport.abort()
                return
            await response.write(data)


def pod(name: str, uid: str, version: int, **spec: Any) -> Body:
    meta = {"name": name, "namespace": "default", "uid": uid, "resourceVersion": str(version), "labels": {"app": name[:3]}}
    return {"kind": "Pod", "apiVersion": "v1", "metadata": meta, "spec": {"containers": [], **spec}, "status": {}}


def event(kind: str, obj: Body) -> bytes:
    return json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n"


def failure(code: int, reason: str, message: str) -> Body:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}


def status(code: int, reason: str, message: str, **headers: str) -> web.Response:
    return web.json_response(failure(code, reason, message), status=code, headers=headers)
