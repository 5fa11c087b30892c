"""`ImageError`: an image cannot be read, named or pushed."""

from __future__ import annotations

from pincompute_sdk.core.errors import PinError


class ImageError(PinError):
    """An image cannot be read, named, pushed or deleted. The message names the image or the file, and what to do."""
