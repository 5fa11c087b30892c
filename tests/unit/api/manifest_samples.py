"""Reads good and bad manifests from `inputs.yaml`, for the tests of validation and of the API server."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

INPUTS = yaml.safe_load(Path(__file__).with_name("inputs.yaml").read_text("utf-8"))


def patched(case: dict[str, Any]) -> dict[str, Any]:
    base = copy.deepcopy(INPUTS["base"][case.get("kind", "PinApp")])
    return merge(base, case["patch"], keep_null=case.get("nulls", False))


def merge(base: dict[str, Any], patch: dict[str, Any], *, keep_null: bool) -> dict[str, Any]:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value, keep_null=keep_null)
        elif value is None and not keep_null:
            base.pop(key, None)
        else:
            base[key] = value
    return base
