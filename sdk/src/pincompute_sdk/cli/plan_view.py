"""Shows what a deploy or a rollback will change, before it does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.output.human_values import count
from pincompute_sdk.cli.output.terminal import Styled
from pincompute_sdk.generated.models import Change, Difference

LONGEST = 60  # characters of a value


def show(wanted: dict[str, Any], planned: Difference) -> None:
    """Shows the server's comparison with what it would store."""
    title = f"{wanted.get('kind', 'App')} {wanted['project']}/{wanted['name']}"
    if planned.creates:
        terminal.out(Styled("+ new", "green"), f" {title}")
        for sentence in _summary(wanted):
            terminal.out(f"    {sentence}")
        return
    if not planned.changes:
        terminal.out(f"{title}: nothing to change")
        return
    change(title, planned.changes, planned.message)


def change(title: str, changes: Sequence[Change], message: str) -> None:
    """Shows the changes field by field, and a sentence about their effect."""
    terminal.out(Styled("~ change", "yellow"), f" {title}")
    for one in changes:
        terminal.out("    ", line(one))
    if message:
        terminal.out(f"    {message}")


def line(change: Change) -> Styled:
    """`~ replicas: 3 → 6`, `+` for what comes, `-` for what goes."""
    if change.before is None:
        return Styled(f"+ {change.field}: {_value(change.after)}", "green")
    if change.after is None:
        return Styled(f"- {change.field}: {_value(change.before)}", "red")
    return Styled(f"~ {change.field}: {_value(change.before)} → {_value(change.after)}", "yellow")


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
