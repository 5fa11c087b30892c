"""`pin image delete`: deletes a tag or an image. The gateway judges what may go."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options, prompt
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.options import ANYWHERE, Where, Yes
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.images import image_name
from pincompute_sdk.images.image_name import ImageName


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
        found = pin.images.delete(project, name=repository, tag=tag, digest=digest, dry_run=True).items
        if not yes and not prompt.confirmed(f"Delete {_what(len(found), wanted)} of project {project}?"):
            raise CommandError("nothing was deleted", remedy="answer y, or add --yes")
        for deleted in pin.images.delete(project, name=repository, tag=tag, digest=digest).items:
            terminal.out(f"{deleted} is deleted")


def _what(number: int, wanted: ImageName) -> str:
    return str(wanted) if wanted.version else f"all {number} images of {wanted.repository}"
