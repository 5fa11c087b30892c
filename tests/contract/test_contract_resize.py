"""The resize subresource of pods: CPU and memory of containers that are there already, and nothing else (S-151)."""

from __future__ import annotations

from typing import Any

import pytest
from contract_client import MERGE, STRATEGIC, Api

SMALL = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}
EQUAL = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "10m", "memory": "32Mi"}}


async def create(api: Api, resources: dict[str, Any] = SMALL) -> dict[str, Any]:
    init = [
        {"name": "setup", "image": "one", "resources": SMALL},
        {"name": "proxy", "image": "one", "resources": resources, "restartPolicy": "Always"},
    ]
    spec = {
        "initContainers": init if resources is SMALL else [],
        "containers": [{"name": "web", "image": "one", "resources": resources}],
    }
    return (await api.post(api.core("pods"), {"metadata": {"name": "p"}, "spec": spec})).ok(201)


def of(resources: dict[str, Any], name: str = "web", where: str = "containers", **more: Any) -> dict[str, Any]:
    return {"spec": {where: [{"name": name, "resources": resources, **more}]}}


async def test_a_resize_changes_amounts_and_nothing_else(api: Api) -> None:
    made = await create(api)
    body = of({"requests": {"cpu": "20m"}, "limits": {"memory": "128Mi"}}, image="two")
    body["metadata"] = {"annotations": {"a": "b"}, "uid": made["metadata"]["uid"]}
    after = (await api.patch(api.core("pods", "p", "resize"), body, STRATEGIC)).ok()
    (web,) = after["spec"]["containers"]
    assert web["resources"] == {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}
    assert web["image"] == "one"
    assert "annotations" not in after["metadata"]
    assert after["metadata"]["generation"] == made["metadata"]["generation"] + 1
    assert (await api.get(api.core("pods", "p"))).ok()["spec"] == after["spec"]


async def test_a_sidecar_is_resized_and_a_limit_comes(api: Api) -> None:
    await create(api)
    body = of({"limits": {"cpu": "1"}}, "proxy", "initContainers")
    after = (await api.patch(api.core("pods", "p", "resize"), body, STRATEGIC)).ok()
    assert after["spec"]["initContainers"][1]["resources"]["limits"] == {"cpu": "1", "memory": "64Mi"}


async def test_a_resize_is_pinned_to_version_and_uid(api: Api) -> None:
    await create(api)
    wanted = of({"requests": {"cpu": "20m"}})
    path = api.core("pods", "p", "resize")
    (await api.patch(path, {**wanted, "metadata": {"resourceVersion": "1"}}, STRATEGIC)).refused(409, "Conflict")
    refused = (await api.patch(path, {**wanted, "metadata": {"uid": "another"}}, STRATEGIC)).refused(422, "Invalid")
    assert {cause["field"] for cause in refused["details"]["causes"]} == {"metadata.uid"}


REFUSED = {
    "a limit that goes": (SMALL, of({"limits": {"memory": None}}), "resource limits cannot be removed"),
    "a request that goes": (SMALL, of({"requests": {"cpu": None}}), "resource requests cannot be removed"),
    "another resource": (SMALL, of({"requests": {"ephemeral-storage": "1Mi"}}), "only cpu and memory resources are mutable"),
    "another quality of service": (
        EQUAL,
        of({"limits": {"memory": "64Mi"}}),
        "Pod QOS Class may not change as a result of resizing",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_a_resize_cannot_change_is_refused(api: Api, case: str) -> None:
    resources, body, why = REFUSED[case]
    await create(api, resources)
    assert why in (await api.patch(api.core("pods", "p", "resize"), body, STRATEGIC)).refused(422, "Invalid")["message"]


async def test_only_pods_can_be_resized(api: Api) -> None:
    (await api.post(api.core("configmaps"), {"metadata": {"name": "c"}})).ok(201)
    (await api.patch(api.core("configmaps", "c", "resize"), {"data": {"a": "b"}}, MERGE)).refused(404, "NotFound")
