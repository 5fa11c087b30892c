"""Writes one documentation page per controller, from its card and its module's docstring."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from pincompute.engine.controller import Card, Controller, Where

PLACES: dict[Where, str] = {"host": "host", "members": "every member", "local": "the cluster it serves"}


def page(controller: Controller[Any, Any]) -> str:
    """Returns a controller's page as Markdown."""
    return "\n".join(_lines(controller)) + "\n"


def index(controllers: Iterable[Controller[Any, Any]]) -> str:
    """Returns a table of all controllers as Markdown."""
    rows = [f"| [{c.card.name}]({c.card.name}.md) | {c.card.key} | {_one_line(c.card.promise)} |" for c in controllers]
    return "\n".join(["# Controllers", "", "| controller | key | promise |", "| --- | --- | --- |", *rows]) + "\n"


def _lines(controller: Controller[Any, Any]) -> Iterator[str]:
    card = controller.card
    yield from (f"# {card.name}", "", inspect.cleandoc(card.promise), "")
    about = inspect.getdoc(sys.modules[controller.decide.__module__])
    if about and about != card.promise:
        yield from (about, "")
    yield from (f"Reconciles one **{card.key}** at a time.", "")
    yield from _reads(card)
    yield from _inputs(card)
    yield from _writes(card)
    if card.rest:
        yield from (f"Two runs for one key are at least {card.rest:g} s apart.", "")
    if card.pace:
        yield from (f"At most {card.pace:g} runs a second write, over all keys.", "")
    if card.coalesce:
        yield from (f"Two runs for one key that both write are at least {card.coalesce:g} s apart.", "")


def _reads(card: Card[Any]) -> Iterator[str]:
    yield from ("## Reads", "", "| kind | where |", "| --- | --- |")
    for reads in card.reads:
        yield f"| {reads.resource} | {PLACES[reads.where]} |"
    yield ""


def _inputs(card: Card[Any]) -> Iterator[str]:
    if not card.inputs:
        return
    yield from ("## Inputs", "", "| what | asked every | answered within | believed for |", "| --- | --- | --- | --- |")
    for wanted in card.inputs:
        yield f"| {wanted.what} | {wanted.period:g} s | {wanted.deadline:g} s | {wanted.stale_after:g} s |"
    yield ""


def _writes(card: Card[Any]) -> Iterator[str]:
    yield from ("## Writes", "")
    if not card.writes:
        yield from ("Nothing.", "")
        return
    yield from ("| kind | where | how |", "| --- | --- | --- |")
    for writes in card.writes:
        yield f"| {writes.resource} | {PLACES[writes.where]} | {', '.join(writes.verbs)} |"
    yield from ("", f"Field manager of its applies: `{card.name}`. Anything else is refused at run time.", "")


def _one_line(text: str) -> str:
    return " ".join(text.split())
