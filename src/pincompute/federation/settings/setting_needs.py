"""Finds which versions of a setting each member needs: where a workload that names it is placed, or replicas still use it.

A need is a version, or 0 for the plain name, whose value changes in place. Sums in the caches count who needs what, so the
answer costs nothing for each workload.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from pincompute.api.kinds import KINDS, WorkloadKind
from pincompute.api.labels import HOST
from pincompute.api.meta import Key
from pincompute.api.revisions import PINREVISIONS
from pincompute.api.settings import Setting, SettingCopy, SettingKind
from pincompute.api.shards import Shard
from pincompute.federation.settings import setting_references
from pincompute.federation.settings.setting_references import BY_VERSION, IN_USE, NEEDS
from pincompute.kube.cache_views import Views

_KINDS = {kind.workload.kind: kind for kind in KINDS}


def wanted(kind: SettingKind, setting: Setting, views: Views) -> Mapping[str, frozenset[int]]:
    """Returns by member what the workloads need that are, or may be, placed there."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for group in setting_references.groups(kind, setting):
        for each in KINDS:
            for need in views.view(HOST, each.workload).total(NEEDS, group):
                member, _, version = need.rpartition("/")
                found[member].add(setting.spec.version if version == IN_USE else int(version))
    return {member: frozenset(versions) for member, versions in found.items()}


def need(copy: SettingCopy) -> int:
    """Returns the need that a copy meets."""
    return copy.version if copy.pinned else 0


def held(kind: SettingKind, key: Key, member: str, candidates: frozenset[int], views: Views) -> frozenset[int]:
    """Returns which of these versions replicas in the member use, or may use: those of its shards, and of earlier revisions
    that still run.
    """
    filed = setting_references.filed(kind.word, *key)
    shards = frozenset(int(version) for each in KINDS for version in views.view(member, each.shard).total(NEEDS, filed))
    used = candidates & shards
    return used | {version for version in candidates - used if _still_run(f"{filed}/{version}", member, views)}


def _still_run(filed: str, member: str, views: Views) -> bool:
    """Returns whether replicas of an earlier revision with this version may run there although the shard asks for none."""
    return any(_runs(shard, revision) for shard, revision in _earlier(filed, member, views))


def _earlier(filed: str, member: str, views: Views) -> Iterator[tuple[Shard, str]]:
    """Yields the revisions with this version, each with the shard of its workload in the member."""
    for revision in views.view(HOST, PINREVISIONS).by(BY_VERSION, filed):
        name, key = setting_references.owner(revision)
        workload: WorkloadKind | None = _KINDS.get(name)
        shard: Shard | None = views.view(member, workload.shard).get(key) if workload is not None else None
        if shard is not None:
            yield shard, revision.spec.revision


def _runs(shard: Shard, revision: str) -> bool:
    if shard.status.observed_generation < shard.metadata.generation:
        return True
    return any(row.revision == revision and row.replicas for row in shard.status.revisions)
