"""Verbs carried out: read, decide, write once, say what will be. The record of who and why goes with the same write.

What is about one replica or container is recorded on the workload first and done then, so that a request that is sent
again after an answer was lost is known again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from pincompute.api import changes
from pincompute.api.labels import HOST
from pincompute.api.meta import Key, Manifest
from pincompute.api.workloads import PINAPPS, PinApp, PinPod
from pincompute.gateway import NAME, problems
from pincompute.gateway.model import APP, UNIT, difference
from pincompute.gateway.operation import notes, replicas, verbs
from pincompute.gateway.operation.backend import ReplicaAccess, Restart
from pincompute.gateway.operation.replicas import KINDS, Replica, Replicas, Target
from pincompute.gateway.operation.verbs import Change, Request, Revision, WorkloadObject
from pincompute.gateway.reads import Reads
from pincompute.kube import writes
from pincompute.kube.errors import Conflict, NotFound

ATTEMPTS = 10  # at a write that others' writes come before: a workload that is changing has a new status every few milliseconds
PAUSE = 0.02  # seconds, growing with every attempt


class Revisions(Protocol):
    """A workload's history of templates."""

    async def of(self, kind: str, project: str, name: str) -> Sequence[Revision]:
        """Newest first. Raises Problem while the history cannot be read."""
        ...


class Done(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A verb was accepted. `changed` is false when the post-state was there already; `watch` shows how it comes about.

    Of a dry run `changes` are all fields that it would change, and `revision` is the one that a rollback would lead to.
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
    changes: tuple[difference.Change, ...] = ()
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Verbs:
    """Carries out verbs. `revisions` is asked for rollbacks only."""

    reads: Reads
    replicas: Replicas
    access: ReplicaAccess
    revisions: Revisions

    async def carry_out(self, target: Target, request: Request) -> Done:
        """A verb on the whole workload. Raises Problem, KubeError."""
        informed = await self._informed(target, request)
        return await self._write(target, request, lambda obj: verbs.decide(obj, informed))

    async def foresee(self, target: Target, request: Request) -> Done:
        """What a verb on the whole workload would do now, field by field; nothing is written. Raises Problem."""
        obj = self.workload(target)
        change = verbs.decide(obj, await self._informed(target, request))
        done = _done(target, obj, request, change, changed=bool(change.spec))
        return msgspec.structs.replace(done, dry_run=True, changes=_changes(obj, change), revision=change.to)

    async def restart_replica(self, target: Target, asked: str, request: Request) -> Done:
        """Ends one replica; its place is taken as its shard's rules say."""
        obj = self.workload(target)
        before = notes.repeated(obj, request.verb, request.by, request.key)
        if before is not None and before.uid:
            return _done(target, obj, request, Change({}, f"{before.on} was restarted by this request before"))
        there = self.replicas.of(target)
        victim = replicas.choose(target, there, asked)
        verbs.may_replace(obj, there, victim)
        change = Change({}, f"{victim.name} ends and another takes its place")
        done = await self._record(target, request, change, victim)
        try:
            await self.access.replace(victim.place, victim.uid)
        except (NotFound, Conflict):
            return done  # it went by itself meanwhile
        return done

    async def restart_container(self, target: Target, asked: str, container: str, request: Request) -> Done:
        """Restarts one container of one replica; the others keep running."""
        there = self.replicas.of(target)
        replica = replicas.choose(target, there, asked)
        name = replicas.container_of(replica, container)
        change = Change({}, f"container {name} of {replica.name} restarts, the others keep running")
        obj = self.workload(target)
        before = notes.repeated(obj, request.verb, request.by, request.key)
        done = _done(target, obj, request, change) if before else await self._record(target, request, change, replica, name)
        again = await self.access.restart_container(replica.place, _restart(name, request))
        return msgspec.structs.replace(done, changed=again)

    async def _informed(self, target: Target, request: Request) -> Request:
        """A rollback knows the history."""
        if request.verb != "rollback":
            return request
        return replace(request, history=await self.revisions.of(target.kind, target.project, target.name))

    def workload(self, target: Target) -> WorkloadObject:
        found: PinApp | PinPod | None = self.reads.get(KINDS[target.kind], target.project, target.name)
        if found is None:
            raise problems.not_found(f"{_word(target)} {target.project}/{target.name}")
        return found

    async def _record(self, target: Target, request: Request, change: Change, replica: Replica, container: str = "") -> Done:
        """Only says on the workload what is about to be done to a part of it."""
        obj = self.workload(target)
        body = verbs.patch(obj, request, change, replica, container)
        del body["metadata"]["resourceVersion"]  # nothing of it was decided from the object
        made = await self._patch(target, body)
        return _done(target, made, request, change, changed=True)

    async def _write(self, target: Target, request: Request, decide: Callable[[WorkloadObject], Change]) -> Done:
        """Decided anew whenever somebody else's write came first."""
        for attempt in range(1, ATTEMPTS + 1):
            obj = self.workload(target) if attempt == 1 else await self._fresh(target)
            change = decide(obj)
            if not change.spec:
                return _done(target, obj, request, change)
            try:
                made = await self._patch(target, verbs.patch(obj, request, change))
            except Conflict:
                await asyncio.sleep(PAUSE * attempt)
                continue
            return _done(target, made, request, change, changed=True)
        raise problems.conflict(f"{target.name} is being changed by others all the time", "try again in a moment")

    async def _fresh(self, target: Target) -> WorkloadObject:
        """From the API server: the cache was not new enough."""
        try:
            return await self.reads.clusters.client(HOST).get(KINDS[target.kind], Key(target.project, target.name))
        except NotFound:
            raise problems.not_found(f"{_word(target)} {target.project}/{target.name}") from None

    async def _patch(self, target: Target, body: Manifest) -> WorkloadObject:
        resource = KINDS[target.kind]
        made = await writes.patch(self.reads.clusters.client(HOST), resource, Key(target.project, target.name), body, NAME)
        self.reads.clusters.cache(HOST, resource).written(made)
        return made


def _restart(container: str, request: Request) -> Restart:
    """Without a key every request is another, whatever its id."""
    return Restart(container, request.by, request.why, request.key or f"{request.id} {request.at.isoformat()}")


def _changes(obj: WorkloadObject, change: Change) -> tuple[difference.Change, ...]:
    """In the simple model."""
    spec = msgspec.convert(changes.apply(changes.to_json(obj.spec), change.spec), type(obj.spec))
    simple = (APP if isinstance(obj, PinApp) else UNIT).to_simple
    return difference.changes(*(difference.asked(simple(one)) for one in (obj, msgspec.structs.replace(obj, spec=spec))))


def _done(target: Target, obj: WorkloadObject, request: Request, change: Change, *, changed: bool = False) -> Done:
    plural = KINDS[target.kind].plural
    return Done(
        verb=request.verb,
        project=target.project,
        name=target.name,
        changed=changed,
        message=change.will,
        watch=f"/v1/projects/{target.project}/{_word(target)}s/{target.name}/watch",
        generation=obj.metadata.generation,
        version=f"{plural}.{obj.metadata.resource_version}",
    )


def _word(target: Target) -> str:
    return "app" if target.kind == PINAPPS.kind else "unit"
