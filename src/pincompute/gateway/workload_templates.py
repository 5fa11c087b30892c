"""Lists the templates that workloads have now or may go back to. What one of them names must not be removed.

A workload may go back to each revision that the host keeps, by a rollback or when its update fails. The history knows more
revisions; whether what these name is still there is judged when somebody goes back to one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pincompute.api import kinds
from pincompute.api.kinds import WorkloadObject
from pincompute.api.meta import Manifest
from pincompute.api.revisions import PinRevision
from pincompute.gateway.cache_reads import BY_SETTING, CacheReads
from pincompute.gateway.model import SimpleKind


@dataclass(frozen=True, slots=True)
class WorkloadTemplate:
    """`workload` is its kind and name, such as `app web`. `revision` is a former one; empty for the present template."""

    workload: str
    template: Manifest
    revision: str = ""

    @property
    def user(self) -> str:
        return f"{self.workload}, revision {self.revision}" if self.revision else self.workload


def of_workload(kind: SimpleKind[Any], obj: WorkloadObject, revisions: Iterable[PinRevision]) -> Iterator[WorkloadTemplate]:
    """Yields the present template and then those of the workload's revisions."""
    word = f"{kind.noun} {obj.metadata.name}"
    yield WorkloadTemplate(word, obj.spec.template)
    for revision in revisions:
        yield WorkloadTemplate(word, revision.spec.template, revision.spec.revision)


def naming(reads: CacheReads, value: str) -> Iterator[WorkloadTemplate]:
    """Yields the templates that name a setting, or pull from a registry, by their `setting_index_value`: present ones first."""
    for each in reads.workloads:
        for obj in reads.host(each.workload).by(BY_SETTING, value):
            yield WorkloadTemplate(f"{each.word} {obj.metadata.name}", obj.spec.template)
    for revision in reads.revisions_naming(value):
        for owner in revision.metadata.owner_references:
            kind = kinds.named(owner.kind, reads.workloads)
            obj = reads.get(kind.workload, revision.metadata.namespace, owner.name) if kind is not None else None
            if kind is not None and obj is not None and obj.metadata.uid == owner.uid:
                yield WorkloadTemplate(f"{kind.word} {owner.name}", revision.spec.template, revision.spec.revision)
