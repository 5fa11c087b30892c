"""Defines a plan as data: what to do, in which order, and when to reconcile again.

A plan can be printed, compared, dry-run and refused. It makes seven promises: same input, same plan; no choices left to the
executor; confirm, change, report; pinned to the versions that were read; creates before deletes; unknown changes nothing;
empty when done.
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
    """Creates by POST. A name that exists already means that the view was stale, so the key is reconciled again."""

    ref: Ref
    body: Manifest
    why: str


@dataclass(frozen=True, slots=True)
class Apply:
    """Applies the fields in `body` under the controller's field manager by server-side apply, and creates what is missing.

    With a `uid` it conflicts unless the object exists with this uid; an empty one allows that it has to be created. The engine
    never takes over a foreign object of the same name, one without our managed-by label (S-002), unless the name is
    `reserved` for the platform: then somebody took the label away.
    """

    ref: Ref
    body: Manifest
    why: str
    uid: str = ""
    reserved: bool = False


@dataclass(frozen=True, slots=True)
class Patch:
    """Sends a merge patch (strategic for built-in kinds) with the resource version that it was decided from.

    The resources of a running pod's containers change only through its subresource `resize`, which changes nothing else, and
    a condition of a pod only through `status`.
    """

    ref: Ref
    body: Manifest
    uid: str
    resource_version: str
    why: str
    subresource: Literal["", "resize", "status"] = ""


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
    """Deletes with preconditions; gone already is success. An empty `resource_version` leaves the uid as the only one."""

    ref: Ref
    uid: str
    why: str
    resource_version: str = ""
    propagation: Literal["Background", "Foreground", "Orphan"] = "Background"


@dataclass(frozen=True, slots=True)
class Evict:
    """Ends a pod by the Eviction API, which checks the pod's disruption budget; gone already is success.

    A budget that does not allow it now is an ordinary answer: the outcome is blocked, later stages run all the same, and the
    key is reconciled again soon. So no later stage may need the pod to be gone.
    """

    ref: Ref
    uid: str
    why: str
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class Scale:
    """Sets the replicas through the scale subresource, with the resource version that they were decided from.

    The answer is a Scale and not the object, so the caches get the change from their watches.
    """

    ref: Ref
    replicas: int
    uid: str
    resource_version: str
    why: str


@dataclass(frozen=True, slots=True)
class Copy:
    """Makes the object hold the data of another one, in another cluster as well. The executor reads and writes the data, so no
    plan, cache or log ever holds it.

    Both objects are ours and belong to the object with the uid `origin`. An `immutable` copy that differs is made anew.
    """

    source: Ref
    ref: Ref
    origin: str
    labels: Manifest
    why: str
    immutable: bool = False


@dataclass(frozen=True, slots=True)
class Discard:
    """Deletes by name what no cache shows, if it is ours and belongs to the object with the uid `origin`; gone already is
    success.
    """

    ref: Ref
    origin: str
    why: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """Asks the API server, not a cache, whether the object is still what the plan was decided from; else it conflicts.

    A cache that is known to have been complete a second ago answers as well (`kube.freshness`), except that nothing exists.
    It precedes creates and deletes that a stale view would get wrong (F5). An empty `uid` confirms that no object of this name
    exists; a zero `generation` and an empty `resource_version` accept any. A plan that follows from the object's status needs
    the version, because a status changes without a generation.
    """

    ref: Ref
    uid: str
    generation: int = 0
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class ConfirmSet:
    """Asks the API server whether exactly the objects with these uids carry the label; else it conflicts.

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


Action: TypeAlias = Create | Apply | Patch | Replace | Delete | Evict | Scale | Copy | Discard | Confirm | ConfirmSet
Stage: TypeAlias = tuple[Action, ...]


def cluster_of(action: Action) -> str:
    """Returns the cluster that the action goes to."""
    return action.cluster if isinstance(action, ConfirmSet) else action.ref.cluster


def resource_of(action: Action) -> Resource[Any]:
    """Returns the kind that the action is about."""
    return action.resource if isinstance(action, ConfirmSet) else action.ref.resource


@dataclass(frozen=True, slots=True)
class Failed:
    """One object for which a bug of ours prevented a decision; the others are decided all the same."""

    ref: Ref
    resource_version: str
    error: Exception


@dataclass(frozen=True, slots=True)
class Plan:
    """The stages run in order, the actions of one stage at the same time, and a failed stage stops the later ones.

    `wake_after` (seconds) asks for another reconciliation even without an event; `why` explains a plan that does nothing. The
    actions of an `independent` plan are about one object each and stop nothing when they fail: their objects then back off, as
    do those of `failed`.
    """

    stages: tuple[Stage, ...] = ()
    wake_after: float | None = None
    why: str = ""
    independent: bool = False
    failed: tuple[Failed, ...] = ()

    @property
    def settled(self) -> bool:
        """Returns whether there is nothing to do, which is the definition of converged."""
        return not any(self.stages) and not self.failed

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(action for stage in self.stages for action in stage)


MOST_CREATES = 500
"""Pods that one plan makes at most, whatever its controller thinks: the next reconciliation makes more."""


def bounded(whole: Plan, most: int = MOST_CREATES) -> Plan:
    """Returns the plan up to so many pods; the next reconciliation makes what follows the stage that makes the last of them."""
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
    """Returns whether the action creates a pod; an apply without a uid creates what is missing."""
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
    """Returns a plan without its empty stages."""
    return Plan(tuple(stage for stage in stages if stage), wake_after, why)
