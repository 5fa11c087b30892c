"""Builds an OCI image from a folder: packs what its `image.yaml` names into layers and pushes them to the region's registry.

An image is known by its source: it is pushed under the tag `source-<hash of everything it is made from>` first, and the tag
the user asked for is pointed there. A second build of the same source therefore finds its result and does nothing.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import msgspec.yaml

from pincompute.api.image_ownership import REGISTRY
from pincompute.domain import registry_access
from pincompute.region.images import image_layers
from pincompute.region.images.registry_client import ImageError, RegistryClient

RECIPE = "image.yaml"
SECONDS = 120.0  # compiling or pushing one image
FORMAT = "1"  # part of every hash; to be raised when the same source must give another image
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
MACHINES = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}


class Compiled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A C source of the folder that becomes a program of the image."""

    source: str
    to: str


class Copied(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """A file or folder that is copied into the image; a relative `from` begins in the image's folder."""

    source: str
    to: str


class ImageRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`image.yaml`. Programs, compiled or taken from this machine, bring the shared libraries they need.

    `{tag}` in a value of `environment` becomes the version the image is built as, "1" for hello:1.
    """

    entrypoint: tuple[str, ...]
    compile: tuple[Compiled, ...] = ()
    files: tuple[Copied, ...] = ()
    host_programs: tuple[str, ...] = ()
    links: dict[str, str] = {}
    environment: dict[str, str] = {}
    user: str = ""
    workdir: str = ""
    platform: str = ""


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """A pushed image. `built` is false when it was there already."""

    reference: str
    digest: str
    built: bool


def build(directory: Path, tag: str, registry: RegistryClient, environment: dict[str, str] | None = None) -> BuiltImage:
    """Make the image of `directory`, push it and point `tag` ("hello:1") to it. `environment` adds to that of the recipe."""
    repository, version = parse_tag(tag)
    recipe = configured(read_recipe(directory), version, environment or {})
    source_tag = f"source-{fingerprint(directory, recipe)}"
    digest, built = registry.digest(repository, source_tag), False
    if not digest:
        _push(directory, recipe, registry, repository, source_tag)
        digest, built = registry.digest(repository, source_tag), True
    if registry.digest(repository, version) != digest:
        registry.tag(repository, digest, version)
        built = True
    return BuiltImage(f"{REGISTRY}/{repository}:{version}", digest, built)


def parse_tag(tag: str) -> tuple[str, str]:
    """Split "hello:1" into repository and version."""
    repository, colon, version = tag.rpartition(":")
    if not colon or not registry_access.REPOSITORY.fullmatch(repository) or not TAG.fullmatch(version):
        raise ImageError(f"tag {tag!r}: expected a lower-case name and a version with a colon between them, such as hello:1")
    return repository, version


def read_recipe(directory: Path) -> ImageRecipe:
    if not directory.is_dir():
        raise ImageError(f"{directory}: no such folder; name the folder that holds {RECIPE}")
    file = directory / RECIPE
    try:
        recipe = msgspec.yaml.decode(file.read_bytes(), type=ImageRecipe)
    except FileNotFoundError:
        raise ImageError(f"{file}: no such file; it says what goes into the image, at least `entrypoint: [/program]`") from None
    except msgspec.DecodeError as error:
        raise ImageError(f"{file}: {error}") from error
    _check(recipe, file)
    return recipe


def configured(recipe: ImageRecipe, version: str, environment: dict[str, str]) -> ImageRecipe:
    """The recipe with its environment filled in."""
    named = {name: value.replace("{tag}", version) for name, value in recipe.environment.items()}
    return msgspec.structs.replace(recipe, environment=named | environment)


def fingerprint(directory: Path, recipe: ImageRecipe) -> str:
    """Hash of all that goes into an image: the recipe, its sources, and which programs of this machine."""
    found = hashlib.sha256(msgspec.json.encode((FORMAT, recipe, _platform(recipe)), order="sorted"))
    for compiled in recipe.compile:
        found.update(_read(directory / compiled.source))
    if recipe.compile:
        found.update(image_layers.identity(_compiler()))
    for copied in recipe.files:
        for name, file in image_layers.tree(_existing(directory / copied.source), copied.to):
            found.update(msgspec.json.encode((name, file.stat().st_mode)) + _read(file))
    for program in recipe.host_programs:
        found.update(image_layers.identity(_existing(Path(program))))
    return found.hexdigest()[:40]


def _push(directory: Path, recipe: ImageRecipe, registry: RegistryClient, repository: str, tag: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        registry.push(repository, tag, image_config(recipe), _layers(directory, recipe, Path(scratch)))


def image_config(recipe: ImageRecipe) -> dict[str, Any]:
    """The OCI configuration of the image, without its layers."""
    system, _, machine = _platform(recipe).partition("/")
    run = {
        "Entrypoint": list(recipe.entrypoint),
        "Env": [f"{name}={value}" for name, value in recipe.environment.items()],
        "User": recipe.user,
        "WorkingDir": recipe.workdir,
    }
    return {"os": system, "architecture": machine, "config": {name: value for name, value in run.items() if value}}


def _layers(directory: Path, recipe: ImageRecipe, scratch: Path) -> list[Path]:
    """Libraries and programs of this machine below, what is the image's own above."""
    compiled = {
        item.to: _compile(directory / item.source, scratch / f"program-{number}") for number, item in enumerate(recipe.compile)
    }
    below = {program: Path(program) for program in recipe.host_programs}
    for program in (*below.values(), *compiled.values()):
        below |= _libraries(program)
    above = dict(compiled)
    for copied in recipe.files:
        above |= dict(image_layers.tree(directory / copied.source, copied.to))
    written: list[tuple[dict[str, Path], dict[str, str], Path]] = [
        (below, {}, scratch / "programs.tar"),
        (above, recipe.links, scratch / "files.tar"),
    ]
    return [image_layers.write(target, content, links) for content, links, target in written if content or links]


def _compile(source: Path, target: Path) -> Path:
    """Dynamically linked: a static libc is a package of its own on most distributions."""
    run((str(_compiler()), "-O2", "-Wall", "-o", str(target), str(source)))
    return target


def _libraries(program: Path) -> dict[str, Path]:
    try:
        return image_layers.libraries(program)
    except image_layers.MissingLibrary as error:
        raise ImageError(str(error)) from error


def _compiler() -> Path:
    found = shutil.which("cc")
    if found is None:
        raise ImageError("no C compiler `cc` found: install gcc or clang")
    return Path(found).resolve()


def run(command: tuple[str, ...], environment: dict[str, str] | None = None) -> None:
    """Run a tool to its end; its own words become the error."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment)
    except FileNotFoundError as error:
        raise ImageError(f"{command[0]} is missing: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"{Path(command[0]).name} did not finish within {SECONDS:g} s") from error
    if done.returncode != 0:
        raise ImageError(f"{Path(command[0]).name} failed: {done.stderr.strip() or f'exit code {done.returncode}'}")


def _check(recipe: ImageRecipe, file: Path) -> None:
    if not recipe.entrypoint:
        raise ImageError(f"{file}: entrypoint is empty; name the program to start and its arguments")
    targets = [item.to for item in (*recipe.compile, *recipe.files)] + list(recipe.links) + list(recipe.host_programs)
    for target in targets:
        if not target.startswith("/") or ".." in Path(target).parts:
            raise ImageError(f"{file}: {target!r} is no absolute path of the image")
    if (recipe.compile or recipe.host_programs) and recipe.platform not in ("", _here()):
        raise ImageError(f"{file}: platform {recipe.platform} cannot run programs of this machine, which is {_here()}")


def _platform(recipe: ImageRecipe) -> str:
    return recipe.platform or _here()


def _here() -> str:
    return MACHINES.get(platform.machine(), f"linux/{platform.machine()}")


def _existing(path: Path) -> Path:
    if not path.exists():
        raise ImageError(f"{path}: no such file or folder")
    return path


def _read(path: Path) -> bytes:
    return _existing(path).read_bytes()
