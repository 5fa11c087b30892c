"""`pin image build`: builds the image of a folder, pushes it to the region's registry, and names it in app.yaml."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pincompute_sdk.cli import options
from pincompute_sdk.cli.error_report import CommandError
from pincompute_sdk.cli.exit_codes import USAGE
from pincompute_sdk.cli.image import image_version, push_view
from pincompute_sdk.cli.manifest import manifest_file, manifest_image
from pincompute_sdk.cli.options import ANYWHERE, Where
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.output.terminal import Styled
from pincompute_sdk.images import image_name, registry_client
from pincompute_sdk.images.image_name import ImageName

if TYPE_CHECKING:
    from pincompute_sdk.client import Client
    from pincompute_sdk.images.oci_layout import LayoutImage
    from pincompute_sdk.images.registry_client import RegistryClient

TRIES = 5  # versions of which another build takes each
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[KMGT]?)(?:i?B)?", re.IGNORECASE)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build."""

    build_arg: Annotated[
        tuple[str, ...],
        Parameter(name="--build-arg", negative="", help="K=V, or K for its value in the environment; for Dockerfiles."),
    ] = ()
    file: Annotated[
        Path | None, options.PATH, Parameter(name=["--file", "-f"], help="The Dockerfile. Default: DIR/Dockerfile.")
    ] = None
    builder: Annotated[str, Parameter(help="docker, podman, buildah or buildctl. Default: the first here.")] = ""
    no_cache: Annotated[bool, Parameter(name="--no-cache", negative="", help="Build every layer again.")] = False
    verbose: Annotated[bool, Parameter(negative="", help="Show every line of the program that builds a Dockerfile.")] = False
    max_size: Annotated[str, Parameter(help="Largest folder, such as 500M or 4G.", show_default=True)] = "2G"


DEFAULTS = BuildOptions()


def build(
    folder: Annotated[Path, options.PATH, Parameter(help="Default: the current folder.")] = Path(),
    /,
    *,
    tag: Annotated[
        str, Parameter(name=["--tag", "-t"], help="NAME:VERSION. Default: the name in app.yaml or of the folder, next version.")
    ] = "",
    how: BuildOptions = DEFAULTS,
    update: Annotated[bool, Parameter(negative="--no-update", help="Write the new version into DIR/app.yaml.")] = True,
    save: Annotated[Path | None, options.PATH, Parameter(help="Write the image to this file, and push nothing.")] = None,
    where: Where = ANYWHERE,
) -> None:
    """Build an image from a Dockerfile, an image.yaml or a Python project, and push it."""
    from pincompute_sdk.images.build.image_recipe import here

    folder = folder.resolve()
    if save is not None:
        name = _named(folder, tag, where.project or "local")
        with tempfile.TemporaryDirectory(prefix="pin-image-") as scratch:
            _save(_built(folder, name if name.tag else name.tagged("1"), here(), Path(scratch), how), name, save)
        return
    with options.client(where) as pin, tempfile.TemporaryDirectory(prefix="pin-image-") as scratch:
        with registry_client.connect(pin, terminal.err) as registry:
            name = _named(folder, tag, _project(pin, folder, where))
            name = _with_version(name, registry, fixed=":" in tag)
            image = _built(folder, name, registry.platform, Path(scratch), how)
            name = _pushed(image, name, registry, fixed=":" in tag)
        _tell(folder, name, update=update)
    terminal.out(name.reference)


def _named(folder: Path, tag: str, project: str) -> ImageName:
    """Names the image by --tag, or by the only image of the project in the folder's app.yaml, or by the folder's name."""
    if tag:
        return image_name.parse(tag, project)
    file = manifest_image.file_of(folder)
    found = {image_name.parse(image) for image in manifest_image.named(file.read_text("utf-8"))} if file else set[ImageName]()
    own = {ImageName(each.repository, each.tag) for each in found if each.repository.startswith(f"{project}/")}
    if len({each.repository for each in own}) > 1:
        raise CommandError(f"{file} names several images of {project}", remedy="say which: --tag NAME", code=USAGE)
    return min(own, key=str) if own else ImageName(f"{project}/{image_version.name_of(folder.name)}")


def _project(pin: Client, folder: Path, where: Where) -> str:
    if where.project:
        return where.project
    file = manifest_image.file_of(folder)
    given = str(manifest_file.load(file).data.get("project", "")) if file else ""
    return given or options.project(pin.context)


