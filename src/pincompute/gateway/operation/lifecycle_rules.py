"""Decides what each lifecycle verb changes on a workload, or why it cannot be carried out. Pure.

The resulting states (S-258): after pause, pods stay as they are and no change reaches them; after resume, changes reach them
again. After stop there are no pods, and the spec keeps the number of replicas; after start there are that many again. Restart
makes new pods, as fast as the update's limits allow. Scale sets the number of replicas. Rollback restores an earlier template.

Pause and stop are fields of the spec beside `replicas`, so a GitOps tool that applies its manifest again undoes neither. A verb
whose state is already reached changes nothing, nor does a request that is repeated under the same key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from pincompute.api import labels, merge_patch, template_hash
from pincompute.api.kinds import WorkloadKind, WorkloadObject
from pincompute.api.meta import Manifest
from pincompute.domain import shard_pods
from pincompute.gateway import operation_annotation, problems
from pincompute.gateway.operation.replica_lookup import Replica
from pincompute.gateway.operation_annotation import OperationNote
from pincompute.gateway.problems import FieldError

Verb: TypeAlias = Literal["pause", "resume", "stop", "start", "restart", "scale", "rollback"]

MOST_REPLICAS = 100_000
LONGEST_REASON = 1024  # characters
SHOWN = 10  # revisions that a message names


@dataclass(frozen=True, slots=True)
class RollbackRevision:
    """An earlier revision. `good`: all its replicas were ready once; None when that is not known."""

    name: str
    template: Manifest
    at: datetime
    good: bool | None


@dataclass(frozen=True, slots=True)
class LifecycleRequest:
    """`key` identifies a repeated request. `replicas` is for scale; `to`, a revision or empty, and `history` are for rollback.

    `history` is the newest revision first.
    """

    verb: Verb
    by: str
    why: str
    at: datetime
    id: str
    key: str = ""
    replicas: int | None = None
    to: str = ""
    history: Sequence[RollbackRevision] = ()


@dataclass(frozen=True, slots=True)
class LifecycleChange:
    """A merge patch of the spec, empty without a change, and the outcome in words. `to`: a rollback's revision."""

    spec: Manifest
    outcome: str
    to: str = ""


def decide(kind: WorkloadKind, obj: WorkloadObject, request: LifecycleRequest) -> LifecycleChange:
    """The change that the verb makes. Raises Problem when the object does not allow it now."""
    if obj.deleting:
        raise problems.wrong_state(f"{_name(obj)} is being deleted", "create it again once it is gone")
    if len(request.why) > LONGEST_REASON:
        raise problems.invalid(
            FieldError("reason", f"at most {LONGEST_REASON} characters", f"has {len(request.why)} characters")
        )
    before = operation_annotation.repeated(obj, request.verb, request.by, request.key)
    if before is not None and not before.on:
        return LifecycleChange({}, f"{_name(obj)}: this {request.verb} was done before")
    return _VERBS[request.verb](kind, obj, request)


def patch(
    obj: WorkloadObject, request: LifecycleRequest, change: LifecycleChange, about: Replica | None = None, container: str = ""
) -> Manifest:
    """The patch of the object: the change, its note, and the version that the decision is based on."""
    note = OperationNote(
        verb=request.verb,
        by=request.by,
        why=request.why,
        at=request.at,
        request=request.id,
        key=request.key,
        generation=obj.metadata.generation + 1 if change.spec else 0,
        on=" ".join(part for part in (about.name if about else "", container) if part),
        uid=about.uid if about else "",
    )
    metadata = {
        "uid": obj.metadata.uid,
        "resourceVersion": obj.metadata.resource_version,
        "annotations": operation_annotation.annotation(note, operation_annotation.read(obj)),
    }
    return {"metadata": metadata, **({"spec": change.spec} if change.spec else {})}


def may_disrupt(obj: WorkloadObject) -> None:
    """Check that a replica or container may be restarted. Raises Problem while no change may reach the pods."""
    if obj.deleting:
        raise problems.wrong_state(f"{_name(obj)} is being deleted", "create it again once it is gone")
    _not_paused(obj)


def reason_to_wait(kind: WorkloadKind, obj: WorkloadObject, victim: Replica) -> str:
    """Why a restart of the replica may have to wait, as far as the gateway can see; empty when it need not.

    The federation decides, from the disruption account of all clusters together.
    """
    wanted = 0 if obj.spec.stopped else kind.replicas(obj)
    ready = sum(line.ready_replicas for line in obj.status.clusters if line.known)
    if shard_pods.ready_since(victim.pod) is None or ready >= wanted:
        return ""
    missing = wanted - ready
    are = "is" if missing == 1 else "are"
    return f"{missing} of {_count(wanted)} {are} not ready now, so the restart may have to wait"


def _pause(_kind: WorkloadKind, obj: WorkloadObject, _request: LifecycleRequest) -> LifecycleChange:
    if obj.spec.paused:
        return LifecycleChange({}, f"{_name(obj)} is paused already")
    return LifecycleChange(
        {"paused": True}, f"the pods of {_name(obj)} stay as they are; no change reaches them until it is resumed"
    )


def _resume(_kind: WorkloadKind, obj: WorkloadObject, _request: LifecycleRequest) -> LifecycleChange:
    if not obj.spec.paused:
        return LifecycleChange({}, f"{_name(obj)} is not paused")
    return LifecycleChange({"paused": False}, f"changes reach {_name(obj)} again, those made meanwhile at once")


def _stop(kind: WorkloadKind, obj: WorkloadObject, _request: LifecycleRequest) -> LifecycleChange:
    if obj.spec.stopped:
        return LifecycleChange({}, f"{_name(obj)} is stopped already")
    _not_paused(obj)
    return LifecycleChange({"stopped": True}, f"the pods of {_name(obj)} end; start brings {_count(kind.replicas(obj))} back")


