"""Explains a plan in sentences for `--dry-run` and `pincompute explain`: changes, their order, and reasons."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from pincompute.api.meta import Manifest
from pincompute.engine.error_classification import Outcome
from pincompute.engine.plan import (
    Action,
    Apply,
    Confirm,
    ConfirmSet,
    Copy,
    Create,
    Delete,
    Discard,
    Evict,
    Patch,
    Plan,
    Replace,
    Scale,
    Stage,
)
from pincompute.engine.reconciler import ReconcileResult


def explain(result: ReconcileResult, *, bodies: bool = False) -> str:
    """Returns what a dry reconciliation decided; `bodies` adds what it would write, as YAML."""
    match result.outcome:
        case Outcome.UNKNOWN:
            return f"Nothing is changed, because the world cannot be seen well enough: {result.error}\n"
        case Outcome.BUG:
            return f"The controller failed, which is a bug: {type(result.error).__name__}: {result.error}\n"
        case _:
            return "\n".join(_lines(result.plan, bodies=bodies)) + "\n"


def sentence(action: Action) -> str:
    """Returns one action as a sentence without its full stop."""
    match action:
        case Create(ref, _, why):
            return f"create {ref}: {why}"
        case Apply(ref, _, why):
            return f"apply {ref}: {why}"
        case Patch(ref, _, _, _, why, subresource):
            return f"{subresource or 'patch'} {ref}: {why}"
        case Replace(ref, _, _, _, why, subresource):
            return f"write the {subresource} of {ref}: {why}" if subresource else f"update {ref}: {why}"
        case Delete(ref, _, why) | Discard(ref, _, why):
            return f"delete {ref}: {why}"
        case Evict(ref, _, why):
            return f"evict {ref}: {why}"
        case Scale(ref, replicas, _, _, why):
            return f"scale {ref} to {replicas}: {why}"
        case Copy(source, ref, why=why):
            return f"copy {source} to {ref}: {why}"
        case Confirm() | ConfirmSet():
            return f"make sure that {_proof(action)}"


def _proof(action: Confirm | ConfirmSet) -> str:
    if isinstance(action, Confirm):
        return f"{action.ref} has not changed" if action.uid else f"there is no {action.ref}"
    scope = f"{action.namespace}/" if action.namespace else ""
    place = f"{action.resource} in {action.cluster}"
    return f"exactly {len(action.uids)} {place} carry {scope}{action.label}={action.value}"


def _lines(plan: Plan, *, bodies: bool) -> Iterator[str]:
    if plan.settled:
        yield f"Nothing to do{': ' + plan.why if plan.why else ''}."
    elif plan.why:
        yield f"{plan.why}."
    for number, stage in enumerate(plan.stages, 1):
        yield from _stage_lines(number, stage, bodies=bodies)
    for failed in plan.failed:
        yield f"Nothing can be decided for {failed.ref}: {type(failed.error).__name__}: {failed.error}."
    if plan.wake_after is not None:
        yield f"Reconciled again in {plan.wake_after:g} s, also without an event."


def _stage_lines(number: int, stage: Stage, *, bodies: bool) -> Iterator[str]:
    alone = len(stage) == 1
    if not alone:
        yield f"{number}. at the same time:"
    for action in stage:
        yield f"{number}. {sentence(action)}" if alone else f"   - {sentence(action)}"
        if bodies and isinstance(action, Create | Apply | Patch | Replace):
            yield from _indented(action.body)


def _indented(body: Manifest) -> Iterator[str]:
    text: str = yaml.safe_dump(body, sort_keys=False)
    return (f"       {line}" for line in text.splitlines())
