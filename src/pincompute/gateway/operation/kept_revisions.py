"""Lists the kept revisions of a workload with numbers, notes and authors, and compares any two of them. Pure, but for handlers.

The revision that was superseded last has the highest number of those that the host keeps; the present one has the next. Numbers
and notes come from the host, authors and whether a revision ran well from the history. A template names secrets and never
holds their values, so a difference shows none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from pincompute.api import template_hash, template_settings
from pincompute.api.kinds import Kinds, WorkloadKind, WorkloadObject
from pincompute.api.meta import Manifest
from pincompute.api.revisions import PinRevision
from pincompute.api.template_settings import Reference
from pincompute.domain import change_cause
from pincompute.gateway import problems
from pincompute.gateway.call_context import may
from pincompute.gateway.model import SimpleKind, diff
from pincompute.gateway.observed_revision import observed_revision
from pincompute.gateway.operation import rollback_candidates, rollback_target
from pincompute.gateway.operation.lifecycle_service import LifecycleService
from pincompute.gateway.operation.replica_lookup import WorkloadRef
from pincompute.gateway.operation.rollback_target import RollbackRevision
from pincompute.gateway.operation.route_paths import named, path
from pincompute.gateway.problems import FieldError
from pincompute.gateway.settings_in_use import settings_in_use

PRESENT = "present"


class KeptRevision(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A revision of a workload. `ranWell`: all its replicas were ready once; absent when that is not known. `failure`: why its
    update failed.
    """

    number: int
    revision: str
    present: bool = False
    at: datetime | None = None
    author: str = ""
    note: str = ""
    ran_well: bool | None = None
    failure: str = ""
    images: tuple[str, ...] = ()


class KeptRevisions(msgspec.Struct, frozen=True, rename="camel"):
    """The newest first."""

    items: tuple[KeptRevision, ...]


class RevisionDifference(msgspec.Struct, frozen=True, rename="camel"):
    """What differs between two revisions, field by field and as text."""

    before: KeptRevision
    after: KeptRevision
    changes: tuple[diff.Change, ...]
    text: str


def listed(obj: WorkloadObject, kept: Sequence[PinRevision], known: Sequence[RollbackRevision]) -> tuple[KeptRevision, ...]:
    """Returns the present revision and the kept ones, the newest first. `kept` is the newest first, `known` has the history."""
    history = {revision.name: revision for revision in known}
    present = _present(obj, kept)
    own = next((each for each in kept if each.spec.revision == present), None)
    highest = kept[0].spec.number if kept else 0
    number = highest if own is not None and own is kept[0] else highest + 1
    note = _rolled_by(history.get(present)) or change_cause.note(obj.metadata.annotations)
    first = _row(number, present, obj.spec.template, history.get(present))
    former = (
        msgspec.structs.replace(
            _row(each.spec.number, each.spec.revision, each.spec.template, history.get(each.spec.revision)),
            at=_at(history.get(each.spec.revision)) or each.metadata.creation_timestamp,
            note=_rolled_by(history.get(each.spec.revision)) or each.spec.note,
            failure=each.spec.failure,
        )
        for each in kept
        if each is not own
    )
    return (msgspec.structs.replace(first, present=True, note=note, failure=_failure(obj, present)), *former)


def _failure(obj: WorkloadObject, revision: str) -> str:
    """Returns why the update to the revision failed, as the status says it; empty where it did not."""
    record = obj.status.rollout
    return record.failure if record is not None and record.revision == revision else ""


def _present(obj: WorkloadObject, kept: Sequence[PinRevision]) -> str:
    """Returns the name of the present template: the one under which it is kept or runs, or else its own."""
    same = next((r.spec.revision for r in kept if template_hash.same(r.spec.template, obj.spec.template)), "")
    return same or observed_revision(obj) or template_hash.revision(obj.spec.template)


def _row(number: int, name: str, template: Manifest, known: RollbackRevision | None) -> KeptRevision:
    spec: Manifest = template.get("spec") or {}
    containers: list[Manifest] = spec.get("containers") or []
    images = tuple(str(container.get("image", "")) for container in containers)
    row = KeptRevision(number=number, revision=name, images=images)
    if known is None:
        return row
    return msgspec.structs.replace(row, at=_at(known), author=known.author, ran_well=known.ran_well)


def _rolled_by(known: RollbackRevision | None) -> str:
    """Says what made a revision that nobody deployed: the object's note is that of the deploy before."""
    return known.rolled_by if known is not None else ""


def _at(known: RollbackRevision | None) -> datetime | None:
    return known.at if known is not None and known.at.year > 1 else None


