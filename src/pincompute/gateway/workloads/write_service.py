"""Carries out the writes of HTTP handlers: validates the document, writes the object, and says what will happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
from litestar import Response

from pincompute.api import merge_patch
from pincompute.api.meta import Object
from pincompute.gateway.access import Authorizer
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.model import SimpleKind
from pincompute.gateway.model.diff import Change, asked, text
from pincompute.gateway.model.diff import changes as differences
from pincompute.gateway.model.document_validation import DesiredResource, DocumentScope, read
from pincompute.gateway.model.field_mapping import Data
from pincompute.gateway.model.simple_kind import stated_spec
from pincompute.gateway.workloads import expected_effects, preserved_fields, responses
from pincompute.gateway.workloads.object_writer import ObjectWriter, WriteOptions, zones
from pincompute.gateway.workloads.responses import Difference, EncodedWriteResponse, ObjectName


class WriteService:
    """All methods raise Problem."""

    def __init__(self, reads: CacheReads, grants: Authorizer) -> None:
        self.reads = reads
        self._grants = grants

    def present(self, kind: SimpleKind[Any], names: ObjectName) -> Data:
        """What users ask for now."""
        return asked(kind.to_simple(self.reads.existing(kind, *names)))

    async def create(self, kind: SimpleKind[Any], project: str, document: Data, options: WriteOptions) -> Response[bytes]:
        desired = self.to_create(kind, project, document, options)
        made = await self._writer(kind).create(desired, options)
        message = expected_effects.creation(kind, desired.name, desired.manifest["spec"], zones(self.reads))
        response = self._written(kind, made.obj, message, (), options, 200 if options.dry_run else 201)
        if made.repeated:
            response.headers[responses.REPEATED] = "true"
        return response

    async def replace(
        self, kind: SimpleKind[Any], names: ObjectName, document: Data, options: WriteOptions, version: str
    ) -> Response[bytes]:
        return await self._change(kind, names, lambda obj: self.to_replace(kind, names, obj, document, version), options)

    async def patch(
        self, kind: SimpleKind[Any], names: ObjectName, document: Data, options: WriteOptions, version: str
    ) -> Response[bytes]:
        return await self._change(kind, names, lambda obj: self.to_patch(kind, names, obj, document, version), options)

    def to_create(
        self,
        kind: SimpleKind[Any],
        project: str,
        document: Data,
        options: WriteOptions,  # noqa: ARG002 - who creates it matters for some kinds
    ) -> DesiredResource:
        """The resource that a document creates."""
        return self._read(kind, (project, ""), document)

    def to_replace(
        self,
        kind: SimpleKind[Any],
        names: ObjectName,
        obj: Object,  # noqa: ARG002 - what is there now matters for some kinds
        document: Data,
        version: str,
    ) -> DesiredResource:
        """The resource that a document makes of the present object."""
        return self._read(kind, names, document, version)

    def to_patch(self, kind: SimpleKind[Any], names: ObjectName, obj: Object, document: Data, version: str) -> DesiredResource:
        """The resource that a merge patch of the simple form makes of the present object."""
        return self._read(kind, names, merge_patch.apply(asked(kind.to_simple(obj)), document), version)

    async def _change(
        self, kind: SimpleKind[Any], names: ObjectName, desired: Callable[[Object], DesiredResource], options: WriteOptions
    ) -> Response[bytes]:
        before = self.reads.existing(kind, *names)
        obj = await self._writer(kind).change(desired, *names, options)
        found = differences(asked(kind.to_simple(before)), asked(kind.to_simple(obj)))
        message = expected_effects.change(kind, obj, stated_spec(before), found)
        return self._written(kind, obj, message, found, options)

    async def delete(self, kind: SimpleKind[Any], names: ObjectName, version: str, *, dry_run: bool) -> Response[bytes]:
        found = self.reads.existing(kind, *names)
        left = await self._writer(kind).delete(*names, version, dry_run=dry_run)
        message, waits = expected_effects.deletion(kind, left) if left is not None else (f"{names[1]} is gone", ())
        item, links = responses.raw(kind, left or found), responses.links(kind, *names)
        body = EncodedWriteResponse(item=item, message=message, links=links, waits_for=waits, dry_run=dry_run)
        return responses.written(kind, left, body, 202)

    def difference(self, kind: SimpleKind[Any], names: ObjectName, document: Data) -> Difference:
        """What would change if the document replaced the object."""
        desired = self._read(kind, names, document)
        obj = self.reads.get(kind.resource, *names)
        if obj is None:
            after = asked(kind.of_manifest(desired.manifest))
            message = expected_effects.creation(kind, names[1], desired.manifest["spec"], zones(self.reads))
            return Difference(changes=differences({}, after), text=text(None, after), creates=True, message=message)
        spec = preserved_fields.merged(stated_spec(obj), kind.spec_of(desired.manifest))
        before, after = asked(kind.to_simple(obj)), asked(kind.of_manifest({**desired.manifest, "spec": spec}))
        found = differences(before, after)
        return Difference(changes=found, text=text(before, after), message=expected_effects.change(kind, obj, spec, found))

    def _writer(self, kind: SimpleKind[Any]) -> ObjectWriter:
        return ObjectWriter(kind, self.reads, self._grants)

    def _read(self, kind: SimpleKind[Any], names: ObjectName, document: Data, version: str = "") -> DesiredResource:
        """A `version` of If-Match overrules the one in the document."""
        desired = read(kind, document, DocumentScope(*names, zones(self.reads), self.reads.kinds))
        return replace(desired, version=version) if version else desired

    def _written(
        self,
        kind: SimpleKind[Any],
        obj: Object,
        message: str,
        found: tuple[Change, ...],
        options: WriteOptions,
        status: int = 200,
    ) -> Response[bytes]:
        """The object of a dry run has no version that exists, so its encoding is not cached."""
        item = msgspec.Raw(msgspec.json.encode(kind.to_simple(obj))) if options.dry_run else responses.raw(kind, obj)
        links = responses.links(kind, obj.metadata.namespace, obj.metadata.name)
        body = EncodedWriteResponse(item=item, message=message, links=links, changes=found, dry_run=options.dry_run)
        return responses.written(kind, obj, body, status)
