"""Finds folders of pincompute that are no Python: beside `src` in the checkout, inside the package in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from pincompute.region.region_error import RegionError

PACKAGE = Path(__file__).resolve().parents[1]


def folder(name: str) -> Path:
    """`control-plane` or `examples`."""
    for candidate in (PACKAGE / "bundled" / name, PACKAGE.parents[1] / name):
        if candidate.is_dir():
            return candidate
    raise RegionError(f"the folder {name} of pincompute is missing: install pincompute again, or run it from its checkout")
