"""Creates, changes and deletes objects on the host's API server; when a call returns, the cache has its result.

A change is sent as the difference to the present object, pinned to the version it was computed from, and computed again when
that version is not the newest. So it undoes no other change, and a moving status does not make a user's version stale.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from pincompute.api import labels, merge_patch
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Manifest, Object
from pincompute.api.projects import PROJECTS
from pincompute.domain import operation_annotation
from pincompute.domain.operation_annotation import OperationNote
from pincompute.gateway import NAME, problems
from pincompute.gateway.access import Authorizer, object_permissions
from pincompute.gateway.cache_reads import BY_REQUEST, CacheReads, request_index_value
from pincompute.gateway.call_context import Call, RecordedChange
from pincompute.gateway.model import SimpleKind, codecs, diff
from pincompute.gateway.model.document_validation import DesiredResource
from pincompute.gateway.model.simple_kind import stated_spec, users, version
from pincompute.gateway.problems import FieldError, Problem
from pincompute.gateway.project_limit_admission import LimitExceeded, WrittenDocument
from pincompute.gateway.workloads import in_place_requirement, preserved_fields
from pincompute.kube import api_errors, write_requests

ATTEMPTS = 8  # to change an object that others change at the same time

_locks: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()
"""Serializes the changes of one object, so that they do not make each other's versions stale."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """The call that writes, its idempotency key, empty for none, and whether the write is only judged and not done."""

    call: Call
    key: str = ""
    dry_run: bool = False

    @property
    def author(self) -> str:
        return self.call.caller.principal


@dataclass(frozen=True, slots=True)
class CreateResult:
    """`repeated`: an earlier request with the same key had created it."""

    obj: Object
    repeated: bool = False


