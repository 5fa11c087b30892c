"""Executes one action of a plan, after it has refused what the controller's card does not declare.

The executor decides nothing: it executes an action as it is, or the action fails. It adds three things to the plan: the
object's name and kind, the preconditions, and the check that an object about to be changed is ours (S-002).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pincompute.api import labels
from pincompute.api.builtin import PODS
from pincompute.api.labels import MANAGED_BY, PINCOMPUTE
from pincompute.api.meta import Manifest, Object, Resource
from pincompute.engine import object_copy
from pincompute.engine.controller import Card, Verb, Where
from pincompute.engine.error_classification import ForeignError, StaleView, UndeclaredAccessError
from pincompute.engine.interfaces import Writer
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
    Ref,
    Replace,
    Scale,
    cluster_of,
    resource_of,
)
from pincompute.kube import api_errors
from pincompute.kube.cache_views import Unknown, Views

NEVER = "1"  # a version that no object ever has: an apply pinned to it makes what is missing and conflicts with what is there


async def perform(
    action: Action, card: Card[Any], views: Views, writer: Writer, writer_of: Callable[[str], Writer] | None = None
) -> None:
    """Executes the action. It raises what went wrong; `error_classification.classify` interprets it. `writer_of` gives the
    writers of other clusters, for copies.
    """
    check_lane(action, card)
    match action:
        case Create():
            await writer.create(action.ref.resource, manifest(action.ref, action.body), card.name)
        case Apply():
            await _apply(action, card, views, writer)
        case Patch():
            await _patch(action, card, writer)
        case Replace():
            await _update(action, card, views, writer)
        case Delete():
            await _delete(action, views, writer)
        case Evict():
            await _evict(action, views, writer)
        case Scale():
            await _scale(action, card, writer)
        case Copy() | Discard():
            await _copy_or_discard(action, card, writer, writer_of)
        case Confirm() | ConfirmSet():
            await _ask(action, writer)


async def _copy_or_discard(
    action: Copy | Discard, card: Card[Any], writer: Writer, writer_of: Callable[[str], Writer] | None
) -> None:
    if isinstance(action, Discard):
        await object_copy.discard(action, writer)
    else:
        source = writer_of(action.source.cluster) if writer_of is not None else writer
        await object_copy.copy(action, source, writer, card.name)


async def _ask(action: Confirm | ConfirmSet, writer: Writer) -> None:
    if isinstance(action, Confirm):
        await _confirm(action, writer)
    else:
        await _confirm_set(action, writer)


def check_lane(action: Action, card: Card[Any]) -> None:
    """Refuses kinds, verbs and places that are not on the card, writes without preconditions, and unlabelled children."""
    resource, wanted, where = resource_of(action), verb_of(action), where_of(cluster_of(action))
    if wanted is None:
        if not any(lane.resource == resource and lane.where == where for lane in (*card.reads, *card.writes)):
            raise UndeclaredAccessError(f"{card.name} asks about {resource} in {where}, which its card does not name")
    else:
        _check_write(card, resource, where, wanted)
    if isinstance(action, Copy):
        _check_write(card, action.source.resource, where_of(action.source.cluster), "source")
    _check_pins(action, card)


def _check_write(card: Card[Any], resource: Resource[Any], where: Where, verb: Verb) -> None:
    if not any(w.resource == resource and w.where == where and verb in w.verbs for w in card.writes):
        raise UndeclaredAccessError(f"{card.name} may not {verb} {resource} in {where}: add it to the card's writes")


def _check_pins(action: Action, card: Card[Any]) -> None:
    match action:
        case Create() | Apply() | Replace(subresource="") if not is_marked(action.body):
            raise UndeclaredAccessError(f"{card.name} makes {action.ref} without the label {MANAGED_BY}: {PINCOMPUTE}")
        case Patch() | Replace() | Scale() if not (action.uid and action.resource_version):
            raise UndeclaredAccessError(f"{card.name} changes {action.ref} without the uid and version it was decided from")
        case Delete() | Evict() if not action.uid:
            raise UndeclaredAccessError(f"{card.name} ends {action.ref} without its uid")
        case Copy() | Discard() if not action.origin:
            raise UndeclaredAccessError(f"{card.name} writes {action.ref} without the uid of the object that it belongs to")
        case Evict() if action.ref.resource != PODS:
            raise UndeclaredAccessError(f"{card.name} evicts {action.ref}, but only pods can be evicted")
        case _:
            return


_VERBS: Mapping[type[Action], Verb] = {
    Create: "create",
    Apply: "apply",
    Patch: "patch",
    Delete: "delete",
    Evict: "evict",
    Scale: "scale",
    Copy: "copy",
    Discard: "discard",
}


def verb_of(action: Action) -> Verb | None:
    """Returns the card's word for an action, or None for questions."""
    match action:
        case Replace(subresource="status"):
            return "status"
        case Replace():
            return "update"
        case Patch(subresource="resize"):
            return "resize"
        case Patch(subresource="status"):
            return "condition"
        case _:
            return _VERBS.get(type(action))


def where_of(cluster: str) -> Where:
    """Returns the card's word for a cluster."""
    match cluster:
        case "host":
            return "host"
        case "local":
            return "local"
        case _:
            return "members"


def manifest(ref: Ref, body: Manifest, **pins: str) -> Manifest:
    """Returns the body with the name, kind and preconditions that it must have."""
    names = {"name": ref.key.name, **({"namespace": ref.key.namespace} if ref.key.namespace else {})}
    return {
        **body,
        "apiVersion": ref.resource.api_version,
        "kind": ref.resource.kind,
        "metadata": {**body.get("metadata", {}), **names, **pins},
    }


