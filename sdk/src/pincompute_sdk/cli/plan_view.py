"""Shows what a deploy or a rollback will change, before it does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.output.human_values import count
from pincompute_sdk.cli.output.terminal import Styled
from pincompute_sdk.generated.models import Change, Difference
from pincompute_sdk.images import image_name

LONGEST = 60  # characters of a value
IMAGE_FIELDS = (".image", ".reference")


def show(wanted: dict[str, Any], planned: Difference) -> None:
    """Shows the server's comparison with what it would store."""
    title = f"{wanted.get('kind', 'App')} {wanted['project']}/{wanted['name']}"
    if planned.creates:
        terminal.out(Styled("+ new", "green"), f" {title}")
        for sentence in _summary(wanted):
            terminal.out(f"    {sentence}")
        return
    kept = [f"    {name}: {_value(value)} (kept)" for name, value in planned.kept.items()]
    if not planned.changes:
        terminal.out(f"{title}: nothing to change")
        _lines(kept)
        return
    change(title, planned.changes, planned.message, kept)


def change(title: str, changes: Sequence[Change], message: str, kept: Sequence[str] = ()) -> None:
    """Shows the changes field by field, what stays although the file does not state it, and a sentence about their effect."""
    terminal.out(Styled("~ change", "yellow"), f" {title}")
    for one in (part for change in changes for part in _parts(change)):
        terminal.out("    ", line(one))
    _lines(kept)
    if message:
        terminal.out(f"    {message}")


def _parts(change: Change) -> Iterator[Change]:
    """A map that comes or goes as a whole is shown entry by entry, as its later changes are."""
    whole = change.after if change.before is None else change.before if change.after is None else None
    if not isinstance(whole, dict) or not whole:
        yield change
        return
    for name, value in cast("dict[str, Any]", whole).items():
        before, after = (None, value) if change.before is None else (value, None)
        yield Change(field=f"{change.field}.{name}", before=before, after=after)


def _lines(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        terminal.out(sentence)


def line(change: Change) -> Styled:
    """`~ replicas: 3 → 6`, `+` for what comes, `-` for what goes."""
    if change.before is None:
        return Styled(f"+ {change.field}: {_value(change.after)}", "green")
    if change.after is None:
        return Styled(f"- {change.field}: {_value(change.before)}", "red")
    if change.field.endswith(IMAGE_FIELDS) and isinstance(change.before, str) and isinstance(change.after, str):
        return Styled(f"~ {change.field}: {_image(change.before, change.after)}", "yellow")
    return Styled(f"~ {change.field}: {_value(change.before)} → {_value(change.after)}", "yellow")


def warn(warnings: Sequence[str]) -> None:
    """What the server accepts although it could not check it."""
    for warning in warnings:
        terminal.err(Styled("warning:", "yellow"), f" {warning}")


def _image(before: str, after: str) -> str:
    """Says of an image with the same tag that the tag leads to other content now."""
    name, other = image_name.shown(before), image_name.shown(after)
    (_, _, old), (_, _, new) = before.partition("@"), after.partition("@")
    if name != other:
        return f"{name} → {other}"
    if not old:
        return f"{name} is pinned to its content {image_name.short(new)}"
    return f"{name} changed its content: {image_name.short(old)} → {image_name.short(new) or 'whatever the tag points to'}"


def _summary(wanted: dict[str, Any]) -> list[str]:
    said: list[str] = []
    if "replicas" in wanted or wanted.get("kind") == "App":
        said.append(f"{count(wanted.get('replicas', 1), 'replica')}, tier {wanted.get('tier', 'OnDemand')}")
    said += [f"container {c.get('name')}: {c.get('image', 'no image')}" for c in wanted.get("containers", ())]
    zones = wanted.get("zones")
    return [*said, f"zones: {', '.join(zones)}" if zones else "zones: balanced over all"]


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
