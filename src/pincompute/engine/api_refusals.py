"""Remembers what an API server last said when it refused a controller's write, because no cache shows that.

The engine keeps a refusal from one reconciliation to the next so that a status can report it. A restart loses it, and the next
attempt brings it back. The first refusal stands until an attempt succeeds, because later ones differ only in numbers.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from pincompute.engine.controller import Card
from pincompute.engine.error_classification import Outcome
from pincompute.engine.worker import KeyTrouble


class ApiRefusals:
    """The last refusals by key. The engine records them through `note`; `observe` reads them by `of` and `by_cluster`."""

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
        """Returns what the API server said, or an empty text when nothing is refused."""
        return self._texts.get((card, key), ("", ""))[1]

    def by_cluster(self, card: str, key: Hashable) -> str:
        """Returns the same together with the cluster that refused."""
        cluster, text = self._texts.get((card, key), ("", ""))
        return f"{cluster} does not take it: {text}" if text else ""
