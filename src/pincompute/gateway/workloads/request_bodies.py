"""How routes whose bodies are read by hand tell the OpenAPI document what they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIType, Operation, Reference, RequestBody, Schema

from pincompute.gateway.model import SimpleKind
from pincompute.gateway.model.document_parser import YAML_TYPES


def takes(kind: SimpleKind[Any]) -> type[Operation]:
    """The simple model, as JSON or YAML, or the full resource."""
    return _operation(kind, ("application/json", YAML_TYPES[0]), f"{kind.name} in the simple model, or a {kind.resource.kind}")


def takes_patch(kind: SimpleKind[Any]) -> type[Operation]:
    """A JSON merge patch (RFC 7386) of the simple model."""
    return _operation(kind, ("application/merge-patch+json", "application/json"), f"Merge patch of the {kind.name}")


def _operation(kind: SimpleKind[Any], types: tuple[str, ...], description: str) -> type[Operation]:
    patch = types[0].endswith("patch+json")
    schema = (
        Schema(type=OpenAPIType.OBJECT, title=f"{kind.name}Patch") if patch else Reference(f"#/components/schemas/{kind.name}")
    )
    example = Example(value=kind.patch if patch else kind.example)
    content = {media_type: OpenAPIMediaType(schema=schema, examples={kind.name: example}) for media_type in types}

    @dataclass
    class WithBody(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody(content=content, description=description, required=True)

    return WithBody
