"""Writes of users: create once, replace, patch, delete. Each goes to the host's API server and is in the cache when it returns.

The surprising rule: a change is sent as the difference to what is there, pinned to the version it was computed from, and
computed anew when that was not the newest; so nobody's other change is undone, and a status that moves all the time does not
make a user's version stale.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from pincompute.api import merge_patch
from pincompute.api.labels import HOST
from pincompute.api.member_clusters import MEMBERCLUSTERS, PROJECTS
from pincompute.api.meta import GROUP, Key, Manifest, Object
from pincompute.gateway import NAME, problems
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call
from pincompute.gateway.model import AUTHOR, SimpleKind, codecs
from pincompute.gateway.model.document_validation import DesiredResource
from pincompute.gateway.model.simple_kind import users, version
from pincompute.gateway.operation import operation_annotation
from pincompute.gateway.operation.operation_annotation import OperationNote
from pincompute.gateway.problems import FieldError, Problem
from pincompute.gateway.workloads import preserved_fields
from pincompute.kube import api_errors, write_requests

IDEMPOTENCY = f"{GROUP}/idempotency"  # annotation: digests of the key and of the request that created the object
ATTEMPTS = 8  # looks at an object that others change at the same time


_turns: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()
"""Changes of one object take turns here, so that they do not make each other's versions old."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """Who writes, by which request, and the key by which a repetition of it is known; empty when there is none.

    `dry_run`: everything is judged as if it were written, and nothing is.
    """

    call: Call
    key: str = ""
    dry_run: bool = False

    @property
    def name(self) -> str:
        return self.call.caller.name


@dataclass(frozen=True, slots=True)
class CreateResult:
    """`repeated`: an earlier request with the same key had created it."""

    obj: Object
    repeated: bool = False


class ObjectWriter:
    """Of one kind."""

    def __init__(self, kind: SimpleKind[Any], reads: CacheReads) -> None:
        self._kind = kind
        self._reads = reads

    async def create(self, wanted: DesiredResource, author: WriteOptions) -> CreateResult:
        """Raises Problem; with a key, the same request sent again finds what the first has made."""
        digest = _digest(wanted.manifest)
        self._refuse_reused(wanted, author, digest)
        mark = {IDEMPOTENCY: f"{_key(author)}.{digest}"} if author.key else {}
        body = _annotated(wanted.manifest, {**_signed(author, "create", generation=1), **mark})
        try:
            made = await write_requests.create(
                self._reads.clusters.client(HOST), self._kind.resource, body, NAME, dry_run=author.dry_run
            )
        except api_errors.AlreadyExists:
            return await self._existing(wanted, author, digest)
        except api_errors.Refused as refusal:
            raise self._problem(refusal, wanted) from refusal
        if not author.dry_run:
            self._reads.clusters.cache(HOST, self._kind.resource).written(made)
        return CreateResult(made)

    def _refuse_reused(self, wanted: DesiredResource, author: WriteOptions, digest: str) -> None:
        """The key was used for something else, under another name."""
        if not author.key:
            return
        prefix, namespace = f"{_key(author)}.", wanted.manifest["metadata"].get("namespace", "")
        for obj in self._reads.host(self._kind.resource).list(namespace):
            mark = obj.metadata.annotations.get(IDEMPOTENCY, "")
            if mark.startswith(prefix) and mark != prefix + digest:
                raise _reused(obj)

    async def _existing(self, wanted: DesiredResource, author: WriteOptions, digest: str) -> CreateResult:
        found = await self._current(wanted.manifest["metadata"].get("namespace", ""), wanted.name)
        mark = found.metadata.annotations.get(IDEMPOTENCY, "")
        if author.key and mark == f"{_key(author)}.{digest}":
            return CreateResult(found, repeated=True)
        if author.key and mark.startswith(f"{_key(author)}."):
            raise _reused(found)
        if found.deleting:
            raise problems.conflict(
                f"{self._what(found)} is still being deleted", "wait until it is gone, then create it again"
            )
        raise problems.already_exists(self._what(found))

    async def change(
        self, wanted: Callable[[Object], DesiredResource], project: str, name: str, author: WriteOptions
    ) -> Object:
        """`wanted` says for the object as it is how it should be. Raises Problem."""
        turn = _turns.setdefault((self._kind.path, project, name), asyncio.Lock())
        async with turn:
            return await self._change(wanted, project, name, author)

    async def _change(
        self, wanted: Callable[[Object], DesiredResource], project: str, name: str, author: WriteOptions
    ) -> Object:
        obj = self._reads.get(self._kind.resource, project, name)
        for _ in range(ATTEMPTS):
            if obj is None:
                raise problems.not_found(f"{self._kind.noun} {Key(project, name)}")
            target = wanted(obj)
            if operation_annotation.repeated(obj, "update", author.name, author.key) is not None:
                return self._repeated(obj, target)
            patch = self.difference(obj, target)
            if not patch:
                return obj
            try:
                return await self._patch(obj, _annotated(patch, _changed(obj, patch, author)), author)
            except api_errors.Conflict:
                obj = await self._current(project, name)
            except api_errors.Refused as refusal:
                raise self._problem(refusal, target) from refusal
        raise problems.conflict(f"{Key(project, name)} is changed by others all the time", "try again in a moment")

    def _repeated(self, obj: Object, wanted: DesiredResource) -> Object:
        """Whatever version it was sent for, it made this one."""
        if self.difference(obj, replace(wanted, version="")):
            raise Problem(
                "key-reused",
                f"this Idempotency-Key was used for another change of {self._what(obj)}, or it was changed since",
                "read it again, and use a new key for a new request",
            )
        return obj

    def difference(self, obj: Object, wanted: DesiredResource) -> Manifest:
        """The merge patch that makes the object as wanted; empty when it is. Raises Problem for another version."""
        self._refuse_other_version(obj, wanted.version)
        if obj.deleting:
            raise problems.conflict(f"{self._what(obj)} is being deleted", "create it again once it is gone")
        patch: Manifest = {}
        before = preserved_fields.spec_of(obj)
        after = preserved_fields.kept(before, self._kind.spec_of(wanted.manifest))
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
        """The object as it is on its way out; None when nothing of it is left. Deleting again is no error.

        With a version the deletion is pinned to what was found to be in it, as a change is. Raises Problem.
        """
        obj = self._reads.get(self._kind.resource, project, name)
        for _ in range(ATTEMPTS):
            if obj is None:
                raise problems.not_found(f"{self._kind.noun} {Key(project, name)}")
            self._refuse_other_version(obj, wanted_version)
            if dry_run or obj.deleting:
                return obj
            try:
                return await self._delete(obj, obj.metadata.resource_version if wanted_version else "")
            except api_errors.Conflict:
                if not wanted_version:
                    raise
                obj = await self._current(project, name)
        raise problems.conflict(f"{Key(project, name)} is changed by others all the time", "try again in a moment")

    async def _delete(self, obj: Object, pin: str) -> Object | None:
        client, resource = self._reads.clusters.client(HOST), self._kind.resource
        cache = self._reads.clusters.cache(HOST, resource)
        try:
            left = await write_requests.delete(client, resource, obj.key, obj.metadata.uid, pin)
        except api_errors.NotFound:
            left = None
        if left is None:
            cache.deleted(obj.key, obj.metadata.uid)
        else:
            cache.written(left)
        return left

    async def _patch(self, obj: Object, patch: Manifest, author: WriteOptions) -> Object:
        pins = {"uid": obj.metadata.uid, "resourceVersion": obj.metadata.resource_version}
        body = {**patch, "metadata": {**patch.get("metadata", {}), **pins}}
        client, resource = self._reads.clusters.client(HOST), self._kind.resource
        made = await write_requests.patch(client, resource, obj.key, body, NAME, dry_run=author.dry_run)
        if not author.dry_run:
            self._reads.clusters.cache(HOST, resource).written(made)
        return made

    async def _current(self, project: str, name: str) -> Any:
        """Past the cache."""
        try:
            return await self._reads.clusters.client(HOST).get(self._kind.resource, Key(project, name))
        except api_errors.NotFound:
            raise problems.not_found(f"{self._kind.noun} {Key(project, name)}") from None

    def _problem(self, refusal: api_errors.Refused, wanted: DesiredResource) -> Problem | api_errors.Refused:
        """What the API server refused, at the fields as the user wrote them."""
        project = wanted.manifest["metadata"].get("namespace", "")
        if isinstance(refusal, api_errors.Invalid) and refusal.causes:
            return problems.invalid(tuple(FieldError(c.field, c.reason, c.message) for c in refusal.causes))
        missing = isinstance(refusal, api_errors.NotFound | api_errors.Forbidden) and project
        if missing and self._reads.get(PROJECTS, "", project) is None:
            return problems.not_found(f"project {project}")
        if (missing and "not a project" in refusal.message) or (missing and isinstance(refusal, api_errors.NotFound)):
            return problems.unavailable(f"project {project} is being prepared", 1.0)
        return refusal

    def _what(self, obj: Object) -> str:
        return f"{self._kind.name.lower()} {obj.key}"


def zones(reads: CacheReads) -> Collection[str]:
    """Of the region, as far as they are known."""
    return {member.spec.zone for member in reads.host(MEMBERCLUSTERS).list()}


def _notes(obj: Object, wanted: Manifest) -> Manifest:
    """Merge patch of labels and annotations that are the user's."""
    notes = {"labels": users(obj.metadata.labels), "annotations": users(obj.metadata.annotations)}
    patches = {part: merge_patch.merge_patch(before, wanted.get(part) or {}) for part, before in notes.items()}
    return {part: patch for part, patch in patches.items() if patch}


