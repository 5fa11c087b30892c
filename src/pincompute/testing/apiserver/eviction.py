"""Judges a pod's eviction as a real API server does: by the one disruption budget that selects the pod.

A budget counts only for a pod that serves or may serve again: a pod that has finished, waits for a node or is being deleted
goes at once. A controller writes the budget's status (`disruption_controller`); the eviction only takes from it.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from pincompute.api.builtin import PODDISRUPTIONBUDGETS, PODS
from pincompute.api.meta import Key, Manifest
from pincompute.kube import api_errors
from pincompute.testing.apiserver import error_responses, object_preparation, preconditions
from pincompute.testing.apiserver.jsondata import items, part

if TYPE_CHECKING:
    from pincompute.testing.apiserver.cluster_store import ClusterStore

_FREE = ("Succeeded", "Failed", "Pending")  # phases in which a pod serves nobody
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_TOO_MANY = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_SUCCESS: Manifest = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def answer(store: ClusterStore, key: Key, body: Any) -> Manifest:
    """The answer to a POST of an Eviction."""
    eviction: Manifest = body or {}
    name = part(eviction, "metadata").get("name", "")
    if name != key.name:
        raise error_responses.bad_request("name in URL does not match name in Eviction object")
    options = part(eviction, "deleteOptions")
    pins = part(options, "preconditions")
    with store.rehearsal() if items(options, "dryRun") else nullcontext():
        evict(
            store,
            key,
            uid=pins.get("uid", ""),
            resource_version=pins.get("resourceVersion", ""),
            grace_seconds=options.get("gracePeriodSeconds"),
        )
    return _SUCCESS


def evict(
    store: ClusterStore, key: Key, *, uid: str = "", resource_version: str = "", grace_seconds: int | None = None
) -> None:
    """Delete the pod if its budget allows it, and take the disruption from the budget."""
    pod = store.get(PODS, key)
    if not _ignores_budgets(pod):
        budgets = [budget for budget in store.list(PODDISRUPTIONBUDGETS, key.namespace).items if selects(budget, pod)]
        if len(budgets) > 1:
            raise error_responses.refuse(500, _TOO_MANY)
        if budgets and not _unguarded(budgets[0], pod):
            _take(store, budgets[0], key.name)
        preconditions.preconditions(PODS, key, pod, uid, resource_version)
        resource_version = _mark(store, key, pod)
    store.delete(PODS, key, uid=uid, resource_version=resource_version, grace_seconds=grace_seconds)


def selects(budget: Manifest, pod: Manifest) -> bool:
    """By labels alone: no selector selects nothing, an empty one everything."""
    selector = part(budget, "spec").get("selector")
    if selector is None:
        return False
    labels = part(pod["metadata"], "labels")
    return all(labels.get(name) == value for name, value in part(selector, "matchLabels").items()) and all(
        _meets(labels, rule) for rule in items(selector, "matchExpressions")
    )


def is_ready(pod: Manifest) -> bool:
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in items(part(pod, "status"), "conditions"))


def _meets(labels: Manifest, rule: Manifest) -> bool:
    value, values = labels.get(rule["key"]), rule.get("values") or ()
    match rule["operator"]:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None


def _ignores_budgets(pod: Manifest) -> bool:
    return part(pod, "status").get("phase") in _FREE or "deletionTimestamp" in pod["metadata"]


def _unguarded(budget: Manifest, pod: Manifest) -> bool:
    """A pod that is not ready takes nothing from the budget, if its policy or the budget's present state says so."""
    if is_ready(pod):
        return False
    if part(budget, "spec").get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = part(budget, "status")
    return status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) > 0


def _take(store: ClusterStore, budget: Manifest, pod: str) -> None:
    metadata, status = budget["metadata"], part(budget, "status")
    name, allowed = metadata["name"], status.get("disruptionsAllowed", 0)
    if status.get("observedGeneration", 0) < metadata["generation"]:
        raise _blocked(f"The disruption budget {name} is still being processed by the server.", 10)
    if allowed < 0:
        text = "pdb disruptions allowed is negative"
        raise error_responses.refuse(
            403, f'poddisruptionbudget.policy "{name}" is forbidden: {text}', PODDISRUPTIONBUDGETS, name
        )
    if allowed == 0:
        raise _blocked(f"The disruption budget {name} {_shortage(status)}", 0)
    disrupted = {**part(status, "disruptedPods"), pod: object_preparation.timestamp(store.now())}
    patch = {"status": {"disruptionsAllowed": allowed - 1, "disruptedPods": disrupted}}
    key = Key(metadata["namespace"], name)
    store.patch(PODDISRUPTIONBUDGETS, key, patch, content_type="merge-patch", subresource="status")


def _shortage(status: Manifest) -> str:
    needs, has = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    return f"needs {needs} healthy pods and has {has} currently" if has <= needs else "does not allow evicting pods currently"


def _mark(store: ClusterStore, key: Key, pod: Manifest) -> str:
    """Says in the pod's status why it ends; gives the version of that."""
    others = [c for c in items(part(pod, "status"), "conditions") if c.get("type") != "DisruptionTarget"]
    since = object_preparation.timestamp(store.now())
    why = {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting", "lastTransitionTime": since}
    patch = {"status": {"conditions": [*others, {"type": "DisruptionTarget", "status": "True", **why}]}}
    marked = store.patch(PODS, key, patch, content_type="merge-patch", subresource="status")
    version: str = marked["metadata"]["resourceVersion"]
    return version


def _blocked(why: str, retry_after: int) -> api_errors.Blocked:
    cause = api_errors.StatusCause(message=why, reason="DisruptionBudget")
    details = error_responses.RefusalDetails(causes=(cause,), retry_after_seconds=retry_after)
    status = api_errors.ApiStatus("Failure", 429, "TooManyRequests", _REFUSED, details)
    return api_errors.Blocked(api_errors.RequestInfo("memory", "POST", "eviction"), status, retry_after)
