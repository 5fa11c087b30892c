"""`pin image delete`: deletes a tag or an image. The gateway judges what may go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import checked_deletion, near_names, options
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.options import ANYWHERE, Where, Yes
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.images import image_name
from pincompute_sdk.images.image_name import ImageName

if TYPE_CHECKING:
    from pincompute_sdk.client import Client


def remove(
    name: Annotated[str, Parameter(help="NAME:TAG, NAME@DIGEST, or NAME for all of its images.")],
    /,
    *,
    yes: Yes = False,
    where: Where = ANYWHERE,
) -> None:
    """Delete an image of the project."""
    with options.client(where) as pin:
        project = options.project(pin.context)
        wanted = image_name.parse(name, project)
        if not wanted.repository.startswith(f"{project}/"):
            raise CommandError(
                f"{wanted.repository} is not an image of project {project}", remedy="choose its project with -p", code=USAGE
            )
        repository = wanted.repository.removeprefix(f"{project}/")
        tag, digest = wanted.tag or None, wanted.digest or None
        with near_names.explained(f"{repository}:{tag}" if tag else repository, lambda: _known(pin, project), "pin image list"):
            found = pin.images.delete(project, name=repository, tag=tag, digest=digest, dry_run=True).items
        checked_deletion.ask(f"Delete {_what(len(found), wanted)} of project {project}?", yes=yes)
        for deleted in pin.images.delete(project, name=repository, tag=tag, digest=digest).items:
            terminal.out(f"{deleted} is deleted")


def _known(pin: Client, project: str) -> Iterator[str]:
    """Names of images, with their tags and without."""
    for image in pin.images.list(project).items:
        yield image.name
        yield from (f"{image.name}:{tag}" for tag in image.tags)


def _what(number: int, wanted: ImageName) -> str:
    return str(wanted) if wanted.version else f"all {number} images of {wanted.repository}"
