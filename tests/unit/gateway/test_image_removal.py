"""Which images the gateway deletes, and which it refuses to."""

from __future__ import annotations

import pytest

from pincompute.gateway.images import image_removal
from pincompute.gateway.images.image_inventory import ImageUser, StoredImage
from pincompute.gateway.images.image_removal import NamedImages, RemovalTarget
from pincompute.gateway.problems import Problem

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def image(digest: str, *tags: str, used: str = "", by_tag: str = "") -> StoredImage:
    users = (ImageUser(name=used, tag=by_tag),) if used else ()
    return StoredImage(name="web", image="registry.internal/shop/web", digest=digest, tags=tags, used_by=users)


USED, FREE = image(A, "1", "stable", used="app hello"), image(B, "2")
PULLED = image(A, "1", "stable", used="app other", by_tag="1")
ALONE = image(A, "1", used="app hello, revision v1")

# what is there, the tag and the digest that are named: what is deleted, or a part of the refusal
CASES = {
    "a tag of an image that nothing uses": ((USED, FREE), "2", "", [RemovalTarget(digest=B)]),
    "one name of several of a used image": ((USED, FREE), "stable", "", [RemovalTarget(tag="stable")]),
    "the only name of a used image": ((ALONE, FREE), "1", "", "shop/web:1 is in use: used by app hello, revision v1"),
    "one name of several that a workload pulls": ((PULLED, FREE), "1", "", "used by app other by tag 1"),
    "one name of several beside the one that a workload pulls": ((PULLED, FREE), "stable", "", [RemovalTarget(tag="stable")]),
    "all images, of which one is pulled by tag": ((PULLED, FREE), "", "", "used by app other by tag 1"),
    "a used image by its digest": ((USED, FREE), "", A, "used by app hello"),
    "all images, of which one is used": ((USED, FREE), "", "", "used by app hello"),
    "all images": ((FREE, image(A, "3")), "", "", [RemovalTarget(digest=B), RemovalTarget(digest=A)]),
    "a tag that is not there": ((USED, FREE), "9", "", "there is no image shop/web:9; its tags are 1, stable, 2"),
    "a tag with another digest": ((USED, FREE), "2", A, "its tags are 1, stable, 2"),
}


@pytest.mark.parametrize(("there", "tag", "digest", "expected"), CASES.values(), ids=CASES)
def test_what_is_used_stays(there: tuple[StoredImage, ...], tag: str, digest: str, expected: list[RemovalTarget] | str):
    wanted = NamedImages("shop", "web", tag, digest)
    if isinstance(expected, str):
        with pytest.raises(Problem) as refusal:
            image_removal.targets(there, wanted)
        assert expected in refusal.value.detail
    else:
        assert list(image_removal.targets(there, wanted)) == expected
