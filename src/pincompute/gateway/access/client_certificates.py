"""Identifies platform parts by mutual TLS: the subject's common name, if it begins with `pincompute:`, is the caller.

The TLS layer has verified the certificate. Here only the name and the time are checked, for each request of a long connection.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from pincompute.gateway import problems
from pincompute.gateway.call_context import Caller

PREFIX = "pincompute:"


def caller(certificate: Mapping[str, Any], now: float) -> Caller:
    """From what `ssl.SSLSocket.getpeercert()` gives. Raises Problem 401."""
    found = _subject(certificate)
    common = found.get("commonName", ())
    if len(common) != 1 or not common[0].startswith(PREFIX) or common[0] == PREFIX:
        shown = ", ".join(common) or "nothing"
        raise problems.unauthenticated(
            f"the client certificate names {shown}; one common name that begins with {PREFIX} was expected",
            "use the certificate of a platform part, or send a token",
        )
    expires = ssl.cert_time_to_seconds(certificate["notAfter"])
    if expires <= now:
        raise problems.unauthenticated(f"the client certificate of {common[0]} has expired", "renew the certificate")
    return Caller(common[0], frozenset(found.get("organizationName", ())), "platform", expires=float(expires))


def _subject(certificate: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Values by attribute; an attribute may be there more than once."""
    found: dict[str, tuple[str, ...]] = {}
    for part in certificate.get("subject", ()):
        for name, value in part:
            found[name] = (*found.get(name, ()), value)
    return found
