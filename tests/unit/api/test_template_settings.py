"""Which registries a template pulls from: wherever a pod can name an image."""

from __future__ import annotations

from typing import Any

import pytest

from pincompute.api.template_settings import registries


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("nginx", "docker.io"),
        ("team/web", "docker.io"),
        ("ghcr.io/acme/web:1", "ghcr.io"),
        ("GHCR.io/acme/web:1", "ghcr.io"),
        ("registry.example.com:5000/web", "registry.example.com:5000"),
    ],
)
@pytest.mark.parametrize("where", ["containers", "initContainers", "volumes"])
def test_every_image_has_a_registry(image: str, host: str, where: str) -> None:
    named: dict[str, Any] = {"image": {"reference": image}} if where == "volumes" else {"image": image}
    others: dict[str, Any] = {"emptyDir": {}} if where == "volumes" else {"image": 1}
    assert registries({"spec": {where: [{"name": "a", **others}, {"name": "b", **named}]}}) == {host}
