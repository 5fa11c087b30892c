"""The disruption controller of kube-controller-manager as one pure step: it computes budgets' statuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pincompute.api.builtin import PODDISRUPTIONBUDGETS, PODS
from pincompute.api.meta import Key, Manifest
from pincompute.testing.apiserver import eviction
from pincompute.testing.apiserver.cluster_store import ClusterStore
from pincompute.testing.apiserver.jsondata import part

CONFIRMED_WITHIN = timedelta(minutes=2)  # an eviction whose pod is not being deleted by then is taken to have failed


def update_budgets(store: ClusterStore) -> None:
    """Writes the status of each budget that no longer says what is so. Budgets of an absolute `minAvailable` only."""
    for budget in store.list(PODDISRUPTIONBUDGETS).items:
        metadata = budget["metadata"]
        pods = [pod for pod in store.list(PODS, metadata["namespace"]).items if eviction.selects(budget, pod)]
        wanted = status(budget, pods, store.now())
        if wanted != budget.get("status"):
            key = Key(metadata["namespace"], metadata["name"])
            store.update(PODDISRUPTIONBUDGETS, key, {**budget, "status": wanted}, subresource="status")


def status(budget: Manifest, pods: list[Manifest], now: datetime) -> Manifest:
    """A pod counts as healthy when it is ready, is not being deleted, and no eviction of it is on its way."""
    desired = part(budget, "spec").get("minAvailable")
    if not isinstance(desired, int):
        raise TypeError(f"{budget['metadata']['name']}: spec.minAvailable: expected a whole number, got {desired!r}")
    disrupted = _disrupted(budget, pods, now)
    healthy = sum(eviction.is_ready(pod) and not _ends(pod) and pod["metadata"]["name"] not in disrupted for pod in pods)
    wanted: Manifest = {
        "observedGeneration": budget["metadata"]["generation"],
        "currentHealthy": healthy,
        "desiredHealthy": desired,
        "expectedPods": len(pods),
        "disruptionsAllowed": max(0, healthy - desired) if pods else 0,
    }
    return wanted | ({"disruptedPods": disrupted} if disrupted else {})


def _disrupted(budget: Manifest, pods: list[Manifest], now: datetime) -> dict[str, str]:
    there = {pod["metadata"]["name"] for pod in pods if not _ends(pod)}
    evicted: dict[str, str] = part(part(budget, "status"), "disruptedPods")
    return {pod: since for pod, since in evicted.items() if pod in there and now < _time(since) + CONFIRMED_WITHIN}


def _ends(pod: Manifest) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
