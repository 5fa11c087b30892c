"""Handles requests about a project's images: the list of what there is, and deletions."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Annotated, Any

from litestar import Request, delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler

from pincompute.api.meta import Struct, doc
from pincompute.domain import registry_access
from pincompute.gateway import problems
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call, may
from pincompute.gateway.images import image_references
from pincompute.gateway.images.image_inventory import ImageInventory, StoredImage
from pincompute.gateway.images.image_removal import ImageRemoval, NamedImages
from pincompute.gateway.images.repository_ownership import RepositoryOwnership
from pincompute.gateway.images.stored_bytes import StoredBytes
from pincompute.gateway.middleware import CALL
from pincompute.gateway.problems import FieldError


class StoredImages(Struct):
    """Images of a project in the region's registry."""

    items: Annotated[tuple[StoredImage, ...], doc("By name.")]


@get("/v1/projects/{project:str}/images", opt=may("images", "list"), operation_id="listImages", tags=["images"])
async def list_images(
    project: FromPath[str],
    reads: NamedDependency[CacheReads],
    inventory: NamedDependency[ImageInventory],
    ownership: NamedDependency[RepositoryOwnership],
    name: Annotated[str, QueryParameter(description="Only of this repository of the project, such as web.")] = "",
) -> StoredImages:
    """Images of a project in the region's registry, and what uses them."""
    await _own(ownership, project)
    repository = _repository(project, name) if name else ""
    return StoredImages(items=await inventory.of(project, repository, await image_references.as_cached(reads, project)))


class DeletedImages(Struct):
    """What was deleted, or what a request without `dryRun` would delete."""

    items: Annotated[tuple[str, ...], doc("NAME@DIGEST for an image with all its tags, NAME:TAG for a tag beside others.")]


@delete(
    "/v1/projects/{project:str}/images",
    status_code=200,
    opt=may("images", "delete"),
    operation_id="deleteImages",
    tags=["images"],
)
async def delete_images(
    project: FromPath[str],
    reads: NamedDependency[CacheReads],
    removal: NamedDependency[ImageRemoval],
    ownership: NamedDependency[RepositoryOwnership],
    stored: NamedDependency[StoredBytes],
    call: NamedDependency[Call],
    request: Request[Any, Any, Any],
    name: Annotated[str, QueryParameter(description="The repository of the project, such as web.")],
    tag: Annotated[str, QueryParameter(description="Only this tag, and the image with its last tag.")] = "",
    digest: Annotated[str, QueryParameter(description="Only the image with this digest, with all its tags.")] = "",
    dry_run: Annotated[bool, QueryParameter(name="dryRun", description="Judge, and delete nothing.")] = False,
) -> DeletedImages:
    """Delete images. What a workload or a revision to which it can go back uses is refused, and nothing is deleted then."""
    wanted = NamedImages(project, _repository(project, name), _tag(tag), _digest(digest))
    request.scope[CALL] = dataclasses.replace(call, name=f"{wanted}")  # type: ignore[literal-required]
    await _own(ownership, project)
    judged_only = call.judged_only(dry_run)
    uses = image_references.of_project if judged_only else image_references.stored
    found = await removal.remove(wanted, lambda: uses(reads, project), dry_run=judged_only)
    if not judged_only:
        stored.outdate(project)
    return DeletedImages(items=found)


async def _own(ownership: RepositoryOwnership, project: str) -> None:
    """Raises Problem while images of a former project may be there."""
    for why in (await ownership.unusable((f"{project}/any",))).values():
        raise problems.unavailable(why, 2.0)


def _repository(project: str, name: str) -> str:
    if not registry_access.is_repository(f"{project}/{name}"):
        expected = "a repository, such as web"
        raise problems.invalid(FieldError("name", expected, f"{name[:80]!r} is not {expected}"))
    return name


def _tag(tag: str) -> str:
    return _matching("tag", tag, registry_access.TAG, "a tag, such as 1") if tag else ""


def _digest(digest: str) -> str:
    return _matching("digest", digest, registry_access.DIGEST, "a digest, sha256: and 64 digits") if digest else ""


def _matching(field: str, text: str, form: re.Pattern[str], expected: str) -> str:
    if not form.fullmatch(text):
        raise problems.invalid(FieldError(field, expected, f"{text[:80]!r} is not {expected}"))
    return text


ROUTES: Sequence[ControllerRouterHandler] = (list_images, delete_images)
