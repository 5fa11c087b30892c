"""Resolves the tags of a workload to digests when it is written, and refuses images that do not exist.

A tag that nobody pushed would otherwise empty a healthy service: its replicas would be replaced by some that never start. An
answer that does not come is no such refusal: the image is accepted as it is, and the answer to the write says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from pincompute.api import near_names
from pincompute.api.image_ownership import REGISTRY, project_of
from pincompute.api.image_reference import LATEST
from pincompute.api.meta import Manifest
from pincompute.domain import image_pinning
from pincompute.domain.image_pinning import Digest, NamedImage, Resolution
from pincompute.gateway import problems
from pincompute.gateway.images.image_leases import ImageLeases
from pincompute.gateway.images.registry_reader import RegistryReader, RegistrySilent
from pincompute.gateway.images.registry_storage import RegistryStorage
from pincompute.gateway.images.repository_ownership import RepositoryOwnership
from pincompute.gateway.problems import FieldError, Problem

AT_ONCE = 8  # requests to the registry for one write
T = TypeVar("T")
R = TypeVar("R")
_OF_SOURCES = "source-"  # tags that a region gives its own images for itself
_NEAREST = 3  # tags or names in a message
_NAME = f"name another image of the platform, or one of the project: {REGISTRY}/PROJECT/NAME:TAG"
_PUSH = "push it, for example with `pin image build`; `pin image list` shows the images of the project"


@dataclass(frozen=True, slots=True)
class ImageQuestion:
    """The images that a write of `project` brings: its spec `after` the write, with what `before` has of it. A `whole` document
    asks for what its tags point to now. `locate` gives a field as the user wrote it.
    """

    after: Manifest
    before: Manifest | None = None
    whole: bool = True
    project: str = ""
    locate: Callable[[str], str] = str

    def images(self) -> tuple[NamedImage, ...]:
        """Returns those about which the registry is asked."""
        return image_pinning.to_resolve(self.after, self.before, whole=self.whole)


@dataclass(frozen=True, slots=True)
class ResolvedImages:
    """What the registry says of the images of one request. It is asked once for each, however often the write is repeated."""

    by_image: Mapping[str, Resolution] = field(default_factory=dict[str, Resolution])

    def pinned(self, after: Manifest, before: Manifest | None, *, whole: bool) -> Manifest:
        return image_pinning.pinned(after, image_pinning.to_resolve(after, before, whole=whole), self.by_image)

    def warnings(self, after: Manifest, before: Manifest | None, *, whole: bool) -> tuple[str, ...]:
        """Says which images the registry did not answer about, and which name no registry."""
        said = image_pinning.warning(image_pinning.to_resolve(after, before, whole=whole), self.by_image)
        return (*((said,) if said else ()), *image_pinning.without_registry(after, before or {}))


@dataclass(frozen=True, slots=True)
class ImageDigests:
    """Without a registry of the region, images stay as they are."""

    registry: RegistryReader | None = None
    ownership: RepositoryOwnership | None = None
    storage: RegistryStorage = field(default_factory=RegistryStorage)
    leases: ImageLeases = field(default_factory=lambda: ImageLeases(RegistryStorage()))

    async def of(self, asked: ImageQuestion) -> ResolvedImages:
        """Raises Problem with every image that does not exist."""
        wanted = asked.images()
        if self.registry is None or not self.registry.configured or not wanted:
            return ResolvedImages()
        await self._refuse_former(wanted, asked.locate)
        distinct = {each.image: each for each in wanted}
        registry = self.registry
        answers = await _bounded(lambda each: registry.resolve(each.repository, each.version), distinct.values())
        found = dict(zip(distinct, answers, strict=True))
        if missing := image_pinning.absent(wanted, found):
            raise await self._refusal(self.registry, missing, asked)
        return ResolvedImages(found)

    @asynccontextmanager
    async def kept(self, asked: ImageQuestion) -> AsyncGenerator[ResolvedImages]:
        """As `of`, and nobody deletes these images until the end of the block, in which the workload is written."""
        found = await self.of(asked)
        wanted = asked.images() if found.by_image else ()
        versions = {each: (each.repository, _version(each, found.by_image[each.image])) for each in wanted}
        async with self.leases.taken(versions.values()) as gone:
            missing = tuple(each for each, version in versions.items() if version in gone)
            if missing and self.registry is not None:
                raise await self._refusal(self.registry, missing, asked)
            yield found

    async def _refuse_former(self, wanted: Sequence[NamedImage], locate: Callable[[str], str]) -> None:
        """A project's images are not its own until those of a former project of its name are gone."""
        unusable = await self.ownership.unusable(each.repository for each in wanted) if self.ownership else {}
        for each in wanted:
            if why := unusable.get(project_of(each.repository)):
                raise problems.unavailable(f"{locate(each.field)}: {why}", 2.0)

    async def _refusal(self, registry: RegistryReader, missing: Sequence[NamedImage], question: ImageQuestion) -> Problem:
        """Names every image, and the nearest tags or names of the first ones."""
        named = missing[: near_names.SUGGESTED]
        asked = sorted({each.repository for each in named})
        tags = dict(zip(asked, await _bounded(lambda name: _tags(registry, name), asked), strict=True))
        near = {each: _nearest_tags(each, tags[each.repository] or ()) for each in named}
        unknown = [each for each in named if tags[each.repository] == ()]
        names = {each: await asyncio.to_thread(self._nearest_names, each.repository, question.project) for each in unknown}
        locate = question.locate
        wrong = (_no_repository(each, names[each], locate) for each in unknown)
        return problems.invalid(*wrong, *(_no_tag(each, near.get(each, ()), locate) for each in missing if each not in names))

    def _nearest_names(self, repository: str, project: str) -> Sequence[str]:
        """Returns names of the platform and of the workload's own project only: what others have is not told."""
        owner = project_of(repository)
        if not self.storage.configured or owner not in ("", project):
            return ()
        known = self.storage.repositories(owner) if owner else self.storage.platform_repositories()
        return near_names.nearest(repository, known, _NEAREST)


