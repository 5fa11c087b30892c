"""Serves a `ClusterStore` over HTTP: paths, verbs, headers and bodies of a real API server, and faults on demand.

async with MemoryServer(store) as server:
    ... server.url ...
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, Literal, Self

import msgspec
import yaml
from aiohttp import web

from pincompute.api.meta import Key, Manifest
from pincompute.kube import api_errors
from pincompute.testing.apiserver import error_responses, eviction, schema_enforcement, url_paths, watch_streams, wire_bodies
from pincompute.testing.apiserver.cluster_store import ClusterStore, ContentType
from pincompute.testing.apiserver.fault_injection import Faults
from pincompute.testing.apiserver.garbage_collector import Propagation
from pincompute.testing.apiserver.url_paths import RequestTarget

VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.3+memory", "platform": "linux/amd64"}
_PLAIN = {"/readyz": "ok", "/livez": "ok", "/healthz": "ok"}
_PATCHES: dict[str, ContentType] = {
    "application/merge-patch+json": "merge-patch",
    "application/strategic-merge-patch+json": "strategic-merge-patch",
    "application/json-patch+json": "json-patch",
    "application/apply-patch+yaml": "apply-patch",
    "application/apply-patch+cbor": "apply-patch",
}
_RETURNS_DELETED = ("pods", "namespaces", "services", "serviceaccounts")
_BODY_LIMIT = 3 * 1024 * 1024  # bytes, as a real API server's


class MemoryServer:
    """`tokens`, if there are any, are the bearer tokens that are let in. A fault switch acts on the next request."""

    def __init__(
        self, store: ClusterStore | None = None, *, tls: ssl.SSLContext | None = None, tokens: tuple[str, ...] = ()
    ) -> None:
        self.store = store or ClusterStore()
        self.faults = Faults()
        self.tokens = tokens
        self.url = ""
        self._tls = tls
        self._streams: set[asyncio.Transport] = set()
        application = web.Application(client_max_size=_BODY_LIMIT)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.01)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self, port: int = 0) -> None:
        """Listen on loopback; port 0 takes a free one."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=self._tls)
        await site.start()
        bound = self._runner.addresses[0][1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{bound}"

    async def close(self) -> None:
        self.drop_watches()
        await self._runner.cleanup()

    def drop_watches(self) -> int:
        """Reset the connection of every open watch; returns how many there were."""
        streams, self._streams = self._streams, set()
        for transport in streams:
            transport.abort()
        return len(streams)

    # -- one request ----------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            refused = await self._misbehave(request)
            if refused is not None:
                return refused
            self._authenticate(request)
            return await self._answer(request)
        except api_errors.Refused as error:
            return _failure(error)

    async def _misbehave(self, request: web.Request) -> web.StreamResponse | None:
        faults = self.faults
        if not faults.affects("WATCH" if _is_watch(request.query) else request.method, request.path):
            return None
        if faults.delay:
            await asyncio.sleep(faults.delay)
        if faults.silent:
            await asyncio.Event().wait()
        if faults.cut:
            _cut(request)
            raise ConnectionResetError("cut on purpose")
        refusal = faults.refused()
        if refusal is None:
            return None
        response = _failure(error_responses.refuse(refusal.code, "the server is busy on purpose"))
        if refusal.retry_after is not None:
            response.headers["Retry-After"] = str(refusal.retry_after)
        return response

    def _authenticate(self, request: web.Request) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.tokens and token not in self.tokens:
            raise error_responses.refuse(401, "Unauthorized")

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path in _PLAIN:
            return web.Response(text=_PLAIN[request.path])
        if request.path == "/version":
            return _json(VERSION)
        target = url_paths.find(request.path, self.store.kinds())
        match request.method:
            case "GET" if _is_watch(request.query):
                return await self._watch(request, target)
            case "GET":
                return _json(self._read(target, request.query, request.headers.get("Accept", "")))
            case "POST" | "PUT" | "PATCH" | "DELETE":
                return await self._write(request, target)
            case _:
                raise error_responses.refuse(405, "the server does not allow this method on the requested resource")

    def _read(self, target: RequestTarget, query: Mapping[str, str], accept: str) -> Manifest:
        metadata_only = "as=PartialObjectMetadata" in accept
        resource = target.kind.resource
        if target.name and not self.faults.stale_at:
            obj = self.store.get(resource, target.key, subresource=target.subresource)
            return wire_bodies.partial(obj) if metadata_only else obj
        page = self.store.list(
            resource,
            target.namespace,
            query.get("labelSelector", ""),
            f"metadata.name={target.name}" if target.name else query.get("fieldSelector", ""),
            int(query.get("limit", 0)),
            query.get("continue", ""),
            at=self._version(query),
        )
        if target.name:
            found = next(iter(page.items), None)
            if found is None:
                raise error_responses.not_found(resource, target.name)
            return found
        return wire_bodies.listing(resource, page, metadata_only=metadata_only)

    def _version(self, query: Mapping[str, str]) -> str:
        """The version to list at; a version that has not come yet is refused as a real API server does after a while."""
        if self.faults.stale_at:
            return self.faults.stale_at
        asked = query.get("resourceVersion", "")
        if asked and not asked.isdigit():
            raise error_responses.bad_request(f'resourceVersion: Invalid value: "{asked}": strconv.ParseUint: invalid syntax')
        if asked and int(asked) > int(self.store.resource_version):
            cause = api_errors.StatusCause(message="Too large resource version", reason="ResourceVersionTooLarge")
            text = f"Timeout: Too large resource version: {asked}, current: {self.store.resource_version}"
            raise error_responses.refuse(504, text, causes=(cause,))
        return asked if query.get("resourceVersionMatch") == "Exact" else ""

    async def _watch(self, request: web.Request, target: RequestTarget) -> web.StreamResponse:
        metadata_only = "as=PartialObjectMetadata" in request.headers.get("Accept", "")
        wanted = watch_streams.options(request.query, target, metadata_only=metadata_only)
        if self.faults.gone_as_status and wanted.since:
            self.store.events(target.kind.resource, wanted.since)
        response = web.StreamResponse(headers={"Content-Type": wire_bodies.JSON})
        response.enable_chunked_encoding()
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            return response
        self._streams.add(transport)
        try:
            async for line in watch_streams.events(self.store, target, wanted, self.faults):
                await response.write(msgspec.json.encode(line) + b"\n")
        finally:
            self._streams.discard(transport)
        await response.write_eof()
        return response

    # -- writes ---------------------------------------------------------------------------------------------------------

    async def _write(self, request: web.Request, target: RequestTarget) -> web.Response:
        body = await _body(request)
        if target.kind.schema is not None and request.query.get("fieldValidation") == "Strict":
            _refuse_unknown(target, body)
        if request.query.get("dryRun") != "All":
            return self._written(request, target, body)
        with self.store.rehearsal():
            return self._written(request, target, body)

    def _written(self, request: web.Request, target: RequestTarget, body: Any) -> web.Response:
        manager = request.query.get("fieldManager") or request.headers.get("User-Agent", "").split("/")[0]
        resource = target.kind.resource
        match request.method, bool(target.name):
            case "POST", False if bool(target.namespace) is resource.namespaced:
                return _json(self.store.create(resource, target.namespace, body, manager=manager), 201)
            case "POST", True if target.subresource == "eviction":
                return _json(eviction.answer(self.store, target.key, body), 201)
            case "PUT", True:
                return _json(self.store.update(resource, target.key, body, subresource=target.subresource, manager=manager))
            case "PATCH", True:
                return self._patched(request, target, body, manager)
            case "DELETE", True:
                return self._deleted(request, target, body or {})
            case "DELETE", False:
                return self._emptied(request, target, body or {})
            case _:
                raise error_responses.refuse(405, "the server does not allow this method on the requested resource")

    def _patched(self, request: web.Request, target: RequestTarget, body: Any, manager: str) -> web.Response:
        content_type = _PATCHES.get(request.content_type)
        if content_type is None:
            accepted = ", ".join(_PATCHES)
            text = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
            raise error_responses.refuse(415, text)
        resource = target.kind.resource
        existed = any(True for _ in self.store.list(resource, target.namespace, "", f"metadata.name={target.name}").items)
        obj = self.store.patch(
            resource,
            target.key,
            body,
            content_type=content_type,
            manager=request.query.get("fieldManager", "") if content_type == "apply-patch" else manager,
            force=request.query.get("force") in ("true", "1"),
            subresource=target.subresource,
        )
        return _json(obj, 200 if existed else 201)

    def _deleted(self, request: web.Request, target: RequestTarget, options: Manifest) -> web.Response:
        resource = target.kind.resource
        obj = self._delete(target.key, request, target, options)
        if "deletionTimestamp" in obj["metadata"] or resource.plural in _RETURNS_DELETED:
            return _json(obj)
        return _json(wire_bodies.deleted(resource, obj))

    def _emptied(self, request: web.Request, target: RequestTarget, options: Manifest) -> web.Response:
        query, resource = request.query, target.kind.resource
        page = self.store.list(resource, target.namespace, query.get("labelSelector", ""), query.get("fieldSelector", ""))
        for item in page.items:
            self._delete(Key(item["metadata"].get("namespace", ""), item["metadata"]["name"]), request, target, options)
        return _json(wire_bodies.listing(resource, page, metadata_only=False))

    def _delete(self, key: Key, request: web.Request, target: RequestTarget, options: Manifest) -> Manifest:
        conditions: Manifest = options.get("preconditions") or {}
        grace = options.get("gracePeriodSeconds", request.query.get("gracePeriodSeconds"))
        return self.store.delete(
            target.kind.resource,
            key,
            uid=conditions.get("uid", ""),
            resource_version=conditions.get("resourceVersion", ""),
            propagation=_propagation(options.get("propagationPolicy") or request.query.get("propagationPolicy", "")),
            grace_seconds=None if grace is None else int(grace),
        )


def _propagation(asked: str) -> Propagation | Literal[""]:
    match asked:
        case "" | "Background" | "Foreground" | "Orphan":
            return asked
        case _:
            text = f'Unsupported value: "{asked}": supported values: "Background", "Foreground", "Orphan"'
            raise error_responses.refuse(422, f"DeleteOptions.meta.k8s.io is invalid: propagationPolicy: {text}")


def _is_watch(query: Mapping[str, str]) -> bool:
    return query.get("watch") in ("true", "1")


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _json(body: Any, code: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=code, content_type=wire_bodies.JSON)


def _failure(error: api_errors.Refused) -> web.Response:
    return _json(wire_bodies.failure(error), error.status.code)


async def _body(request: web.Request) -> Any:
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise error_responses.refuse(413, f"Request entity too large: limit is {_BODY_LIMIT}") from error
    if not raw:
        return None
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        if request.content_type != "application/apply-patch+yaml":
            raise error_responses.bad_request(f"the object provided is unrecognized: {error}") from error
    try:
        return yaml.safe_load(raw)
    except yaml.YAMLError as error:
        raise error_responses.bad_request(f"error decoding YAML: {error}") from error


def _refuse_unknown(target: RequestTarget, body: Any) -> None:
    """Strict field validation, as kubectl asks for it."""
    unknown = schema_enforcement.unknown(body, target.kind.schema or {}, root=True)
    if unknown:
        kind, listed = target.kind.resource.kind, ", ".join(f'unknown field "{path}"' for path in unknown)
        version = target.kind.resource.version
        raise error_responses.bad_request(
            f'{kind} in version "{version}" cannot be handled as a {kind}: strict decoding error: {listed}'
        )
