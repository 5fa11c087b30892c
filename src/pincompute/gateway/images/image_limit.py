"""Refuses a token for a push when the images of the project take all of its limit of image bytes.

A push names no size when it asks for its token, and one token lives five minutes, so a project may pass its limit once. While
the registry's folder cannot be read, the last sum counts. A push waits for the first one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

from pincompute.api.image_ownership import project_of
from pincompute.domain import project_limits
from pincompute.domain.project_limits import IMAGES
from pincompute.domain.registry_access import PUSH, Access
from pincompute.gateway import problems
from pincompute.gateway.images.registry_storage import ImageBytes
from pincompute.gateway.images.stored_bytes import StoredBytes
from pincompute.gateway.problems import FieldError, Problem
from pincompute.gateway.project_limit_admission import ProjectLimitAdmission

MOST_TAGS = 10_000  # of a repository: whoever lists or collects its images reads them all


async def judge(granted: Iterable[Access], limits: ProjectLimitAdmission, stored: StoredBytes) -> None:
    """Raises Problem for a push to a project whose images take all of its limit, or of which nobody knows what they take.

    The same for a repository with all the tags that it may have.
    """
    if not stored.storage.configured:
        return
    pushed = [repository for repository, action in granted if action == PUSH]
    for repository in pushed:
        try:
            tags = await asyncio.to_thread(stored.storage.tags, repository)
        except OSError:
            raise _unknown(project_of(repository)) from None
        if tags >= MOST_TAGS:
            raise _too_many_tags(repository)
    for project in dict.fromkeys(map(project_of, pushed)):
        used, allowed = await stored.of(project), limits.allowed(project)[IMAGES]
        if used is None:
            raise _unknown(project)
        if used.total >= allowed:
            raise _exceeded(project, used, allowed, stored.freed_within)


def _too_many_tags(repository: str) -> Problem:
    detail = f"{repository} has {MOST_TAGS} tags or more, and no repository may have more"
    remedy = (
        f"delete tags as an owner with `pin image delete {repository.partition('/')[2]}:TAG`, or push to another repository"
    )
    error = FieldError("scope", f"a repository with fewer than {MOST_TAGS} tags", f"{detail}: {remedy}")
    return Problem("limit-exceeded", detail, remedy, errors=(error,))


def _unknown(project: str) -> Problem:
    """Clients of registries look for the sentence in the errors."""
    found = problems.unavailable(f"it is not known yet how much project {project} stores; try again in a moment", 5.0)
    found.errors = (FieldError("scope", "a project whose images are added up", found.detail),)
    return found


def _exceeded(project: str, used: ImageBytes, allowed: int, freed_within: float) -> Problem:
    limit = project_limits.STORED_IMAGES
    taken, most = project_limits.used_text(limit, used.total), project_limits.text(limit, allowed)
    detail = f"project {project} stores {taken} of images, and its limit is {most}"
    if used.removed:
        gone, minutes = project_limits.used_text(limit, used.removed), math.ceil(freed_within / 60)
        detail += f"; {gone} of it is deleted already and will be freed within {minutes} minutes"
    remedy = (
        "see them with `pin image list`, delete some as an owner with `pin image delete`, or ask an administrator to raise the "
        f"limit: `pin admin limits {project} --images AMOUNT`"
    )
    expected = "a push to a project with room for images"
    return Problem("limit-exceeded", detail, remedy, errors=(FieldError("scope", expected, f"{detail}: {remedy}"),))
