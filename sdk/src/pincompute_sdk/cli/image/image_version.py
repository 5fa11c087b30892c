"""Chooses the name and the version of the image that a folder is built as. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LAST_NUMBER = re.compile(r"^(?P<before>.*?)(?P<number>\d+)$")
_NAME = re.compile(r"[^a-z0-9]+")


def name_of(folder_name: str) -> str:
    """A folder's name in the form of a repository's."""
    return _NAME.sub("-", folder_name.lower()).strip("-") or "app"


def following(current: str, tags: Iterable[str]) -> str:
    """The version after those that exist: `current` itself where nobody has pushed it, or else its last number counted up.

    Empty where the version has no number to count.
    """
    there = set(tags)
    wanted = current or "1"
    if wanted not in there and (current or not there):
        return wanted
    found = _LAST_NUMBER.match(wanted)
    if found is None:
        return ""
    before = found["before"]
    numbers = [int(tag[len(before) :]) for tag in there if tag.startswith(before) and tag[len(before) :].isdigit()]
    return f"{before}{max([*numbers, int(found['number'])] if wanted in there else numbers or [0]) + 1}"


def newest(version: str, tags: Iterable[str]) -> str:
    """The version that `version` follows; empty for the first."""
    found = _LAST_NUMBER.match(version)
    before = f"{found['before']}{int(found['number']) - 1}" if found and int(found["number"]) else ""
    return before if before in set(tags) else ""
