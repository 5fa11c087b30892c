"""`pin image list`: the images of a project in the region's registry, and what uses each."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options
from pincompute_sdk.cli.options import ANYWHERE, OutputOption, Where
from pincompute_sdk.cli.output import formats
from pincompute_sdk.cli.output.formats import ResourceView
from pincompute_sdk.cli.output.human_values import age, count, size
from pincompute_sdk.cli.output.table import TableColumn
from pincompute_sdk.generated.models import ImageUser, StoredImage
from pincompute_sdk.images import image_name

SHOWN = 2  # users in a table


def list_(
    name: Annotated[str, Parameter(help="Only this one, such as web. Default: all of the project.")] = "",
    /,
    *,
    output: OutputOption = "table",
    where: Where = ANYWHERE,
) -> None:
    """Images of the project, and what uses them."""
    formats.check(output)
    with options.client(where) as pin:
        project = options.project(pin.context)
        wanted = image_name.parse(name, project).repository.removeprefix(f"{project}/") if name else None
        found = pin.images.list(project, name=wanted).items
    formats.many(IMAGES, found, output)


def reference(image: StoredImage) -> str:
    """`web:1`, or `web@sha256:…` where no tag points to it."""
    return f"{image.name}:{image.tags[0]}" if image.tags else f"{image.name}@{image.digest}"


def user(each: ImageUser) -> str:
    """`app hello`, or `app hello by tag 1` where it names no digest."""
    return f"{each.name} by tag {each.tag}" if each.tag else each.name


def _users(image: StoredImage) -> str:
    shown, more = image.used_by[:SHOWN], len(image.used_by) - SHOWN
    begin = "deleted, still in use by " if image.deleted else ""
    return begin + ", ".join((*map(user, shown), *((f"{count(more, 'other')}",) if more > 0 else ())))


IMAGES: ResourceView[StoredImage] = ResourceView(
    kind="image",
    columns=(
        TableColumn("name", lambda image: image.name),
        TableColumn("tags", lambda image: ", ".join(image.tags) or "-"),
        TableColumn("digest", lambda image: image_name.short(image.digest)),
        TableColumn("size", lambda image: size(image.size)),
        TableColumn("pushed", lambda image: "-" if image.deleted else age(image.pushed)),
        TableColumn("used by", _users, long=True),
    ),
    name=reference,
    nothing="no images; `pin image build` or `pin image import FILE` pushes one",
)
