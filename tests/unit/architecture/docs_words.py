"""Finds commands that a page names inside sentences, and tells whether the program has them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence

from cyclopts import App
from cyclopts.argument import Argument
from pincompute_sdk.cli import command_dispatch

from pincompute import main

PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*|…|[A-Z]+/[A-Z]+")
PROGRAMS = {"pin": command_dispatch.app("pin"), "pincompute": main.app}
ROOT_OPTIONS = {"--help", "-h", "--version"}


def unknown(span: str) -> str:
    """The first word of `pin …` or `pincompute …` that names no command or option of it; nothing if all do."""
    words = _words(span)
    if not words or words[0] not in PROGRAMS:
        return ""
    return next(_unknown(PROGRAMS[words[0]], words[1:]), "")


def _words(span: str) -> list[str]:
    try:
        return shlex.split(span.partition(" | ")[0].partition(" -- ")[0])
    except ValueError:
        return span.split()


def _unknown(app: App, words: Sequence[str]) -> Iterator[str]:
    """Walks down the commands as far as the words name them, then looks at the options."""
    place = 0
    while place < len(words) and not words[place].startswith("-") and _has_commands(app):
        if PLACEHOLDER.fullmatch(words[place]):
            return
        names = words[place].split("|")
        yield from (name for name in names if not _has(app, name))
        if not _has(app, names[0]):
            return
        app, place = app[names[0]], place + 1
    if _takes_all(app):
        return
    known = options(app) | ROOT_OPTIONS
    yield from (word for word in words[place:] if _option(word) and _option(word) not in known)


def _option(word: str) -> str:
    named = re.match(r"--?[a-z][a-z-]*", word)
    return named[0] if named else ""


def _has(app: App, name: str) -> bool:
    return name in ROOT_OPTIONS or name in commands(app)


def _has_commands(app: App) -> bool:
    return bool(commands(app))


def commands(app: App) -> set[str]:
    """The names of the commands that a command has."""
    return {name for name in app if not name.startswith("-")}


def options(app: App) -> set[str]:
    """The names of the options that a command takes."""
    return {name for argument in _arguments(app) for name in argument.names if name.startswith("-")}


def _arguments(app: App) -> Iterable[Argument]:
    return app.assemble_argument_collection(parse_docstring=False) if app.default_command is not None else ()


def _takes_all(app: App) -> bool:
    """The words are those of another program, as of `pincompute region kubectl`."""
    return any(
        each.parameter.allow_leading_hyphen and each.field_info.kind is each.field_info.VAR_POSITIONAL
        for each in _arguments(app)
    )
