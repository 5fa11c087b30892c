"""Keeps a superseded template as a PinRevision before any part of the next one reaches a member.

A rollback therefore needs no database, and a paused or half-updated workload can recreate its old pods. A workload that is
created and never changed costs no write. The revision that was superseded last has the highest number.

The revisions of a project take at most its limit `documents`: a workload that finds more removes its own oldest, one at a time,
so that the sum in the cache is up to date for the next. Whatever changes a template, the host's store is therefore bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pincompute.api import labels
from pincompute.api.kinds import WorkloadKind, WorkloadObject
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Manifest
from pincompute.api.projects import PROJECTS
from pincompute.api.revisions import PINREVISIONS, PinRevision
from pincompute.api.workloads import RevisionNote
from pincompute.domain import change_cause, project_limits, stored_documents
from pincompute.domain.project_limits import DOCUMENTS, STORED_DOCUMENTS
from pincompute.engine.plan import Action, Create, Delete, Patch, Ref
from pincompute.federation.workload.member_shards import MemberShard
from pincompute.federation.workload.workload_model import Workload
from pincompute.kube.cache_views import Views
from pincompute.kube.indexer import Index, IndexEntry, Sum

LONGEST_FAILURE = 1000  # characters
BY_WORKLOAD = "workload"  # index over PinRevisions
BY_PROJECT = "project"  # sum over PinRevisions: their bytes


@dataclass(frozen=True, slots=True)
class Revisions:
    """The PinRevisions under a workload's name.

    `kept` are the workload's own, oldest first. `stray` are those of an earlier workload of the same name, which garbage
    collection has not removed: their names are taken, so they go before the workload's own are created. `surplus` is how many
    bytes the revisions of all workloads of the project take beyond its limit.
    """

    kept: tuple[PinRevision, ...] = ()
    stray: tuple[PinRevision, ...] = ()
    surplus: int = 0


NO_REVISIONS = Revisions()


def workloads(revision: PinRevision) -> Iterable[str]:
    """Returns what the index files a revision under: its name without the revision, in its project."""
    base = _base(revision)
    return [f"{revision.metadata.namespace}/{base}"] if base else []


def _bytes(revision: PinRevision) -> Iterable[IndexEntry]:
    return (IndexEntry(revision.metadata.namespace, 0, stored_documents.of_revision(revision)),)


INDEXES: Mapping[str, Index[PinRevision]] = {BY_WORKLOAD: workloads, BY_PROJECT: Sum(_bytes)}


def workload_key(kind: WorkloadKind, revision: PinRevision) -> Iterable[Key]:
    """Returns the workload of this kind that the revision's name belongs to; nothing when it belongs to another kind."""
    prefix, base = _prefix(kind), _base(revision)
    return [Key(revision.metadata.namespace, base.removeprefix(prefix))] if base.startswith(prefix) else []


def observe(workload: Workload, views: Views) -> Revisions:
    """Returns the revisions under the workload's name that the platform made and that are not being deleted."""
    base = f"{workload.key.namespace}/{_prefix(workload.kind)}{workload.key.name}"
    found = [r for r in views.view(HOST, PINREVISIONS).by(BY_WORKLOAD, base) if _is_present(r)]
    kept = sorted((r for r in found if _is_owned(workload, r)), key=lambda r: (r.spec.number, r.metadata.name))
    stray = sorted((r for r in found if not _is_owned(workload, r)), key=lambda r: r.metadata.name)
    return Revisions(tuple(kept), tuple(stray), _surplus(workload.key.namespace, views) if len(kept) > 1 else 0)


def _surplus(project: str, views: Views) -> int:
    taken = views.view(HOST, PINREVISIONS).total(BY_PROJECT, project).get(DOCUMENTS, 0)
    allowed = project_limits.allows(STORED_DOCUMENTS, views.view(HOST, PROJECTS).get(Key("", project)))
    return max(0, taken - allowed)


def note(obj: WorkloadObject, revision: str) -> RevisionNote | None:
    """Returns what is noted on the workload about the revision that its spec asks for."""
    line = change_cause.note(obj.metadata.annotations)
    return RevisionNote(revision=revision, note=line) if line else None


def _notes(workload: Workload, asked: str) -> dict[str, str]:
    """Returns the notes that are known, by revision: of the former one asked for, and of the present one."""
    found = (workload.status.note, note(workload.obj, asked))
    return {each.revision: each.note for each in found if each is not None}


def _prefix(kind: WorkloadKind) -> str:
    return f"{kind.workload.kind.lower()}-"


def _base(revision: PinRevision) -> str:
    ending = f"-{revision.spec.revision}"
    name = revision.metadata.name
    return name.removesuffix(ending) if name.endswith(ending) else ""


def _is_present(revision: PinRevision) -> bool:
    return labels.is_ours(revision.metadata.labels) and not revision.deleting


def _is_owned(workload: Workload, revision: PinRevision) -> bool:
    return any(owner.uid == workload.uid for owner in revision.metadata.owner_references)


