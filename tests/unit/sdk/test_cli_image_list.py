"""What `pin image list` shows of an image."""

from __future__ import annotations

from datetime import UTC, datetime

from pincompute_sdk.cli.image.image_list import IMAGES
from pincompute_sdk.generated.models import ImageUser, StoredImage


def image(users: tuple[ImageUser, ...], pushed: datetime | None = None, *, deleted: bool = False) -> StoredImage:
    digest = "sha256:" + "a" * 64
    name = "registry.internal/shop/web"
    return StoredImage(name="web", image=name, digest=digest, pushed=pushed, deleted=deleted, used_by=users)


def row(shown: StoredImage) -> dict[str, str]:
    return {column.title: column.value(shown) for column in IMAGES.columns}


def test_an_image_that_was_deleted_and_is_in_use_says_so() -> None:
    """It was shown as pushed in 1970."""
    users = (ImageUser(name="app hello"), ImageUser(name="app other", tag="1"))
    shown = row(image(users, deleted=True))
    assert (shown["pushed"], shown["used by"]) == ("-", "deleted, still in use by app hello, app other by tag 1")


def test_another_image_says_what_uses_it() -> None:
    shown = row(image((ImageUser(name="app hello"),), datetime.now(UTC)))
    assert (shown["pushed"] != "-", shown["used by"]) == (True, "app hello")
