"""Renders the help pages of commands in two columns without frames, for narrow terminals, pipes and screen readers."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cyclopts import App

from pincompute_sdk.cli import command_table

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

WIDEST = 100  # columns that are easy to read
NARROW = 50  # columns below which explanations stand under their names
LABELS = 31  # columns that names may take beside explanations


class HelpPage:
    """What cyclopts asks for: the parts of a page, each behind an empty line."""

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        del options
        console.soft_wrap = True  # examples are copied: a line of them is never broken here
        _print(console, f"Usage: {str(usage).strip()}")

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        text = _plain(description).strip()
        if text:
            _print(console, "\n".join(["", *_wrapped(text, min(options.max_width, WIDEST), "")]))

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        if panel.entries:
            _print(console, "\n".join(["", str(panel.title), *_lines(panel, min(options.max_width, WIDEST))]))


class CommandGroup(App):
    """A command of it shows the examples that are its own, and not those of its neighbours. `words` lead to it."""

    words: tuple[str, ...] = ()

    def command(self, obj: Any = None, name: Any = None, *, alias: Any = None, **more: Any) -> Any:
        if obj is not None and not isinstance(obj, App):
            word = str(name or obj.__name__.strip("_").replace("_", "-"))
            more.setdefault("help_epilogue", command_table.listed("pin", command_table.examples_of((*self.words, word))))
        return super().command(obj, name, alias=alias, **more)


def group(name: str) -> App:
    """A command that has commands of its own; its page is rendered from the table."""
    found = command_table.find(name)
    if found is None:
        raise LookupError(f"{name} is not in the table of commands")
    made = CommandGroup(
        name=name,
        help=found.summary,
        help_epilogue=command_table.examples("pin", found),
        help_format="plaintext",
        version_flags=[],
        group_parameters="Options",
    )
    made.words = (name,)
    return made


def inner_group(above: str, name: str, summary: str) -> App:
    """A command of a group that has commands of its own, with the group's examples that are about it."""
    epilogue = command_table.listed("pin", command_table.examples_of((above, name)))
    made = CommandGroup(name=name, help=summary, help_epilogue=epilogue, version_flags=[])
    made.words = (above, name)
    return made


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False)


def _lines(panel: HelpPanel, width: int) -> Iterator[str]:
    pairs = [(_label(entry, panel.format), _said(entry)) for entry in panel.entries]
    room = min(LABELS, max(len(label) for label, _ in pairs))
    for label, said in pairs:
        if width < NARROW or len(label) > room:
            yield f"  {label}"
            indent = " " * (4 if width < NARROW else room + 4)
            yield from _wrapped(said, width, indent)
        else:
            first, *others = _wrapped(said, width, " " * (room + 4)) or [""]
            yield f"  {label.ljust(room)}  {first.strip()}".rstrip()
            yield from others


def _wrapped(said: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(said, max(width, len(indent) + 10), initial_indent=indent, subsequent_indent=indent)


def _label(entry: HelpEntry, of: str) -> str:
    if of == "command":
        return ", ".join((*entry.names, *entry.shorts))
    if entry.positional_label:
        return entry.positional_label
    names = ", ".join((*sorted(entry.shorts), *entry.names))
    return f"{names} {entry.metavar}" if entry.metavar else names


def _said(entry: HelpEntry) -> str:
    words = [_plain(entry.description)]
    words += [f"One of {', '.join(entry.choices)}."] if entry.choices else []
    words += [f"[default: {entry.default}]"] if entry.default is not None else []
    return " ".join(word for word in words if word)


def _plain(description: Any) -> str:
    found = getattr(description, "plain", None) or getattr(getattr(description, "primary_renderable", None), "plain", None)
    return str(found if found is not None else description or "")
