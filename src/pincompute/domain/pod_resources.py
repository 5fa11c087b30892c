"""Completes the requests and limits of a pod when it is made of its template, so that its member accepts it.

A template is judged when it changes (`validation_rules.LEAST_AMOUNTS`), and one of an earlier version may ask for less than the
least amounts. Its pods are made all the same: what is less is raised, and a limit of 0, which limits nothing, is left out. A
container that requests ephemeral storage may write as much, unless it names a limit: the LimitRange of the namespace would fill
in one that may be less than the request. What
is completed is no part of a revision, so no pod that runs is replaced.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pincompute.api import quantity, template_hash
from pincompute.api.meta import Manifest
from pincompute.api.quantity import InvalidQuantityError
from pincompute.api.resource_requests import STORAGE
from pincompute.api.validation_rules import LEAST

_LEAST = {name: quantity.parse(least) for name, least in LEAST.items()}
_NO_MEMORY_LIMIT = "1Ti"
"""Where a template of an earlier version limits memory to 0, which limits nothing: a policy requires some limit."""


def completed(spec: Manifest) -> Manifest:
    """Returns the pod spec with requests and limits that the policies accept, sharing parts with the given one."""
    whole = _raised(spec.get("resources"))
    shared = template_hash.requested_as_a_whole(spec)
    lists = {
        where: [_container(container, shared) for container in spec[where]]
        for where in template_hash.CONTAINER_LISTS
        if spec.get(where)
    }
    return {**spec, **lists, **({"resources": whole} if whole else {})}


def _container(container: Manifest, shared: Collection[str]) -> Manifest:
    given = container.get("resources")
    made = _with_storage_limit(_without_own_requests(_raised(given, shared), shared), given or {})
    return container if made == (given or {}) else {**container, "resources": made}


def _without_own_requests(resources: Manifest, shared: Collection[str]) -> Manifest:
    """Returns a request of 0 where a container requests nothing of what the pod requests as a whole.

    Otherwise the LimitRange of the namespace would fill in requests that may exceed those of the pod.
    """
    requests: Manifest = resources.get("requests") or {}
    limits: Manifest = resources.get("limits") or {}
    none = {name: "0" for name in ("cpu", "memory") if name in shared and name not in limits and name not in requests}
    return {**resources, "requests": {**requests, **none}} if none else resources


def _with_storage_limit(resources: Manifest, given: Manifest) -> Manifest:
    """Returns the limit that a container has by what it was `given` as its request."""
    limits: Manifest = resources.get("limits") or {}
    requests: Manifest = given.get("requests") or {}
    requested = requests.get(STORAGE)
    if requested is None or _is_less(STORAGE, requested) or STORAGE in limits:
        return resources
    return {**resources, "limits": {**limits, STORAGE: requested}}


def _raised(resources: Manifest | None, shared: Collection[str] = ()) -> Manifest:
    """Returns the resources with the least amounts. A container may request less of what the pod requests as a whole."""
    given: Manifest = resources or {}
    asked: Manifest = given.get("requests") or {}
    limits: Manifest = given.get("limits") or {}
    requests = {name: _requested(name, amount, shared) for name, amount in asked.items()}
    kept = {name: _at_least(name, amount) for name, amount in limits.items() if not _limits_nothing(name, amount)}
    for name in limits.keys() - kept.keys():  # a limit of 0 was also the request, where the template has none
        requests.setdefault(name, "0" if name in shared else LEAST[name])
    if "memory" in limits and "memory" not in kept:
        kept["memory"] = _NO_MEMORY_LIMIT
    return {**given, **{part: made for part, made in (("requests", requests), ("limits", kept)) if made or part in given}}


def _requested(name: str, amount: Any, shared: Collection[str]) -> Any:
    return amount if name in shared else _at_least(name, amount)


def _at_least(name: str, amount: Any) -> Any:
    return LEAST[name] if _is_less(name, amount) else amount


def _limits_nothing(name: str, amount: Any) -> bool:
    return _is_less(name, amount) and quantity.parse(amount) == quantity.ZERO


def _is_less(name: str, amount: Any) -> bool:
    """What is no quantity is left to the API server, which refuses it."""
    if name not in _LEAST:
        return False
    try:
        return quantity.ZERO <= quantity.parse(amount) < _LEAST[name]
    except InvalidQuantityError:
        return False
