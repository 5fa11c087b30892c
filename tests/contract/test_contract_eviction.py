"""Evictions: what a disruption budget allows, what it is asked for, and what it never sees. The test is the disruption
controller: it writes the budgets' status."""

from __future__ import annotations

from typing import Any

import pytest
from contract_client import Answer, Api

LABELS = {"app": "web"}
ROOMY = {"currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3, "disruptionsAllowed": 1}
TIGHT = {"currentHealthy": 2, "desiredHealthy": 2, "expectedPods": 2, "disruptionsAllowed": 0}
SHORT = {"currentHealthy": 1, "desiredHealthy": 2, "expectedPods": 2, "disruptionsAllowed": 0}


def budgets(api: Api, name: str = "", subresource: str = "") -> str:
    parts = (f"/apis/policy/v1/namespaces/{api.namespace}/poddisruptionbudgets", name, subresource)
    return "/".join(part for part in parts if part)


async def budget(api: Api, status: dict[str, int], name: str = "guard", *, observed: int = 1, **spec: Any) -> None:
    body = {"metadata": {"name": name}, "spec": {"minAvailable": 2, "selector": {"matchLabels": LABELS}, **spec}}
    (await api.post(budgets(api), body)).ok(201)
    (await api.patch(budgets(api, name, "status"), {"status": {**status, "observedGeneration": observed}})).ok()


async def pod(api: Api, name: str = "p", *, ready: bool = True, phase: str = "Running") -> dict[str, Any]:
    spec = {"containers": [{"name": "main", "image": "x"}], "nodeName": "nowhere", "terminationGracePeriodSeconds": 7}
    (await api.post(api.core("pods"), {"metadata": {"name": name, "labels": LABELS}, "spec": spec})).ok(201)
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status = {"status": {"phase": phase, "conditions": [condition]}}
    return (await api.patch(api.core("pods", name, "status"), status)).ok()


async def evict(api: Api, name: str = "p", **options: Any) -> Answer:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": api.namespace}}
    return await api.post(api.core("pods", name, "eviction"), body | ({"deleteOptions": options} if options else {}))


async def ends(api: Api, name: str = "p") -> bool:
    return "deletionTimestamp" in (await api.get(api.core("pods", name))).ok()["metadata"]


async def allowed(api: Api) -> int:
    return (await api.get(budgets(api, "guard"))).ok()["status"]["disruptionsAllowed"]


async def test_a_new_budget_allows_nothing_until_its_status_is_written(api: Api) -> None:
    body = {"metadata": {"name": "guard"}, "spec": {"minAvailable": 0, "selector": {"matchLabels": LABELS}}}
    made = (await api.post(budgets(api), body)).ok(201)
    assert made["metadata"]["generation"] == 1
    assert made["status"] == {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
    await pod(api)
    status = (await evict(api)).refused(429, "TooManyRequests")
    assert [cause["reason"] for cause in status["details"]["causes"]] == ["DisruptionBudget"]
    assert not await ends(api)


async def test_without_a_budget_a_pod_is_deleted_and_says_why(api: Api) -> None:
    await pod(api)
    answer = (await evict(api)).ok(201)
    assert (answer["kind"], answer["status"]) == ("Status", "Success")
    left = (await api.get(api.core("pods", "p"))).ok()
    assert left["metadata"]["deletionGracePeriodSeconds"] == 7
    reasons = {c["type"]: c.get("reason") for c in left["status"]["conditions"]}
    assert reasons["DisruptionTarget"] == "EvictionByEvictionAPI"


async def test_an_eviction_takes_one_disruption_from_the_budget_and_the_next_is_refused(api: Api) -> None:
    await budget(api, ROOMY)
    await pod(api, "p")
    await pod(api, "q")
    (await evict(api, "p")).ok(201)
    assert await ends(api, "p")
    status = (await api.get(budgets(api, "guard"))).ok()["status"]
    assert status["disruptionsAllowed"] == 0
    assert list(status["disruptedPods"]) == ["p"]
    refused = (await evict(api, "q")).refused(429, "TooManyRequests")
    assert [cause["reason"] for cause in refused["details"]["causes"]] == ["DisruptionBudget"]
    assert "does not allow evicting pods currently" in refused["details"]["causes"][0]["message"]
    assert not await ends(api, "q")


async def test_a_refusal_says_what_the_budget_lacks(api: Api) -> None:
    await budget(api, TIGHT)
    await pod(api)
    refused = (await evict(api)).refused(429, "TooManyRequests")
    assert "needs 2 healthy pods and has 2 currently" in refused["details"]["causes"][0]["message"]


async def test_a_budget_that_was_changed_since_its_status_was_written_allows_nothing(api: Api) -> None:
    await budget(api, ROOMY, observed=0)
    await pod(api)
    refused = (await evict(api)).refused(429, "TooManyRequests")
    assert "still being processed" in refused["details"]["causes"][0]["message"]
    assert not await ends(api)


UNREADY: dict[str, tuple[str, dict[str, int], bool]] = {
    "and the default policy, while enough others are ready": ("IfHealthyBudget", TIGHT, True),
    "and the default policy, while too few are ready": ("IfHealthyBudget", SHORT, False),
    "and a policy that always lets it go": ("AlwaysAllow", SHORT, True),
}


@pytest.mark.parametrize("case", UNREADY)
async def test_a_pod_that_is_not_ready(api: Api, case: str) -> None:
    policy, status, goes = UNREADY[case]
    await budget(api, status, unhealthyPodEvictionPolicy=policy)
    await pod(api, ready=False)
    assert (await evict(api)).code == (201 if goes else 429)
    assert await ends(api) is goes
    assert await allowed(api) == 0


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
async def test_a_pod_that_serves_nobody_goes_past_the_budget(api: Api, phase: str) -> None:
    await budget(api, TIGHT)
    await pod(api, phase=phase)
    (await evict(api)).ok(201)
    answer = await api.get(api.core("pods", "p"))
    assert answer.code == 404 or "deletionTimestamp" in answer.body["metadata"]


async def test_a_pod_that_ends_already_takes_nothing_from_the_budget(api: Api) -> None:
    await budget(api, ROOMY)
    await pod(api)
    (await api.delete(api.core("pods", "p"))).ok()
    (await evict(api)).ok(201)
    assert await allowed(api) == 1


async def test_two_budgets_for_one_pod_are_an_error(api: Api) -> None:
    await budget(api, ROOMY)
    await budget(api, ROOMY, "second")
    await pod(api)
    answer = await evict(api)
    assert answer.code == 500
    assert "more than one PodDisruptionBudget" in answer.body["message"]
    assert not await ends(api)


SELECTORS: dict[str, tuple[Any, int]] = {
    "none selects nothing": (None, 201),
    "an empty one selects every pod": ({}, 429),
    "labels that the pod lacks": ({"matchLabels": {"app": "db"}}, 201),
    "an expression that holds": ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, 429),
    "an expression that does not hold": ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, 201),
}


