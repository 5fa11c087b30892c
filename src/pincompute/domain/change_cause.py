"""Reads the note of a revision: the annotation `kubernetes.io/change-cause` of its workload, as one line of bounded length."""

from __future__ import annotations

from collections.abc import Mapping

from pincompute.api import labels

LONGEST = 500  # characters


def note(annotations: Mapping[str, str]) -> str:
    """Returns the note; empty where there is none. Whoever wrote it with kubectl may have written anything."""
    text = annotations.get(labels.CHANGE_CAUSE, "")[:LONGEST]
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def is_one(text: str) -> bool:
    """Returns whether the text is a note as it stands."""
    return len(text) <= LONGEST and text.isprintable()
