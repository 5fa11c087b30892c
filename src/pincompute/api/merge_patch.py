"""Computes and applies JSON merge patches (RFC 7386), so that a write carries only what changed."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from pincompute.api.meta import Manifest, Struct


def merge_patch(before: Manifest, after: Manifest) -> Manifest:
    """Returns the patch that turns `before` into `after`; empty when they are equal. Lists are replaced as a whole."""
    patch: Manifest = {key: None for key in before if key not in after}
    for key, value in after.items():
        if key not in before:
            patch[key] = value
        elif before[key] != value:
            patch[key] = _changed(before[key], value)
    return patch


def _changed(before: Any, after: Any) -> Any:
    if isinstance(before, dict) and isinstance(after, dict):
        return merge_patch(cast("Manifest", before), cast("Manifest", after))
    return after


def apply(before: Manifest, patch: Manifest) -> Manifest:
    """Returns `before` changed as the merge patch says; the inverse of `merge_patch`."""
    made = {key: value for key, value in before.items() if key not in patch}
    for key, value in patch.items():
        if value is not None:
            made[key] = _applied(before.get(key), value)
    return made


def _applied(before: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    return apply(cast("Manifest", before) if isinstance(before, dict) else {}, cast("Manifest", patch))


def to_json(value: Struct) -> Manifest:
    """Returns a struct as JSON data; fields at their default are left out."""
    built: Manifest = msgspec.to_builtins(value)
    return built
