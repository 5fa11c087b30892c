"""Computes the digest of a JSON value, from which revisions get their names."""

from __future__ import annotations

import hashlib
import json

from pincompute.api.meta import Manifest


def of(value: Manifest) -> str:
    """Returns the SHA-256 in hexadecimal digits. It is the same for equal values, whatever the order of their keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
