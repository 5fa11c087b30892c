"""Client of the pincompute platform: typed, sync and async, with retry, logging and metrics always applied.

Names are imported when they are first used, so that the command line starts fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pincompute_sdk.async_client import AsyncClient as AsyncClient
    from pincompute_sdk.client import Client as Client
    from pincompute_sdk.core import errors as errors
    from pincompute_sdk.core.errors import PinError as PinError
    from pincompute_sdk.core.errors import Problem as Problem
    from pincompute_sdk.generated import models as models

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "PinError", "Problem", "__version__", "errors", "models"]

_HOME = {
    "AsyncClient": "pincompute_sdk.async_client",
    "Client": "pincompute_sdk.client",
    "PinError": "pincompute_sdk.core.errors",
    "Problem": "pincompute_sdk.core.errors",
}
_MODULES = {"errors": "pincompute_sdk.core.errors", "models": "pincompute_sdk.generated.models"}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
