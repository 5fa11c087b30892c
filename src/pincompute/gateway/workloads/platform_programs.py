"""Finds and writes the programs of the platform, sidecars and daemons. Only administrators have the right to write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from pincompute.api import object_validation
from pincompute.api.daemons import DaemonContainer, PinDaemon, PinDaemonSpec
from pincompute.api.labels import FLEET_FINALIZER, HOST, MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Key, Manifest, Resource
from pincompute.api.sidecars import PinSidecar, PinSidecarSpec, SidecarContainer
from pincompute.domain import program_rollout
from pincompute.gateway import NAME, problems
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.images.image_digests import ImageDigests, ImageQuestion
from pincompute.gateway.model import codecs
from pincompute.gateway.problems import FieldError
from pincompute.kube import api_errors, write_requests

Program = TypeVar("Program", PinSidecar, PinDaemon)
ProgramSpec = TypeVar("ProgramSpec", PinSidecarSpec, PinDaemonSpec)


def existing(reads: CacheReads, resource: Resource[Program], name: str) -> Program:
    found = reads.get(resource, "", name)
    if found is None:
        raise problems.not_found(f"{_noun(resource)} {name}")
    return found


def state(program: PinSidecar | PinDaemon) -> str:
    """Returns the state of its rollout for people; Pending until the federation has acted on what was written last."""
    rollout = program.status.rollout
    if program.deleting:
        return "Deleting"
    if rollout is None or program.status.observed_generation < program.metadata.generation:
        return "Pending"
    return program_rollout.word(rollout, paused=program.spec.paused)


async def put(reads: CacheReads, digests: ImageDigests, resource: Resource[Program], name: str, wanted: ProgramSpec) -> Program:
    """Creates the program or replaces what is written of it, with the digest that the tag of its image has now."""
    present = reads.get(resource, "", name)
    after = _images(resource, wanted.container)
    before = _images(resource, present.spec.container) if present is not None else None
    async with digests.kept(ImageQuestion(after, before, locate=_located)) as images:
        image: str = images.pinned(after, before, whole=True)["template"]["spec"]["containers"][0]["image"]
        pinned = msgspec.structs.replace(wanted, container=msgspec.structs.replace(wanted.container, image=image))
        return await write(reads, resource, name, lambda _present: pinned)


async def bring_back(
    reads: CacheReads,
    digests: ImageDigests,
    resource: Resource[Program],
    found: Program,
    change: Callable[[Any], PinSidecarSpec | PinDaemonSpec],
) -> Program:
    """Changes the program to a version that served before, and whose image is still there."""
    after, before = _images(resource, change(found.spec).container), _images(resource, found.spec.container)
    async with digests.kept(ImageQuestion(after, before, whole=False, locate=_located)):
        existing(reads, resource, found.metadata.name)  # it may have gone meanwhile
        return await write(reads, resource, found.metadata.name, change)


async def pause(reads: CacheReads, resource: Resource[Program], name: str, *, paused: bool) -> Program:
    existing(reads, resource, name)
    return await write(reads, resource, name, lambda present: msgspec.structs.replace(present, paused=paused))


async def write(
    reads: CacheReads, resource: Resource[Program], name: str, change: Callable[[Any], PinSidecarSpec | PinDaemonSpec]
) -> Program:
    """Creates the program, or changes it as `change` says of its spec. Raises Problem."""
    present = reads.get(resource, "", name)
    if present is not None and present.deleting:
        raise problems.conflict(f"{_noun(resource)} {name} is being deleted", "wait until it is gone, then write it again")
    body: Manifest = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "labels": {MANAGED_BY: PINCOMPUTE}, "finalizers": [FLEET_FINALIZER]},
        "spec": codecs.json_data(change(present.spec if present is not None else None)),
    }
    found = object_validation.problems(body)
    if found:
        raise problems.invalid(*(FieldError(p.field.removeprefix("spec."), p.remedy, str(p)) for p in found))
    client, cache = reads.clusters.client(HOST), reads.clusters.cache(HOST, resource)
    if present is None:
        made = await write_requests.create(client, resource, body, NAME)
    else:
        body["metadata"] |= {"uid": present.metadata.uid, "resourceVersion": present.metadata.resource_version}
        made = await write_requests.update(client, resource, Key("", name), body, NAME)
    cache.written(made)
    return made


async def delete(reads: CacheReads, resource: Resource[Program], found: Program) -> Program:
    """Returns what is left while its finalizers hold it, or else what there was."""
    cache, meta = reads.clusters.cache(HOST, resource), found.metadata
    try:
        left = await write_requests.delete(reads.clusters.client(HOST), resource, found.key, meta.uid)
    except api_errors.NotFound:
        left = None
    if left is None:
        cache.deleted(found.key, meta.uid)
    else:
        cache.written(left)
    return left or found


def _noun(resource: Resource[Program]) -> str:
    return resource.kind.removeprefix("Pin").lower()


def _images(resource: Resource[Program], container: SidecarContainer | DaemonContainer) -> Manifest:
    """Returns a spec of the form that workloads have, with the image of the program alone."""
    return {"template": {"spec": {"containers": [{"name": _noun(resource), "image": container.image}]}}}


def _located(_field: str) -> str:
    return "container.image"
