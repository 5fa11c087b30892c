"""Which images of a spec are pinned, and to which names."""

from __future__ import annotations

from typing import Any

import pytest

from pincompute.domain import image_pinning
from pincompute.domain.image_pinning import Digest, NoImage, Resolution, Unresolved

WEB = "registry.internal/shop/web:1"
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def spec(*images: str, volume: str = "") -> dict[str, Any]:
    pod: dict[str, Any] = {"containers": [{"name": f"c{n}", "image": image} for n, image in enumerate(images)]}
    if volume:
        pod["volumes"] = [{"name": "data", "image": {"reference": volume}}]
    return {"replicas": 3, "template": {"spec": pod}}


# after, before, whole: what is asked about
ASKED = {
    "a new workload": (WEB, None, True, [WEB]),
    "the same tag in a whole document": (WEB, f"{WEB}@{A}", True, [WEB]),
    "the same digest in a whole document": (f"{WEB}@{A}", f"{WEB}@{A}", True, []),
    "another digest in a whole document": (f"{WEB}@{B}", f"{WEB}@{A}", True, [f"{WEB}@{B}"]),
    "the same name in a patch": (WEB, WEB, False, []),
    "another name in a patch": ("registry.internal/shop/web:2", f"{WEB}@{A}", False, ["registry.internal/shop/web:2"]),
    "an image of another registry": ("registry.example.com/web:1", None, True, []),
    "the platform's image": ("registry.internal/hello:1", None, True, ["registry.internal/hello:1"]),
}


@pytest.mark.parametrize(("after", "before", "whole", "asked"), ASKED.values(), ids=ASKED)
def test_the_registry_is_asked_only_about_what_may_have_changed(after: str, before: str | None, whole: bool, asked: list[str]):
    found = image_pinning.to_resolve(spec(after), spec(before) if before else None, whole=whole)
    assert [each.image for each in found] == asked


# image, what it was, the registry's answer: what is stored
STORED: dict[str, tuple[str, str, Resolution, str]] = {
    "a tag": (WEB, "", Digest(A), f"{WEB}@{A}"),
    "a tag that leads to the same content": (WEB, f"{WEB}@{A}", Digest(A), f"{WEB}@{A}"),
    "a tag that was pushed again": (WEB, f"{WEB}@{A}", Digest(B), f"{WEB}@{B}"),
    "a tag that was never pinned": (WEB, WEB, Digest(A), f"{WEB}@{A}"),
    "a name without a tag": ("registry.internal/shop/web", "", Digest(A), f"registry.internal/shop/web@{A}"),
    "a digest stays as it was written": (f"{WEB}@{A}", "", Digest(A), f"{WEB}@{A}"),
    "no answer keeps the content of the same tag": (WEB, f"{WEB}@{A}", Unresolved(), f"{WEB}@{A}"),
    "no answer takes another tag as it is": (
        "registry.internal/shop/web:2",
        f"{WEB}@{A}",
        Unresolved(),
        "registry.internal/shop/web:2",
    ),
}


@pytest.mark.parametrize(("image", "before", "answer", "stored"), STORED.values(), ids=STORED)
def test_a_tag_becomes_a_digest(image: str, before: str, answer: Resolution, stored: str):
    after = spec(image, volume=image)
    found = image_pinning.to_resolve(after, spec(before, volume=before) if before else None, whole=True)
    made = image_pinning.pinned(after, found, {image: answer})
    assert made == spec(stored, volume=stored)
    assert after == spec(image, volume=image)  # the given one is unchanged


def test_what_is_not_known_is_said():
    found = image_pinning.to_resolve(spec(WEB, "registry.internal/hello:1"), spec(f"{WEB}@{A}"), whole=True)
    said = image_pinning.warning(found, dict.fromkeys((each.image for each in found), Unresolved()))
    assert said == (
        f"the image registry does not answer: {WEB} keeps its present content; registry.internal/hello:1 is not checked, "
        "and replicas run what the tag points to when a node pulls it"
    )
    assert image_pinning.warning(found, dict.fromkeys((each.image for each in found), Digest(A))) == ""


def test_what_does_not_exist_is_named_by_its_field():
    found = image_pinning.to_resolve(spec("registry.internal/hello:1", WEB), None, whole=True)
    (missing,) = image_pinning.absent(found, {WEB: NoImage(), "registry.internal/hello:1": Digest(A)})
    assert (missing.field, missing.repository, missing.version) == ("spec.template.spec.containers[1].image", "shop/web", "1")


@pytest.mark.parametrize("broken", [{}, {"template": None}, {"template": {"spec": {"containers": [{"image": 1}, None]}}}])
def test_a_spec_without_images_has_none(broken: dict[str, Any]):
    assert image_pinning.to_resolve(broken, None, whole=True) == ()
