"""Finds the names of secrets and configs that a template of a project's workload may hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pincompute.api.kinds import WorkloadObject
from pincompute.api.settings import SETTINGS, Setting, stored_name
from pincompute.api.template_settings import Reference, references
from pincompute.gateway.cache_reads import CacheReads


def of(reads: CacheReads, project: str, present: WorkloadObject | None) -> Mapping[str, Collection[str]]:
    """Returns by kind those that the project has, and what the present template names already."""
    named = references(present.spec.template) if present is not None else frozenset[Reference]()
    return {
        each.word: {
            *(stored for obj in reads.host(each.resource).list(project) for stored in _stored(obj)),
            *(ref.stored for ref in named if ref.word == each.word),
        }
        for each in SETTINGS
    }


def _stored(setting: Setting) -> Iterator[str]:
    """Yields the names by which a template may name a setting: its own, and those of the versions that are kept."""
    if setting.spec.version and not setting.deleting:
        yield setting.metadata.name
        yield from (stored_name(setting.metadata.name, each.number) for each in setting.spec.versions)
