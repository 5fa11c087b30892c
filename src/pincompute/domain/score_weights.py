"""Sets the weight of each score with which clusters inside a zone are ranked."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WEIGHTS: Mapping[str, int] = MappingProxyType({"load": 3, "health": 2, "cost": 1})