class ObjectWriter:
    """Writes objects of one kind. All methods raise Problem."""

    def __init__(self, kind: SimpleKind[Any], reads: CacheReads, authorizer: Authorizer) -> None:
        self._kind = kind
        self._reads = reads
        self._authorizer = authorizer
        self._client = reads.clusters.client(HOST)
        self._cache = reads.clusters.cache(HOST, kind.resource)

    async def create(self, wanted: DesiredResource, options: WriteOptions, asked: DesiredResource) -> CreateResult:
        """With a key, a repeated request finds what the first one made. It is known by what was `asked`, without digests.

        The limits judge every new object, also of a name that is in the cache, since that object may be gone when the request
        arrives. The name decides only what the limits refuse.
        """
        self._check_permissions(None, self._kind.spec_of(wanted.manifest), wanted.manifest["metadata"], options)
        digest = _digest(asked.manifest)
        self._refuse_reused(wanted, options, digest)
        mark = {labels.IDEMPOTENCY: f"{_key(options)}.{digest}"} if options.key else {}
        creator = {} if self._kind.in_project else {labels.CREATED_BY: options.call.caller.name}
        body = _annotated(wanted.manifest, {**_signed(options, "create", generation=1), **mark, **creator})
        project = wanted.manifest["metadata"].get("namespace", "")
        try:
            with self._reserved(project, None, wanted.manifest, options):
                made = await self._create(body, options)
            self._record({}, wanted.manifest["spec"], options)
            return CreateResult(made)
        except api_errors.AlreadyExists:
            return self._existing(await self._current(project, wanted.name), options, digest)
        except LimitExceeded:
            found = await self._found(project, wanted.name)
            if found is None:
                raise
            return self._existing(found, options, digest)
        except api_errors.Refused as refusal:
            raise self._problem(refusal, wanted) from refusal

    def repeated(self, asked: DesiredResource, options: WriteOptions) -> CreateResult | None:
        """What an earlier request with this key made of the same document, as the cache has it; None without one."""
        found: Object | None = self._reads.get(self._kind.resource, asked.manifest["metadata"].get("namespace", ""), asked.name)
        if found is None or not _is_made_by(found, options, _digest(asked.manifest)):
            return None
        self._check_permissions(None, self._kind.spec_of(asked.manifest), asked.manifest["metadata"], options)
        return CreateResult(found, repeated=True)

    async def _create(self, body: Manifest, options: WriteOptions) -> Object:
        made = await write_requests.create(self._client, self._kind.resource, body, NAME, dry_run=options.dry_run)
        if not options.dry_run:
            self._cache.written(made)
        return made

    def _reserved(
        self, project: str, before: Object | None, document: Manifest, options: WriteOptions
    ) -> AbstractContextManager[None]:
        """Within it, what the document takes of the limits is reserved: a whole spec, and a merge patch of labels and
        annotations. Entering it raises LimitExceeded.
        """
        if self._kind.workload is None:
            return nullcontext()
        present: Any = before
        kept = self._reads.revisions(present) if before is not None else ()
        notes = document.get("metadata", {})
        name = before.metadata.name if before is not None else notes["name"]
        written = WrittenDocument(name, self._kind.workload, present, document["spec"], notes, kept)
        return self._reads.project_limits.reserve_document(project, written, dry_run=options.dry_run)

    def _refuse_reused(self, wanted: DesiredResource, options: WriteOptions, digest: str) -> None:
        """Refuses a key that another request used, for an object of another name."""
        if not options.key:
            return
        key, project = _key(options), wanted.manifest["metadata"].get("namespace", "")
        for obj in self._reads.host(self._kind.resource).by(BY_REQUEST, request_index_value(project, key)):
            if obj.metadata.annotations[labels.IDEMPOTENCY] != f"{key}.{digest}":
                raise _reused(obj)

    def _existing(self, found: Object, options: WriteOptions, digest: str) -> CreateResult:
        if _is_made_by(found, options, digest):
            return CreateResult(found, repeated=True)
        if options.key and found.metadata.annotations.get(labels.IDEMPOTENCY, "").startswith(f"{_key(options)}."):
            raise _reused(found)
        if found.deleting:
            raise problems.conflict(
                f"{self._what(found)} is still being deleted", "wait until it is gone, then create it again"
            )
        raise problems.already_exists(self._what(found))

    async def change(
        self, wanted: Callable[[Object], DesiredResource], project: str, name: str, options: WriteOptions
    ) -> Object:
        """`wanted` gives the desired resource for the present object."""
        lock = _locks.setdefault((self._kind.path, project, name), asyncio.Lock())
        async with lock:
            return await self._change(wanted, project, name, options)

    async def _change(
        self, wanted: Callable[[Object], DesiredResource], project: str, name: str, options: WriteOptions
    ) -> Object:
        obj: Object = self._reads.existing(self._kind, project, name)
        for _ in range(ATTEMPTS):
            target = wanted(obj)
            if operation_annotation.repeated(obj, "update", options.author, options.key) is not None:
                return self._repeated(obj, target)
            patch = self.difference(obj, target)
            if not patch:
                return obj
            before = stated_spec(obj)
            after = merge_patch.apply(before, patch.get("spec", {}))
            self._check_permissions(before, after, target.manifest["metadata"], options)
            in_place_requirement.check(self._kind, before, after)
            try:
                with self._reserved(project, obj, {**patch, "spec": after}, options):
                    made = await self._patch(obj, _annotated(patch, _changed(obj, patch, options)), options)
                    self._record(before, after, options)
                    return made
            except api_errors.Conflict:
                obj = await self._current(project, name)
            except api_errors.Refused as refusal:
                raise self._problem(refusal, target) from refusal
        raise problems.conflict(f"{self._kind.title(project, name)} is changed by others all the time", "try again in a moment")

    def _check_permissions(self, before: Manifest | None, after: Manifest, metadata: Manifest, options: WriteOptions) -> None:
        project = metadata.get("namespace", "") or metadata["name"]
        object_permissions.check(self._authorizer, options.call, self._kind.path, project, before, after)

    def _record(self, before: Manifest, after: Manifest, options: WriteOptions) -> None:
        """For the audit record: what changes in a project. What is in projects holds values that are not for auditors."""
        if not (self._kind.in_project or options.dry_run):
            found = diff.changes(codecs.plain(before), codecs.plain(after))
            options.call.changes.extend(RecordedChange(each.field, each.before, each.after) for each in found)

    def _repeated(self, obj: Object, wanted: DesiredResource) -> Object:
        """The repeated request made this version, whichever version it named."""
        if self.difference(obj, replace(wanted, version="")):
            raise Problem(
                "key-reused",
                f"this Idempotency-Key was used for another change of {self._what(obj)}, or it was changed since",
                "read it again, and use a new key for a new request",
            )
        return obj

    def difference(self, obj: Object, wanted: DesiredResource) -> Manifest:
        """The merge patch from the object to the desired resource; empty when there is no difference."""
        self._refuse_other_version(obj, wanted.version)
        if obj.deleting:
            raise problems.conflict(f"{self._what(obj)} is being deleted", "create it again once it is gone")
        patch: Manifest = {}
        before = stated_spec(obj)
        after = preserved_fields.merged(before, self._kind.spec_of(wanted.manifest), wanted.keeps)
        if codecs.plain(before) != codecs.plain(after):
            patch["spec"] = merge_patch.merge_patch(before, after)
        metadata = _notes(obj, wanted.manifest["metadata"])
        return {**patch, **({"metadata": metadata} if metadata else {})}

    def _refuse_other_version(self, obj: Object, wanted: str) -> None:
        if wanted and wanted != version(obj):
            raise Problem(
                "precondition-failed",
                f"{self._what(obj)} is in version {version(obj)}, not {wanted}",
                "read it again, and decide whether your change still holds",
            )

    async def delete(self, project: str, name: str, wanted_version: str, *, dry_run: bool = False) -> Object | None:
        """The object while it is being deleted; None when nothing of it is left. Deleting again is no error.

        With a version, the deletion is pinned to the object that has it, as a change is.
        """
        obj: Object = self._reads.existing(self._kind, project, name)
        for _ in range(ATTEMPTS):
            self._refuse_other_version(obj, wanted_version)
            if dry_run or obj.deleting:
                return obj
            try:
                return await self._delete(obj, obj.metadata.resource_version if wanted_version else "")
            except api_errors.Conflict:
                if not wanted_version:
                    raise
                obj = await self._current(project, name)
        raise problems.conflict(f"{self._kind.title(project, name)} is changed by others all the time", "try again in a moment")

    async def _delete(self, obj: Object, pin: str) -> Object | None:
        try:
            left = await write_requests.delete(self._client, self._kind.resource, obj.key, obj.metadata.uid, pin)
        except api_errors.NotFound:
            left = None
        if left is None:
            self._cache.deleted(obj.key, obj.metadata.uid)
        else:
            self._cache.written(left)
        return left

    async def _patch(self, obj: Object, patch: Manifest, options: WriteOptions) -> Object:
        pins = {"uid": obj.metadata.uid, "resourceVersion": obj.metadata.resource_version}
        body = {**patch, "metadata": {**patch.get("metadata", {}), **pins}}
        made = await write_requests.patch(self._client, self._kind.resource, obj.key, body, NAME, dry_run=options.dry_run)
        if not options.dry_run:
            self._cache.written(made)
        return made

    async def _current(self, project: str, name: str) -> Any:
        """The object as the API server has it."""
        found = await self._found(project, name)
        if found is None:
            raise problems.not_found(self._kind.title(project, name))
        return found

    async def _found(self, project: str, name: str) -> Any | None:
        """The object as the API server has it; None where it has none."""
        try:
            return await self._client.get(self._kind.resource, Key(project, name))
        except api_errors.NotFound:
            return None

    def _problem(self, refusal: api_errors.Refused, wanted: DesiredResource) -> Problem | api_errors.Refused:
        """The API server's refusal as a problem document, with the fields that the user wrote."""
        project = wanted.manifest["metadata"].get("namespace", "")
        if isinstance(refusal, api_errors.Invalid) and refusal.causes:
            return problems.invalid(*(FieldError(c.field, c.reason, c.message) for c in refusal.causes))
        missing = isinstance(refusal, api_errors.NotFound | api_errors.Forbidden) and project
        if missing and self._reads.get(PROJECTS, "", project) is None:
            return problems.not_found(f"project {project}")
        if (missing and "not a project" in refusal.message) or (missing and isinstance(refusal, api_errors.NotFound)):
            return problems.unavailable(f"project {project} is being prepared", 1.0)
        return refusal

    def _what(self, obj: Object) -> str:
        return self._kind.title(obj.metadata.namespace, obj.metadata.name)


