"""What a user must not achieve with names of their own: a gateway that compares them for seconds and serves nobody."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import pytest
from gateway import registry_double
from gateway.served_gateway import running

from pincompute.api import near_names
from pincompute.api.near_names import nearest
from pincompute.gateway.model import KINDS
from pincompute.gateway.model.document_validation import DocumentScope, read
from pincompute.gateway.problems import Problem

SLOW = "ab" * 28  # difflib takes longest for long names of few letters


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every name that difflib has compared."""
    found: list[str] = []
    compare = difflib.get_close_matches

    def count(word: str, known: Any, *arguments: Any, **options: Any) -> list[str]:
        found.extend(known)
        return compare(word, known, *arguments, **options)

    monkeypatch.setattr(difflib, "get_close_matches", count)
    return found


def test_an_image_that_is_missing_beside_thousands_of_tags(compared: list[str]) -> None:
    tags = [f"{SLOW}{number:05d}" for number in range(20_000)]
    assert len(nearest(f"{SLOW}00017", tags, 3, 0.0)) == 3
    assert len(compared) <= near_names.COMPARED
    assert nearest("x" * 100_000, tags) == ()


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("imag", ["image", "imagePullPolicy", "args"], "image"),
        ("1.2.3", [f"1.{minor}.{patch}" for minor in range(9) for patch in range(9)], "1.2.3"),
        ("db-pasword", [*(f"key-{number}" for number in range(200)), "db-password"], "db-password"),
        ("b-password", [*(f"key-{number}" for number in range(200)), "db-password"], "db-password"),
        ("nothing-alike", [f"key-{number}" for number in range(200)], None),
    ],
)
def test_the_nearest_name_is_still_found(name: str, known: list[str], meant: str | None) -> None:
    assert next(iter(nearest(name, known)), None) == meant


def test_an_app_with_thousands_of_references_to_secrets_that_are_missing(compared: list[str]) -> None:
    names = {f"{SLOW}{number}" for number in range(200)}
    sources = ({"secretKeyRef": {"name": f"{SLOW}x{number}", "key": "value"}} for number in range(3000))
    env = [{"name": f"V{number}", "valueFrom": source} for number, source in enumerate(sources)]
    pod = {"containers": [{"name": "web", "image": "registry.internal/hello:1", "env": env}]}
    document = {
        "apiVersion": "pincompute.io/v1alpha1",
        "kind": "PinApp",
        "metadata": {"name": "web"},
        "spec": {"replicas": 1, "template": {"spec": pod}},
    }
    kind = next(each for each in KINDS if each.name == "App")
    with pytest.raises(Problem) as refused:
        read(kind, document, DocumentScope("shop", settings={"secret": names, "config": set()}))
    assert len(refused.value.errors) == 3000
    assert len(compared) <= near_names.SUGGESTED * near_names.COMPARED


async def test_the_answer_about_many_images_asks_for_the_tags_of_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compared: list[str]
) -> None:
    async with registry_double.serving(tmp_path, monkeypatch) as (registry, settings):
        for repository in range(20):
            for tag in range(30):
                registry.push(f"shop/web{repository}", f"{SLOW}{tag}", ("own", 10))
        async with running(tmp_path, registry=settings) as gateway:
            containers = [{"name": f"c{n}", "image": f"registry.internal/shop/web{n}:{SLOW}x"} for n in range(20)]
            app = {"kind": "App", "name": "web", "containers": containers}
            status, body, _ = await gateway.ask("dan", "POST", "/v1/projects/shop/apps", app)
            assert status == 422
            assert len(body["errors"]) == 20
            assert "the nearest tags are" in body["errors"][0]["message"]
            assert len(compared) <= near_names.SUGGESTED * near_names.COMPARED
