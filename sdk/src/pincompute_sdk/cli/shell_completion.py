"""`pin completion`: a script for the shell; `source <(pin completion bash)`."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

from cyclopts import Parameter

from pincompute_sdk.cli import command_dispatch


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Your shell.")], /) -> None:
    """Shell completion for bash, zsh or fish."""
    sys.stdout.write(command_dispatch.app("pin").generate_completion(shell=shell) + "\n")
