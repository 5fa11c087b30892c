"""The version of the next image, and the line of app.yaml that names it."""

from __future__ import annotations

import pytest
from pincompute_sdk.cli.image import image_version
from pincompute_sdk.cli.manifest import manifest_image
from pincompute_sdk.images.image_name import ImageName

FOLLOWING = {
    "the first": ("", (), "1"),
    "what app.yaml names and nobody has pushed": ("1", (), "1"),
    "the next": ("1", ("1",), "2"),
    "the next after all": ("1", ("1", "2", "9", "10"), "11"),
    "other tags do not count": ("1", ("1", "latest", "dev"), "2"),
    "without app.yaml after those that are there": ("", ("3", "4", "latest"), "5"),
    "the last number of a longer version": ("v1.2", ("v1.2", "v1.3", "v2.9"), "v1.4"),
    "a word has no next": ("latest", ("latest",), ""),
}


@pytest.mark.parametrize("case", FOLLOWING)
def test_the_version_follows_those_that_exist(case: str) -> None:
    current, tags, expected = FOLLOWING[case]
    assert image_version.following(current, tags) == expected


@pytest.mark.parametrize(
    ("version", "tags", "expected"), [("2", ("1",), "1"), ("1", (), ""), ("3", ("1",), ""), ("v2", ("v1",), "v1")]
)
def test_the_version_before(version: str, tags: tuple[str, ...], expected: str) -> None:
    assert image_version.newest(version, tags) == expected


@pytest.mark.parametrize(("folder", "name"), [("My Shop_2", "my-shop-2"), ("web", "web"), ("...", "app")])
def test_a_folder_gives_a_name(folder: str, name: str) -> None:
    assert image_version.name_of(folder) == name


APP = """\
# image: registry.internal/shop/web:1 is the first
kind: App
containers:
- name: web
  image: registry.internal/shop/web:1   # the image
- {name: side, image: "registry.internal/shop/web:1@sha256:aa", command: [x]}
- name: other
  image: registry.internal/shop/website:1
"""


def test_only_the_image_changes_in_the_text() -> None:
    changed = manifest_image.changed(APP, ImageName("shop/web", "2"))
    assert changed == APP.replace("web:1   #", "web:2   #").replace('web:1@sha256:aa"', 'web:2"')
    assert manifest_image.changed(changed, ImageName("shop/web", "2")) == changed


def test_images_that_a_file_names() -> None:
    assert manifest_image.named(APP) == [
        "registry.internal/shop/web:1",
        "registry.internal/shop/web:1@sha256:aa",
        "registry.internal/shop/website:1",
    ]
