"""Decides what each lifecycle verb changes on a workload, or why it cannot be carried out. Pure.

The resulting states (S-258): after pause, pods stay as they are and no change reaches them; after resume, changes reach them
again. After stop there are no pods, and the spec keeps the number of replicas; after start there are that many again. Restart
makes new pods, as fast as the update's limits allow. Scale sets the number of replicas. Rollback restores an earlier template.
Approve lets the rollout in progress go on past its present step, abort undoes it, and retry begins an undone one anew (S-129).

Pause and stop are fields of the spec beside `replicas`, so a GitOps tool that applies its manifest again undoes neither. A verb
whose state is already reached changes nothing, nor does a request that is repeated under the same key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from pincompute.api import labels, merge_patch, template_hash
from pincompute.api.kinds import WorkloadKind, WorkloadObject
from pincompute.api.meta import Manifest
from pincompute.api.workloads import UNDOING, RolloutControl, RolloutStatus
from pincompute.domain import in_place_update, operation_annotation, shard_pods
from pincompute.domain.operation_annotation import OperationNote
from pincompute.gateway import problems, reason_header
from pincompute.gateway.operation import rollback_target
from pincompute.gateway.operation.replica_lookup import Replica
from pincompute.gateway.operation.rollback_target import RollbackRevision
from pincompute.gateway.problems import FieldError

LifecycleVerb: TypeAlias = Literal[
    "pause", "resume", "stop", "start", "restart", "scale", "rollback", "approve", "abort", "retry"
]

MOST_REPLICAS = 100_000
LONGEST_REASON = 1024  # characters


@dataclass(frozen=True, slots=True)
class LifecycleRequest:
    """`key` identifies a repeated request. `replicas` is for scale; `to`, a revision or empty, `force` and `history` are
    for rollback; `container`, one name or empty, is for restart.

    `history` is the newest revision first.
    """

    verb: LifecycleVerb
    by: str
    why: str
    at: datetime
    id: str
    key: str = ""
    replicas: int | None = None
    to: str = ""
    force: bool = False
    container: str = ""
    history: Sequence[RollbackRevision] = ()


@dataclass(frozen=True, slots=True)
class LifecycleChange:
    """A merge patch of the spec, empty without a change, and the outcome in words. `to`: a rollback's revision, and `note` what
    is noted about it; None where the note stays.
    """

    spec: Manifest
    outcome: str
    to: str = ""
    note: str | None = None


def decide(kind: WorkloadKind, obj: WorkloadObject, request: LifecycleRequest) -> LifecycleChange:
    """The change that the verb makes. Raises Problem when the object does not allow it now."""
    if obj.deleting:
        raise problems.wrong_state(f"{_name(obj)} is being deleted", "create it again once it is gone")
    if len(request.why) > LONGEST_REASON:
        raise problems.invalid(
            FieldError("reason", f"at most {LONGEST_REASON} characters", f"has {len(request.why)} characters")
        )
    if not reason_header.is_one_line(request.why):
        raise problems.invalid(FieldError("reason", *reason_header.NOT_ONE_LINE))
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
        "annotations": {**operation_annotation.annotation(note, operation_annotation.read(obj)), **_noted(change)},
    }
    return {"metadata": metadata, **({"spec": change.spec} if change.spec else {})}


def _noted(change: LifecycleChange) -> dict[str, str | None]:
    """Returns the merge patch of the annotation with which a revision takes its note along."""
    return {} if change.note is None or not change.spec else {labels.CHANGE_CAUSE: change.note or None}


def may_disrupt(kind: WorkloadKind, obj: WorkloadObject) -> None:
    """Check that a replica or container may be restarted. Raises Problem while no change may reach the pods."""
    if obj.deleting:
        raise problems.wrong_state(f"{_name(obj)} is being deleted", "create it again once it is gone")
    _not_paused(kind, obj)


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
        {"paused": True}, f"the replicas of {_name(obj)} stay as they are; no change reaches them until it is resumed"
    )


def _resume(_kind: WorkloadKind, obj: WorkloadObject, _request: LifecycleRequest) -> LifecycleChange:
    if not obj.spec.paused:
        return LifecycleChange({}, f"{_name(obj)} is not paused")
    return LifecycleChange({"paused": False}, f"changes reach {_name(obj)} again, those made meanwhile at once")


def _stop(kind: WorkloadKind, obj: WorkloadObject, _request: LifecycleRequest) -> LifecycleChange:
    if obj.spec.stopped:
        return LifecycleChange({}, f"{_name(obj)} is stopped already")
    _not_paused(kind, obj)
    return LifecycleChange(
        {"stopped": True}, f"the replicas of {_name(obj)} end; start brings {_count(kind.replicas(obj))} back"
    )


def _start(kind: WorkloadKind, obj: WorkloadObject, _request: LifecycleRequest) -> LifecycleChange:
    if not obj.spec.stopped:
        return LifecycleChange({}, f"{_name(obj)} is not stopped")
    _not_paused(kind, obj)
    return LifecycleChange({"stopped": False}, f"{_count(kind.replicas(obj))} of {_name(obj)} will run")


def _restart(kind: WorkloadKind, obj: WorkloadObject, request: LifecycleRequest) -> LifecycleChange:
    _not_paused(kind, obj)
    if obj.spec.stopped:
        raise problems.wrong_state(
            f"{_name(obj)} is stopped, so there is nothing to restart", f"start it with `pin start {kind.typed(_name(obj))}`"
        )
    if request.container:
        return _restart_container(kind, obj, request)
    if obj.spec.update.in_place == "Require":
        raise problems.wrong_state(
            f"a restart replaces every replica of {_name(obj)}, and its update.inPlace is Require",
            f"set it to Prefer, or restart a container with `pin restart {kind.typed(_name(obj))}/REPLICA --container NAME`",
        )
    annotations = {labels.RESTARTED_AT: request.at.isoformat()}
    spec: Manifest = {"template": {"metadata": {"annotations": annotations}}}
    return LifecycleChange(spec, f"every replica of {_name(obj)} is replaced, as fast as its update limits allow")


def _restart_container(kind: WorkloadKind, obj: WorkloadObject, request: LifecycleRequest) -> LifecycleChange:
    """Restart one container in every pod as an update in place, so the disruption account and the steps apply (S-166)."""
    names = template_hash.images(obj.spec.template)
    if request.container not in names:
        raise problems.not_among(f"container {request.container} in {_name(obj)}", ", ".join(names))
    if obj.spec.update.in_place == "Never":
        raise problems.wrong_state(
            f"update.inPlace of {_name(obj)} is Never, so no container restarts without its replica",
            f"restart all with `pin restart {kind.typed(_name(obj))}`, or set it to Prefer",
        )
    metadata: Manifest = obj.spec.template.get("metadata") or {}
    asked = in_place_update.restarts_asked(metadata.get("annotations") or {}) | {request.container: request.at.isoformat()}
    annotations = {labels.CONTAINERS_RESTARTED_AT: msgspec.json.encode(asked, order="sorted").decode()}
    return LifecycleChange(
        {"template": {"metadata": {"annotations": annotations}}},
        f"container {request.container} restarts in every replica of {_name(obj)}, as fast as its update limits allow; "
        "the others keep running",
    )


def _scale(kind: WorkloadKind, obj: WorkloadObject, request: LifecycleRequest) -> LifecycleChange:
    if not kind.scalable:
        raise problems.wrong_state(
            f"{_name(obj)} is {_with_article(kind.word)}, which is always one replica",
            f"stop it with `pin stop {kind.typed(_name(obj))}`, or deploy an app instead",
        )
    wanted, present = request.replicas, kind.replicas(obj)
    if wanted is None or not 0 <= wanted <= MOST_REPLICAS:
        given = "is missing" if wanted is None else f"is {wanted}"
        raise problems.invalid(FieldError("replicas", f"a number from 0 to {MOST_REPLICAS}", given))
    if present == wanted:
        return LifecycleChange({}, f"{_name(obj)} has {_count(wanted)} already")
    _not_paused(kind, obj)
    when = "once it is started" if obj.spec.stopped else f"instead of {present}"
    return LifecycleChange({"replicas": wanted}, f"{_count(wanted)} of {_name(obj)} will run {when}")


def _rollback(kind: WorkloadKind, obj: WorkloadObject, request: LifecycleRequest) -> LifecycleChange:
    """Restore the template before the present one, also in the middle of an update."""
    names = rollback_target.present_names(obj, request.history)
    present = names[0]
    target = (
        rollback_target.named(obj, request.to, request.history)
        if request.to
        else rollback_target.former(obj, request.history, names, force=request.force)
    )
    if target.name in names:
        return LifecycleChange({}, f"{_name(obj)} has revision {present} already", present)
    _not_paused(kind, obj)
    if target.failure and not request.force:
        raise problems.wrong_state(
            f"the update of {_name(obj)} to revision {target.name} failed: {target.failure}",
            "choose another revision, or force the rollback",
        )
    difference = merge_patch.merge_patch(obj.spec.template, target.template)
    unsure = "" if target.ran_well is not None else ", the one before it; whether that ran well is not known now"
    return LifecycleChange(
        {"template": difference},
        f"{_name(obj)} goes back from revision {present} to {target.name}{unsure}",
        target.name,
        target.note,
    )


def _approve(kind: WorkloadKind, obj: WorkloadObject, _request: LifecycleRequest) -> LifecycleChange:
    record = _rollout_in_progress(kind, obj)
    approved = record.step + 1
    if _decided(obj, record).approved_steps >= approved:
        return LifecycleChange({}, f"step {approved} of the rollout of {_name(obj)} is approved already", record.revision)
    control = {"revision": record.revision, "approvedSteps": approved, "aborted": False, "attempt": record.attempt}
    what = f"step {approved} of {record.steps} of the rollout of {record.revision} to {_name(obj)} is approved"
    return LifecycleChange({"rollout": control}, what, record.revision)


def _abort(kind: WorkloadKind, obj: WorkloadObject, _request: LifecycleRequest) -> LifecycleChange:
    record = _rollout_in_progress(kind, obj)
    if not record.stable:
        typed = kind.typed(_name(obj))
        raise problems.wrong_state(
            f"no earlier revision of {_name(obj)} served, so its rollout cannot be undone",
            f"pause or stop it with `pin pause {typed}` or `pin stop {typed}`",
        )
    if _decided(obj, record).aborted:
        return LifecycleChange({}, f"the rollout of {_name(obj)} is aborted already", record.stable)
    control = {"revision": record.revision, "approvedSteps": 0, "aborted": True, "attempt": record.attempt}
    what = f"the rollout of {record.revision} to {_name(obj)} is undone; all replicas go back to {record.stable}"
    return LifecycleChange({"rollout": control}, what, record.stable)


def _retry(kind: WorkloadKind, obj: WorkloadObject, _request: LifecycleRequest) -> LifecycleChange:
    record = obj.status.rollout
    if record is None or record.state not in UNDOING:
        raise problems.wrong_state(f"no rollout of {_name(obj)} was undone", "deploy a change instead")
    _not_paused(kind, obj)
    control = {"revision": record.revision, "approvedSteps": 0, "aborted": False, "attempt": record.attempt + 1}
    return LifecycleChange(
        {"rollout": control}, f"the rollout of {record.revision} to {_name(obj)} begins anew", record.revision
    )


def _decided(obj: WorkloadObject, record: RolloutStatus) -> RolloutControl:
    """What was decided about this very revision."""
    control = obj.spec.rollout
    return control if control is not None and control.revision == record.revision else RolloutControl()


def _rollout_in_progress(kind: WorkloadKind, obj: WorkloadObject) -> RolloutStatus:
    record = obj.status.rollout
    if record is None or record.state not in ("Progressing", "AwaitingApproval"):
        raise problems.wrong_state(
            f"no rollout of {_name(obj)} is in progress", f"`pin status {kind.typed(_name(obj))}` shows what runs"
        )
    _not_paused(kind, obj)
    return record


_VERBS: Mapping[LifecycleVerb, Callable[[WorkloadKind, WorkloadObject, LifecycleRequest], LifecycleChange]] = {
    "pause": _pause,
    "resume": _resume,
    "stop": _stop,
    "start": _start,
    "restart": _restart,
    "scale": _scale,
    "rollback": _rollback,
    "approve": _approve,
    "abort": _abort,
    "retry": _retry,
}


def _not_paused(kind: WorkloadKind, obj: WorkloadObject) -> None:
    if obj.spec.paused:
        raise problems.wrong_state(
            f"{_name(obj)} is paused, so no change reaches it", f"resume it first with `pin resume {kind.typed(_name(obj))}`"
        )


def _count(count: int) -> str:
    return f"{count} replica" if count == 1 else f"{count} replicas"


def _with_article(word: str) -> str:
    return f"an {word}" if word[0] in "aeio" else f"a {word}"


def _name(obj: WorkloadObject) -> str:
    return obj.metadata.name
