"""Deletion: preconditions, finalizers, owners, namespaces, a pod's grace."""

from __future__ import annotations

from typing import Any

from contract_client import JSON_PATCH, Api, configmap, widget


def owned_by(owner: dict[str, Any], **more: Any) -> dict[str, Any]:
    metadata = owner["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": metadata["name"], "uid": metadata["uid"], **more}
    return {"ownerReferences": [reference]}


async def test_a_delete_answers_with_what_it_deleted(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w"))).ok(201)
    status = (await api.delete(api.widgets("w"))).ok()
    assert (status["kind"], status["status"]) == ("Status", "Success")
    assert status["details"] == {
        "name": "w",
        "group": "contract.pincompute.io",
        "kind": "widgets",
        "uid": made["metadata"]["uid"],
    }
    (await api.get(api.widgets("w"))).refused(404, "NotFound")


async def test_preconditions_are_checked(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w"))).ok(201)
    other = {"preconditions": {"uid": "00000000-0000-4000-8000-000000000000"}}
    (await api.delete(api.widgets("w"), other)).refused(409, "Conflict")
    (await api.delete(api.widgets("w"), {"preconditions": {"resourceVersion": "1"}})).refused(409, "Conflict")
    metadata = made["metadata"]
    right = {"preconditions": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}}
    (await api.delete(api.widgets("w"), right)).ok()


async def test_finalizers_hold_an_object(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w", metadata={"finalizers": ["x.io/a", "x.io/b"]}))).ok(201)
    held = (await api.delete(api.widgets("w"))).ok()
    assert held["metadata"]["deletionTimestamp"]
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    assert held["metadata"]["generation"] == made["metadata"]["generation"] + 1
    again = (await api.delete(api.widgets("w"))).ok()
    assert again["metadata"]["resourceVersion"] == held["metadata"]["resourceVersion"]
    left = (await api.patch(api.widgets("w"), {"metadata": {"finalizers": ["x.io/b"]}})).ok()
    assert left["metadata"]["deletionTimestamp"] == held["metadata"]["deletionTimestamp"]
    (await api.patch(api.widgets("w"), {"metadata": {"finalizers": None}})).ok()
    (await api.get(api.widgets("w"))).refused(404, "NotFound")


async def test_a_deleting_object_takes_no_new_finalizers(api: Api) -> None:
    (await api.post(api.widgets(), widget("w", metadata={"finalizers": ["x.io/a"]}))).ok(201)
    (await api.delete(api.widgets("w"))).ok()
    patch = {"metadata": {"finalizers": ["x.io/a", "x.io/b"]}}
    status = (await api.patch(api.widgets("w"), patch)).refused(422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "metadata.finalizers"
    (await api.patch(api.widgets("w"), {"metadata": {"finalizers": []}})).ok()
    (await api.get(api.widgets("w"))).refused(404, "NotFound")


async def test_a_deleting_object_can_still_be_changed(api: Api) -> None:
    (await api.post(api.widgets(), widget("w", metadata={"finalizers": ["x.io/a"]}))).ok(201)
    (await api.delete(api.widgets("w"))).ok()
    assert (await api.patch(api.widgets("w"), {"spec": {"size": 5}})).ok()["spec"]["size"] == 5
    observed = (await api.patch(api.widgets("w", "status"), {"status": {"replicas": 0}})).ok()
    assert observed["status"] == {"replicas": 0}
    (await api.patch(api.widgets("w"), [{"op": "remove", "path": "/metadata/finalizers"}], JSON_PATCH)).ok()
    (await api.get(api.widgets("w"))).refused(404, "NotFound")


async def test_nobody_sets_a_deletion_time_by_hand(api: Api) -> None:
    (await api.post(api.widgets(), widget("w"))).ok(201)
    await api.patch(api.widgets("w"), {"metadata": {"deletionTimestamp": "2030-01-01T00:00:00Z"}})
    assert "deletionTimestamp" not in (await api.get(api.widgets("w"))).ok()["metadata"]


async def test_dependents_go_with_their_owner(api: Api) -> None:
    owner = (await api.post(api.core("configmaps"), configmap("owner"))).ok(201)
    (await api.post(api.core("configmaps"), configmap("child", metadata=owned_by(owner)))).ok(201)
    child = (await api.get(api.core("configmaps", "child"))).ok()
    (await api.post(api.core("secrets"), {"metadata": {"name": "grandchild", **owned_by(child)}})).ok(201)
    (await api.delete(api.core("configmaps", "owner"), {"propagationPolicy": "Background"})).ok()
    await api.until_gone(api.core("configmaps", "child"))
    await api.until_gone(api.core("secrets", "grandchild"))


async def test_a_dependent_of_nobody_goes(api: Api) -> None:
    ghost = {"metadata": {"name": "ghost", "uid": "00000000-0000-4000-8000-000000000000"}}
    (await api.post(api.core("configmaps"), configmap("child", metadata=owned_by(ghost)))).ok(201)
    await api.until_gone(api.core("configmaps", "child"))


async def test_one_owner_of_two_is_enough(api: Api) -> None:
    one = (await api.post(api.core("configmaps"), configmap("one"))).ok(201)
    two = (await api.post(api.core("configmaps"), configmap("two"))).ok(201)
    both = {"ownerReferences": owned_by(one)["ownerReferences"] + owned_by(two)["ownerReferences"]}
    (await api.post(api.core("configmaps"), configmap("child", metadata=both))).ok(201)
    (await api.delete(api.core("configmaps", "one"))).ok()
    child = await api.until_object(api.core("configmaps", "child"), lambda obj: len(obj["metadata"]["ownerReferences"]) == 1)
    assert child["metadata"]["ownerReferences"][0]["name"] == "two"


async def test_orphans_stay_without_their_owner(api: Api) -> None:
    owner = (await api.post(api.core("configmaps"), configmap("owner"))).ok(201)
    (await api.post(api.core("configmaps"), configmap("child", metadata=owned_by(owner)))).ok(201)
    await api.delete(api.core("configmaps", "owner"), {"propagationPolicy": "Orphan"})
    await api.until_gone(api.core("configmaps", "owner"))
    child = (await api.get(api.core("configmaps", "child"))).ok()
    assert "ownerReferences" not in child["metadata"]


async def test_a_foreground_deletion_waits_for_what_blocks_it(api: Api) -> None:
    owner = (await api.post(api.core("configmaps"), configmap("owner"))).ok(201)
    metadata = {**owned_by(owner, blockOwnerDeletion=True), "finalizers": ["x.io/hold"]}
    (await api.post(api.core("configmaps"), configmap("child", metadata=metadata))).ok(201)
    held = (await api.delete(api.core("configmaps", "owner"), {"propagationPolicy": "Foreground"})).ok()
    assert held["metadata"]["finalizers"] == ["foregroundDeletion"]
    await api.until_object(api.core("configmaps", "child"), lambda obj: "deletionTimestamp" in obj["metadata"])
    (await api.get(api.core("configmaps", "owner"))).ok()
    remove = [{"op": "test", "path": "/metadata/finalizers/0", "value": "x.io/hold"}]
    (
        await api.patch(
            api.core("configmaps", "child"), [*remove, {"op": "remove", "path": "/metadata/finalizers/0"}], JSON_PATCH
        )
    ).ok()
    await api.until_gone(api.core("configmaps", "child"))
    await api.until_gone(api.core("configmaps", "owner"))


async def test_a_namespace_takes_its_content_along(api: Api) -> None:
    (await api.post(api.core("configmaps"), configmap("c"))).ok(201)
    (await api.post(api.core("secrets"), {"metadata": {"name": "s"}})).ok(201)
    namespace = (await api.delete(f"/api/v1/namespaces/{api.namespace}")).ok()
    assert namespace["metadata"]["deletionTimestamp"]
    assert namespace["status"]["phase"] == "Terminating"
    await api.until_gone(f"/api/v1/namespaces/{api.namespace}")
    (await api.get(api.core("configmaps", "c"))).refused(404, "NotFound")


async def test_nothing_new_enters_a_namespace_that_ends(api: Api) -> None:
    held = configmap("held", metadata={"finalizers": ["x.io/hold"]})
    (await api.post(api.core("configmaps"), held)).ok(201)
    (await api.delete(f"/api/v1/namespaces/{api.namespace}")).ok()
    status = (await api.post(api.core("configmaps"), configmap("late"))).refused(403, "Forbidden")
    assert [cause["reason"] for cause in status["details"]["causes"]] == ["NamespaceTerminating"]
    await api.until_object(api.core("configmaps", "held"), lambda obj: "deletionTimestamp" in obj["metadata"])
    (await api.patch(api.core("configmaps", "held"), {"metadata": {"finalizers": None}})).ok()
    await api.until_gone(f"/api/v1/namespaces/{api.namespace}")


async def test_a_pod_on_a_node_is_given_its_grace(api: Api) -> None:
    spec = {"containers": [{"name": "main", "image": "x"}], "nodeName": "nowhere", "terminationGracePeriodSeconds": 7}
    (await api.post(api.core("pods"), {"metadata": {"name": "p"}, "spec": spec})).ok(201)
    held = (await api.delete(api.core("pods", "p"))).ok()
    assert held["metadata"]["deletionGracePeriodSeconds"] == 7
    assert (await api.get(api.core("pods", "p"))).ok()["metadata"]["deletionTimestamp"]
    (await api.delete(api.core("pods", "p"), {"gracePeriodSeconds": 0})).ok()
    (await api.get(api.core("pods", "p"))).refused(404, "NotFound")


async def test_a_pod_without_a_node_goes_at_once(api: Api) -> None:
    spec = {"containers": [{"name": "main", "image": "x"}]}
    (await api.post(api.core("pods"), {"metadata": {"name": "p"}, "spec": spec})).ok(201)
    (await api.delete(api.core("pods", "p"))).ok()
    (await api.get(api.core("pods", "p"))).refused(404, "NotFound")


async def test_a_collection_is_deleted_by_selector(api: Api) -> None:
    for name, label in (("a", "x"), ("b", "y"), ("c", "x")):
        (await api.post(api.widgets(), widget(name, metadata={"labels": {"l": label}}))).ok(201)
    (await api.delete(api.widgets(), labelSelector="l=x")).ok()
    left = (await api.get(api.widgets())).ok()["items"]
    assert [item["metadata"]["name"] for item in left] == ["b"]


async def test_the_event_of_a_finalized_object(api: Api) -> None:
    (await api.post(api.widgets(), widget("w", metadata={"finalizers": ["x.io/a"]}))).ok(201)
    (await api.delete(api.widgets("w"))).ok()
    since = (await api.get(api.widgets())).ok()["metadata"]["resourceVersion"]
    async with api.watch(api.widgets(), resourceVersion=since) as watch:
        (await api.patch(api.widgets("w"), {"metadata": {"finalizers": None}})).ok()
        event = await watch.next()
    assert event is not None
    assert event["type"] == "DELETED"
    assert event["object"]["metadata"]["deletionTimestamp"]
