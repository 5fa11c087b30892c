"""What the routes of a kind do with a request: read the document, write, and say what will happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec
from litestar import Request, Response

from pincompute.api import merge_patch
from pincompute.api.meta import Object
from pincompute.gateway import problems
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.model import SimpleKind, document_parser
from pincompute.gateway.model.diff import Change, asked, text
from pincompute.gateway.model.diff import changes as differences
from pincompute.gateway.model.document_validation import DesiredResource, DocumentScope, read
from pincompute.gateway.model.field_mapping import Data
from pincompute.gateway.workloads import expected_effects, preserved_fields, response_bodies, response_headers
from pincompute.gateway.workloads.object_writer import ObjectWriter, WriteOptions, zones
from pincompute.gateway.workloads.response_bodies import Difference, EncodedWriteResponse

Names: TypeAlias = tuple[str, str]
"""Project, empty for kinds outside of projects, and name."""


class WriteService:
    def __init__(self, reads: CacheReads) -> None:
        self._reads = reads

    async def document(self, request: Request[Any, Any, Any]) -> Data:
        """Raises Problem."""
        return document_parser.parse(await request.body(), request.headers.get("content-type", ""))

    def present(self, kind: SimpleKind[Any], names: Names) -> Data:
        """What is asked for now. Raises Problem when there is none."""
        return asked(kind.to_simple(self._found(kind, names)))

    async def create(self, kind: SimpleKind[Any], project: str, document: Data, author: WriteOptions) -> Response[bytes]:
        known = zones(self._reads)
        wanted = read(kind, document, DocumentScope(project, "", known, self._reads.kinds))
        made = await ObjectWriter(kind, self._reads).create(wanted, author)
        message = expected_effects.creation(kind, wanted.name, wanted.manifest["spec"], known)
        body = self._written(kind, made.obj, message, (), author)
        response = response_headers.written(kind, made.obj, body, 200 if author.dry_run else 201)
        if made.repeated:
            response.headers[response_headers.REPEATED] = "true"
        return response

    async def replace(
        self, kind: SimpleKind[Any], names: Names, document: Data, author: WriteOptions, version: str
    ) -> Response[bytes]:
        wanted = self._read(kind, names, document, version)
        return await self._change(kind, names, lambda _: wanted, author)

    async def patch(
        self, kind: SimpleKind[Any], names: Names, document: Data, author: WriteOptions, version: str
    ) -> Response[bytes]:
        def wanted(obj: Object) -> DesiredResource:
            present = asked(kind.to_simple(obj))
            return self._read(kind, names, merge_patch.apply(present, document), version)

        return await self._change(kind, names, wanted, author)

    async def delete(self, kind: SimpleKind[Any], names: Names, version: str, *, dry_run: bool) -> Response[bytes]:
        """With `dry_run` only what would happen."""
        found = self._found(kind, names)
        left = await ObjectWriter(kind, self._reads).delete(*names, version, dry_run=dry_run)
        message, waits = expected_effects.deletion(kind, left) if left is not None else (f"{names[1]} is gone", ())
        written = EncodedWriteResponse(
            item=response_bodies.raw(kind, left or found),
            message=message,
            links=response_bodies.links(kind, *names),
            waits_for=waits,
            dry_run=dry_run,
        )
        return response_headers.written(kind, left, response_bodies.encode(written), 202)

    def difference(self, kind: SimpleKind[Any], names: Names, document: Data) -> Difference:
        known = zones(self._reads)
        wanted = read(kind, document, DocumentScope(*names, known, self._reads.kinds))
        obj = self._reads.get(kind.resource, *names)
        after = asked(kind.of_manifest(wanted.manifest))
        if obj is None:
            message = expected_effects.creation(kind, names[1], wanted.manifest["spec"], known)
            return Difference(changes=differences({}, after), text=text(None, after), creates=True, message=message)
        kept_spec = preserved_fields.kept(preserved_fields.spec_of(obj), kind.spec_of(wanted.manifest))
        after = asked(kind.of_manifest({**wanted.manifest, "spec": kept_spec}))
        before = asked(kind.to_simple(obj))
        found = differences(before, after)
        return Difference(changes=found, text=text(before, after), message=expected_effects.change(kind, obj, found))

    async def _change(
        self, kind: SimpleKind[Any], names: Names, wanted: Callable[[Object], DesiredResource], author: WriteOptions
    ) -> Response[bytes]:
        before = self._found(kind, names)
        obj = await ObjectWriter(kind, self._reads).change(wanted, *names, author)
        found = differences(asked(kind.to_simple(before)), asked(kind.to_simple(obj)))
        return response_headers.written(
            kind, obj, self._written(kind, obj, expected_effects.change(kind, obj, found), found, author)
        )

    def _read(self, kind: SimpleKind[Any], names: Names, document: Data, version: str) -> DesiredResource:
        """The version of If-Match counts more than one in the document."""
        wanted = read(kind, document, DocumentScope(*names, zones(self._reads), self._reads.kinds))
        return replace(wanted, version=version) if version else wanted

    def _found(self, kind: SimpleKind[Any], names: Names) -> Object:
        found = self._reads.get(kind.resource, *names)
        if found is None:
            raise problems.not_found(response_bodies.what(kind, *names))
        return found

    def _written(
        self, kind: SimpleKind[Any], obj: Object, message: str, found: tuple[Change, ...], author: WriteOptions
    ) -> bytes:
        """A dry run's object is of no version that exists, so its bytes are not kept."""
        item = msgspec.Raw(msgspec.json.encode(kind.to_simple(obj))) if author.dry_run else response_bodies.raw(kind, obj)
        links = response_bodies.links(kind, obj.metadata.namespace, obj.metadata.name)
        return response_bodies.encode(
            EncodedWriteResponse(item=item, message=message, links=links, changes=found, dry_run=author.dry_run)
        )