def _start(kind: WorkloadKind, obj: WorkloadObject, _request: LifecycleRequest) -> LifecycleChange:
    if not obj.spec.stopped:
        return LifecycleChange({}, f"{_name(obj)} is not stopped")
    _not_paused(obj)
    return LifecycleChange({"stopped": False}, f"{_count(kind.replicas(obj))} of {_name(obj)} will run")


def _restart(_kind: WorkloadKind, obj: WorkloadObject, request: LifecycleRequest) -> LifecycleChange:
    _not_paused(obj)
    if obj.spec.stopped:
        raise problems.wrong_state(f"{_name(obj)} is stopped, so there is nothing to restart", "start it")
    annotations = {labels.RESTARTED_AT: request.at.isoformat()}
    spec: Manifest = {"template": {"metadata": {"annotations": annotations}}}
    return LifecycleChange(spec, f"every pod of {_name(obj)} is replaced, as fast as its update limits allow")


def _scale(kind: WorkloadKind, obj: WorkloadObject, request: LifecycleRequest) -> LifecycleChange:
    if not kind.scalable:
        raise problems.wrong_state(
            f"{_name(obj)} is {_with_article(kind.word)}, which is always one pod", "stop it, or deploy an app instead"
        )
    wanted, present = request.replicas, kind.replicas(obj)
    if wanted is None or not 0 <= wanted <= MOST_REPLICAS:
        given = "is missing" if wanted is None else f"is {wanted}"
        raise problems.invalid(FieldError("replicas", f"a number from 0 to {MOST_REPLICAS}", given))
    if present == wanted:
        return LifecycleChange({}, f"{_name(obj)} has {_count(wanted)} already")
    _not_paused(obj)
    when = "once it is started" if obj.spec.stopped else f"instead of {present}"
    return LifecycleChange({"replicas": wanted}, f"{_count(wanted)} of {_name(obj)} will run {when}")


def _rollback(_kind: WorkloadKind, obj: WorkloadObject, request: LifecycleRequest) -> LifecycleChange:
    """Restore the template before the present one, also in the middle of an update."""
    same = [revision.name for revision in request.history if template_hash.same(revision.template, obj.spec.template)]
    present = same[0] if same else template_hash.revision(obj.spec.template)
    target = _named(obj, request) if request.to else _former(obj, request, (present, *same))
    if target.name in (present, *same):
        return LifecycleChange({}, f"{_name(obj)} has revision {present} already", present)
    _not_paused(obj)
    difference = merge_patch.merge_patch(obj.spec.template, target.template)
    unsure = "" if target.good is not None else ", the one before it; whether that ran well is not known now"
    return LifecycleChange(
        {"template": difference}, f"{_name(obj)} goes back from revision {present} to {target.name}{unsure}", target.name
    )


def _former(obj: WorkloadObject, request: LifecycleRequest, present: tuple[str, ...]) -> RollbackRevision:
    """The newest earlier revision that ran well; if nothing is known of any, the newest.

    The present one may have several names, because versions of this program name the same template differently.
    """
    former = [revision for revision in request.history if revision.name not in present]
    if _unobserved(obj, present) and all(revision.name != obj.status.revision for revision in former):
        raise problems.wrong_state(
            f"the platform has not observed the last change of {_name(obj)} yet, so the previous revision is not kept yet",
            "try again in a moment",
        )
    good = next((revision for revision in former if revision.good), None)
    found = good or next((revision for revision in former if revision.good is None), None)
    if found is None:
        names = ", ".join(revision.name for revision in former[:SHOWN])
        remedy = f"name one of {names}" if names else "deploy a corrected version, or delete it"
        raise problems.wrong_state(f"no earlier revision of {_name(obj)} is known to have run well", remedy)
    return found


def _unobserved(obj: WorkloadObject, present: tuple[str, ...]) -> bool:
    """Whether the federation has not observed the present template yet, and so has not kept the former one."""
    status = obj.status
    return status.observed_generation < obj.metadata.generation and status.revision not in ("", *present)


def _named(obj: WorkloadObject, request: LifecycleRequest) -> RollbackRevision:
    """The revision with this name, or the only one whose name begins so, with or without the version of the naming."""
    exact = [revision for revision in request.history if revision.name == request.to]
    found = exact or [r for r in request.history if r.name.startswith(request.to) or _bare(r.name).startswith(request.to)]
    if len({revision.name for revision in found}) == 1:
        return found[0]
    names = ", ".join(r.name for r in (found or request.history)[:SHOWN]) or "none is known"
    if found:
        error = FieldError("revision", f"a longer beginning of one of {names}", f"{request.to} begins several revisions")
    else:
        error = FieldError("revision", f"one of the history: {names}", f"{request.to} is not in the history of {_name(obj)}")
    raise problems.invalid(error)


def _bare(name: str) -> str:
    return re.sub(r"^v\d+(?=.{10})", "", name)


_VERBS: Mapping[Verb, Callable[[WorkloadKind, WorkloadObject, LifecycleRequest], LifecycleChange]] = {
    "pause": _pause,
    "resume": _resume,
    "stop": _stop,
    "start": _start,
    "restart": _restart,
    "scale": _scale,
    "rollback": _rollback,
}


def _not_paused(obj: WorkloadObject) -> None:
    if obj.spec.paused:
        raise problems.wrong_state(f"{_name(obj)} is paused, so no change reaches it", "resume it first")


def _count(count: int) -> str:
    return f"{count} replica" if count == 1 else f"{count} replicas"


def _with_article(word: str) -> str:
    return f"an {word}" if word[0] in "aeio" else f"a {word}"


def _name(obj: WorkloadObject) -> str:
    return obj.metadata.name
