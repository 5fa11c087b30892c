"""How routes whose bodies are read by hand tell the OpenAPI document what they take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIType, Operation, Reference, RequestBody, Schema

from pincompute.gateway.model import Kind
from pincompute.gateway.model.documents import YAML_TYPES

_WEB = {
    "name": "web",
    "image": "registry.internal/hello:1",
    "ports": [{"name": "http", "port": 8080}],
    "resources": {"cpu": "250m", "memory": "128Mi"},
    "health": {"http": {"path": "/", "port": "http"}},
}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "App": {"kind": "App", "name": "hello", "tier": "OnDemand", "replicas": 6, "containers": [_WEB]},
    "Unit": {"kind": "Unit", "name": "notebook", "containers": [{**_WEB, "name": "jupyter"}], "restartPolicy": "Always"},
    "Project": {"kind": "Project", "name": "demo", "description": "Where things are tried"},
}
_PATCHES: dict[str, dict[str, Any]] = {
    "App": {"replicas": 8, "labels": {"team": "web"}},
    "Unit": {"tier": "Preemptible", "terminationGracePeriod": "10s"},
    "Project": {"description": "Where things are shown"},
}


def takes(kind: Kind[Any]) -> type[Operation]:
    """The simple model, as JSON or YAML, or the full resource."""
    return _operation(kind, ("application/json", YAML_TYPES[0]), f"{kind.name} in the simple model, or a {kind.resource.kind}")


def takes_patch(kind: Kind[Any]) -> type[Operation]:
    """A JSON merge patch (RFC 7386) of the simple model."""
    return _operation(kind, ("application/merge-patch+json", "application/json"), f"Merge patch of the {kind.name}")


def _operation(kind: Kind[Any], types: tuple[str, ...], description: str) -> type[Operation]:
    patch = types[0].endswith("patch+json")
    schema = (
        Schema(type=OpenAPIType.OBJECT, title=f"{kind.name}Patch") if patch else Reference(f"#/components/schemas/{kind.name}")
    )
    example = Example(value=_PATCHES[kind.name] if patch else _EXAMPLES[kind.name])
    content = {media_type: OpenAPIMediaType(schema=schema, examples={kind.name: example}) for media_type in types}

    @dataclass
    class WithBody(Operation):
        def __post_init__(self) -> None:
            self.request_body = RequestBody(content=content, description=description, required=True)

    return WithBody