def _with_version(name: ImageName, registry: RegistryClient, *, fixed: bool) -> ImageName:
    if fixed:
        return name
    version = image_version.following(name.tag, registry.tags(name.repository))
    if not version:
        raise CommandError(f"no version comes after {name.tag}", remedy="give one: --tag NAME:VERSION", code=USAGE)
    return name.tagged(version)


def _built(folder: Path, name: ImageName, platform: str, scratch: Path, how: BuildOptions) -> LayoutImage:
    from pincompute_sdk.images.build import image_source
    from pincompute_sdk.images.build.image_source import BuildRequest

    request = BuildRequest(
        folder=folder,
        name=name,
        platform=platform,
        scratch=scratch,
        say=terminal.err,
        show=lambda line: terminal.err(Styled(f"    {line}", "dim")),
        dockerfile=how.file.resolve() if how.file else None,
        arguments=dict(_argument(text) for text in how.build_arg),
        tool=how.builder,
        refresh=how.no_cache,
        verbose=how.verbose,
        largest=_bytes(how.max_size),
    )
    return image_source.build(request)


def _pushed(image: LayoutImage, name: ImageName, registry: RegistryClient, *, fixed: bool) -> ImageName:
    """The name that the image has in the registry: the version before, where nothing has changed since; the next one, where
    another build has pushed this version meanwhile. It is chosen after the upload, which takes long.
    """
    if fixed:
        push_view.pushed(registry, image, name)
        return name
    name = _free(name, registry)
    if before := _unchanged(image, name, registry):
        return before
    progress = push_view.uploaded(registry, image, ImageName(name.repository))
    name = _tagged(image, name, registry)
    push_view.tell(name, progress)
    return name


def _tagged(image: LayoutImage, name: ImageName, registry: RegistryClient) -> ImageName:
    """Gives the uploaded image its version: the first that no other build has, also when the tag has been set."""
    for _ in range(TRIES):
        name = _free(name, registry)
        if before := _unchanged(image, name, registry):
            return before
        registry.put_manifest(name, image.manifest)
        if registry.digest(name) == image.manifest.digest:
            return name
    raise CommandError(
        f"other builds take every version of {name.repository}", remedy="give one of your own: --tag NAME:VERSION"
    )


def _free(name: ImageName, registry: RegistryClient) -> ImageName:
    """Returns the name, with the next version where another build has this one by now."""
    if name.tag not in registry.tags(name.repository):
        return name
    following = _with_version(name, registry, fixed=False)
    terminal.err(f"another build has pushed {name} meanwhile, so this image becomes {following}")
    return following


def _unchanged(image: LayoutImage, name: ImageName, registry: RegistryClient) -> ImageName | None:
    """Returns the version before this one where it is the same image."""
    before = image_version.newest(name.tag, registry.tags(name.repository))
    if not before or registry.digest(name.tagged(before)) != image.manifest.digest:
        return None
    terminal.err(f"nothing has changed since version {before}, so there is no new one")
    return name.tagged(before)


def _tell(folder: Path, name: ImageName, *, update: bool) -> None:
    file = manifest_image.file_of(folder)
    if file is None:
        terminal.err(f"no app.yaml is in {folder}: `pin init` writes one. Name the image as printed here")
        return
    text = file.read_text("utf-8")
    if name.repository not in {image_name.parse(image).repository for image in manifest_image.named(text)}:
        terminal.err(f"{file.name} does not name {name.repository}: name the image as printed here, then `pin deploy`")
        return
    new = manifest_image.changed(text, name)
    if new != text and update:
        file.write_text(new, "utf-8")
    says = "names" if new == text or update else "still names another version than"
    terminal.err(f"{file.name} {says} {name.reference}. Next: `pin deploy`")


def _save(image: LayoutImage, name: ImageName, file: Path) -> None:
    from pincompute_sdk.images.build import layout_writer

    called = str(name if name.tag else name.tagged("1"))
    layout_writer.save(image, called, file)
    terminal.err(f"{called} is written to {file}, and not pushed; `pin image import {file}` pushes it")


def _argument(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals and name not in os.environ:
        raise CommandError(f"--build-arg {name} has no value", remedy="write K=V, or set K in the environment", code=USAGE)
    return name, value if equals else os.environ[name]


def _bytes(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise CommandError(f"--max-size {text} is no size", remedy="write a number of bytes, or 500M, 4G", code=USAGE)
    return int(float(found["number"]) * UNITS[found["unit"].upper()])