def zones(reads: CacheReads) -> Collection[str]:
    """The zones of the region, as far as they are known."""
    return {member.spec.zone for member in reads.host(MEMBERCLUSTERS).list()}


def _notes(obj: Object, wanted: Manifest) -> Manifest:
    """The merge patch of the user's own labels and annotations."""
    notes = {"labels": users(obj.metadata.labels), "annotations": users(obj.metadata.annotations)}
    patches = {part: merge_patch.merge_patch(before, wanted.get(part) or {}) for part, before in notes.items()}
    return {part: patch for part, patch in patches.items() if patch}


def _annotated(body: Manifest, notes: dict[str, str]) -> Manifest:
    metadata: Manifest = body.get("metadata") or {}
    return {**body, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **notes}}}


def _is_made_by(obj: Object, options: WriteOptions, digest: str) -> bool:
    """Whether a request with this key, for the document of this digest, created the object."""
    return bool(options.key) and obj.metadata.annotations.get(labels.IDEMPOTENCY, "") == f"{_key(options)}.{digest}"


def _reused(obj: Object) -> Problem:
    return Problem(
        "key-reused",
        f"this Idempotency-Key was used for another request, which created {obj.metadata.name}",
        "use a new key for a new request",
    )


def _changed(obj: Object, patch: Manifest, options: WriteOptions) -> dict[str, str]:
    generation = obj.metadata.generation + 1 if "spec" in patch else 0
    return _signed(options, "update", operation_annotation.read(obj), generation=generation)


def _signed(options: WriteOptions, verb: str, before: tuple[OperationNote, ...] = (), *, generation: int) -> dict[str, str]:
    """The annotation with the author, the reason and the request. It is part of the write, so a crash does not lose it."""
    call = options.call
    note = OperationNote(
        verb=verb, by=options.author, why=call.reason, at=call.at, request=call.id, key=options.key, generation=generation
    )
    return operation_annotation.annotation(note, before)


def _key(options: WriteOptions) -> str:
    """The digest of a key; callers do not share keys."""
    return hashlib.blake2s(f"{options.author}\0{options.key}".encode(), digest_size=10).hexdigest()


def _digest(manifest: Manifest) -> str:
    return hashlib.blake2s(msgspec.json.encode(manifest, order="deterministic"), digest_size=10).hexdigest()
