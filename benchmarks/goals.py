"""Compares a measured figure with its goal, and prints figures as a table and JSON lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec
from rich.table import Table

from benchmarks.machine import Machine

RESULTS = Path(__file__).parent / "results"


class Goal(msgspec.Struct, frozen=True):
    """What a figure should reach: at most or at least `bound`."""

    bound: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.bound if self.at_least else value <= self.bound

    def verdict(self, value: float) -> str:
        """How far from the goal, as a factor: `2.0x` is twice as slow, or half as many, as wanted."""
        if self.met(value):
            return "[green]met[/green]"
        if not value or not self.bound:
            return "[red]missed[/red]"
        factor = self.bound / value if self.at_least else value / self.bound
        return f"[red]missed, {factor:.2g}x[/red]"


class Figure(msgspec.Struct, frozen=True):
    """One line of the table. `note` says what stands behind the number: how it was measured, what is not in it."""

    name: str
    value: float
    unit: str
    goal: Goal | None = None
    note: str = ""


class Result(msgspec.Struct, frozen=True):
    """What one benchmark measured, when, and on what."""

    benchmark: str
    machine: Machine
    load_after: float
    seconds: float
    figures: list[Figure]


def at_most(bound: float) -> Goal:
    return Goal(bound)


def at_least(bound: float) -> Goal:
    return Goal(bound, at_least=True)


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile, so that a P99 is a value that occurred."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, round(percent / 100 * len(ranked) + 0.5) - 1))]


def latencies(name: str, seconds: Sequence[float], goals: dict[int, Goal], note: str = "") -> list[Figure]:
    """P50, P90 and P99 in milliseconds."""
    return [Figure(f"{name} P{p}", round(1000 * percentile(seconds, p), 1), "ms", goals.get(p), note) for p in (50, 90, 99)]


def middle(values: Sequence[float], digits: int = 2) -> float:
    return round(median(values), digits)


def table(result: Result) -> Table:
    title = f"[bold]{result.benchmark}[/bold]  (load average {result.machine.load} to {result.load_after})"
    shown = Table(title=title, title_justify="left", title_style="", pad_edge=False, expand=False)
    shown.add_column("figure")
    shown.add_column("value", justify="right", no_wrap=True)
    shown.add_column("goal", justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True)
    shown.add_column("how", style="dim", overflow="fold")
    for figure in result.figures:
        shown.add_row(*_cells(figure))
    return shown


def _cells(figure: Figure) -> tuple[str, ...]:
    goal = figure.goal
    wanted = f"{'>=' if goal.at_least else '<='} {goal.bound:g}" if goal else ""
    return figure.name, f"{figure.value:,g} {figure.unit}", wanted, goal.verdict(figure.value) if goal else "", figure.note


def keep(result: Result, folder: Path = RESULTS) -> None:
    """One JSON line more in the benchmark's file."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{result.benchmark}.jsonl").open("ab") as file:
        file.write(msgspec.json.encode(result) + b"\n")
