"""Prints progress while benchmarks run: one line per step with the time since the start."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console


@dataclass(frozen=True, slots=True)
class Say:
    console: Console
    begun: float = field(default_factory=time.monotonic)

    def __call__(self, step: str) -> None:
        self.console.print(f"[dim]{time.monotonic() - self.begun:6.1f} s[/dim]  {step}", highlight=False)
