"""`pin version`: both sides, and whether they fit."""

from __future__ import annotations

import pincompute_sdk
from pincompute_sdk.cli import options
from pincompute_sdk.cli.options import ANYWHERE, Where
from pincompute_sdk.cli.output import terminal
from pincompute_sdk.core import error_mapping, oidc_login
from pincompute_sdk.core.errors import PinError


def version(*, where: Where = ANYWHERE) -> None:
    """Versions of pin and of the server."""
    terminal.out(f"pin     {pincompute_sdk.__version__}")
    using = options.context(where)
    if not using.server:
        terminal.out("server  none; `pin login --server https://HOST:PORT`")
        return
    try:
        served = oidc_login.service(using.server, using.ca).version
    except PinError as error:
        terminal.out(f"server  {using.server} does not tell its version: {error.reason or error.message}")
        return
    terminal.out(f"server  {served} at {using.server}")
    order = error_mapping.compare(served, pincompute_sdk.__version__)
    if order:
        word = "older" if order < 0 else "newer"
        terminal.out(f"the server is {word} than pin; each side reports what it does not know")
