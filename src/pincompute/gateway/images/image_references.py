"""Finds what uses an image: workloads of a project, and sidecars and daemons of the platform, now or after a rollback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from pincompute.api import daemons, image_reference, sidecars
from pincompute.api.daemons import PINDAEMONS, PinDaemon
from pincompute.api.image_ownership import images, is_of_region
from pincompute.api.image_reference import ImageReference
from pincompute.api.labels import HOST
from pincompute.api.meta import Manifest, Object, Resource
from pincompute.api.revisions import PINREVISIONS, PinRevision
from pincompute.api.sidecars import PINSIDECARS, PinSidecar
from pincompute.gateway import problems, workload_templates
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.model import SimpleKind
from pincompute.gateway.problems import Problem
from pincompute.kube.api_errors import KubeError
from pincompute.kube.cache_views import Unknown
from pincompute.kube.informer import UNREADABLE, Informer

T = TypeVar("T", bound=Object)

PIECE = 50  # workloads between two turns of other requests

ImageReferences: TypeAlias = Mapping[str, Mapping[str, tuple[str, ...]]]
"""By repository, then by version (a digest, or the tag where a name has none): what refers to it, in words."""


async def of_project(reads: CacheReads, project: str) -> ImageReferences:
    """Raises Problem while the host does not answer or the cache is not complete: what is not known may be in use."""
    if not reads.clusters.answers(HOST):
        raise _unknown(project, f"no contact with the host: {reads.clusters.trouble(HOST)}")
    return await as_cached(reads, project)


async def as_cached(reads: CacheReads, project: str) -> ImageReferences:
    """The same for people, who see what the cache last knew of a host that does not answer."""
    workloads = [(kind, _complete(reads, kind.resource, project)) for kind in reads.kinds if kind.workload is not None]
    _complete(reads, PINREVISIONS, project)
    found = await _of([(kind, cache.list(project)) for kind, cache in workloads], reads.revisions)
    return _with_platform(found, _complete(reads, PINSIDECARS, project).list(), _complete(reads, PINDAEMONS, project).list())


def _complete(reads: CacheReads, resource: Resource[T], project: str) -> Informer[T]:
    cache = reads.host(resource)
    if unreadable := cache.unreadable(project if resource.namespaced else ""):
        raise _unknown(project, f"{resource.kind} {unreadable[0]} cannot be read, so ask an administrator to look at it")
    return cache


def _unknown(project: str, why: str) -> Problem:
    return problems.unavailable(f"it is not known which images of {project} are in use: {why}", 2.0)


async def stored(reads: CacheReads, project: str) -> ImageReferences:
    """The same as the host's API server itself has it, so that no write is missed that has returned. Raises Problem."""
    try:
        workloads = [(kind, await _listed(reads, kind.resource, project)) for kind in reads.kinds if kind.workload is not None]
        revisions = await _listed(reads, PINREVISIONS, project)
        fleets = await _listed(reads, PINSIDECARS, "")
        on_nodes = await _listed(reads, PINDAEMONS, "")
    except (KubeError, Unknown, *UNREADABLE) as failure:
        raise _unknown(project, str(failure)) from None
    owned = dict[str, list[PinRevision]]()
    for revision in revisions:
        for owner in revision.metadata.owner_references:
            owned.setdefault(owner.uid, []).append(revision)
    return _with_platform(await _of(workloads, lambda obj: owned.get(obj.metadata.uid, ())), fleets, on_nodes)


async def _of(
    workloads: Iterable[tuple[SimpleKind[Any], Iterable[Any]]], revisions: Callable[[Any], Iterable[PinRevision]]
) -> ImageReferences:
    found = dict[str, dict[str, dict[str, None]]]()
    for kind, objects in workloads:
        for number, obj in enumerate(objects, 1):
            for image, who in _of_workload(kind, obj, revisions(obj)):
                found.setdefault(image.path, {}).setdefault(image.version, {})[who] = None
            if number % PIECE == 0:
                await asyncio.sleep(0)
    return {name: {version: tuple(who) for version, who in used.items()} for name, used in found.items()}


def _with_platform(
    references: ImageReferences, of_pods: Iterable[PinSidecar], of_nodes: Iterable[PinDaemon]
) -> ImageReferences:
    """Counts the programs of the platform, which run an image of any project."""
    found = {name: dict(used) for name, used in references.items()}
    users = [(f"sidecar {each.metadata.name}", sidecars.images(each)) for each in of_pods]
    users += [(f"daemon {each.metadata.name}", daemons.images(each)) for each in of_nodes]
    for user, named in users:
        for image in sorted(frozenset(_of_region(named))):
            used = found.setdefault(image.path, {})
            used[image.version] = (*used.get(image.version, ()), user)
    return found


async def _listed(reads: CacheReads, resource: Resource[T], project: str) -> Sequence[T]:
    found, token = list[T](), ""
    while True:
        page = await reads.clusters.client(HOST).list_page(resource, project, token=token)
        found += page.items or ()
        token = page.metadata.token
        if not token:
            return found


def _of_workload(kind: SimpleKind[Any], obj: Any, revisions: Iterable[PinRevision]) -> Iterator[tuple[ImageReference, str]]:
    present = frozenset(_images(obj.spec.template))
    for each in workload_templates.of_workload(kind, obj, revisions):
        found = frozenset(_images(each.template))
        yield from ((image, each.user) for image in (found - present if each.revision else found))


def _images(template: Manifest) -> Iterator[ImageReference]:
    return _of_region(image for _, image in images(template.get("spec") or {}))


def _of_region(named: Iterable[str]) -> Iterator[ImageReference]:
    """Yields the images of the region's registry."""
    parsed = map(image_reference.parse, named)
    yield from (image for image in parsed if image is not None and is_of_region(image))
