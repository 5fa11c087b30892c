"""`pin image import`: which names the images of an archive get."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.image import image_import


def check(*images: tuple[str, str]) -> None:
    """Checks the names of images with these names and digests."""
    found: list[Any] = [SimpleNamespace(name=name, manifest=SimpleNamespace(digest=digest)) for name, digest in images]
    file = Path("images.tar")
    image_import._check(file, [(each, image_import._name(each, file, "shop", None, len(found))) for each in found])


def test_two_images_of_one_name_are_refused_before_the_first_is_pushed() -> None:
    """The second one silently took the tag of the first."""
    expected = "images.tar: docker.io/acme/web:1 and ghcr.io/other/web:1 would both become shop/web:1"
    with pytest.raises(CommandError, match=expected):
        check(("docker.io/acme/web:1", "a"), ("ghcr.io/acme/api:1", "b"), ("ghcr.io/other/web:1", "c"))


def test_two_names_of_one_image_and_different_images_are_accepted() -> None:
    check(("docker.io/acme/web:1", "a"), ("ghcr.io/other/web:1", "a"), ("ghcr.io/other/web:2", "b"))
