"""Lists: versions, selectors, pages that stay consistent, metadata alone."""

from __future__ import annotations

import pytest
from contract_client import Api, configmap, until, widget

PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


async def names(api: Api, path: str, **query: object) -> list[str]:
    return [item["metadata"]["name"] for item in (await api.get(path, **query)).ok()["items"]]


async def five(api: Api) -> None:
    for number in range(5):
        (await api.post(api.widgets(), widget(f"w{number}", metadata={"labels": {"n": str(number)}}))).ok(201)


async def test_a_list_is_ordered_and_carries_its_version(api: Api) -> None:
    for name in ("c", "a", "b"):
        last = (await api.post(api.widgets(), widget(name))).ok(201)
    listed = (await api.get(api.widgets())).ok()
    assert (listed["kind"], listed["apiVersion"]) == ("WidgetList", "contract.pincompute.io/v1")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "b", "c"]
    assert int(listed["metadata"]["resourceVersion"]) >= int(last["metadata"]["resourceVersion"])


async def test_an_empty_list(api: Api) -> None:
    listed = (await api.get(api.widgets())).ok()
    assert listed["items"] == []
    assert int(listed["metadata"]["resourceVersion"]) > 0


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("tier=web", ["a", "b"]),
        ("tier==web,env=prod", ["a"]),
        ("tier!=web", ["c", "d"]),
        ("tier in (web, db)", ["a", "b", "c"]),
        ("tier notin (web)", ["c", "d"]),
        ("tier", ["a", "b", "c"]),
        ("!tier", ["d"]),
        ("tier in (web),env", ["a", "b"]),
        ("tier=none", []),
    ],
)
async def test_label_selectors(api: Api, selector: str, found: list[str]) -> None:
    labels = {
        "a": {"tier": "web", "env": "prod"},
        "b": {"tier": "web", "env": "test"},
        "c": {"tier": "db"},
        "d": {},
    }
    for name, chosen in labels.items():
        (await api.post(api.widgets(), widget(name, metadata={"labels": chosen}))).ok(201)
    assert await names(api, api.widgets(), labelSelector=selector) == found


async def test_a_selector_that_is_none_is_refused(api: Api) -> None:
    (await api.get(api.widgets(), labelSelector="a in b")).refused(400, "BadRequest")
    (await api.get(api.widgets(), fieldSelector="spec.size=1")).refused(400, "BadRequest")


async def test_field_selectors(api: Api) -> None:
    for name, node in (("a", "one"), ("b", "")):
        spec = {"containers": [{"name": "main", "image": "x"}], **({"nodeName": node} if node else {})}
        (await api.post(api.core("pods"), {"metadata": {"name": name}, "spec": spec})).ok(201)
    (await api.patch(api.core("pods", "a", "status"), {"status": {"phase": "Running"}})).ok()
    path = api.core("pods")
    assert await names(api, path, fieldSelector="spec.nodeName=one") == ["a"]
    assert await names(api, path, fieldSelector="spec.nodeName=") == ["b"]
    assert await names(api, path, fieldSelector="spec.nodeName!=one") == ["b"]
    assert await names(api, path, fieldSelector="status.phase=Running") == ["a"]
    assert await names(api, path, fieldSelector="metadata.name=b,status.phase=Pending") == ["b"]
    assert await names(api, "/api/v1/pods", fieldSelector=f"metadata.namespace={api.namespace}") == ["a", "b"]


async def test_all_namespaces(api: Api, unique: str) -> None:
    labels = {"test": unique}
    other = (await api.post("/api/v1/namespaces", {"metadata": {"generateName": "contract-"}})).ok(201)["metadata"]["name"]
    (await api.post(api.core("configmaps"), configmap("here", metadata={"labels": labels}))).ok(201)
    (await api.post(f"/api/v1/namespaces/{other}/configmaps", configmap("there", metadata={"labels": labels}))).ok(201)
    assert sorted(await names(api, "/api/v1/configmaps", labelSelector=f"test={unique}")) == ["here", "there"]


