"""Carries out lifecycle verbs: it reads the object, decides, and writes once, with a note of who asked and why.

A restart of one replica or container is noted on the workload first, so that a request that is repeated after a lost response
is recognized. The gateway itself ends no replica and no container: it leaves a request on the pod, and the federation grants it
from the workload's disruption account.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec

from pincompute.api import merge_patch
from pincompute.api.kinds import WorkloadObject
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Manifest
from pincompute.domain import operation_annotation
from pincompute.domain.operation_annotation import OperationNote
from pincompute.domain.restart_requests import RestartRequest
from pincompute.gateway import NAME, problems
from pincompute.gateway.access import Authorizer, object_permissions
from pincompute.gateway.cache_reads import CacheReads
from pincompute.gateway.call_context import Call
from pincompute.gateway.images.image_digests import ImageDigests, ImageQuestion
from pincompute.gateway.model import SimpleKind, diff, document_validation
from pincompute.gateway.model.simple_kind import stated_spec
from pincompute.gateway.operation import lifecycle_rules, replica_lookup
from pincompute.gateway.operation.lifecycle_rules import LifecycleChange, LifecycleRequest
from pincompute.gateway.operation.replica_access import ReplicaAccess
from pincompute.gateway.operation.replica_lookup import Replica, ReplicaLookup, WorkloadRef
from pincompute.gateway.operation.rollback_candidates import RollbackCandidates
from pincompute.gateway.workloads import in_place_requirement, known_settings, setting_keys
from pincompute.gateway.workloads.setting_keys import KeyQuestion
from pincompute.kube import write_requests
from pincompute.kube.api_errors import Conflict, NotFound

ATTEMPTS = 10  # at a write that conflicts: a changing workload has a new status every few milliseconds
PAUSE = 0.02  # seconds, growing with every attempt


class LifecycleResult(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A verb was accepted. `changed` is false when the post-state was there already; `watch` shows how it comes about.

    Of a dry run `changes` are all fields that it would change, and `revision` is the one that a rollback would lead to.
    `replica` is the one that a restart of a replica or container chose.
    """

    verb: str
    project: str
    name: str
    changed: bool
    message: str
    watch: str
    generation: int
    version: str = ""
    dry_run: bool = False
    changes: tuple[diff.Change, ...] = ()
    revision: str = ""
    replica: str = ""


