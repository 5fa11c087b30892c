"""What the routes of a kind do with a request: read the document, write, and say what will happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec
from litestar import Request, Response

from pincompute.api import changes
from pincompute.api.meta import Object
from pincompute.gateway import problems
from pincompute.gateway.model import Kind, documents
from pincompute.gateway.model.difference import Change, asked, text
from pincompute.gateway.model.difference import changes as differences
from pincompute.gateway.model.lens import Data
from pincompute.gateway.model.reading import Place, Wanted, read
from pincompute.gateway.reads import Reads
from pincompute.gateway.workloads import answers, forecast, keeping, outcomes
from pincompute.gateway.workloads.outcomes import Difference, WrittenItem
from pincompute.gateway.workloads.writing import Author, Writing, zones

Names: TypeAlias = tuple[str, str]
"""Project, empty for kinds outside of projects, and name."""


class Desk:
    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def document(self, request: Request[Any, Any, Any]) -> Data:
        """Raises Problem."""
        return documents.parse(await request.body(), request.headers.get("content-type", ""))

    def present(self, kind: Kind[Any], names: Names) -> Data:
        """What is asked for now. Raises Problem when there is none."""
        return asked(kind.to_simple(self._found(kind, names)))

    async def create(self, kind: Kind[Any], project: str, document: Data, author: Author) -> Response[bytes]:
        known = zones(self._reads)
        wanted = read(kind, document, Place(project, "", known, self._reads.kinds))
        made = await Writing(kind, self._reads).create(wanted, author)
        message = forecast.creation(kind, wanted.name, wanted.manifest["spec"], known)
        body = self._written(kind, made.obj, message, (), author)
        response = answers.written(kind, made.obj, body, 200 if author.dry_run else 201)
        if made.repeated:
            response.headers[answers.REPEATED] = "true"
        return response

    async def replace(self, kind: Kind[Any], names: Names, document: Data, author: Author, version: str) -> Response[bytes]:
        wanted = self._read(kind, names, document, version)
        return await self._change(kind, names, lambda _: wanted, author)

    async def patch(self, kind: Kind[Any], names: Names, document: Data, author: Author, version: str) -> Response[bytes]:
        def wanted(obj: Object) -> Wanted:
            present = asked(kind.to_simple(obj))
            return self._read(kind, names, changes.apply(present, document), version)

        return await self._change(kind, names, wanted, author)

    async def delete(self, kind: Kind[Any], names: Names, version: str, *, dry_run: bool) -> Response[bytes]:
        """With `dry_run` only what would happen."""
        found = self._found(kind, names)
        left = await Writing(kind, self._reads).delete(*names, version, dry_run=dry_run)
        message, waits = forecast.deletion(kind, left) if left is not None else (f"{names[1]} is gone", ())
        written = WrittenItem(
            item=outcomes.raw(kind, left or found),
            message=message,
            links=outcomes.links(kind, *names),
            waits_for=waits,
            dry_run=dry_run,
        )
        return answers.written(kind, left, outcomes.encode(written), 202)

    def difference(self, kind: Kind[Any], names: Names, document: Data) -> Difference:
        known = zones(self._reads)
        wanted = read(kind, document, Place(*names, known, self._reads.kinds))
        obj = self._reads.get(kind.resource, *names)
        after = asked(kind.of_manifest(wanted.manifest))
        if obj is None:
            message = forecast.creation(kind, names[1], wanted.manifest["spec"], known)
            return Difference(changes=differences({}, after), text=text(None, after), creates=True, message=message)
        kept_spec = keeping.kept(keeping.spec_of(obj), kind.spec_of(wanted.manifest))
        after = asked(kind.of_manifest({**wanted.manifest, "spec": kept_spec}))
        before = asked(kind.to_simple(obj))
        found = differences(before, after)
        return Difference(changes=found, text=text(before, after), message=forecast.change(kind, obj, found))

    async def _change(
        self, kind: Kind[Any], names: Names, wanted: Callable[[Object], Wanted], author: Author
    ) -> Response[bytes]:
        before = self._found(kind, names)
        obj = await Writing(kind, self._reads).change(wanted, *names, author)
        found = differences(asked(kind.to_simple(before)), asked(kind.to_simple(obj)))
        return answers.written(kind, obj, self._written(kind, obj, forecast.change(kind, obj, found), found, author))

    def _read(self, kind: Kind[Any], names: Names, document: Data, version: str) -> Wanted:
        """The version of If-Match counts more than one in the document."""
        wanted = read(kind, document, Place(*names, zones(self._reads), self._reads.kinds))
        return replace(wanted, version=version) if version else wanted

    def _found(self, kind: Kind[Any], names: Names) -> Object:
        found = self._reads.get(kind.resource, *names)
        if found is None:
            raise problems.not_found(outcomes.what(kind, *names))
        return found

    def _written(self, kind: Kind[Any], obj: Object, message: str, found: tuple[Change, ...], author: Author) -> bytes:
        """A dry run's object is of no version that exists, so its bytes are not kept."""
        item = msgspec.Raw(msgspec.json.encode(kind.to_simple(obj))) if author.dry_run else outcomes.raw(kind, obj)
        links = outcomes.links(kind, obj.metadata.namespace, obj.metadata.name)
        return outcomes.encode(WrittenItem(item=item, message=message, links=links, changes=found, dry_run=author.dry_run))
