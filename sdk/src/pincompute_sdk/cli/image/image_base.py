"""`pin image base`: makes a base image of Debian packages on this machine, or says which there is."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from pincompute_sdk.cli.output import terminal
from pincompute_sdk.cli.output.human_values import count, size


def base(
    name: Annotated[str, Parameter(help="python or debian.")] = "python",
    /,
    *,
    refresh: Annotated[bool, Parameter(negative="", help="Make it again, with the newest packages.")] = False,
) -> None:
    """Make a base image of Debian packages on this machine, for builds without a registry."""
    from pincompute_sdk.images.build import base_image

    made = base_image.get(name, refresh=refresh, say=terminal.err)
    terminal.err(f"{made.kind.summary}: {count(len(made.packages), 'package')}, {size(made.layer.descriptor.size)}")
    kept = "kept from an earlier build" if made.cached else "new"
    terminal.err(f"{kept}: {made.layer.file.parent}. In a Dockerfile: FROM {base_image.PREFIX}{name}")
    terminal.out(made.layer.descriptor.digest)
