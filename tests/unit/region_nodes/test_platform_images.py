"""The platform's own images: names, and what is said when the region's registry does not answer."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pincompute_sdk.images import registry_connection
from pincompute_sdk.images.image_errors import ImageError

from pincompute.region.cluster import certificates
from pincompute.region.images import administrator_registry, platform_images
from pincompute.region.layout import Layout, RegionSpec


@pytest.mark.parametrize(
    "tag", ["hello", "Hello:1", "hello:", ":1", "hello:a b", "hello:1:2", "-x:1", "a//b:1", "h:" + "x" * 129]
)
def test_bad_tag_is_refused_with_an_example_of_a_good_one(tag: str) -> None:
    with pytest.raises(ImageError) as refused:
        platform_images.parse_tag(tag)
    assert "for example web:1" in refused.value.remedy or "such as hello:1" in refused.value.remedy


@pytest.mark.parametrize(("tag", "parts"), [("hello:1", ("hello", "1")), ("team/a-b.c:v1.2_x", ("team/a-b.c", "v1.2_x"))])
def test_tag_is_repository_and_version(tag: str, parts: tuple[str, str]) -> None:
    name = platform_images.parse_tag(tag)
    assert (name.repository, name.tag) == parts


def test_registry_that_does_not_answer_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_connection.NoAnswerError, "pause", lambda *_: 0.0)
    (tmp_path / "image.yaml").write_text("entrypoint: [/app]\n")
    layout = Layout(tmp_path / "home", RegionSpec(slot=31, members=(), real_nodes=False))  # nothing listens on its ports
    certificates.issue(layout, datetime.now(UTC))
    with administrator_registry.connect(layout) as registry, pytest.raises(ImageError, match="cannot be reached") as refused:
        platform_images.build(tmp_path, "hello:1", registry)
    assert "that the region is up" in refused.value.remedy