def templates(kept: Iterable[PinRevision]) -> dict[str, Manifest]:
    return {revision.spec.revision: revision.spec.template for revision in kept}


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is kept of a revision beside its template."""

    note: str
    failure: str

    @property
    def stated(self) -> Manifest:
        return {name: text for name, text in (("note", self.note), ("failure", self.failure)) if text}


@dataclass(frozen=True, slots=True)
class _Superseded:
    """A template that still runs somewhere and is no longer wanted."""

    revision: str
    template: Manifest


def decide(
    workload: Workload, sites: Iterable[MemberShard], kept: tuple[PinRevision, ...], asked: str = ""
) -> tuple[Action, ...]:
    """Returns what has to be written before the next revision is dispatched; nothing for a workload that never changed.
    `asked` is the revision of the spec, where another one is brought about because it has failed, or has not begun.
    """
    asked = asked or workload.rendered.revision
    notes = _notes(workload, asked)
    known = {revision.spec.revision: revision for revision in kept}
    number = max((revision.spec.number for revision in kept), default=0)
    writes: list[Action] = []
    for old in _superseded(workload, sites, asked):
        present, facts = known.get(old.revision), _Facts(notes.get(old.revision, ""), _failure(workload, old.revision))
        last = old.revision == workload.status.revision != workload.rendered.revision
        if present is None:
            number += 1
            writes.append(_create(workload, old, number, facts))
        elif last and present.spec.number < number:
            number += 1
            writes.append(_renumber(present, number, facts))
    return tuple(writes)


def _failure(workload: Workload, revision: str) -> str:
    """Returns why the update to the revision failed; empty where it did not, or where that is not known."""
    record = workload.status.rollout
    return record.failure[:LONGEST_FAILURE] if record is not None and record.revision == revision else ""


def expired(workload: Workload, sites: tuple[MemberShard, ...], revisions: Revisions) -> tuple[Delete, ...]:
    """Returns the oldest beyond the limit of the spec, or one where the project's limit is passed. Those that still run
    somewhere stay, and so do the one that a rollout may return to and the newest.
    """
    used = {revision for site in sites for revision in (*site.figures, *(share.revision for share in site.mix))}
    if (record := workload.status.rollout) is not None and record.state != "Complete":
        used.add(record.stable)
    limit = workload.obj.spec.history_limit
    old = [r for r in revisions.kept if r.spec.revision != workload.rendered.revision]
    beyond = [r for r in old[: max(0, len(old) - limit)] if r.spec.revision not in used]
    if beyond or not revisions.surplus:
        return tuple(_delete(r, f"more than {limit} revisions are kept") for r in beyond)
    why = f"the revisions of the project take {revisions.surplus} bytes more than its limit {STORED_DOCUMENTS.name}"
    return tuple(_delete(r, why) for r in [r for r in old[:-1] if r.spec.revision not in used][:1])


def _delete(revision: PinRevision, why: str) -> Delete:
    return Delete(_ref(revision.key), revision.metadata.uid, why)


def stray_deletions(stray: Iterable[PinRevision]) -> tuple[Delete, ...]:
    why = "it belongs to an earlier workload of this name"
    return tuple(Delete(_ref(r.key), r.metadata.uid, why, r.metadata.resource_version) for r in stray)


def _superseded(workload: Workload, sites: Iterable[MemberShard], asked: str) -> Iterator[_Superseded]:
    """Returns superseded templates; the one that was wanted last comes last, so that it gets the highest number. One that
    serves on in place of what is asked for is superseded too.
    """
    found: Mapping[str, Manifest] = {share.revision: share.template for site in sites for share in site.mix}
    last = workload.status.revision
    for revision in sorted(found, key=lambda name: (name == last, name)):
        if {revision} != {workload.rendered.revision, asked}:
            yield _Superseded(revision, found[revision])


def _create(workload: Workload, old: _Superseded, number: int, facts: _Facts) -> Create:
    meta = workload.obj.metadata
    kind = workload.kind.workload
    owner: Manifest = {"apiVersion": kind.api_version, "kind": kind.kind, "name": meta.name, "uid": meta.uid}
    key = Key(meta.namespace, f"{kind.kind.lower()}-{meta.name}-{old.revision}")
    body: Manifest = {
        "metadata": {
            "labels": {labels.MANAGED_BY: labels.PINCOMPUTE, labels.ORIGIN_UID: meta.uid},
            "ownerReferences": [owner],
        },
        "spec": {"revision": old.revision, "number": number, "template": old.template, **facts.stated},
    }
    return Create(_ref(key), body, f"revision {old.revision} is superseded")


def _renumber(revision: PinRevision, number: int, facts: _Facts) -> Patch:
    meta = revision.metadata
    note = facts.note or revision.spec.note  # a rollback brings no other, and the status may not have had the time to tell it
    body: Manifest = {"spec": {"number": number, "note": note, "failure": facts.failure}}
    return Patch(_ref(revision.key), body, meta.uid, meta.resource_version, "it is superseded once more")


def _ref(key: Key) -> Ref:
    return Ref(HOST, PINREVISIONS, key)