@dataclass(frozen=True, slots=True)
class LifecycleService:
    """Carries out lifecycle verbs. Only rollbacks use `revisions` and `images`; `authorizer` judges each changed field."""

    reads: CacheReads
    replicas: ReplicaLookup
    access: ReplicaAccess
    revisions: RollbackCandidates
    authorizer: Authorizer
    images: ImageDigests

    async def execute(self, target: WorkloadRef, request: LifecycleRequest, call: Call) -> LifecycleResult:
        """Carry out a verb on the whole workload. Raises Problem, KubeError."""
        informed = await self._with_history(target, request)
        return await self._write(target, request, lambda obj: self._decide(target, obj, informed, call))

    async def dry_run_of(self, target: WorkloadRef, request: LifecycleRequest, call: Call) -> LifecycleResult:
        """What a verb on the whole workload would change now, field by field, without a write. Raises Problem."""
        obj = self.workload(target)
        change = self._decide(target, obj, await self._with_history(target, request), call)
        async with self._checked(target, obj, change):
            with self._reserved(target, obj, change, dry_run=True):
                pass
        done = _result(target, obj, request, change, changed=bool(change.spec))
        return msgspec.structs.replace(done, dry_run=True, changes=self._changes(target, obj, change), revision=change.to)

    async def restart(self, target: WorkloadRef, asked: str, container: str, request: LifecycleRequest) -> LifecycleResult:
        """Request that one replica ends and is replaced, or that only one container of it restarts."""
        obj = self.workload(target)
        before = operation_annotation.repeated(obj, request.verb, request.by, request.key)
        if before is not None and before.uid:
            return await self._repeat(target, obj, before, container, request)
        victim = replica_lookup.choose(target, self.replicas.of(target), asked)
        name = replica_lookup.container_of(victim, container) if container else ""
        lifecycle_rules.may_disrupt(target.kind, obj)
        wanted = _restart_request(name, request)
        await self.access.may_restart(victim.place, victim.uid, wanted)
        done = await self._note(target, request, LifecycleChange({}, _outcome_of(target, obj, victim, name)), victim, name)
        return await self._leave_request(done, victim, wanted)

    def _decide(self, target: WorkloadRef, obj: WorkloadObject, request: LifecycleRequest, call: Call) -> LifecycleChange:
        """The change, which the caller may make. Raises Problem."""
        change = lifecycle_rules.decide(target.kind, obj, request)
        if change.spec:
            before = stated_spec(obj)
            after = merge_patch.apply(before, change.spec)
            object_permissions.check(self.authorizer, call, target.kind.plural, target.project, before, after)
            in_place_requirement.check(self._form(target), before, after)
        return change

    @asynccontextmanager
    async def _checked(self, target: WorkloadRef, obj: WorkloadObject, change: LifecycleChange) -> AsyncGenerator[None]:
        """Within it, all images that a changed template names stay. Raises Problem where an image or a setting is not there,
        as a deploy does.
        """
        if "template" not in change.spec:
            yield
            return
        before = stated_spec(obj)
        after = merge_patch.apply(before, change.spec)
        document_validation.check_settings(after["template"], known_settings.of(self.reads, target.project, obj))
        await setting_keys.check(self.reads, KeyQuestion(target.project, after, before))
        async with self.images.kept(ImageQuestion(after, before, whole=False, project=target.project)):
            yield

    def _reserved(
        self, target: WorkloadRef, obj: WorkloadObject, change: LifecycleChange, *, dry_run: bool = False
    ) -> AbstractContextManager[None]:
        """Within it, what the project's limits allow is reserved for the changed workload. Raises Problem."""
        if not change.spec:
            return nullcontext()
        spec = merge_patch.apply(stated_spec(obj), change.spec)
        return self.reads.project_limits.reserve(target.project, target.kind, obj, spec, dry_run=dry_run)

    async def _repeat(
        self, target: WorkloadRef, obj: WorkloadObject, before: OperationNote, container: str, request: LifecycleRequest
    ) -> LifecycleResult:
        """Repeat a request: leave it once more on its replica, unless that is gone, in case it never got there."""
        done = _result(target, obj, request, LifecycleChange({}, f"{before.on} was to be restarted by this request before"))
        victim = next((replica for replica in self.replicas.of(target) if replica.uid == before.uid), None)
        return done if victim is None else await self._leave_request(done, victim, _restart_request(container, request))

    async def _leave_request(self, done: LifecycleResult, victim: Replica, wanted: RestartRequest) -> LifecycleResult:
        changed = await self.access.restart(victim.place, victim.uid, wanted)
        return msgspec.structs.replace(done, changed=changed, replica=victim.name)

    def _changes(self, target: WorkloadRef, obj: WorkloadObject, change: LifecycleChange) -> tuple[diff.Change, ...]:
        """The changed fields of the simple form."""
        spec = msgspec.convert(merge_patch.apply(merge_patch.to_json(cast("Any", obj.spec)), change.spec), type(obj.spec))
        kind = self._form(target)
        after: Any = msgspec.structs.replace(cast("Any", obj), spec=spec)
        return diff.changes(*(diff.asked(kind.to_simple(one)) for one in (cast("Any", obj), after)))

    def _form(self, target: WorkloadRef) -> SimpleKind[Any]:
        """The simple form of the workload's kind."""
        return next(kind for kind in self.reads.kinds if kind.workload is target.kind)

    async def _with_history(self, target: WorkloadRef, request: LifecycleRequest) -> LifecycleRequest:
        """Add the history to a rollback."""
        if request.verb != "rollback":
            return request
        return replace(request, history=await self.revisions.of(target, self.workload(target)))

    def workload(self, target: WorkloadRef) -> WorkloadObject:
        found: WorkloadObject | None = self.reads.get(target.resource, target.project, target.name)
        if found is None:
            raise problems.not_found(target.spoken)
        return found

    async def _note(
        self, target: WorkloadRef, request: LifecycleRequest, change: LifecycleChange, replica: Replica, container: str = ""
    ) -> LifecycleResult:
        """Note on the workload what is about to happen to one replica or container."""
        obj = self.workload(target)
        body = lifecycle_rules.patch(obj, request, change, replica, container)
        del body["metadata"]["resourceVersion"]  # the note depends on nothing in the object
        made = await self._patch(target, body)
        return _result(target, made, request, change, changed=True)

    async def _write(
        self, target: WorkloadRef, request: LifecycleRequest, decide: Callable[[WorkloadObject], LifecycleChange]
    ) -> LifecycleResult:
        """Write the decided change; decide again whenever another write came first."""
        for attempt in range(1, ATTEMPTS + 1):
            obj = self.workload(target) if attempt == 1 else await self._read_fresh(target)
            change = decide(obj)
            if not change.spec:
                return _result(target, obj, request, change)
            try:
                async with self._checked(target, obj, change):
                    with self._reserved(target, obj, change):
                        made = await self._patch(target, lifecycle_rules.patch(obj, request, change))
            except Conflict:
                await asyncio.sleep(PAUSE * attempt)
                continue
            return _result(target, made, request, change, changed=True)
        raise problems.conflict(f"{target.name} is being changed by others all the time", "try again in a moment")

    async def _read_fresh(self, target: WorkloadRef) -> WorkloadObject:
        """Read from the API server when the cache is not new enough."""
        try:
            return await self.reads.clusters.client(HOST).get(target.resource, Key(target.project, target.name))
        except NotFound:
            raise problems.not_found(target.spoken) from None

    async def _patch(self, target: WorkloadRef, body: Manifest) -> WorkloadObject:
        resource = target.resource
        made = await write_requests.patch(
            self.reads.clusters.client(HOST), resource, Key(target.project, target.name), body, NAME
        )
        self.reads.clusters.cache(HOST, resource).written(made)
        return made


def _restart_request(container: str, request: LifecycleRequest) -> RestartRequest:
    """The request for a restart. Without a key every request is a new one, whatever its id."""
    identity = request.key or f"{request.id} {request.at.isoformat()}"
    return RestartRequest(id=identity, by=request.by, at=request.at, container=container, why=request.why)


def _outcome_of(target: WorkloadRef, obj: WorkloadObject, victim: Replica, container: str) -> str:
    granted = "as soon as the workload's disruption account allows it"
    will = (
        f"container {container} of {victim.name} will restart {granted}, the others keep running"
        if container
        else f"{victim.name} will end and be replaced {granted}"
    )
    why = lifecycle_rules.reason_to_wait(target.kind, obj, victim)
    return f"{will}; {why}" if why else will


def _result(
    target: WorkloadRef, obj: WorkloadObject, request: LifecycleRequest, change: LifecycleChange, *, changed: bool = False
) -> LifecycleResult:
    return LifecycleResult(
        verb=request.verb,
        project=target.project,
        name=target.name,
        changed=changed,
        message=change.outcome,
        watch=f"/v1/projects/{target.project}/{target.kind.plural}/{target.name}/watch",
        generation=obj.metadata.generation,
        version=f"{target.resource.plural}.{obj.metadata.resource_version}",
    )