@pytest.mark.parametrize("case", SELECTORS)
async def test_which_pods_a_budget_guards(api: Api, case: str) -> None:
    selector, code = SELECTORS[case]
    await budget(api, TIGHT, selector=selector)
    await pod(api)
    assert (await evict(api)).code == code


async def test_preconditions_of_an_eviction_are_checked(api: Api) -> None:
    made = await pod(api)
    other = "00000000-0000-4000-8000-000000000000"
    (await evict(api, preconditions={"uid": other})).refused(409, "Conflict")
    (await evict(api, preconditions={"uid": made["metadata"]["uid"], "resourceVersion": "1"})).refused(409, "Conflict")
    assert not await ends(api)
    pins = {"uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"]}
    (await evict(api, preconditions=pins)).ok(201)
    assert await ends(api)


async def test_what_is_not_there_or_not_named_cannot_be_evicted(api: Api) -> None:
    (await evict(api, "gone")).refused(404, "NotFound")
    await pod(api)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "q", "namespace": api.namespace}}
    (await api.post(api.core("pods", "p", "eviction"), body)).refused(400, "BadRequest")


async def test_a_rehearsed_eviction_changes_nothing(api: Api) -> None:
    await budget(api, ROOMY)
    await pod(api)
    (await evict(api, dryRun=["All"])).ok(201)
    assert not await ends(api)
    assert await allowed(api) == 1
