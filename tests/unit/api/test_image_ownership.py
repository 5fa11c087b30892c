"""Whose an image is, and which images a project may not run."""

from __future__ import annotations

from typing import Any

import pytest

from pincompute.api import image_ownership


@pytest.mark.parametrize(
    ("repository", "project"),
    [
        ("hello", ""),
        ("pincompute/pause", ""),
        ("shop/web", "shop"),
        ("shop/team/web", "shop"),
        ("pincompute2/x", "pincompute2"),
    ],
)
def test_a_repository_below_a_project_is_the_projects(repository: str, project: str) -> None:
    assert image_ownership.project_of(repository) == project


ALLOWED = [
    "registry.internal/hello:1",
    "registry.internal/pincompute/pause:1",
    "registry.internal/shop/web:1",
    "registry.internal/shop/web@sha256:" + "a" * 64,
    "nginx",
    "docker.io/other/web:1",
    "registry.internal.example/other/web:1",
    "registry.example.com:5000/team/web:1",
    "team/web",
    "127.0.0.1:1",  # without a path it is a repository of the usual registry
]


@pytest.mark.parametrize("image", ALLOWED)
def test_own_images_those_of_the_platform_and_those_of_other_registries_run(image: str) -> None:
    assert list(image_ownership.foreign_images({"containers": [{"name": "web", "image": image}]}, "shop")) == []


@pytest.mark.parametrize(
    "image",
    [
        "registry.internal/other/web:1",
        "registry.internal/shop2/web",
        "registry.internal/other/shop/web:1",
        "REGISTRY.Internal/other/web:1",
        "registry.internal:443/other/web:1",
        "registry.internal:5000/other/web:1",
        "registry.internal/shop/../other/web:1",
        "sha256:a",
        "1a" * 32,
    ],
)
@pytest.mark.parametrize(
    ("where", "field"),
    [
        ("containers", "containers[1].image"),
        ("initContainers", "initContainers[1].image"),
        ("ephemeralContainers", "ephemeralContainers[1].image"),
        ("volumes", "volumes[1].image.reference"),
    ],
)
def test_an_image_of_another_project_is_found_wherever_a_pod_can_name_one(image: str, where: str, field: str) -> None:
    named: dict[str, Any] = {"image": {"reference": image}} if where == "volumes" else {"image": image}
    found = list(image_ownership.foreign_images({where: [{"name": "first"}, named]}, "shop"))
    assert [each.field for each in found] == [field]


UNNAMED = [
    "127.0.0.1:1/a",
    "10.64.0.1/a",
    "127.1/a",
    "2130706433:80/a",
    "0x7f.1/a",
    "[::1]/a",
    "LOCALHOST/a",
    "a.localhost:1/a",
]


@pytest.mark.parametrize("image", [*UNNAMED, "localhost./a", "example.com./a", "node:1/a", "NODE/a"])
@pytest.mark.parametrize("project", ["shop", None])
def test_a_registry_without_a_dns_name_is_none(image: str, project: str | None) -> None:
    found = list(image_ownership.foreign_images({"containers": [{"image": image}]}, project))
    assert ["must have a DNS name" in each.problem for each in found] == [True]


OTHERWISE = {
    "REGISTRY.internal/shop/web:1": "nodes know the registry of the region as registry.internal alone",
    "registry.internal:443/shop/web:1": "nodes know the registry of the region as registry.internal alone",
    "registry.internal:443/hello:1": "nodes know the registry of the region as registry.internal alone",
    "registry.internal:443/other/web:1": "the image belongs to another project",
    "registry.internal/shop/../web:1": "is not the name of an image, which has the form",
    "registry.internal//shop/web:1": "is not the name of an image, which has the form",
    "registry.internal/shop%2fweb:1": "is not the name of an image, which has the form",
    "registry.internal/shop/Web:1": "is not the name of an image, which has the form",
    "registry.internal./shop/web:1": "the registry of an image must have a DNS name",
}


@pytest.mark.parametrize("image", OTHERWISE)
def test_another_spelling_says_what_is_wrong(image: str) -> None:
    (found,) = image_ownership.foreign_images({"containers": [{"image": image}]}, "shop")
    assert OTHERWISE[image] in found.problem


def test_what_is_of_the_wrong_type_is_left_to_the_schema() -> None:
    assert list(image_ownership.foreign_images({"containers": "x", "volumes": [{"image": 1}, 2]}, "shop")) == []
