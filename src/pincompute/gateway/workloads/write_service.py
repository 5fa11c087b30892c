"""Carries out the writes of HTTP handlers: validates the document, writes the object, and says what will happen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from litestar import Response

from pincompute.api import merge_patch
from pincompute.api.kinds import WorkloadObject
from pincompute.api.meta import Object
from pincompute.api.projects import PROJECTS, RESTRICTED, Project
from pincompute.api.sidecars import PINSIDECARS, allows, named_by
from pincompute.gateway.access import Authorizer
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.images.image_digests import ImageDigests, ImageQuestion, ResolvedImages
from pincompute.gateway.model import SimpleKind
from pincompute.gateway.model.diff import Change, asked, text
from pincompute.gateway.model.diff import changes as differences
from pincompute.gateway.model.document_validation import DesiredResource, DocumentScope, read
from pincompute.gateway.model.field_mapping import Data
from pincompute.gateway.model.simple_kind import stated_spec
from pincompute.gateway.workloads import (
    expected_effects,
    in_place_requirement,
    known_settings,
    preserved_fields,
    responses,
    setting_keys,
)
from pincompute.gateway.workloads.expected_effects import SpecChange
from pincompute.gateway.workloads.object_writer import ObjectWriter, WriteOptions, zones
from pincompute.gateway.workloads.responses import Difference, EncodedWriteResponse, ObjectName
from pincompute.gateway.workloads.setting_keys import KeyQuestion

UNRESOLVED = ImageDigests()


@dataclass(frozen=True, slots=True)
class Removal:
    """How to delete: only this `version`, if one is named; a project with its `workloads`, or only without any."""

    version: str = ""
    dry_run: bool = False
    workloads: bool = False


class WriteService:
    """All methods raise Problem."""

    def __init__(self, reads: CacheReads, authorizer: Authorizer, images: ImageDigests = UNRESOLVED) -> None:
        self.reads = reads
        self._authorizer = authorizer
        self._images = images

    def present(self, kind: SimpleKind[Any], names: ObjectName) -> Data:
        """What users ask for now."""
        return asked(kind.to_simple(self.reads.existing(kind, *names)))

    async def create(self, kind: SimpleKind[Any], project: str, document: Data, options: WriteOptions) -> Response[bytes]:
        asked_for = self.to_create(kind, project, document, options)
        writer = self._writer(kind)
        desired, warnings = asked_for, ()
        made = writer.repeated(asked_for, options)  # before the images, whose tags may be gone since
        if made is None:
            spec: Data = asked_for.manifest.get("spec") or {}
            locate = _locate(kind, document, asked_for)
            await setting_keys.check(self.reads, KeyQuestion(project, spec, locate=locate))
            async with self._images.kept(ImageQuestion(spec, project=project, locate=locate)) as images:
                desired, warnings = _pinned(asked_for, None, images)
                made = await writer.create(desired, options, asked_for)
        message = expected_effects.creation(kind, desired.name, desired.manifest["spec"], zones(self.reads))
        response = self._written(kind, made.obj, message, warnings, options, status=200 if options.dry_run else 201)
        if made.repeated:
            response.headers[responses.REPEATED] = "true"
        return response

    async def replace(
        self, kind: SimpleKind[Any], names: ObjectName, document: Data, options: WriteOptions, version: str
    ) -> Response[bytes]:
        def desired(obj: Object) -> DesiredResource:
            return self.to_replace(kind, names, obj, document, version)

        return await self._change(kind, names, document, desired, options, whole=True)

    async def patch(
        self, kind: SimpleKind[Any], names: ObjectName, document: Data, options: WriteOptions, version: str
    ) -> Response[bytes]:
        def desired(obj: Object) -> DesiredResource:
            return self.to_patch(kind, names, obj, document, version)

        return await self._change(kind, names, document, desired, options, whole=False)

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
        return self._replacing(kind, names, document, version)

    def to_patch(self, kind: SimpleKind[Any], names: ObjectName, obj: Object, document: Data, version: str) -> DesiredResource:
        """The resource that a merge patch of the simple form makes of the present object."""
        return self._read(kind, names, merge_patch.apply(asked(kind.to_simple(obj)), document), version)

    async def _change(
        self,
        kind: SimpleKind[Any],
        names: ObjectName,
        document: Data,
        desired: Callable[[Object], DesiredResource],
        options: WriteOptions,
        *,
        whole: bool,
    ) -> Response[bytes]:
        before = self.reads.existing(kind, *names)
        first, stated = desired(before), stated_spec(before)
        after = kind.spec_of(first.manifest)
        (project, _), locate = names, _locate(kind, document, first)
        await setting_keys.check(self.reads, KeyQuestion(project, after, None if whole else stated, locate))
        async with self._images.kept(ImageQuestion(after, stated, whole, project, locate)) as images:

            def pinned(obj: Object) -> DesiredResource:
                wanted = desired(obj)
                return wanted.with_spec(images.pinned(wanted.manifest["spec"], stated_spec(obj), whole=whole))

            obj = await self._writer(kind).change(pinned, *names, options)
        found = differences(asked(kind.to_simple(before)), asked(kind.to_simple(obj)))
        message = expected_effects.change(kind, obj, SpecChange(stated, stated_spec(obj)), found)
        return self._written(kind, obj, message, images.warnings(after, stated, whole=whole), options, found)

    async def delete(self, kind: SimpleKind[Any], names: ObjectName, removal: Removal) -> Response[bytes]:
        found = self.reads.existing(kind, *names)
        left = await self._writer(kind).delete(*names, removal.version, dry_run=removal.dry_run)
        message, waits = expected_effects.deletion(kind, left) if left is not None else (f"{names[1]} is gone", ())
        item, links = responses.raw(kind, left or found), responses.links(kind, *names)
        body = EncodedWriteResponse(item=item, message=message, links=links, waits_for=waits, dry_run=removal.dry_run)
        return responses.written(kind, left, body, 202)

    async def difference(self, kind: SimpleKind[Any], names: ObjectName, document: Data) -> Difference:
        """What would change if the document replaced the object."""
        obj = self.reads.get(kind.resource, *names)
        wanted, stated = self._replacing(kind, names, document), stated_spec(obj) if obj is not None else None
        spec: Data = wanted.manifest.get("spec") or {}
        (project, _), locate = names, _locate(kind, document, wanted)
        await setting_keys.check(self.reads, KeyQuestion(project, spec, locate=locate))
        images = await self._images.of(ImageQuestion(spec, stated, project=project, locate=locate))
        desired, warnings = _pinned(wanted, stated, images)
        if obj is None:
            after = asked(kind.of_manifest(desired.manifest))
            message = expected_effects.creation(kind, names[1], desired.manifest["spec"], zones(self.reads))
            shown = await asyncio.to_thread(text, None, after)
            return Difference(changes=differences({}, after), text=shown, creates=True, message=message, warnings=warnings)
        present = stated_spec(obj)
        spec = preserved_fields.merged(present, kind.spec_of(desired.manifest), desired.keeps)
        in_place_requirement.check(kind, present, spec)
        before, after = asked(kind.to_simple(obj)), asked(kind.of_manifest({**desired.manifest, "spec": spec}))
        found = differences(before, after)
        kept = {name: present[name] for name in desired.keeps if name in present}
        message = expected_effects.change(kind, obj, SpecChange(present, spec), found)
        shown = await asyncio.to_thread(text, before, after)
        return Difference(changes=found, text=shown, kept=kept, message=message, warnings=warnings)

    def _writer(self, kind: SimpleKind[Any]) -> ObjectWriter:
        return ObjectWriter(kind, self.reads, self._authorizer)

    def _read(self, kind: SimpleKind[Any], names: ObjectName, document: Data, version: str = "") -> DesiredResource:
        """A `version` of If-Match overrules the one in the document."""
        project: Project | None = self.reads.get(PROJECTS, "", names[0]) if names[0] else None
        level = project.status.pod_security if project is not None else RESTRICTED
        present = self.reads.get(kind.resource, *names) if kind.workload is not None and names[1] else None
        settings = known_settings.of(self.reads, names[0], present) if kind.workload is not None else None
        stated = stated_spec(present) if present is not None else None
        sidecars = self._sidecars(kind, names) if kind.workload is not None else None
        hooks = _hooks(project, present) if kind.workload is not None else None
        scope = DocumentScope(*names, zones(self.reads), self.reads.kinds, level, settings, stated, sidecars, hooks)
        desired = read(kind, document, scope)
        return replace(desired, version=version) if version else desired

    def _replacing(self, kind: SimpleKind[Any], names: ObjectName, document: Data, version: str = "") -> DesiredResource:
        desired = self._read(kind, names, document, version)
        return replace(desired, keeps=preserved_fields.unstated(kind, desired.manifest["spec"]))

    def _sidecars(self, kind: SimpleKind[Any], names: ObjectName) -> Mapping[str, bool]:
        """Returns the sidecars that exist, and those that the template names already, each with whether it may name it."""
        project, name = names
        present = self.reads.get(kind.resource, project, name) if name else None
        named = named_by(present.spec.template) if present is not None else ()
        known = (each for each in self.reads.host(PINSIDECARS).list() if not each.deleting)
        allowed = {each.metadata.name: allows(each.spec.allowed_projects, project) for each in known}
        return allowed | dict.fromkeys(named, True)

    def _written(
        self,
        kind: SimpleKind[Any],
        obj: Object,
        message: str,
        warnings: tuple[str, ...],
        options: WriteOptions,
        found: tuple[Change, ...] = (),
        status: int = 200,
    ) -> Response[bytes]:
        """The object of a dry run has no version that exists, so its encoding is not cached."""
        item = msgspec.Raw(msgspec.json.encode(kind.to_simple(obj))) if options.dry_run else responses.raw(kind, obj)
        links = responses.links(kind, obj.metadata.namespace, obj.metadata.name)
        body = EncodedWriteResponse(
            item=item, message=message, links=links, changes=found, dry_run=options.dry_run, warnings=warnings
        )
        return responses.written(kind, obj, body, status)


def _hooks(project: Project | None, present: WorkloadObject | None) -> frozenset[str] | None:
    """Returns the hooks that the project's updates may name, and those that the workload names already; None while the
    federation has not said which there are.
    """
    if project is None or project.status.allowed_hooks is None:
        return None
    named = present.spec.update.hooks if present is not None else ()
    return frozenset((*project.status.allowed_hooks, *(hook.name for hook in named)))


def _pinned(desired: DesiredResource, stated: Data | None, images: ResolvedImages) -> tuple[DesiredResource, tuple[str, ...]]:
    """The desired resource with digests, and warnings of images that nobody could check."""
    spec: Data = desired.manifest.get("spec") or {}
    warnings = images.warnings(spec, stated, whole=True)
    if not images.by_image:
        return desired, warnings
    return desired.with_spec(images.pinned(spec, stated, whole=True)), warnings


def _locate(kind: SimpleKind[Any], document: Data, desired: DesiredResource) -> Callable[[str], str]:
    """Gives a field of the resource its place in the document's own form."""
    if document.get("kind") == kind.resource.kind and "apiVersion" in document:
        return str
    return lambda field: kind.locate(asked(kind.of_manifest(desired.manifest)), field)
