"""Sets, lists and removes secrets and configurations. The values of secrets are written once and never read by the gateway.

A set is judged first, a new setting's by the API server too, so that one which is refused leaves nothing. A version is stored
first and recorded second. A version that was stored and not recorded, because the gateway crashed or another one was faster,
has a number that nobody uses again; the federation removes it, and a setting of which no version was ever recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from pincompute.api import labels, settings
from pincompute.api.kinds import WorkloadObject
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Manifest
from pincompute.api.projects import PROJECTS
from pincompute.api.settings import KEPT, LARGEST, MOST, MOST_VERSIONS, PinSecret, Setting, SettingKind, SettingVersion
from pincompute.api.template_settings import places, references
from pincompute.domain import setting_versions
from pincompute.domain.project_limits import SETTINGS
from pincompute.gateway import NAME, problems, workload_templates
from pincompute.gateway.cache_reads import BY_SETTING, CacheReads, setting_index_value
from pincompute.gateway.call_context import Call
from pincompute.gateway.model import codecs
from pincompute.gateway.problems import FieldError, Problem
from pincompute.gateway.workload_templates import WorkloadTemplate
from pincompute.kube import api_errors, write_requests

_NAME_ONE = "name one with `--to`"
ATTEMPTS = 8  # to record a version while others do the same


@dataclass(frozen=True, slots=True)
class NewValue:
    """What a version holds, as the carrier says it, and the bytes of its values. `field_name` is where the user wrote them.
    `facts` are part of the spec; a setting keeps those that it began with.
    """

    content: Manifest = field(repr=False)
    size: int
    field_name: str
    facts: Manifest = field(default_factory=dict[str, Any])


class SettingService:
    """All methods raise Problem."""

    def __init__(self, reads: CacheReads) -> None:
        self._reads = reads

    def all(self, kind: SettingKind, project: str) -> list[Setting]:
        found = [each for each in self._reads.host(kind.resource).list(project) if each.spec.version]
        return sorted(found, key=lambda each: each.metadata.name)

    def one(self, kind: SettingKind, project: str, name: str) -> Setting:
        found: Setting | None = self._reads.get(kind.resource, project, name)
        if found is None or not found.spec.version:
            raise problems.not_found(f"{kind.word} {project}/{name}")
        return found

    def workloads_using(self, kind: SettingKind, setting: Setting) -> list[tuple[str, WorkloadObject]]:
        """Returns the workloads whose templates name it, or that pull images with it, each with the word for its kind."""
        found = {
            (each.word, obj.metadata.name): obj
            for each in self._reads.workloads
            for value in _index_values(kind, setting)
            for obj in self._reads.host(each.workload).by(BY_SETTING, value)
        }
        return [(word, obj) for (word, _), obj in sorted(found.items(), key=lambda item: item[0])]

    async def set(self, kind: SettingKind, new: NewValue, call: Call, key: str) -> Setting:
        """Stores a new version and uses it. A request that is repeated with its idempotency key finds what it made."""
        found: Setting | None = self._reads.get(kind.resource, call.project, call.name)
        request, number = _digest(call, key), 0
        for _ in range(ATTEMPTS):
            setting = found or _unmade(kind, new, call)
            self._refuse(kind, setting, new)
            if request and any(each.request == request for each in setting.spec.versions):
                return setting
            kept, size = self._kept(kind, setting), settings.recorded_size(new.size)
            with self._reserved(setting, settings.total_size(kept) + size):
                try:
                    if found is None:
                        await self._judge(kind, setting, new)
                    setting = found or await self._create(kind, setting)
                    if number <= settings.highest(setting):
                        number = await self._store(kind, setting, max(settings.highest(setting), number) + 1, new)
                    made = SettingVersion(
                        number=number,
                        time=call.at,
                        author=call.caller.principal,
                        size=size,
                        previous=setting.spec.version,
                        request=request,
                    )
                    return await self._change(kind, setting, {"version": number, "versions": codecs.json_data((*kept, made))})
                except api_errors.Conflict:
                    found = await self._current(kind, call)
        raise problems.conflict(f"{kind.word} {call.name} is set by others all the time", "try again in a moment")

    async def roll_back(self, kind: SettingKind, call: Call, to: int) -> Setting:
        """Uses an earlier version: the one that is named, else the one before the present one."""
        setting = self.one(kind, call.project, call.name)
        for _ in range(ATTEMPTS):
            target = to or setting_versions.before(setting)
            if not target:
                raise problems.wrong_state(f"{kind.word} {call.name} has no version before {setting.spec.version}", _NAME_ONE)
            if not settings.is_kept(setting, target) and not to:
                message = (
                    f"version {target} of {kind.word} {call.name}, the one before {setting.spec.version}, is no longer kept"
                )
                raise problems.wrong_state(message, _NAME_ONE)
            if not settings.is_kept(setting, target):
                known = ", ".join(str(each.number) for each in setting.spec.versions)
                raise problems.invalid(FieldError("to", "a version that is kept", f"must be one of {known}"))
            if target == setting.spec.version:
                return setting
            try:
                return await self._change(kind, setting, {"version": target})
            except api_errors.Conflict:
                setting = await self._current(kind, call)
        raise problems.conflict(f"{kind.word} {call.name} is set by others all the time", "try again in a moment")

    async def remove(self, kind: SettingKind, call: Call, *, dry_run: bool = False) -> None:
        setting = self.one(kind, call.project, call.name)
        using = self._users(kind, setting)
        if using:
            named = ", ".join(using[:10])
            more = f" and {len(using) - 10} more" if len(using) > 10 else ""
            raise problems.wrong_state(
                f"{kind.word} {call.name} is used by {named}{more}",
                "change these first, so that they do not name it; old revisions end with later deploys",
            )
        if dry_run:
            return
        cache = self._reads.clusters.cache(HOST, kind.resource)
        try:
            client = self._reads.clusters.client(HOST)
            left = await write_requests.delete(client, kind.resource, setting.key, setting.metadata.uid)
        except api_errors.NotFound:
            left = None
        if left is None:
            cache.deleted(setting.key, setting.metadata.uid)
        else:
            cache.written(left)

    async def content(self, setting: Setting, kind: SettingKind, version: int) -> Manifest:
        """Returns the object that holds a version of a configuration."""
        number = version or setting.spec.version
        if not settings.is_kept(setting, number):
            raise problems.not_found(f"version {number} of {kind.word} {setting.metadata.name}")
        key = Key(setting.metadata.namespace, settings.stored_name(setting.metadata.name, number))
        try:
            found = await write_requests.content(self._reads.clusters.client(HOST), kind.carrier, key)
        except api_errors.Forbidden:
            raise _preparing(setting.metadata.namespace) from None
        if found is None:
            raise problems.unavailable(f"version {number} of {kind.word} {setting.metadata.name} cannot be read")
        return found

    def _naming(self, kind: SettingKind, setting: Setting) -> Iterator[WorkloadTemplate]:
        """Yields the templates that name it, or pull images with it, which workloads have now or may go back to."""
        for value in _index_values(kind, setting):
            yield from workload_templates.naming(self._reads, value)

    def _users(self, kind: SettingKind, setting: Setting) -> list[str]:
        """Returns what needs it, in words. A workload that uses it now needs it for its former revisions as well."""
        found = list(self._naming(kind, setting))
        present = {each.workload for each in found if not each.revision}
        return sorted(present) + sorted({each.user for each in found if each.workload not in present})

    def _kept(self, kind: SettingKind, setting: Setting) -> tuple[SettingVersion, ...]:
        """Returns the versions that stay when one more comes. Raises Problem where there is no room for it."""
        name, templates = setting.metadata.name, list(self._naming(kind, setting))
        named = _versions_in(kind.word, name, (each.template for each in templates if not each.revision))
        former = _versions_in(kind.word, name, (each.template for each in templates if each.revision))
        kept = setting_versions.kept(setting, named, former)
        if len(kept) >= MOST_VERSIONS:
            raise problems.conflict(
                f"apps use {len(kept)} versions of {kind.word} {name}, and it has at most {MOST_VERSIONS}",
                f"let apps name {name} without a version, or wait until their updates are complete",
            )
        return kept

    def _reserved(self, setting: Setting, takes: int) -> AbstractContextManager[None]:
        """Entering it raises LimitExceeded where the project's settings would take too much."""
        project, took = setting.metadata.namespace, settings.total_size(setting.spec.versions)
        return self._reads.project_limits.reserve_change(project, {SETTINGS: took}, {SETTINGS: takes})

    def _refuse(self, kind: SettingKind, setting: Setting, new: NewValue) -> None:
        if new.size > LARGEST:
            limit = f"at most {LARGEST // 1024} KiB"
            raise problems.invalid(
                FieldError(new.field_name, limit, f"takes {new.size} bytes as it is stored, {limit} are allowed")
            )
        if setting.deleting:
            raise problems.conflict(
                f"{kind.word} {setting.metadata.name} is still being deleted", "wait until it is gone, then set it again"
            )
        recorded = self.all(kind, setting.metadata.namespace)
        if not setting.spec.version and len(recorded) >= MOST:
            raise problems.conflict(f"a project has at most {MOST} {kind.word}s", "remove some that nobody uses")
        if settings.pending_removals(setting) > KEPT:  # so that nobody stores faster than the federation removes
            raise problems.unavailable(f"earlier versions of {kind.word} {setting.metadata.name} are still being removed", 2.0)
        present = setting.spec.type if isinstance(setting, PinSecret) else ""
        if isinstance(setting, PinSecret) and present != new.facts.get("type", "Opaque"):
            raise problems.wrong_state(
                f"secret {setting.metadata.name} is of type {present}", "choose another name, or remove that one first"
            )
        if isinstance(setting, PinSecret) and setting.registry != new.facts.get("registry", ""):
            raise problems.wrong_state(
                f"secret {setting.metadata.name} is the login at {setting.registry}",
                f"log out there first: `pin registry logout {setting.registry}`",
            )

    async def _judge(self, kind: SettingKind, setting: Setting, new: NewValue) -> None:
        """Asks whether the API server would take the first version, before there is a setting that would wait for one."""
        carrier = _carrier(kind, setting, 1, new)
        del carrier["metadata"]["ownerReferences"]  # the owner does not exist yet
        with self._refused(kind, setting, new), suppress(api_errors.AlreadyExists):
            await write_requests.create(self._reads.clusters.client(HOST), kind.carrier, carrier, NAME, dry_run=True)

    @contextmanager
    def _refused(self, kind: SettingKind, setting: Setting, new: NewValue) -> Generator[None]:
        """Turns a refusal of a version into what the user can do about it."""
        try:
            yield
        except api_errors.Forbidden as refusal:
            if "exceeded quota" in str(refusal):
                held = f"the namespace of project {setting.metadata.namespace} holds as many {kind.carrier.plural} as it may"
                raise problems.conflict(held, f"remove {kind.word}s that nobody uses, or those made with kubectl") from None
            raise self._no_project(setting.metadata.namespace) from None
        except api_errors.NotFound:
            raise self._no_project(setting.metadata.namespace) from None
        except api_errors.Invalid:
            raise problems.invalid(FieldError(new.field_name, "a value that can be stored", "cannot be stored")) from None

    async def _create(self, kind: SettingKind, setting: Setting) -> Setting:
        """Makes the object, which counts as no setting until its first version is recorded. Raises Conflict where it exists."""
        client = self._reads.clusters.client(HOST)
        try:
            made = await write_requests.create(client, kind.resource, cast("Manifest", codecs.json_data(setting)), NAME)
        except (api_errors.NotFound, api_errors.Forbidden):
            raise self._no_project(setting.metadata.namespace) from None
        self._reads.clusters.cache(HOST, kind.resource).written(made)
        return made

    async def _store(self, kind: SettingKind, setting: Setting, number: int, new: NewValue) -> int:
        """Stores the value under the first number from this one on that is free, and returns it."""
        client = self._reads.clusters.client(HOST)
        for candidate in range(number, number + ATTEMPTS):
            with self._refused(kind, setting, new), suppress(api_errors.AlreadyExists):
                await write_requests.create(client, kind.carrier, _carrier(kind, setting, candidate, new), NAME)
                return candidate
        raise problems.conflict(f"{kind.word} {setting.metadata.name} is set by others all the time", "try again in a moment")

    async def _change(self, kind: SettingKind, setting: Setting, spec: Manifest) -> Setting:
        meta = setting.metadata
        body: Manifest = {"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version}, "spec": spec}
        made = await write_requests.patch(self._reads.clusters.client(HOST), kind.resource, setting.key, body, NAME)
        self._reads.clusters.cache(HOST, kind.resource).written(made)
        return made

    async def _current(self, kind: SettingKind, call: Call) -> Setting:
        try:
            return await self._reads.clusters.client(HOST).get(kind.resource, Key(call.project, call.name))
        except api_errors.NotFound:
            raise problems.conflict(f"{kind.word} {call.name} was removed just now", "set it again") from None

    def _no_project(self, project: str) -> Problem:
        if self._reads.get(PROJECTS, "", project) is None:
            return problems.not_found(f"project {project}")
        return _preparing(project)


def rolls(obj: WorkloadObject, word: str, name: str) -> bool:
    """Tells whether a new value of the setting is a new revision of the workload: it names no version of its own choice."""
    if obj.spec.update.settings != "Roll":
        return False
    named = (place.reference for place in places(obj.spec.template) if "imagePullSecrets" not in place.path)
    return any((ref.word, ref.name, ref.version) == (word, name, 0) for ref in named)


def fixed_version(obj: WorkloadObject, word: str, name: str) -> int:
    """Returns the version that the workload itself names, since a rollback; 0 where it gets new values."""
    named = {ref.version for ref in references(obj.spec.template) if (ref.word, ref.name) == (word, name)}
    return 0 if 0 in named else max(named, default=0)


def _preparing(project: str) -> Problem:
    return problems.unavailable(f"project {project} is being prepared", 1.0)


def _index_values(kind: SettingKind, setting: Setting) -> list[str]:
    """Returns the values under which templates are indexed that name it, or that pull images with it."""
    project, name = setting.key
    login = setting.registry if isinstance(setting, PinSecret) else ""
    named = setting_index_value(kind.word, project, name)
    return [named, setting_index_value("registry", project, login)] if login else [named]


def _unmade(kind: SettingKind, new: NewValue, call: Call) -> Setting:
    """Returns the setting as it is before it has a version."""
    metadata = {
        "name": call.name,
        "namespace": call.project,
        "labels": {labels.MANAGED_BY: labels.PINCOMPUTE},
        "finalizers": [labels.COPIES_FINALIZER],
    }
    return msgspec.convert({"metadata": metadata, "spec": new.facts}, kind.resource.type)


def _versions_in(word: str, name: str, templates: Iterable[Manifest]) -> frozenset[int]:
    """Returns the versions of the setting that the templates name."""
    refs = (ref for template in templates for ref in references(template))
    return frozenset(ref.version for ref in refs if (ref.word, ref.name) == (word, name))


def _carrier(kind: SettingKind, setting: Setting, number: int, new: NewValue) -> Manifest:
    """Returns the object that holds one version. It never changes, and goes with the setting."""
    meta, resource = setting.metadata, kind.resource
    owner = {"apiVersion": resource.api_version, "kind": resource.kind, "name": meta.name, "uid": meta.uid}
    return {
        **new.content,
        "metadata": {
            "name": settings.stored_name(meta.name, number),
            "namespace": meta.namespace,
            "labels": {labels.MANAGED_BY: labels.PINCOMPUTE, labels.ORIGIN_UID: meta.uid},
            "ownerReferences": [owner],
        },
        "immutable": True,
    }


def _digest(call: Call, key: str) -> str:
    """The digest of an idempotency key; callers do not share keys. It says nothing of a value."""
    return hashlib.blake2s(f"{call.caller.principal}\0{key}".encode(), digest_size=10).hexdigest() if key else ""
