"""Encodes continue tokens: where a page ended and at which version, so all pages are one consistent list."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import msgspec

from pincompute.api.meta import Key, Manifest
from pincompute.testing.apiserver import error_responses


@dataclass(frozen=True, slots=True)
class StoredPage:
    """`continue_` is empty on the last page; `remaining` counts what follows, where that is known."""

    items: list[Manifest]
    resource_version: str
    continue_: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class ContinueToken:
    version: int
    after: Key

    def encode(self) -> str:
        text = msgspec.json.encode({"v": "meta.k8s.io/v1", "rv": self.version, "start": list(self.after)})
        return base64.urlsafe_b64encode(text).decode().rstrip("=")


def decode(token: str) -> ContinueToken:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        fields = msgspec.json.decode(text)
        return ContinueToken(fields["rv"], Key(*fields["start"]))
    except (binascii.Error, msgspec.DecodeError, KeyError, TypeError) as error:
        raise error_responses.bad_request(f"continue key is not valid: {error}") from error
