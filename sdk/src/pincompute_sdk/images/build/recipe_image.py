"""Builds the image of a folder with an `image.yaml`, and says which hash its source has."""

from __future__ import annotations

import hashlib
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from pincompute_sdk.images.build import (
    base_image,
    build_context,
    ignore_rules,
    image_recipe,
    layers,
    layout_writer,
    shared_libraries,
    tool_run,
)
from pincompute_sdk.images.build.image_recipe import Compiled, Copied, ImageRecipe
from pincompute_sdk.images.build.layers import Layer, LayerEntry
from pincompute_sdk.images.image_errors import ImageError
from pincompute_sdk.images.oci_layout import OciLayout

OWN = (image_recipe.RECIPE, ignore_rules.FILE)  # left out of an image of the whole folder
_EVERYBODY = stat.S_IROTH | stat.S_IXOTH
FORMAT = "3"  # part of every hash; to be raised when the same source must give another image


@dataclass(frozen=True, slots=True)
class RecipeImage:
    """A folder and what its recipe says, with the version filled in. `say` sees a sentence for what the user should know.

    `refresh`: a base is made anew. `kept_base`: one that this machine keeps is taken as it is, without a question to apt.
    """

    folder: Path
    recipe: ImageRecipe
    largest: int = build_context.LARGEST
    say: Callable[[str], None] = lambda _: None
    refresh: bool = False
    kept_base: bool = False

    def fingerprint(self) -> str:
        """Hash of all that goes into the image: the recipe, its base, its sources, and which programs of this machine."""
        return self._hash([layer.descriptor.digest for layer in self._below()])

    def source_hash(self) -> str:
        """The same with any versions of the packages in its base, so it asks neither apt nor the network."""
        return self._hash([base_image.recipe(self.recipe.base)] if self.recipe.base else [])

    def _hash(self, below: list[str]) -> str:
        found = hashlib.sha256(msgspec.json.encode((FORMAT, self.recipe, self.recipe.runs_on, below), order="sorted"))
        for item in self.recipe.compile:
            found.update(self._source(item).read_bytes())
        if self.recipe.compile:
            found.update(shared_libraries.identity(_compiler()))
        for each in self._files(lambda _: None):
            found.update(msgspec.json.encode((str(each.path), each.kind, each.mode, each.owner, each.target)))
            found.update(each.source.read_bytes() if each.source else b"")
        for program in self.recipe.host_programs:
            found.update(shared_libraries.identity(_program(program)))
        return found.hexdigest()[:40]

    def write(self, scratch: Path) -> OciLayout:
        """The image as a layout in `scratch`."""
        run = image_recipe.run_config(self.recipe)
        return layout_writer.write(scratch / "layout", self.recipe.runs_on, run, (*self._below(), *self._layers(scratch)))

    def _below(self) -> tuple[Layer, ...]:
        base = self.recipe.base
        if not base:
            return ()
        kept = base_image.kept(base) if self.kept_base else None
        return ((kept or base_image.get(base, refresh=self.refresh, say=self.say)).layer,)

    def _layers(self, scratch: Path) -> Iterator[Layer]:
        """Programs and libraries of this machine below, what is the image's own above."""
        compiled = [
            (item.to, _compile(self._source(item), scratch / f"program-{number}"))
            for number, item in enumerate(self.recipe.compile)
        ]
        programs = [_program(program) for program in self.recipe.host_programs]
        libraries = {
            file for program in (*programs, *(file for _, file in compiled)) for file in shared_libraries.libraries(program)
        }
        machine = [_copy(file, str(file)) for file in (*programs, *libraries)]
        if machine:
            yield layers.write(scratch / "programs.tar.gz", machine)
        above = [_copy(file, to) for to, file in compiled]
        above += self._files(self.say)
        above += [layers.link(path, target) for path, target in self.recipe.links.items()]
        yield layers.write(scratch / "files.tar.gz", above)

    def _source(self, item: Compiled) -> Path:
        return build_context.inside(self.folder, _existing(self.folder, item.source))

    def _files(self, warn: Callable[[str], None]) -> list[LayerEntry]:
        """Returns what the image copies. Raises ImageError where that is too large, whether it names files or folders."""
        found: list[LayerEntry] = []
        sizes: dict[str, int] = {}
        for item in self.recipe.copied:
            copied = list(self._copied(item, warn))
            found += copied
            sizes[item.source] = sizes.get(item.source, 0) + sum(e.source.stat().st_size for e in copied if e.source)
        build_context.check_size(self.folder, len(found), sizes, self.largest)
        return found

    def _copied(self, item: Copied, warn: Callable[[str], None]) -> Iterator[LayerEntry]:
        source, to = build_context.inside(self.folder, _existing(self.folder, item.source)), PurePosixPath(item.to)
        top = layers.entry(source, to, item.owned_by)
        if top is not None and to.name:
            yield top
        if not source.is_dir():
            return
        start = PurePosixPath(source.relative_to(self.folder.resolve()))
        ignored = build_context.rules(self.folder, () if start.parts else OWN)
        context = build_context.read(self.folder.resolve(), ignored, self.largest, start=start)
        for sentence in context.warnings:
            warn(sentence)
        for file in context.files:
            found = layers.entry(file.source, to / file.path.relative_to(start), item.owned_by)
            if found is not None:
                yield found


def _copy(file: Path, to: str) -> LayerEntry:
    """A program or library of this machine, with the bytes that its links lead to."""
    found = layers.entry(file.resolve(), PurePosixPath(to), layers.ROOT)
    if found is None:
        raise ImageError(f"{file} is no file", remedy="name a program")
    return found


def _compile(source: Path, target: Path) -> Path:
    """Dynamically linked: a static libc is a package of its own on most distributions."""
    tool_run.run((str(_compiler()), "-O2", "-Wall", "-o", str(target), str(source)), remedy=f"correct {source.name}")
    return target


def _compiler() -> Path:
    found = shutil.which("cc")
    if found is None:
        raise ImageError("no C compiler `cc` is installed", remedy="install gcc or clang")
    return Path(found).resolve()


def _program(name: str) -> Path:
    """A folder may come from somebody else, so what it names outside of itself is a program that everybody here may run."""
    found = Path(name)
    if not found.is_file():
        raise ImageError(f"{name}: no such program on this machine", remedy="install it, or take it out of host_programs")
    if found.stat().st_mode & _EVERYBODY != _EVERYBODY:
        remedy = "take it out of host_programs, or copy it into the folder and name it in files"
        raise ImageError(f"{name} is no program that every user of this machine may read and run", remedy=remedy)
    return found


def _existing(folder: Path, name: str) -> Path:
    found = folder / name
    if not found.exists():
        raise ImageError(f"{found}: no such file or folder", remedy=f"correct {image_recipe.RECIPE}")
    return found
