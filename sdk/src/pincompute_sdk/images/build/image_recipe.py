"""Reads `image.yaml`, which says what goes into the image of a folder, and checks it."""

from __future__ import annotations

import difflib
import platform
import re
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import msgspec.yaml

from pincompute_sdk.core import yaml_mistakes
from pincompute_sdk.images.build.layers import Owner
from pincompute_sdk.images.image_errors import ImageError

RECIPE = "image.yaml"
MACHINES = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}
FIELDS = {
    "entrypoint": "the program to start and its arguments, such as [/app, --port, '8080']; the only field that must be there",
    "files": "a list of {from, to, owner}: a file or folder of this folder, and its place in the image. Without it, "
    "and without compile and host_programs, the whole folder becomes the root folder of the image",
    "compile": "a list of {source, to}: a C file of this folder, which `cc` makes a program",
    "host_programs": "a list of programs of this machine that every user of it may read and run, with the shared libraries "
    "that they need",
    "links": "symbolic links: the path in the image, and what it leads to",
    "base": "what lies below: python or debian (see `pin image base`); nothing when absent",
    "environment": "variables and their values; {tag} in a value becomes the version of the image",
    "user": "who runs the program: a number, or number:number; a number other than 0 is allowed everywhere",
    "workdir": "the folder in which the program starts",
    "platform": "for example linux/amd64; when absent, that of this machine",
}
"""Every field and what it means, in the order of the documentation."""

_OWNER = re.compile(r"\d+(?::\d+)?")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")


class Compiled(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A C source of the folder that becomes a program of the image."""

    source: str
    to: str


class Copied(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"source": "from"}):
    """A file or folder of the folder. Without `owner`, owners are kept."""

    source: str
    to: str
    owner: str | int = ""

    @property
    def owned_by(self) -> Owner | None:
        if self.owner == "":
            return None
        user, _, group = str(self.owner).partition(":")
        return int(user), int(group or user)


class ImageRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `image.yaml` says; `FIELDS` explains each field."""

    entrypoint: tuple[str, ...]
    compile: tuple[Compiled, ...] = ()
    files: tuple[Copied, ...] = ()
    host_programs: tuple[str, ...] = ()
    links: dict[str, str] = {}
    base: str = ""
    environment: dict[str, str] = {}
    user: str | int = ""
    workdir: str = ""
    platform: str = ""

    @property
    def copied(self) -> tuple[Copied, ...]:
        """An entrypoint alone takes the whole folder."""
        return self.files or (() if self.compile or self.host_programs else (Copied(source=".", to="/"),))

    @property
    def runs_on(self) -> str:
        return self.platform or here()


def read(directory: Path) -> ImageRecipe:
    """Raises ImageError that names the file, the field and what was expected."""
    if not directory.is_dir():
        raise ImageError(f"{directory}: no such folder", remedy=f"name the folder that holds {RECIPE}")
    file = directory / RECIPE
    try:
        recipe = msgspec.yaml.decode(file.read_bytes(), type=ImageRecipe)
    except FileNotFoundError:
        remedy = f"write it: it says what goes into the image, at least `entrypoint: [/program]`. {_fields()}"
        raise ImageError(f"{file}: no such file", remedy=remedy) from None
    except msgspec.ValidationError as error:
        raise _invalid(file, str(error)) from error
    except msgspec.DecodeError as error:
        raise _malformed(file) from error
    _check(recipe, file)
    return recipe


def configured(recipe: ImageRecipe, version: str) -> ImageRecipe:
    """The recipe with `{tag}` in its environment filled in."""
    filled = {name: value.replace("{tag}", version) for name, value in recipe.environment.items()}
    return msgspec.structs.replace(recipe, environment=filled)


def run_config(recipe: ImageRecipe) -> dict[str, Any]:
    """What a runtime needs to know, as the OCI image configuration says it."""
    run = {
        "Entrypoint": list(recipe.entrypoint),
        "Env": [f"{name}={value}" for name, value in recipe.environment.items()],
        "User": str(recipe.user),
        "WorkingDir": recipe.workdir,
    }
    return {name: value for name, value in run.items() if value}


def here() -> str:
    """The platform of this machine's programs."""
    return MACHINES.get(platform.machine(), f"linux/{platform.machine()}")


def _malformed(file: Path) -> ImageError:
    text = file.read_text("utf-8", "replace")
    found = yaml_mistakes.find(text)
    shown = yaml_mistakes.excerpt(text, found.line, found.column)
    return ImageError(f"{file}:{found.line}:{found.column}: {found.sentence}\n{shown}", remedy=found.remedy)


def _invalid(file: Path, message: str) -> ImageError:
    unknown = _UNKNOWN.search(message)
    near = difflib.get_close_matches(unknown["name"], FIELDS, n=1) if unknown else []
    hint = f"did you mean {near[0]}? " if near else ""
    return ImageError(f"{file}: {message}", remedy=f"{hint}{_fields()}")


def _fields() -> str:
    return f"The fields are {', '.join(FIELDS)}; docs/images.md explains them"


def _check(recipe: ImageRecipe, file: Path) -> None:
    if not recipe.entrypoint:
        raise ImageError(f"{file}: entrypoint is empty", remedy="name the program to start and its arguments")
    for item in recipe.files:
        if item.owner != "" and not _OWNER.fullmatch(str(item.owner)):
            raise ImageError(f"{file}: owner {item.owner!r} is no number", remedy="write USER or USER:GROUP, such as 65532")
    targets = [item.to for item in (*recipe.compile, *recipe.files)] + list(recipe.links) + list(recipe.host_programs)
    for target in targets:
        if not target.startswith("/") or ".." in PurePosixPath(target).parts:
            raise ImageError(f"{file}: {target!r} is no absolute path of the image", remedy="begin it with /, without ..")
    if (recipe.compile or recipe.host_programs or recipe.base) and recipe.runs_on != here():
        why = "programs and bases come from this machine"
        raise ImageError(
            f"{file}: platform {recipe.platform} does not fit, {why}, which is {here()}", remedy="leave platform out"
        )