def is_marked(body: Manifest) -> bool:
    return labels.is_ours(body.get("metadata", {}).get("labels", {}))


def is_ours(obj: Object) -> bool:
    return labels.is_ours(obj.metadata.labels)


async def _apply(action: Apply, card: Card[Any], views: Views, writer: Writer) -> None:
    """Applies with a precondition on the object that was seen to be ours. What the cache does not show is created, or the
    server is asked for it.
    """
    seen = _cached(action.ref, views)
    if seen is None and not action.uid and await _made(action, card, writer):
        return
    if seen is None or not is_ours(seen) or (action.uid and action.uid != seen.metadata.uid):
        seen = await writer.get(action.ref.resource, action.ref.key)
    if seen is not None and not is_ours(seen) and not action.reserved:
        raise ForeignError(f"{action.ref} exists without the label {MANAGED_BY}: {PINCOMPUTE}, so it is not taken over")
    present = seen.metadata.uid if seen is not None else ""
    if action.uid and action.uid != present:
        raise StaleView(f"{action.ref} has uid {present or '(none)'}, not {action.uid}")
    pins = {"uid": present} if present else {}
    await writer.apply(action.ref.resource, manifest(action.ref, action.body, **pins), card.name)


async def _made(action: Apply, card: Card[Any], writer: Writer) -> bool:
    """Creates the object in one request; returns False when there is one already, which stays as it is (S-002)."""
    try:
        await writer.apply(action.ref.resource, manifest(action.ref, action.body, resourceVersion=NEVER), card.name)
    except api_errors.Conflict:
        return False
    return True


async def _patch(action: Patch, card: Card[Any], writer: Writer) -> None:
    body = manifest(action.ref, action.body, uid=action.uid, resourceVersion=action.resource_version)
    try:
        await writer.patch(action.ref.resource, action.ref.key, body, card.name, action.subresource)
    except api_errors.NotFound as gone:
        raise StaleView(f"{action.ref} is gone") from gone


async def _update(action: Replace, card: Card[Any], views: Views, writer: Writer) -> None:
    if not action.subresource:
        _refuse_foreign(action, views)
    body = manifest(action.ref, action.body, uid=action.uid, resourceVersion=action.resource_version)
    try:
        await writer.update(action.ref.resource, action.ref.key, body, action.subresource, card.name)
    except api_errors.NotFound as gone:
        raise StaleView(f"{action.ref} is gone") from gone


async def _delete(action: Delete, views: Views, writer: Writer) -> None:
    _refuse_foreign(action, views)
    try:
        await writer.delete(action.ref.resource, action.ref.key, action.uid, action.resource_version, action.propagation)
    except api_errors.NotFound:
        return  # gone already is success


async def _evict(action: Evict, views: Views, writer: Writer) -> None:
    _refuse_foreign(action, views)
    try:
        await writer.evict(action.ref.key, action.uid, action.resource_version)
    except api_errors.NotFound:
        return  # gone already is success


def _refuse_foreign(action: Replace | Delete | Evict, views: Views) -> None:
    seen = _cached(action.ref, views)
    if seen is not None and seen.metadata.uid == action.uid and not is_ours(seen):
        raise ForeignError(f"{action.ref} has no label {MANAGED_BY}: {PINCOMPUTE}, so it is left alone")


async def _scale(action: Scale, card: Card[Any], writer: Writer) -> None:
    try:
        await writer.scale(action.ref.resource, action.ref.key, action.replicas, action.uid, action.resource_version, card.name)
    except api_errors.NotFound as gone:
        raise StaleView(f"{action.ref} is gone") from gone


async def _confirm(action: Confirm, writer: Writer) -> None:
    ask = writer.recent if action.uid else writer.get
    seen = await ask(action.ref.resource, action.ref.key)
    uid = seen.metadata.uid if seen is not None else ""
    if uid != action.uid:
        raise StaleView(f"{action.ref} has uid {uid or '(none)'}, not {action.uid or '(none)'}")
    if seen is None:
        return
    if action.generation and seen.metadata.generation != action.generation:
        raise StaleView(f"{action.ref} is at generation {seen.metadata.generation}, not {action.generation}")
    if action.resource_version and seen.metadata.resource_version != action.resource_version:
        raise StaleView(f"{action.ref} is at version {seen.metadata.resource_version}, not {action.resource_version}")


async def _confirm_set(action: ConfirmSet, writer: Writer) -> None:
    uids = _cached_uids(action, writer)
    if uids is None:
        uids = await writer.uids(action.resource, action.namespace, action.label, action.value)
    if uids != action.uids:
        raise StaleView(
            f"{action.resource} with {action.label}={action.value} in {action.cluster}: "
            f"{len(uids - action.uids)} are not in the cache, {len(action.uids - uids)} are gone"
        )


def _cached_uids(action: ConfirmSet, writer: Writer) -> frozenset[str] | None:
    if not action.index:
        return None
    value = f"{action.namespace}/{action.value}"
    return writer.cached_uids(action.resource, action.index, value, recent=action.recent)


def _cached(ref: Ref, views: Views) -> Object | None:
    """Returns what the cache shows, and None when it shows nothing reliable."""
    try:
        return views.view(ref.cluster, ref.resource).get(ref.key)
    except Unknown:
        return None
