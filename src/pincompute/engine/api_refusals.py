"""What an API server last said when it refused what a controller wanted: the one thing no cache shows.

Kept from one look to the next so that a status can say it. It is lost with the process, and said again at the
next attempt. The first refusal stands until one attempt succeeds, because later ones differ only in figures.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from pincompute.engine.controller_card import Card
from pincompute.engine.error_classification import Outcome
from pincompute.engine.worker import KeyTrouble


class ApiRefusals:
    """`note` is what the engine tells about troubles; `of` and `by_cluster` are asked by `observe`."""

    def __init__(self) -> None:
        self._texts: dict[tuple[str, Hashable], tuple[str, str]] = {}

    def note(self, card: Card[Any], key: Any, trouble: KeyTrouble | None) -> None:
        if trouble is None:
            self._texts.pop((card.name, key), None)
        elif trouble.outcome is Outcome.REFUSED:
            request, _colon, text = trouble.message.partition(": ")
            cluster = request.rpartition(" on ")[2]
            self._texts.setdefault((card.name, key), (cluster, text or trouble.message))

    def of(self, card: str, key: Hashable) -> str:
        """What was said; empty when nothing is refused."""
        return self._texts.get((card, key), ("", ""))[1]

    def by_cluster(self, card: str, key: Hashable) -> str:
        """The same with the cluster that said it."""
        cluster, text = self._texts.get((card, key), ("", ""))
        return f"{cluster} does not take it: {text}" if text else ""
