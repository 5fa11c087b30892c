"""Defines the options of a benchmark from the command line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """`deep` adds what takes minutes; `rounds` is how often what is compared side by side is repeated."""

    deep: bool = False
    rounds: int = 5
