"""The generated client: what becomes of a document, and that the committed one is of the present gateway."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from pincompute.gateway.composition import printed_document

TOOLS = Path(__file__).parents[3] / "tools"


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_sdk", TOOLS / "generate_sdk.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["generate_sdk"] = module
    spec.loader.exec_module(module)
    return module


def _answer(schema: dict[str, Any], media: str = "application/json") -> dict[str, Any]:
    return {"200": {"description": "ok", "content": {media: {"schema": schema}}}}


ITEM = {"$ref": "#/components/schemas/Item"}
NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
PROJECT = {**NAME, "name": "project"}
REASON = {"name": "Pincompute-Reason", "in": "header", "description": "Why.", "schema": {"type": "string"}}
SMALL: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "small", "version": "1"},
    "paths": {
        "/v1/projects/{project}/items": {
            "get": {
                "description": "All.",
                "parameters": [{"name": "cursor", "in": "query", "schema": {"type": "string"}}, PROJECT],
                "responses": _answer({"$ref": "#/components/schemas/ItemList"}),
            },
            "post": {
                "operationId": "createItem",
                "parameters": [PROJECT, {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}}, REASON],
                "requestBody": {"required": True, "content": {"application/json": {"schema": ITEM}}},
                "responses": _answer(ITEM),
            },
        },
        "/v1/resources/projects/{project}/items/{name}": {
            "get": {"parameters": [PROJECT, NAME], "responses": _answer({"type": "object", "additionalProperties": {}})}
        },
        "/v1/items": {"get": {"responses": _answer({"$ref": "#/components/schemas/ItemList"})}},
        "/v1/projects/{project}/items/{name}": {"delete": {"parameters": [NAME, PROJECT], "responses": {"204": {}}}},
        "/v1/projects/{project}/items/{name}/logs": {
            "get": {
                "parameters": [PROJECT, NAME, {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}}],
                "responses": _answer(ITEM, "application/x-ndjson"),
            }
        },
        "/v1/projects/{project}/items/watch": {"get": {"parameters": [PROJECT], "responses": _answer({}, "text/event-stream")}},
    },
    "components": {
        "schemas": {
            "Item": {
                "type": "object",
                "description": "One.",
                "required": ["kind", "name"],
                "properties": {
                    "kind": {"const": "Item"},
                    "name": {"type": "string", "description": "Its name."},
                    "class": {"type": "string", "enum": ["a", "b"]},
                    "podIP": {"oneOf": [{"type": "string"}, {"type": "null"}]},
                    "count": {"type": "integer", "default": 3},
                },
            },
            "ItemList": {
                "type": "object",
                "required": ["items"],
                "properties": {"items": {"type": "array", "items": ITEM}, "cursor": {"type": "string", "default": ""}},
            },
        }
    },
}
WANTED: dict[str, tuple[str, ...]] = {
    "models.py": (
        'class Item(Model, tag_field="kind", tag="Item"):',
        "    name: str\n",
        '    class_: str | None = None\n    """One of: a, b."""',
        '    pod_ip: str | None = msgspec.field(name="podIP", default=None)\n',
        "    count: int = 3\n",
        "    items: tuple[Item, ...]\n",
    ),
    "synchronous.py": (
        "class ItemsResource:",
        "body: Item | Mapping[str, Any], *, reason: str | None = None, within: float = 30.0",
        "def get_in_full(self, project: str, name: str, *, within: float = 30.0) -> dict[str, Any]:",
        "def delete(self, project: str, name: str, *, within: float = 30.0) -> None:",
        "def list(self, project: str, *, cursor: str | None = None, within: float = 30.0) -> ItemList:",
        "def iterate(self, project: str, *, within: float = 30.0) -> Iterator[Item]:",
        "def list_all(self, *, within: float = 30.0) -> ItemList:",
        "def logs(self, project: str, name: str, *, within: float = 30.0) -> Iterator[Item]:",
        "def follow_logs(self, project: str, name: str, *, within: float = 30.0) -> Iterator[ServerEvent]:",
        "def watch(self, project: str, *, within: float = 30.0) -> Iterator[ServerEvent]:",
    ),
    "asynchronous.py": (
        "async def delete(self, project: str, name: str, *, within: float = 30.0) -> None:",
        "async def iterate(self, project: str, *, within: float = 30.0) -> AsyncIterator[Item]:",
    ),
    "operations.py": ('ITEMS_CREATE = Operation("POST", "/v1/projects/{project}/items", Item, keyed=True)',),
}


@pytest.mark.parametrize("name", WANTED)
def test_a_small_document(generator: ModuleType, name: str) -> None:
    made = generator.files(SMALL)[name]
    assert [line for line in WANTED[name] if line not in made] == []


def test_two_operations_of_one_name_are_refused(generator: ModuleType) -> None:
    twice = {
        **SMALL,
        "paths": {**SMALL["paths"], "/v1/projects/{project}/items/{other}": {"delete": {"responses": {"204": {}}}}},
    }
    with pytest.raises(ValueError, match=r"would both be items\.delete"):
        generator.files(twice)


def test_the_committed_client_is_of_the_present_document(generator: ModuleType) -> None:
    """`python tools/generate_sdk.py` was run after the last change of the interface."""
    wanted = generator.files(msgspec.json.decode(printed_document()))
    present = {path.name: path.read_text("utf-8") for path in generator.TARGET.glob("*.py")}
    assert [name for name in wanted if wanted[name] != present.get(name)] == []
    assert present.keys() == wanted.keys()
