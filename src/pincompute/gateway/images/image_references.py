"""Finds the workloads of a project that use an image, now or in a revision that they may be rolled back to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from pincompute.api.image_ownership import REGISTRY, images
from pincompute.api.meta import Manifest
from pincompute.domain import image_pinning
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.model import SimpleKind

PIECE = 50  # workloads between two turns of other requests

ImageReferences: TypeAlias = Mapping[str, Mapping[str, tuple[str, ...]]]
"""By repository, then by version (a digest, or the tag where a name has none): what refers to it, in words."""


async def of_project(reads: CacheReads, project: str) -> ImageReferences:
    """Raises Problem while the cache is not complete: what is not known may be in use."""
    found = dict[str, dict[str, dict[str, None]]]()
    for kind in reads.kinds:
        if kind.workload is None:
            continue
        for number, obj in enumerate(reads.host(kind.resource).list(project), 1):
            for name, who in _of_workload(reads, kind, obj):
                version = name.partition("@")[2] or image_pinning.tag_of(name)
                found.setdefault(image_pinning.repository_of(name), {}).setdefault(version, {})[who] = None
            if number % PIECE == 0:
                await asyncio.sleep(0)
    return {name: {version: tuple(who) for version, who in used.items()} for name, used in found.items()}


def _of_workload(reads: CacheReads, kind: SimpleKind[Any], obj: Any) -> Iterator[tuple[str, str]]:
    word = f"{kind.noun} {obj.metadata.name}"
    present = frozenset(_images(obj.spec.template))
    yield from ((image, word) for image in present)
    for revision in reads.revisions(obj):
        former = frozenset(_images(revision.spec.template)) - present
        yield from ((image, f"{word}, revision {revision.spec.revision}") for image in former)


def _images(template: Manifest) -> Iterator[str]:
    """Yields the images of the region's registry."""
    yield from (image for _, image in images(template.get("spec") or {}) if image.startswith(f"{REGISTRY}/"))
