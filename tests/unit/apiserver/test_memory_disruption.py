"""The disruption controller's step: what a budget's status says of the pods that are there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pincompute.api.builtin import PODDISRUPTIONBUDGETS, PODS
from pincompute.api.meta import Key, Manifest
from pincompute.kube.api_errors import Blocked
from pincompute.testing.apiserver import eviction
from pincompute.testing.apiserver.cluster_store import ClusterStore
from pincompute.testing.apiserver.disruption_controller import update_budgets

GUARD = Key("default", "guard")
APP = {"app": "web"}


class BudgetedCluster:
    def __init__(self, wanted: int) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)
        self.store = ClusterStore(lambda: self.now)
        spec = {"minAvailable": wanted, "selector": {"matchLabels": APP}}
        self.store.create(PODDISRUPTIONBUDGETS, "default", {"metadata": {"name": "guard"}, "spec": spec})

    def pod(self, name: str, *, ready: bool = True, labels: dict[str, str] = APP) -> Key:
        self.store.create(PODS, "default", {"metadata": {"name": name, "labels": labels}, "spec": {"nodeName": "n"}})
        key = Key("default", name)
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]}
        self.store.patch(PODS, key, {"status": status}, content_type="merge-patch", subresource="status")
        return key

    def status(self) -> Manifest:
        update_budgets(self.store)
        return self.store.get(PODDISRUPTIONBUDGETS, GUARD)["status"]


def figures(status: Manifest) -> tuple[int, int, int, int]:
    return tuple(status[name] for name in ("expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed"))  # type: ignore[return-value]


PODS_THERE: dict[str, tuple[int, list[dict[str, Any]], tuple[int, int, int, int]]] = {
    "none": (0, [], (0, 0, 0, 0)),
    "as many ready as are wanted": (2, [{}, {}], (2, 2, 2, 0)),
    "one ready beyond": (1, [{}, {}], (2, 2, 1, 1)),
    "one that is not ready": (1, [{}, {"ready": False}], (2, 1, 1, 0)),
    "one of somebody else": (1, [{}, {}, {"labels": {"app": "db"}}], (2, 2, 1, 1)),
}


@pytest.mark.parametrize("case", PODS_THERE)
def test_a_budget_counts_its_ready_pods(case: str) -> None:
    wanted, pods, expected = PODS_THERE[case]
    cluster = BudgetedCluster(wanted)
    for number, pod in enumerate(pods):
        cluster.pod(f"p{number}", **pod)
    status = cluster.status()
    assert figures(status) == expected
    assert status["observedGeneration"] == 1


def test_nothing_is_written_that_has_not_changed() -> None:
    cluster = BudgetedCluster(1)
    cluster.pod("a")
    cluster.status()
    before = cluster.store.resource_version
    cluster.status()
    assert cluster.store.resource_version == before


def test_an_evicted_pod_counts_as_down_until_it_is_gone_and_another_is_ready() -> None:
    cluster = BudgetedCluster(1)
    first, second = cluster.pod("a"), cluster.pod("b")
    cluster.status()
    eviction.evict(cluster.store, first)
    status = cluster.status()
    assert figures(status) == (2, 1, 1, 0)
    assert "disruptedPods" not in status
    with pytest.raises(Blocked):
        eviction.evict(cluster.store, second)
    cluster.store.delete(PODS, first, grace_seconds=0)
    cluster.pod("c")
    assert figures(cluster.status()) == (2, 2, 1, 1)
    eviction.evict(cluster.store, second)


def test_an_eviction_whose_pod_stays_is_forgotten_after_two_minutes() -> None:
    cluster = BudgetedCluster(1)
    cluster.pod("a")
    cluster.pod("b")
    cluster.status()
    stamp = cluster.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    patch = {"status": {"disruptedPods": {"a": stamp}}}
    cluster.store.patch(PODDISRUPTIONBUDGETS, GUARD, patch, content_type="merge-patch", subresource="status")
    assert figures(cluster.status()) == (2, 1, 1, 0)
    cluster.now += timedelta(minutes=2)
    status = cluster.status()
    assert figures(status) == (2, 2, 1, 1)
    assert "disruptedPods" not in status


def test_a_budget_that_is_no_whole_number_is_refused_in_words() -> None:
    cluster = BudgetedCluster(1)
    cluster.store.patch(PODDISRUPTIONBUDGETS, GUARD, {"spec": {"minAvailable": "50%"}}, content_type="merge-patch")
    with pytest.raises(TypeError, match=r"guard: spec.minAvailable: expected a whole number, got '50%'"):
        update_budgets(cluster.store)
