"""Defines the options of a benchmark from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """`deep` adds what takes minutes; `rounds` is how often what is compared side by side is repeated. `beside` is another
    checkout of the project, with its `.venv`, to compare with.
    """

    deep: bool = False
    rounds: int = 5
    beside: Path | None = None
