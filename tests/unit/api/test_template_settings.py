"""Which registries a template pulls from, wherever a pod can name an image, and which keys of settings it names."""

from __future__ import annotations

from typing import Any

import pytest

from pincompute.api.template_settings import Reference, named_keys, registries


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


CONF = Reference("config", "conf")
LOOSE = Reference("config", "loose", required=False)
TEMPLATE = {
    "spec": {
        "volumes": [
            {"name": "whole", "configMap": {"name": "conf"}},
            {"name": "some", "secret": {"secretName": "db.3", "items": [{"key": "value", "path": "password"}]}},
            {"name": "loose", "configMap": {"name": "loose", "optional": True}},
            {"name": "both", "projected": {"sources": [{"configMap": {"name": "conf", "items": [{"key": "p", "path": "p"}]}}]}},
        ],
        "containers": [
            {
                "env": [
                    {"name": "A", "value": "1"},
                    {"name": "B", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "b"}}},
                    {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "loose", "key": "c", "optional": True}}},
                ],
                "envFrom": [{"configMapRef": {"name": "conf"}}],
                "volumeMounts": [
                    {"name": "whole", "mountPath": "/a", "subPath": "a.conf"},
                    {"name": "whole", "mountPath": "/b"},
                    {"name": "whole", "mountPath": "/c", "subPath": "./"},
                    {"name": "some", "mountPath": "/d", "subPath": "password"},
                    {"name": "loose", "mountPath": "/e", "subPath": "e.conf"},
                    {"name": "unknown", "mountPath": "/f", "subPath": "f"},
                ],
            }
        ],
    }
}


def test_keys_are_named_by_variables_items_and_mounts_of_one_file() -> None:
    found = {(".".join(map(str, each.path[3:])), each.reference, each.key) for each in named_keys(TEMPLATE)}
    assert found == {
        ("env.1.valueFrom.configMapKeyRef.key", CONF, "b"),
        ("env.2.valueFrom.configMapKeyRef.key", LOOSE, "c"),
        ("secret.items.0.key", Reference("secret", "db", 3), "value"),
        ("projected.sources.0.configMap.items.0.key", CONF, "p"),
        ("volumeMounts.0.subPath", CONF, "a.conf"),
        ("volumeMounts.4.subPath", LOOSE, "e.conf"),
    }


@pytest.mark.parametrize(
    "template", [{}, {"spec": 1}, {"spec": {"containers": [1, {"volumeMounts": 1}], "volumes": [{"name": []}]}}]
)
def test_what_has_another_shape_names_no_key(template: Any) -> None:
    assert list(named_keys(template)) == []
