"""A plan is data: what to do, in which order, and when to look again. It can be printed, compared, dry-run, refused.

Seven promises (DESIGN.md): same in, same out; no choices left for the doer; promise, touch, report; pinned to what was
read; creates before deletes; unknown changes nothing; empty when done.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, TypeAlias

from pincompute.api import merge_patch
from pincompute.api.builtin import PODS
from pincompute.api.meta import Key, Manifest, Object, ObjectMeta, Resource, Struct


@dataclass(frozen=True, slots=True)
class Ref:
    """One object in one cluster. `cluster` is labels.HOST or a member's name."""

    cluster: str
    resource: Resource[Object]
    key: Key

    def __str__(self) -> str:
        return f"{self.resource.kind} {self.key} in {self.cluster}"


@dataclass(frozen=True, slots=True)
class Create:
    """POST. A name that exists already means the view was stale: look again."""

    ref: Ref
    body: Manifest
    why: str


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of the fields in `body` under the controller's field manager. Creates what is missing.

    `uid`: refuse (conflict) unless the object exists with this uid; empty when it may have to be created. A foreign object
    of the same name, one without our managed-by label, is never taken over (S-002): the engine refuses.
    """

    ref: Ref
    body: Manifest
    why: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    """Merge patch (strategic for built-in kinds) pinned to the version it was decided from."""

    ref: Ref
    body: Manifest
    uid: str
    resource_version: str
    why: str


@dataclass(frozen=True, slots=True)
class Replace:
    """PUT: the object, or its status alone, is `body` afterwards; pinned to the version it was decided from.

    It costs the API server less than a patch, which has to be merged into the stored object first. A body without a status is
    about everything but the status, so it must carry the metadata that belongs to others.
    """

    ref: Ref
    body: Manifest
    uid: str
    resource_version: str
    why: str
    subresource: Literal["", "status"] = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete with preconditions; gone already is success. `resource_version` empty pins the uid alone."""

    ref: Ref
    uid: str
    why: str
    resource_version: str = ""
    propagation: Literal["Background", "Foreground", "Orphan"] = "Background"


@dataclass(frozen=True, slots=True)
class Evict:
    """End a pod by the Eviction API, which asks the pod's disruption budget; gone already is success.

    A budget that does not allow it now is an ordinary answer: the look is blocked, later stages run all the same, and the
    key is looked at again soon. So no later stage may need the pod to be gone.
    """

    ref: Ref
    uid: str
    why: str
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """Set the replicas through the scale subresource, pinned to the version they were decided from.

    The answer is a Scale and not the object, so the caches learn of it by their watches.
    """

    ref: Ref
    replicas: int
    uid: str
    resource_version: str
    why: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """Ask the API server, not a cache, whether the object is still what the plan was decided from; else conflict.

    A cache that is known to have been complete a second ago answers as well (`kube.freshness`), except that nothing exists.
    Stands before creates and deletes that a stale view would get wrong (PERFORMANCE F5). An empty `uid` confirms that no
    object of this name exists; a zero `generation` and an empty `resource_version` accept any. A plan that follows from the
    object's status needs the version: a status changes without a generation.
    """

    ref: Ref
    uid: str
    generation: int = 0
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class ConfirmSet:
    """Ask the API server whether exactly the objects with these uids carry the label; else conflict.

    Where only our controllers make such objects, `index` names the index of the caches that files them as `namespace/value`.
    A cache that holds all that was written under our lease then answers instead; with `recent`, only one that was complete a
    second ago, because others end such objects.
    """

    cluster: str
    resource: Resource[Object]
    namespace: str
    label: str
    value: str
    uids: frozenset[str]
    index: str = ""
    recent: bool = False


Action: TypeAlias = Create | Apply | Patch | Replace | Delete | Evict | Scale | Confirm | ConfirmSet
Stage: TypeAlias = tuple[Action, ...]


def cluster_of(action: Action) -> str:
    """Where the action goes."""
    return action.cluster if isinstance(action, ConfirmSet) else action.ref.cluster


def resource_of(action: Action) -> Resource[Any]:
    """What kind the action is about."""
    return action.resource if isinstance(action, ConfirmSet) else action.ref.resource


@dataclass(frozen=True, slots=True)
class Failed:
    """One object for which nothing could be decided, through a fault of ours; the others are decided all the same."""

    ref: Ref
    resource_version: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Plan:
    """Stages run in order, the actions of one stage at the same time; a stage that fails stops the later ones.

    `wake_after` (seconds) asks for another look even without news; `why` explains a plan that does nothing. The actions of an
    `independent` plan are about one object each and stop nothing when they fail: their objects are then left alone for a
    growing while, as are those of `failed`.
    """

    stages: tuple[Stage, ...] = ()
    wake_after: float | None = None
    why: str = ""
    independent: bool = False
    failed: tuple[Failed, ...] = ()

    @property
    def settled(self) -> bool:
        """Nothing to do: the definition of converged."""
        return not any(self.stages) and not self.failed

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(action for stage in self.stages for action in stage)


MOST_CREATES = 500
"""Pods that one plan makes at most, whatever its controller thinks: more are made when it has looked again."""


def bounded(whole: Plan, most: int = MOST_CREATES) -> Plan:
    """The plan up to so many pods; what would follow the stage that makes the last of them is left to the next look."""
    left = most
    for number, stage in enumerate(whole.stages):
        makes = sum(_makes_pod(action) for action in stage)
        if makes > left:
            return replace(whole, stages=(*whole.stages[:number], _cut(stage, left)))
        left -= makes
    return whole


def _cut(stage: Stage, most: int) -> Stage:
    first = frozenset(islice((n for n, action in enumerate(stage) if _makes_pod(action)), most))
    return tuple(action for n, action in enumerate(stage) if n in first or not _makes_pod(action))


def _makes_pod(action: Action) -> bool:
    """An apply without a uid makes what is missing."""
    makes = isinstance(action, Create) or (isinstance(action, Apply) and not action.uid)
    return makes and resource_of(action) == PODS


def status_update(ref: Ref, seen: ObjectMeta, present: Struct, wanted: Struct, why: str) -> tuple[Replace, ...]:
    """The one write that turns the object's status from `present` into `wanted`; nothing when they are equal."""
    if present == wanted:
        return ()
    body = {"status": merge_patch.to_json(wanted)}
    return (Replace(ref, body, seen.uid, seen.resource_version, why, "status"),)


def update(ref: Ref, seen: ObjectMeta, body: Manifest, why: str) -> Replace:
    """The write that makes the object `body`. What others have added to its metadata stays."""
    ours = body["metadata"]
    theirs = map(merge_patch.to_json, seen.owner_references)
    owners = {owner["uid"]: owner for owner in (*theirs, *ours.get("ownerReferences", ()))}
    parts: Manifest = {
        "labels": {**seen.labels, **ours.get("labels", {})},
        "annotations": {**seen.annotations, **ours.get("annotations", {})},
        "finalizers": list(dict.fromkeys((*seen.finalizers, *ours.get("finalizers", ())))),
        "ownerReferences": list(owners.values()),
    }
    metadata = {**ours, **{name: part for name, part in parts.items() if part}}
    return Replace(ref, {**body, "metadata": metadata}, seen.uid, seen.resource_version, why)


def plan(*stages: Stage, wake_after: float | None = None, why: str = "") -> Plan:
    """A plan without its empty stages."""
    return Plan(tuple(stage for stage in stages if stage), wake_after, why)
