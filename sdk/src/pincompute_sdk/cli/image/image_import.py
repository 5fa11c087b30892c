"""`pin image import`: pushes the images of an archive or of an OCI image layout to the region's registry."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.image import push_view
from pincompute_sdk.cli.options import ANYWHERE, Where
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.images import image_archive, image_name, registry_client
from pincompute_sdk.images.image_name import ImageName
from pincompute_sdk.images.oci_layout import LayoutImage


def import_(
    file: Annotated[
        Path, options.PATH, Parameter(help="A file of `docker save`, an OCI archive, or the folder of an OCI layout.")
    ],
    /,
    *,
    tag: Annotated[str, Parameter(name=["--tag", "-t"], help="NAME:TAG. Default: what the archive says.")] = "",
    where: Where = ANYWHERE,
) -> None:
    """Push the images of a file to the region's registry."""
    with options.client(where) as pin, tempfile.TemporaryDirectory(prefix="pin-image-") as folder:
        project, scratch = options.project(pin.context), Path(folder)
        chosen = image_name.parse(tag, project) if tag else None
        with registry_client.connect(pin, terminal.err) as registry:
            found = image_archive.unpack(file, scratch).images(registry.platform)
            named = [(image, _name(image, file, project, chosen, len(found))) for image in found]
            _check(file, named)
            for image, name in named:
                push_view.pushed(registry, image_archive.compressed(image, scratch), name)
                terminal.out(name.reference)


def _check(file: Path, named: Sequence[tuple[LayoutImage, ImageName]]) -> None:
    """Raises CommandError where two different images would get one name, of which only the last would stay."""
    for name in dict.fromkeys(name for _, name in named):
        same = {image.manifest.digest: image.name for image, other in named if other == name}
        if len(same) > 1:
            images = " and ".join(same.values())
            remedy = "save each to a file of its own, and name it: `pin image import FILE --tag NAME:TAG`"
            raise CommandError(f"{file}: {images} would both become {name}", remedy=remedy, code=USAGE)


def _name(image: LayoutImage, file: Path, project: str, chosen: ImageName | None, among: int) -> ImageName:
    """The chosen name, or the one in the archive, without its registry and folders. Raises CommandError where neither fits."""
    if chosen is not None and among == 1:
        return chosen if chosen.tag else chosen.tagged("latest")
    if chosen is not None:
        raise CommandError(f"{file} holds {among} images, so one --tag does not fit", remedy="leave --tag out", code=USAGE)
    last = image.name.rpartition("/")[2]
    if ":" not in last:
        said = f"{file} says only {image.name!r} as the name of an image" if image.name else f"{file} does not name its image"
        raise CommandError(said, remedy="name it: --tag NAME:TAG", code=USAGE)
    return image_name.parse(last, project)
