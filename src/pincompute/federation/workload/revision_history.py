"""Keeps a superseded template as a PinRevision before any part of the next one reaches a member.

A rollback therefore needs no database, and a paused or half-updated workload can recreate its old pods. A workload that is
created and never changed costs no write. The revision that was superseded last has the highest number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pincompute.api import labels
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Manifest
from pincompute.api.revisions import PINREVISIONS, PinRevision
from pincompute.engine.plan import Action, Create, Delete, Patch, Ref
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.workload_model import Workload
from pincompute.kube.cache_views import Views

KEPT = 10  # superseded revisions of a workload that are kept, as a Deployment keeps
BY_OWNER = "owner-uid"  # index over PinRevisions


def owners(revision: PinRevision) -> Iterable[str]:
    """Returns what the index files a revision under."""
    return [owner.uid for owner in revision.metadata.owner_references]


def observe(workload: Workload, views: Views) -> tuple[PinRevision, ...]:
    """Returns the workload's revisions, oldest first."""
    found = views.view(HOST, PINREVISIONS).by(BY_OWNER, workload.uid)
    mine = (revision for revision in found if _is_own(workload, revision))
    return tuple(sorted(mine, key=lambda revision: (revision.spec.number, revision.metadata.name)))


def _is_own(workload: Workload, revision: PinRevision) -> bool:
    """Returns whether the platform made it for this very workload; a mere claim, above all in another project, does not
    count.
    """
    meta = revision.metadata
    name = f"{workload.kind.workload.kind.lower()}-{workload.key.name}-{revision.spec.revision}"
    marked = meta.labels.get(labels.MANAGED_BY) == labels.PINCOMPUTE
    return marked and not revision.deleting and (meta.namespace, meta.name) == (workload.key.namespace, name)


def templates(kept: Iterable[PinRevision]) -> dict[str, Manifest]:
    return {revision.spec.revision: revision.spec.template for revision in kept}


@dataclass(frozen=True, slots=True)
class _Superseded:
    """A template that still runs somewhere and is no longer wanted."""

    revision: str
    template: Manifest


def decide(workload: Workload, sites: Iterable[MemberShard], kept: tuple[PinRevision, ...]) -> tuple[Action, ...]:
    """Returns what has to be written before the next revision is dispatched; nothing for a workload that never changed."""
    known = {revision.spec.revision: revision for revision in kept}
    number = max((revision.spec.number for revision in kept), default=0)
    writes: list[Action] = []
    for old in _superseded(workload, sites):
        present = known.get(old.revision)
        last = old.revision == workload.status.revision
        if present is None:
            number += 1
            writes.append(_create(workload, old, number))
        elif last and present.spec.number < number:
            number += 1
            writes.append(_renumber(present, number))
    return tuple(writes)


def expired(workload: Workload, sites: tuple[MemberShard, ...], kept: tuple[PinRevision, ...]) -> tuple[Delete, ...]:
    """Returns the oldest beyond the limit, except those that still run somewhere."""
    used = {revision for site in sites for revision in (*site.figures, *(share.revision for share in site.mix))}
    old = [r for r in kept if r.spec.revision != workload.rendered.revision]
    return tuple(
        Delete(_ref(r.key), r.metadata.uid, f"more than {KEPT} revisions are kept")
        for r in old[: max(0, len(old) - KEPT)]
        if r.spec.revision not in used
    )


def _superseded(workload: Workload, sites: Iterable[MemberShard]) -> Iterator[_Superseded]:
    """Returns superseded templates; the one that was wanted last comes last, so that it gets the highest number."""
    found: Mapping[str, Manifest] = {share.revision: share.template for site in sites for share in site.mix}
    last = workload.status.revision
    for revision in sorted(found, key=lambda name: (name == last, name)):
        if revision != workload.rendered.revision:
            yield _Superseded(revision, found[revision])


def _create(workload: Workload, old: _Superseded, number: int) -> Create:
    meta = workload.obj.metadata
    kind = workload.kind.workload
    owner: Manifest = {"apiVersion": kind.api_version, "kind": kind.kind, "name": meta.name, "uid": meta.uid}
    key = Key(meta.namespace, f"{kind.kind.lower()}-{meta.name}-{old.revision}")
    body: Manifest = {
        "metadata": {
            "labels": {labels.MANAGED_BY: labels.PINCOMPUTE, labels.ORIGIN_UID: meta.uid},
            "ownerReferences": [owner],
        },
        "spec": {"revision": old.revision, "number": number, "template": old.template},
    }
    return Create(_ref(key), body, f"revision {old.revision} is superseded")


def _renumber(revision: PinRevision, number: int) -> Patch:
    meta = revision.metadata
    body: Manifest = {"spec": {"number": number}}
    return Patch(_ref(revision.key), body, meta.uid, meta.resource_version, "it is superseded once more")


def _ref(key: Key) -> Ref:
    return Ref(HOST, PINREVISIONS, key)
