"""Finds out what a folder is, and builds its image: by `image.yaml`, by a Dockerfile, or as a Python project, in this order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from pincompute_sdk.images.build import (
    base_image,
    build_context,
    build_tools,
    dockerfile_image,
    image_recipe,
    python_image,
    python_project,
)
from pincompute_sdk.images.build.build_tools import DockerBuild
from pincompute_sdk.images.build.dockerfile_image import DockerfileImage
from pincompute_sdk.images.build.python_image import PythonImage
from pincompute_sdk.images.build.recipe_image import RecipeImage
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.image_name import ImageName
from pincompute_sdk.images.oci_layout import LayoutImage

SourceKind: TypeAlias = Literal["image.yaml", "Dockerfile", "python"]


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What the user asked for. `say` sees a sentence for each step, `show` the lines of programs."""

    folder: Path
    name: ImageName
    platform: str
    scratch: Path
    say: Callable[[str], None]
    show: Callable[[str], None]
    dockerfile: Path | None = None
    arguments: Mapping[str, str] = field(default_factory=dict[str, str])
    tool: str = ""
    refresh: bool = False
    verbose: bool = False
    largest: int = build_context.LARGEST


def kind_of(folder: Path) -> SourceKind:
    """Raises ImageError for a folder with nothing to build."""
    if not folder.is_dir():
        raise ImageError(f"{folder}: no such folder", remedy="name the folder of the program")
    if (folder / image_recipe.RECIPE).is_file():
        return "image.yaml"
    if dockerfile_image.find(folder):
        return "Dockerfile"
    if python_project.is_project(folder):
        return "python"
    raise ImageError(
        f"{folder} has nothing to build an image from",
        remedy="it needs a Dockerfile, an image.yaml, or for a Python program pyproject.toml, requirements.txt or main.py",
    )


def build(request: BuildRequest) -> LayoutImage:
    """The image, in a layout below the scratch folder. Raises ImageError."""
    kind: SourceKind = "Dockerfile" if request.dockerfile else kind_of(request.folder)
    if kind != "Dockerfile" and (request.arguments or request.tool):
        raise ImageError(
            f"{request.folder} is built from {'its Python files' if kind == 'python' else kind}, without a Dockerfile",
            remedy="--build-arg and --builder are for Dockerfiles: leave them out",
        )
    return {"image.yaml": _of_recipe, "Dockerfile": _of_dockerfile, "python": _of_python}[kind](request)


def _of_recipe(request: BuildRequest) -> LayoutImage:
    recipe = image_recipe.configured(image_recipe.read(request.folder), request.name.tag)
    request.say(f"builds {request.name} from {request.folder / image_recipe.RECIPE}")
    image = RecipeImage(request.folder, recipe, request.largest, request.say, request.refresh)
    return image.write(request.scratch).image(request.platform)


def _of_dockerfile(request: BuildRequest) -> LayoutImage:
    facts = dockerfile_image.machine()
    tool = build_tools.choose(facts, request.tool)
    file = request.dockerfile or dockerfile_image.find(request.folder)
    if file is None or not file.is_file():
        raise ImageError(f"{file}: no such file", remedy="name the Dockerfile with --file")
    context = build_context.read(request.folder, build_context.rules(request.folder), request.largest, _reporter(request))
    request.say(
        f"builds {request.name} from {file} with {tool}; the folder has {build_context.counted(len(context.files))}"
        f"{build_context.megabytes(context.size)}"
    )
    wanted = DockerBuild(
        folder=request.folder,
        dockerfile=file,
        arguments=request.arguments,
        platform=request.platform,
        name=str(request.name),
        scratch=request.scratch,
        refresh=request.refresh,
        verbose=request.verbose,
    )
    return DockerfileImage(wanted, tool, facts, request.show).write()


def _of_python(request: BuildRequest) -> LayoutImage:
    project = python_project.detect(request.folder)
    context = python_image.read(request.folder, request.largest, _reporter(request))
    request.say(f"builds {request.name} from the Python project in {request.folder}")
    request.say(f"  starts:    {project.command}   (from {project.why})")
    base = base_image.get("python", refresh=request.refresh, say=request.say)
    image = PythonImage(project, context, base, request.say, request.show, request.refresh)
    return image.write(request.scratch).image(request.platform)


def _reporter(request: BuildRequest) -> Callable[[int, int], None]:
    """A large folder takes a while to read."""

    def report(files: int, size: int) -> None:
        if files and files % build_context.EVERY == 0:
            request.say(f"  reads:     {build_context.counted(files)}{build_context.megabytes(size)} so far")

    return report
