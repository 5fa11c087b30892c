"""`pin image build`: under which version an image is pushed when others push at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.image import image_build, push_view
from pincompute_sdk.images.image_name import ImageName
from pincompute_sdk.images.registry_client import PushProgress

WEB = ImageName("demo/web")


@dataclass
class Registry:
    """Digests by tag. `during` runs once in the middle of an upload, `after` once right after a tag was set."""

    held: dict[str, str] = field(default_factory=dict[str, str])
    during: Callable[[], object] | None = None
    after: Callable[[], object] | None = None

    def upload(self) -> None:
        meanwhile, self.during = self.during, None
        if meanwhile is not None:
            meanwhile()

    def put_manifest(self, name: ImageName, manifest: Any) -> str:
        self.held[name.tag] = manifest.digest
        meanwhile, self.after = self.after, None
        if meanwhile is not None:
            meanwhile()
        return manifest.digest

    def tags(self, _repository: str) -> tuple[str, ...]:
        return tuple(self.held)

    def digest(self, name: ImageName) -> str:
        return self.held.get(name.tag, "")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    def uploaded(registry: Registry, image: Any, name: ImageName) -> PushProgress:
        registry.upload()
        if name.tag:
            registry.put_manifest(name, image.manifest)
        return PushProgress(0, 0, 0)

    monkeypatch.setattr(push_view, "uploaded", uploaded)
    return Registry()


def push(registry: Any, digest: str, name: ImageName, *, fixed: bool = False) -> str:
    image: Any = SimpleNamespace(manifest=SimpleNamespace(digest=digest))
    return image_build._pushed(image, name, registry, fixed=fixed).tag


def chosen(registry: Any, tag: str = "") -> ImageName:
    return image_build._with_version(WEB.tagged(tag), registry, fixed=False)


def test_two_builds_at_the_same_time_get_two_versions(registry: Registry, capsys: pytest.CaptureFixture[str]) -> None:
    """The other one runs from its beginning to its end while this one uploads its layers."""
    registry.held["6"] = "before"
    registry.during = lambda: push(registry, "theirs", chosen(registry, "6"))
    assert push(registry, "mine", chosen(registry, "6")) == "8"
    assert registry.held == {"6": "before", "7": "theirs", "8": "mine"}
    assert "another build has pushed demo/web:7 meanwhile, so this image becomes demo/web:8" in capsys.readouterr().err


def test_a_version_that_another_build_takes_at_the_same_moment_is_its(registry: Registry) -> None:
    registry.held["6"] = "before"
    registry.after = lambda: registry.held.update({"7": "theirs"})
    assert push(registry, "mine", chosen(registry, "6")) == "8"
    assert registry.held == {"6": "before", "7": "theirs", "8": "mine"}


def test_the_same_content_makes_no_new_version(registry: Registry) -> None:
    registry.held["6"] = "same"
    assert push(registry, "same", chosen(registry, "6")) == "6"
    second = chosen(registry, "6")
    assert push(registry, "next", chosen(registry, "6")) == "7"
    assert push(registry, "next", second) == "7"
    assert registry.held == {"6": "same", "7": "next"}


def test_a_version_that_the_user_names_is_pushed_again(registry: Registry) -> None:
    registry.held["v1"] = "before"
    assert push(registry, "after", WEB.tagged("v1"), fixed=True) == "v1"
    assert registry.held == {"v1": "after"}


def test_a_version_without_a_number_has_no_next_one(registry: Registry) -> None:
    name = chosen(registry, "stable")
    registry.held["stable"] = "theirs"
    with pytest.raises(CommandError, match="no version comes after stable"):
        push(registry, "mine", name)
    assert registry.held == {"stable": "theirs"}
