"""Gives the region the manifests of the platform, which a layer above provides: `main` does so at start.

Rights are generated from the controllers' cards, and controllers live in layers that the region may not import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from pincompute.api.meta import Manifest

Role: TypeAlias = Literal["host", "member"]
Definitions: TypeAlias = Callable[[Role], list[Manifest]]

_provided: list[Definitions] = []


def provide(definitions: Definitions) -> None:
    """Provides the definitions. Call it once, before any command of the region runs."""
    _provided[:] = [definitions]


def definitions(role: Role) -> list[Manifest]:
    """Everything for a host or a member cluster."""
    if not _provided:
        raise RuntimeError("nobody provided the platform's definitions: start the region through `pincompute region`")
    return _provided[0](role)
