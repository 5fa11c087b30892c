"""`pin version`: both sides, and whether they fit."""

from __future__ import annotations

import sys

import pincompute_sdk
from pincompute_sdk.cli import options
from pincompute_sdk.cli.options import ANYWHERE, Where
from pincompute_sdk.core import error_mapping, oidc_login
from pincompute_sdk.core.errors import PinError


def version(*, where: Where = ANYWHERE) -> None:
    """Versions of pin and of the server."""
    sys.stdout.write(f"pin     {pincompute_sdk.__version__}\n")
    using = options.context(where)
    if not using.server:
        sys.stdout.write("server  none; `pin login --server https://HOST:PORT`\n")
        return
    try:
        served = oidc_login.service(using.server, using.ca).version
    except PinError as error:
        sys.stdout.write(f"server  {using.server} does not tell its version: {error.reason or error.message}\n")
        return
    sys.stdout.write(f"server  {served} at {using.server}\n")
    order = error_mapping.compare(served, pincompute_sdk.__version__)
    if order:
        word = "older" if order < 0 else "newer"
        sys.stdout.write(f"the server is {word} than pin; each side reports what it does not know\n")
