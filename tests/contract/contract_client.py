"""A bare HTTP client for the contract: it hides nothing of a server's answer."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

PATIENCE = 20.0  # seconds that anything may take on a busy machine
LONGEST = 70.0  # seconds for a request that itself says how long it may take, at most a minute
WIDGETS = "/apis/contract.pincompute.io/v1/namespaces/{namespace}/widgets"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Answer:
    code: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    def ok(self, code: int = 200) -> Any:
        assert self.code == code, self.body
        return self.body

    def refused(self, code: int, reason: str) -> Any:
        """The Status body of a refusal, with the shape that clients rely on."""
        assert (self.code, self.body["reason"]) == (code, reason), self.body
        assert self.body["kind"] == "Status"
        assert self.body["apiVersion"] == "v1"
        assert self.body["status"] == "Failure"
        assert self.body["code"] == code
        assert self.body["message"]
        return self.body


@dataclass
class Api:
    """One server; `namespace` is this test's own, `compact` makes the server forget its history."""

    session: aiohttp.ClientSession
    url: str
    compact: Callable[[], Awaitable[None]]
    namespace: str = ""

    async def call(
        self, verb: str, path: str, body: Any = None, *, content_type: str = "application/json", accept: str = "", **query: Any
    ) -> Answer:
        headers = {"Content-Type": content_type, "Accept": accept or "application/json"}
        asked = {name.rstrip("_"): str(value) for name, value in query.items()}
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        data = None if body is None else io.BytesIO(encoded)
        async with (
            asyncio.timeout(LONGEST if "timeout" in asked else PATIENCE),
            self.session.request(verb, self.url + path, params=asked, data=data, headers=headers, ssl=False) as response,
        ):
            text = await response.text()
            answer = json.loads(text) if "json" in response.headers.get("Content-Type", "") else text
            return Answer(response.status, answer, dict(response.headers))

    async def get(self, path: str, **query: Any) -> Answer:
        return await self.call("GET", path, **query)

    async def post(self, path: str, body: Any, **query: Any) -> Answer:
        return await self.call("POST", path, body, **query)

    async def put(self, path: str, body: Any, **query: Any) -> Answer:
        return await self.call("PUT", path, body, **query)

    async def delete(self, path: str, body: Any = None, **query: Any) -> Answer:
        return await self.call("DELETE", path, body, **query)

    async def patch(self, path: str, body: Any, content_type: str = MERGE, **query: Any) -> Answer:
        return await self.call("PATCH", path, body, content_type=content_type, **query)

    async def apply(self, path: str, body: Any, manager: str, *, force: bool = False) -> Answer:
        forced = {"force": "true"} if force else {}
        return await self.patch(path, body, APPLY, fieldManager=manager, **forced)

    @asynccontextmanager
    async def watch(self, path: str, *, accept: str = "application/json", **query: Any) -> AsyncIterator[Watch]:
        asked = {name: str(value) for name, value in query.items()} | {"watch": "true"}
        async with self.session.get(
            self.url + path, params=asked, headers={"Accept": accept}, ssl=False, timeout=aiohttp.ClientTimeout(total=60)
        ) as response:
            try:
                yield Watch(response)
            finally:
                _abort(response)

    # -- paths ----------------------------------------------------------------------------------------------------------

    def core(self, plural: str, name: str = "", subresource: str = "") -> str:
        return "/".join(part for part in (f"/api/v1/namespaces/{self.namespace}/{plural}", name, subresource) if part)

    def widgets(self, name: str = "", subresource: str = "") -> str:
        return "/".join(part for part in (WIDGETS.format(namespace=self.namespace), name, subresource) if part)

    # -- waiting --------------------------------------------------------------------------------------------------------

    async def until_gone(self, path: str) -> None:
        async def gone() -> bool:
            return (await self.get(path)).code == 404

        await until(gone, f"{path} to go")

    async def until_object(self, path: str, condition: Callable[[Any], bool]) -> Any:
        seen: list[Any] = []

        async def holds() -> bool:
            answer = await self.get(path)
            seen[:] = [answer.body]
            return answer.code == 200 and condition(answer.body)

        await until(holds, f"{path} to become what is expected")
        return seen[0]


def _abort(response: aiohttp.ClientResponse) -> None:
    """Leave without TLS's goodbye, which would outlast the test's event loop."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


async def until(condition: Callable[[], Awaitable[bool]], what: str) -> None:
    """Poll until it holds; fail when it does not within the test's patience."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not await condition():  # noqa: ASYNC110 - the server is in another process
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"waited {PATIENCE} s in vain for {what}") from None


@dataclass
class Watch:
    response: aiohttp.ClientResponse

    @property
    def code(self) -> int:
        return self.response.status

    async def next(self) -> dict[str, Any] | None:
        """The next event; None at the end of the stream."""
        async with asyncio.timeout(PATIENCE):
            line = await self.response.content.readline()
        return json.loads(line) if line.strip() else None

    async def take(self, count: int) -> list[tuple[str, str]]:
        """Type and name of so many events."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events if event]


def configmap(name: str, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, **fields.pop("metadata", {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **fields}


def widget(name: str, metadata: dict[str, Any] | None = None, status: Any = None, **spec: Any) -> dict[str, Any]:
    body = {
        "apiVersion": "contract.pincompute.io/v1",
        "kind": "Widget",
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"size": 1, **spec},
    }
    return body | ({"status": status} if status is not None else {})


def managers(obj: dict[str, Any]) -> dict[tuple[str, str, str], Any]:
    """(manager, operation, subresource) -> its fields."""
    entries = obj["metadata"].get("managedFields", [])
    return {(e["manager"], e["operation"], e.get("subresource", "")): e["fieldsV1"] for e in entries}


WIDGET_DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.contract.pincompute.io"},
    "spec": {
        "group": "contract.pincompute.io",
        "scope": "Namespaced",
        "names": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "required": ["spec"],
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["size"],
                                "properties": {
                                    "size": {"type": "integer", "minimum": 0, "maximum": 100},
                                    "replicas": {"type": "integer", "default": 1, "minimum": 0},
                                    "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                                    "code": {"type": "string", "maxLength": 5, "pattern": "^[a-z]*$"},
                                    "amount": {"x-kubernetes-int-or-string": True},
                                    "tags": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "set",
                                        "maxItems": 3,
                                        "items": {"type": "string"},
                                    },
                                    "plan": {"type": "array", "items": {"type": "string"}},
                                    "ports": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {
                                            "type": "object",
                                            "required": ["name"],
                                            "properties": {
                                                "name": {"type": "string"},
                                                "port": {"type": "integer"},
                                                "weight": {"type": "integer", "default": 1},
                                            },
                                        },
                                    },
                                    "options": {"type": "object", "additionalProperties": {"type": "string"}},
                                    "whole": {
                                        "type": "object",
                                        "x-kubernetes-map-type": "atomic",
                                        "additionalProperties": {"type": "string"},
                                    },
                                    "template": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                                    "nested": {
                                        "type": "object",
                                        "properties": {"a": {"type": "string"}, "b": {"type": "string", "default": "x"}},
                                    },
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {
                                    "replicas": {"type": "integer"},
                                    "selector": {"type": "string"},
                                    "message": {"type": "string"},
                                    "conditions": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["type"],
                                        "items": {
                                            "type": "object",
                                            "required": ["type", "status"],
                                            "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
                                        },
                                    },
                                },
                            },
                        },
                    }
                },
            }
        ],
    },
}
