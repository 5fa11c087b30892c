"""Remembers what an API server last said when it refused a controller's write, because no cache shows that.

The engine keeps a refusal from one reconciliation to the next so that a status can report it. A restart loses it, and the next
attempt brings it back. A refusal belongs to the version that the write was to bring about: one of a former version says nothing
about the present one. Of refusals that differ only in numbers and names the first stands until an attempt succeeds, so that
attempts cause no writes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Any

from pincompute.engine.controller import Card
from pincompute.engine.error_classification import Outcome
from pincompute.engine.worker import KeyTrouble

_VARIES = re.compile(r'"[^"]*"|\d+')  # what differs from one attempt to the next


@dataclass(frozen=True, slots=True)
class ApiRefusal:
    """What a cluster said about a write of this version; an empty version is any."""

    cluster: str
    text: str
    version: str

    @property
    def alike(self) -> tuple[str, str, str]:
        """Returns the same for refusals of the same version for the same reason."""
        return self.cluster, _VARIES.sub("", self.text), self.version


class ApiRefusals:
    """The last refusals by key. The engine records them through `note`; `observe` reads them by `of` and `by_cluster`."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, Hashable], ApiRefusal] = {}

    def note(self, card: Card[Any], key: Any, trouble: KeyTrouble | None) -> None:
        if trouble is None:
            self._last.pop((card.name, key), None)
        elif trouble.outcome is Outcome.REFUSED:
            request, _colon, text = trouble.message.partition(": ")
            made = ApiRefusal(request.rpartition(" on ")[2], text or trouble.message, trouble.version)
            before = self._last.get((card.name, key))
            if before is None or before.alike != made.alike:
                self._last[card.name, key] = made

    def of(self, card: str, key: Hashable, versions: Collection[str]) -> str:
        """Returns what the API server said about one of these versions, or an empty text when nothing of them is refused."""
        found = self._find(card, key, versions)
        return found.text if found is not None else ""

    def cluster(self, card: str, key: Hashable, versions: Collection[str]) -> str:
        """Returns the cluster that refused, or an empty text."""
        found = self._find(card, key, versions)
        return found.cluster if found is not None else ""

    def by_cluster(self, card: str, key: Hashable, versions: Collection[str]) -> str:
        """Returns the same together with the cluster that refused."""
        found = self._find(card, key, versions)
        return f"{found.cluster} does not take it: {found.text}" if found is not None else ""

    def _find(self, card: str, key: Hashable, versions: Collection[str]) -> ApiRefusal | None:
        found = self._last.get((card, key))
        return found if found is not None and (not found.version or found.version in versions) else None
