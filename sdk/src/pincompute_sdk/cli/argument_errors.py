"""Says what is wrong with the arguments of a command, in the words of this program, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Literal, get_args, get_origin

from cyclopts import App
from cyclopts.exceptions import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from pincompute_sdk.cli import command_table

ELSEWHERE: Mapping[tuple[str, ...], str] = {
    ("secret", "show"): "no command shows the value of a secret again; `{program} secret list` shows names and versions",
    ("secret", "get"): "no command shows the value of a secret again; `{program} secret list` shows names and versions",
}
"""Commands that do not exist on purpose, with what to do instead."""


ELSEWHERE_CALLED = {
    "get": "list",
    "describe": "explain NAME",
    "apply": "deploy",
    "create": "deploy",
    "run": "deploy",
    "edit": "deploy",
    "build": "image build",
    "push": "image build",
    "images": "image list",
    "port-forward": "open NAME",
    "forward": "open NAME",
    "attach": "logs NAME -f",
    "kill": "stop NAME",
    "undo": "rollback NAME",
    "namespace": "project list",
    "projects": "project list",
    "secrets": "secret list",
    "auth": "login",
    "config-map": "config list",
    "stats": "top",
    "watch": "list --watch",
}
"""What kubectl, docker and others call a command, and what it is here."""


def unknown_command(program: str, name: str) -> str:
    """What to write instead of a first word that names no command."""
    if name in ELSEWHERE_CALLED:
        return f"that is `{program} {ELSEWHERE_CALLED[name].format(program=program)}` here"
    near = _nearest(name, [*(command.name for command in command_table.every()), *command_table.ALIASES])
    return f"did you mean `{program} {near}`?" if near else f"`{program} --help` lists all commands"


def message(error: CycloptsError) -> str:
    """Says what is wrong."""
    match error:
        case UnknownCommandError() if error.unused_tokens:
            return f"there is no command {' '.join((*_chain(error), error.unused_tokens[0]))}"
        case UnknownOptionError():
            return f"there is no option {error.token.keyword or error.token.value}"
        case UnusedCliTokensError() if error.unused_tokens:
            return f"{' '.join(error.unused_tokens)!r} is more than the command takes"
        case MissingArgumentError() if error.argument is not None and error.keyword:
            return f"{error.keyword} needs a value"
        case MissingArgumentError() if error.argument is not None and not error.argument.tokens:
            return f"{error.argument.name} is missing"
        case CoercionError() if error.token is not None and not error.msg:
            return _not_taken(error, error.token.value)
        case _:
            return " ".join(str(error).split())


def remedy(program: str, error: CycloptsError) -> str:
    """Says what to write: the nearest name, an example, or where all of them are listed."""
    chain = _chain(error)
    more = f"`{' '.join((program, *chain))} --help`"
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        return _other_command(program, chain, error.unused_tokens[0], error.app) or f"{more} lists its commands"
    if isinstance(error, UnknownOptionError):
        word = error.token.keyword or error.token.value
        near = _nearest(word, [name for argument in error.argument_collection for name in argument.names])
        return f"did you mean {near}?" if near else f"{more} lists all options"
    example = next(iter(command_table.examples_of(chain)), "")
    return f"write for example `{program} {example}`; {more} says more" if example else more


def _chain(error: CycloptsError) -> tuple[str, ...]:
    return tuple(error.command_chain or ())


def _not_taken(error: CoercionError, value: str) -> str:
    name = (error.token.keyword if error.token else "") or (
        error.argument.name if error.argument is not None else "the argument"
    )
    if error.target_type is int:
        return f"{name}: {value!r} is no number"
    if choices := _choices(error):
        return f"{name}: {value!r} is none of {', '.join(choices)}"
    return f"{name}: {value!r} is not understood"


def _choices(error: CoercionError) -> tuple[str, ...]:
    return tuple(map(str, get_args(error.target_type))) if get_origin(error.target_type) is Literal else ()


def _other_command(program: str, chain: Sequence[str], word: str, group: App | None) -> str:
    if told := ELSEWHERE.get((*chain, word)):
        return told.format(program=program)
    names = [name for name in (group or ()) if not name.startswith("-")]
    near = _nearest(word, names)
    start = " ".join((program, *chain))
    return f"did you mean `{start} {near}`?" if near else f"choose one of {', '.join(names)}: `{start} --help`" if names else ""


def _nearest(word: str, names: Sequence[str]) -> str:
    return next(iter(difflib.get_close_matches(word, names, n=1)), "")
