"""What the API server last said when it refused pods of a shard, quota above all: the one thing no cache shows.

Kept from one look to the next so that the shard's status can say it. It is lost with the process, and said again at the
next attempt. The first refusal stands until one attempt succeeds, because later ones differ only in figures.
"""

from __future__ import annotations

from typing import Any

from pincompute.api.meta import Key
from pincompute.engine.controller import Card
from pincompute.engine.loop import Trouble
from pincompute.engine.outcomes import Outcome


class Refusals:
    """`note` is what the engine tells about troubles; `of` is asked by `observe`."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, Key], str] = {}

    def note(self, card: Card[Any], key: Key, trouble: Trouble | None) -> None:
        if trouble is None:
            self._texts.pop((card.name, key), None)
        elif trouble.outcome is Outcome.REFUSED:
            _request, _colon, text = trouble.message.partition(": ")
            self._texts.setdefault((card.name, key), text or trouble.message)

    def of(self, card: str, key: Key) -> str:
        return self._texts.get((card, key), "")