def _annotated(body: Manifest, notes: dict[str, str]) -> Manifest:
    metadata: Manifest = body.get("metadata") or {}
    return {**body, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **notes}}}


def _reused(obj: Object) -> Problem:
    return Problem(
        "key-reused",
        f"this Idempotency-Key was used for another request, which created {obj.metadata.name}",
        "use a new key for a new request",
    )


def _changed(obj: Object, patch: Manifest, author: WriteOptions) -> dict[str, str]:
    generation = obj.metadata.generation + 1 if "spec" in patch else 0
    return _signed(author, "update", operation_annotation.read(obj), generation=generation)


def _signed(author: WriteOptions, verb: str, before: tuple[OperationNote, ...] = (), *, generation: int) -> dict[str, str]:
    """Who wrote it last, why, and by which request, with the write itself: so it is known although the gateway dies."""
    call = author.call
    note = OperationNote(
        verb=verb, by=author.name, why=call.reason, at=call.at, request=call.id, key=author.key, generation=generation
    )
    return {AUTHOR: author.name, **operation_annotation.annotation(note, before)}


def _key(author: WriteOptions) -> str:
    """Keys are each caller's own."""
    return hashlib.blake2s(f"{author.name}\0{author.key}".encode(), digest_size=10).hexdigest()


def _digest(manifest: Manifest) -> str:
    return hashlib.blake2s(msgspec.json.encode(manifest, order="deterministic"), digest_size=10).hexdigest()