def find(rows: Sequence[KeptRevision], field: str, asked: str) -> KeptRevision:
    """Returns the revision with this number, or whose name begins so. Raises Problem."""
    exact = [row for row in rows if str(row.number) == asked or (asked == PRESENT and row.present)]
    found = exact or [row for row in rows if row.revision.startswith(asked)]
    if len(found) == 1:
        return found[0]
    numbers = ", ".join(str(row.number) for row in rows[: rollback_target.SHOWN])
    expected = f"one of {numbers}, {PRESENT}, or the beginning of a revision's name"
    how = "begins several revisions" if found else "is no kept revision"
    raise problems.invalid(FieldError(field, expected, f"{asked[:64]} {how}: write {expected}"))


@dataclass(frozen=True, slots=True)
class KnownTemplates:
    """The present template, and the former ones by revision. All name the versions of settings that belong to them."""

    present: Manifest
    former: Mapping[str, Manifest]

    def of(self, row: KeptRevision) -> Manifest:
        return self.present if row.present else self.former[row.revision]


def templates(
    obj: WorkloadObject, kept: Sequence[PinRevision], known: Sequence[RollbackRevision], in_use: Iterable[Reference]
) -> KnownTemplates:
    """Returns the templates as their authors wrote them, as far as the history knows, with the versions of settings."""
    versions = {(ref.word, ref.name): ref.stored for ref in in_use}
    present = template_settings.renamed(obj.spec.template, lambda place: versions.get((place.word, place.name), place.name))
    ran = {revision.spec.revision: revision.spec.template for revision in kept}
    written = {each.name: each.template for each in rollback_candidates.merged(kept, known) if each.template}
    return KnownTemplates(present, ran | written)


def difference(
    kind: SimpleKind[Any], obj: WorkloadObject, there: KnownTemplates, one: KeptRevision, other: KeptRevision
) -> RevisionDifference:
    """Returns what differs, in the simple form. Fields that a template leaves out count as their defaults."""
    before, after = (_simple(kind, obj, there.of(row)) for row in (one, other))
    return RevisionDifference(one, other, diff.changes(before, after), diff.text(before, after))


def _simple(kind: SimpleKind[Any], obj: WorkloadObject, template: Manifest) -> dict[str, Any]:
    resource = kind.resource
    manifest: Manifest = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": obj.metadata.name, "namespace": obj.metadata.namespace},
        "spec": {"template": template_hash.normalise(template)},
    }
    return diff.asked(kind.of_manifest(manifest))


def _list(kind: WorkloadKind) -> HTTPRouteHandler:
    @get(path(kind, "revisions"), opt=may("history", "list"), **named("list", kind, "Revisions"))
    async def handle(
        project: FromPath[str], name: FromPath[str], lifecycle: NamedDependency[LifecycleService]
    ) -> KeptRevisions:
        """The present revision and those that are kept, with numbers, notes and authors."""
        target = WorkloadRef(kind, project, name)
        obj = lifecycle.workload(target)
        return KeptRevisions(listed(obj, lifecycle.reads.revisions(obj), await lifecycle.revisions.known(target, obj)))

    return handle


def _difference(kind: WorkloadKind) -> HTTPRouteHandler:
    @get(path(kind, "revisions/diff"), opt=may("history", "list"), **named("diff", kind, "Revisions"))
    async def handle(
        project: FromPath[str],
        name: FromPath[str],
        lifecycle: NamedDependency[LifecycleService],
        before: Annotated[
            str,
            QueryParameter(name="from", description="A number or a revision; empty for the one before `to`.", max_length=64),
        ] = "",
        after: Annotated[
            str, QueryParameter(name="to", description="A number or a revision; empty for the present one.", max_length=64)
        ] = "",
    ) -> RevisionDifference:
        """What differs between two kept revisions."""
        target = WorkloadRef(kind, project, name)
        obj = lifecycle.workload(target)
        kept = lifecycle.reads.revisions(obj)
        known = await lifecycle.revisions.known(target, obj)
        rows = listed(obj, kept, known)
        to = find(rows, "to", after or PRESENT)
        older = [row for row in rows if row.number < to.number]
        if not before and not older:
            raise problems.wrong_state(f"{name} has no revision before {to.number}", "name one with `from`")
        start = find(rows, "from", before) if before else older[0]
        simple: SimpleKind[Any] = next(each for each in lifecycle.reads.kinds if each.workload is kind)
        in_use = settings_in_use(obj, lambda resource, key: lifecycle.reads.get(resource, key.namespace, key.name))
        there = templates(obj, kept, known, in_use)
        return await asyncio.to_thread(difference, simple, obj, there, start, to)  # large templates take long

    return handle


def routes(kinds: Kinds) -> tuple[HTTPRouteHandler, ...]:
    return tuple(make(kind) for kind in kinds for make in (_list, _difference))
