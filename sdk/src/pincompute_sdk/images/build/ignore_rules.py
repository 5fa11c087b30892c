"""Decides which files of a folder stay out of an image, by the rules of `.dockerignore`. Pure.

Source: https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath

FILE = ".dockerignore"


@dataclass(frozen=True, slots=True)
class IgnoreRule:
    """One line. `keeps` is true for a line that begins with `!`."""

    pattern: re.Pattern[str]
    keeps: bool


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """All lines; the last that fits a path, or a folder above it, decides."""

    rules: tuple[IgnoreRule, ...] = ()

    def ignores(self, path: PurePosixPath) -> bool:
        """`path` is relative to the folder."""
        names = [str(path), *(str(above) for above in path.parents if above.name)]
        verdict = False
        for rule in self.rules:
            if verdict == rule.keeps and any(rule.pattern.fullmatch(name) for name in names):
                verdict = not rule.keeps
        return verdict

    def prunes(self, folder: PurePosixPath) -> bool:
        """Nothing in the folder can be kept, so that nobody has to look."""
        return self.ignores(folder) and not any(rule.keeps for rule in self.rules)


def parse(text: str, before: Iterable[str] = ()) -> IgnoreRules:
    """`before` are lines that come first, so that the text can overrule them."""
    lines = (line.strip() for line in (*before, *text.removeprefix("\ufeff").splitlines()))
    return IgnoreRules(tuple(rule for line in lines if line and not line.startswith("#") and (rule := _rule(line))))


def _rule(line: str) -> IgnoreRule | None:
    keeps = line.startswith("!")
    parts = list(_spread([part for part in line.removeprefix("!").strip().split("/") if part not in ("", ".")]))
    return IgnoreRule(re.compile(_expression(parts)), keeps) if parts else None


def _spread(parts: list[str]) -> Iterator[str]:
    """`**` at the beginning or the end of a name crosses folders, as one that stands alone."""
    for index, part in enumerate(parts):
        bare = part.strip("*")
        if part.startswith("**"):
            yield "**"
        if bare:
            yield ("*" if part.startswith("*") else "") + bare + ("*" if part.endswith("*") else "")
        elif part == "*":
            yield part
        if bare and part.endswith("**") and index < len(parts) - 1:
            yield "**"


def _expression(parts: list[str]) -> str:
    """`**` stands for any number of folders, also for none.

    What follows one wildcard and comes before the next is looked for once, at its first place, where a match is possible if it
    is possible at all. So the time grows with the length of a path and not with a power of it, whoever wrote the rules.
    """
    blocks = [list(block) for wild, block in groupby(parts, "**".__eq__) if not wild]
    begins, ends = parts[0] != "**", parts[-1] != "**"
    names = ["/".join(map(_name, block)) for block in blocks]
    found = names.pop(0) + ("/" if names or not ends else "") if begins else ""
    last = names.pop() if names and ends else None
    found += "".join(f"(?>(?:[^/]+/)*?{name}/)" for name in names)
    return found + (".*" if not ends else "" if last is None else f"(?:[^/]+/)*{last}")


def _name(part: str) -> str:
    """One name of a path: `*`, `?`, `[a-z]` and `\\x` as in a shell."""
    pieces, found, rest = list[str](), "", part
    while rest:
        if rest.startswith("*"):
            pieces, found, rest = [*pieces, found], "", rest.lstrip("*")
        elif rest.startswith("?"):
            found, rest = found + "[^/]", rest[1:]
        elif match := re.match(r"\[(\^?)((?:\\.|[^\]\\])+)\]", rest):
            found, rest = found + f"[{match[1]}{_class(match[2])}]", rest[match.end() :]
        elif rest.startswith("\\") and len(rest) > 1:
            found, rest = found + re.escape(rest[1]), rest[2:]
        else:
            found, rest = found + re.escape(rest[0]), rest[1:]
    if not pieces:
        return found
    first, *between = pieces
    return first + "".join(f"(?>[^/]*?{piece})" for piece in between) + f"[^/]*{found}"


def _class(inside: str) -> str:
    return re.sub(r"([\[&~|])", r"\\\1", inside)
