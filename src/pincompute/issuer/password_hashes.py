"""Passwords as scrypt hashes that carry their own cost: `scrypt$16384$8$1$SALT$HASH`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from dataclasses import dataclass

COST, BLOCK, PARALLEL = 16384, 8, 1  # 16 MiB and some 50 ms for one guess
LARGEST_COST = 1 << 20
LONGEST = 1024  # characters of a password


def hashed(password: str, salt: bytes | None = None) -> str:
    used = salt if salt is not None else os.urandom(16)
    return f"scrypt${COST}${BLOCK}${PARALLEL}${_text(used)}${_text(_scrypt(password, used, COST, BLOCK, PARALLEL))}"


def matches(password: str, stored: str) -> bool:
    """Raises ValueError for a hash that is not one of these."""
    held = parse(stored)
    if len(password) > LONGEST:
        return False
    return hmac.compare_digest(_scrypt(password, held.salt, held.cost, held.block, held.parallel), held.hash)


@dataclass(frozen=True, slots=True)
class Stored:
    """A hash taken apart."""

    cost: int
    block: int
    parallel: int
    salt: bytes
    hash: bytes


def parse(stored: str) -> Stored:
    """Raises ValueError."""
    try:
        scheme, cost, block, parallel, salt, digest = stored.split("$")
        raw, expected = base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)
        found = Stored(int(cost), int(block), int(parallel), raw, expected)
    except (ValueError, binascii.Error):
        raise ValueError("is not scrypt$N$r$p$SALT$HASH") from None
    if scheme != "scrypt" or not (2 <= found.cost <= LARGEST_COST and 1 <= found.block <= 32 and 1 <= found.parallel <= 16):
        raise ValueError("is not scrypt$N$r$p$SALT$HASH with numbers that can be used")
    return found


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    memory = 128 * cost * block * parallel + (1 << 20)
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=parallel, maxmem=memory, dklen=32)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