def _version(each: NamedImage, resolution: Resolution) -> str:
    return resolution.value if isinstance(resolution, Digest) else each.version


async def _bounded(ask: Callable[[T], Awaitable[R]], items: Iterable[T]) -> list[R]:
    """The answers in the order of the items, of which a few are asked about at once."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(item: T) -> R:
        async with turns:
            return await ask(item)

    return await asyncio.gather(*map(one, items))


async def _tags(registry: RegistryReader, repository: str) -> Sequence[str] | None:
    """Returns none where there is no such repository, and None where the registry does not say."""
    try:
        return await registry.some_tags(repository)
    except RegistrySilent:
        return None


def _nearest_tags(each: NamedImage, tags: Sequence[str]) -> Sequence[str]:
    if not project_of(each.repository):
        tags = [tag for tag in tags if not tag.startswith(_OF_SOURCES)] or tags
    return near_names.nearest(each.reference.tag or LATEST, tags, _NEAREST, cutoff=0.0)


def _advice(each: NamedImage) -> str:
    """Nobody but an administrator pushes images of the platform."""
    return _PUSH if project_of(each.repository) else _NAME


def _no_repository(each: NamedImage, near: Sequence[str], locate: Callable[[str], str]) -> FieldError:
    meant = f"; did you mean {' or '.join(f'{REGISTRY}/{name}' for name in near)}?" if near else ":"
    message = f"the registry has no image {each.repository}, so there is no {each.image}{meant} {_advice(each)}"
    return FieldError(locate(each.field), "an image that was pushed", message)


def _no_tag(each: NamedImage, near: Sequence[str], locate: Callable[[str], str]) -> FieldError:
    tags = f"; the nearest tags are {', '.join(near)}" if near else ""
    return FieldError(
        locate(each.field), f"a tag of {each.repository}", f"there is no image {each.image}{tags}: {_advice(each)}"
    )
