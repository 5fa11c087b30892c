"""Spells out `secrets` and `files` of containers as variables, mounts and volumes, and shows such mounts as `files` again.

`secrets: [db-password]` is the variable DB_PASSWORD, as `env` would write it. `files: {/etc/web: web-conf}` is a volume of
the config, mounted read-only. The volume's name follows from the setting's, so containers share it. Whatever differs
from what `files` would make stays among `mounts` and `volumes`, so nothing is lost on the way back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pincompute.api.settings import CONFIG, ENTRY, SECRET
from pincompute.gateway.model.field_mapping import Data, Path

_LONGEST_NAME = 63  # characters of a volume's name
_PLAIN = re.compile(r"/[^:]*[^:/]/?")
_VERSION = re.compile(r"\.[0-9]+$")
PARTS = ("initContainers", "containers")


@dataclass(frozen=True, slots=True)
class WrongEntry:
    """An entry of `secrets` or `files` that cannot be spelled out: the field, what was expected, and what to do."""

    path: Path
    expected: str
    message: str


@dataclass(slots=True)
class SpelledOut:
    """A document without `secrets` and `files`. `origins` are the paths of what they became, with where the user wrote it."""

    data: Data
    origins: dict[Path, Path] = field(default_factory=dict[Path, Path])
    wrong: list[WrongEntry] = field(default_factory=list[WrongEntry])

    def written(self, path: Path) -> Path:
        """Returns where the user wrote what stands at a path of the document."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return self.origins[path[:length]]
        return path


def spell_out(data: Data) -> SpelledOut:
    """Takes a document of the right shape, and shares with it what stays."""
    made = SpelledOut(dict(data))
    volumes = _Volumes(list(data.get("volumes") or ()), made)
    for part in PARTS:
        if any("secrets" in each or "files" in each for each in data.get(part) or ()):
            made.data[part] = [_container(made, volumes, (part, n), each) for n, each in enumerate(data[part])]
    if volumes.added:
        made.data["volumes"] = volumes.all
    return made


@dataclass(slots=True)
class _Volumes:
    """The volumes of a document, with those that `files` need."""

    all: list[Data]
    made: SpelledOut
    added: set[str] = field(default_factory=set[str])

    def of(self, word: str, name: str, where: Path) -> str:
        """Returns the name of the volume that holds the setting, and adds it when it is missing."""
        wanted: Data = {"name": volume_name(word, name), word: name}
        known = next((each for each in self.all if each.get("name") == wanted["name"]), None)
        if known is None:
            self.made.origins["volumes", len(self.all)] = where
            self.added.add(wanted["name"])
            self.all.append(wanted)
        elif known != wanted:
            message = f"needs a volume {wanted['name']}, and `volumes` has another one of this name: rename that one"
            self.made.wrong.append(WrongEntry(where, f"no other volume {wanted['name']}", message))
        return wanted["name"]


def volume_name(word: str, name: str) -> str:
    """Returns the name of the volume that holds a setting: the same in every document."""
    plain = f"{word}-{name}"
    if len(plain) <= _LONGEST_NAME and "." not in name:
        return plain
    return f"{word}-{hashlib.blake2s(name.encode(), digest_size=12).hexdigest()}"


def variable_name(secret: str) -> str:
    """Returns the variable that an entry of `secrets` sets: `db-password` and its version `db-password.3` are DB_PASSWORD."""
    return _VERSION.sub("", secret).upper().replace("-", "_")


def _container(made: SpelledOut, volumes: _Volumes, place: Path, container: Data) -> Data:
    plain = {name: part for name, part in container.items() if name not in ("secrets", "files")}
    variables = _variables(made, place, container)
    if variables:
        plain["env"] = {**variables, **(container.get("env") or {})}
    files: Mapping[str, Any] = container.get("files") or {}
    if files:
        plain["mounts"] = [*(container.get("mounts") or ()), *_mounts(made, volumes, place, container)]
    return plain