async def test_pages_follow_each_other(api: Api) -> None:
    await five(api)
    first = (await api.get(api.widgets(), limit=2)).ok()
    assert [item["metadata"]["name"] for item in first["items"]] == ["w0", "w1"]
    assert first["metadata"]["remainingItemCount"] == 3
    second = (await api.get(api.widgets(), limit=2, continue_=first["metadata"]["continue"])).ok()
    assert [item["metadata"]["name"] for item in second["items"]] == ["w2", "w3"]
    last = (await api.get(api.widgets(), limit=2, continue_=second["metadata"]["continue"])).ok()
    assert [item["metadata"]["name"] for item in last["items"]] == ["w4"]
    assert not last["metadata"].get("continue")
    versions = {page["metadata"]["resourceVersion"] for page in (first, second, last)}
    assert len(versions) == 1


async def test_pages_show_one_version_whatever_happens_between_them(api: Api) -> None:
    await five(api)
    first = (await api.get(api.widgets(), limit=2)).ok()
    (await api.post(api.widgets(), widget("w3a"))).ok(201)
    (await api.delete(api.widgets("w4"))).ok()
    (await api.patch(api.widgets("w2"), {"spec": {"size": 50}})).ok()
    rest = (await api.get(api.widgets(), limit=10, continue_=first["metadata"]["continue"])).ok()
    assert [(i["metadata"]["name"], i["spec"]["size"]) for i in rest["items"]] == [("w2", 1), ("w3", 1), ("w4", 1)]


async def test_a_page_of_a_forgotten_version_is_gone(api: Api) -> None:
    await five(api)
    token = (await api.get(api.widgets(), limit=2)).ok()["metadata"]["continue"]
    (await api.delete(api.widgets("w4"))).ok()
    await api.compact()

    async def gone() -> bool:
        answer = await api.get(api.widgets(), limit=2, continue_=token)
        return (answer.code, answer.body.get("reason")) == (410, "Expired")

    await until(gone, "the page token to expire")


async def test_pages_of_a_selection(api: Api) -> None:
    await five(api)
    first = (await api.get(api.widgets(), limit=1, labelSelector="n in (1,3)")).ok()
    assert "remainingItemCount" not in first["metadata"]
    token = first["metadata"]["continue"]
    second = (await api.get(api.widgets(), limit=5, labelSelector="n in (1,3)", continue_=token)).ok()
    assert [i["metadata"]["name"] for i in first["items"] + second["items"]] == ["w1", "w3"]


async def test_a_token_that_is_none_is_refused(api: Api) -> None:
    (await api.get(api.widgets(), limit=1, continue_="nonsense")).refused(400, "BadRequest")


async def test_a_version_to_come_is_refused(api: Api) -> None:
    status = (await api.get(api.widgets(), resourceVersion=10**9)).refused(504, "Timeout")
    assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_an_exact_version_shows_the_past(api: Api) -> None:
    await five(api)
    then = (await api.get(api.widgets())).ok()["metadata"]["resourceVersion"]
    (await api.delete(api.widgets("w0"))).ok()
    query = {"resourceVersion": then, "resourceVersionMatch": "Exact"}
    assert len((await api.get(api.widgets(), **query)).ok()["items"]) == 5


async def test_metadata_alone(api: Api) -> None:
    (await api.post(api.widgets(), widget("w", metadata={"labels": {"a": "b"}}))).ok(201)
    listed = (await api.call("GET", api.widgets(), accept=PARTIAL_LIST)).ok()
    assert listed["kind"] == "PartialObjectMetadataList"
    assert listed["apiVersion"] == "meta.k8s.io/v1"
    assert [set(item) - {"kind", "apiVersion"} for item in listed["items"]] == [{"metadata"}]
    one = (await api.call("GET", api.widgets("w"), accept=PARTIAL)).ok()
    assert (one["kind"], one["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert one["metadata"]["labels"] == {"a": "b"}
