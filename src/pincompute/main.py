"""The server program `pincompute`: one subcommand per process."""

from __future__ import annotations


def run() -> None:
    """Entry point of the console script."""