def _variables(made: SpelledOut, place: Path, container: Data) -> Data:
    found: Data = {}
    env: Data = container.get("env") or {}
    for number, secret in enumerate(container.get("secrets") or ()):
        where, name = (*place, "secrets", number), variable_name(secret)
        if name in env or name in found:
            message = f"sets the variable {name}, which is set already: keep one of them"
            made.wrong.append(WrongEntry(where, "a variable that nothing else sets", message))
        made.origins[*place, "env", name] = where
        found[name] = {SECRET.word: secret}
    return found


def _mounts(made: SpelledOut, volumes: _Volumes, place: Path, container: Data) -> Iterator[Data]:
    taken = [str(each.get("path", "")).rstrip("/") for each in container.get("mounts") or ()]
    for path, source in container["files"].items():
        where = (*place, "files", path)
        if not _PLAIN.fullmatch(path) or ".." in path.split("/"):
            made.wrong.append(
                WrongEntry(where, "an absolute path", "must be an absolute path without `..`: write /etc/web.conf")
            )
        if path.rstrip("/") in taken:
            made.wrong.append(WrongEntry(where, "a path of its own", "is mounted already: choose another path"))
        taken.append(path.rstrip("/"))
        yield from _mount(made, volumes, place, (path, source, len(taken) - 1))


def _mount(made: SpelledOut, volumes: _Volumes, place: Path, entry: tuple[str, Any, int]) -> Iterator[Data]:
    path, source, number = entry
    where = (*place, "files", path)
    said: Data = {CONFIG.word: source} if isinstance(source, str) else cast("Data", source)
    word = next((word for word in (SECRET.word, CONFIG.word) if said.get(word)), "")
    if not word:
        made.wrong.append(WrongEntry(where, "a config or a secret", "names nothing: write a config, or {secret: NAME}"))
        return
    if word == SECRET.word and said.get("key"):
        made.wrong.append(WrongEntry((*where, "key"), "no key", "a secret has one value: remove the key"))
    made.origins[*place, "mounts", number] = where
    one_file = ENTRY if word == SECRET.word else said.get("key")
    yield {
        "volume": volumes.of(word, said[word], where),
        "path": path,
        "readOnly": True,
        **({"subPath": one_file} if one_file else {}),
    }


def fold(data: Data) -> Data:
    """Returns the document with mounts and volumes as `files` where `spell_out` gives back exactly what stands there."""
    volumes = {each["name"]: each for each in data.get("volumes") or () if _is_derived(each)}
    if not volumes:
        return data
    folded = dict(data)
    for part in PARTS:
        if data.get(part):
            folded[part] = [_folded(each, volumes) for each in data[part]]
    used = {
        each.get("volume") for part in PARTS for container in folded.get(part) or () for each in container.get("mounts") or ()
    }
    left = [each for each in data["volumes"] if each["name"] not in volumes or each["name"] in used]
    folded["volumes"] = left
    if not left:
        del folded["volumes"]
    back = spell_out(folded)
    return folded if not back.wrong and back.data == data else data


def _is_derived(volume: Data) -> bool:
    """Tells whether `files` would make this very volume."""
    word = next((word for word in (SECRET.word, CONFIG.word) if word in volume), "")
    name = volume.get(word)
    return isinstance(name, str) and volume == {"name": volume_name(word, name), word: name}


def _folded(container: Data, volumes: Mapping[str, Data]) -> Data:
    """The container with its last mounts as files, as many as can be."""
    mounts: list[Data] = list(container.get("mounts") or ())
    files: Data = {}
    while mounts and (source := _source(mounts[-1], volumes)) and mounts[-1].get("path", "") not in files:
        files = {mounts.pop()["path"]: source, **files}
    if not files:
        return container
    plain = {name: part for name, part in container.items() if name != "mounts"}
    return {**plain, **({"mounts": mounts} if mounts else {}), "files": files}


def _source(mount: Data, volumes: Mapping[str, Data]) -> Any:
    """What an entry of `files` says for this mount; nothing when none makes it."""
    volume = volumes.get(mount.get("volume", ""))
    if volume is None or mount.get("readOnly") is not True:
        return None
    key = mount.get("subPath")
    if SECRET.word in volume:
        return {SECRET.word: volume[SECRET.word]} if key == ENTRY else None
    return {CONFIG.word: volume[CONFIG.word], "key": key} if key else volume[CONFIG.word]
