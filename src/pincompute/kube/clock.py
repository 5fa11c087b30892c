"""Injects time and randomness: besides tests, waiting, the wall clock and randomness come only from here."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def _wall() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic` is in seconds, for waits and deadlines (S-347); `wall` is only for what people read; `random` is in [0,
    1).
    """

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    wall: Callable[[], datetime] = _wall
    random: Callable[[], float] = random.random


SYSTEM = Clock()
