"""`pin completion`: a script for the shell; `source <(pin completion bash)`."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter

from pincompute_sdk.cli import command_dispatch
from pincompute_sdk.cli.output import terminal


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Your shell.")], /) -> None:
    """Shell completion for bash, zsh or fish."""
    terminal.verbatim(command_dispatch.app("pin").generate_completion(shell=shell) + "\n")
