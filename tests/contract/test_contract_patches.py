"""Merge patch, JSON patch, strategic merge patch."""

from __future__ import annotations

from contract_client import JSON_PATCH, MERGE, STRATEGIC, Api, configmap, widget


async def test_merge_patch_merges_maps_and_replaces_lists(api: Api) -> None:
    (await api.post(api.widgets(), widget("w", options={"a": "1", "b": "1"}, plan=["a", "b"]))).ok(201)
    patch = {"spec": {"options": {"a": None, "c": "1"}, "plan": ["c"]}}
    spec = (await api.patch(api.widgets("w"), patch, MERGE)).ok()["spec"]
    assert (spec["options"], spec["plan"]) == ({"b": "1", "c": "1"}, ["c"])


async def test_merge_patch_removes_metadata(api: Api) -> None:
    (await api.post(api.widgets(), widget("w", metadata={"labels": {"a": "1"}, "annotations": {"b": "1"}}))).ok(201)
    patch = {"metadata": {"labels": {"a": None}, "annotations": None}}
    metadata = (await api.patch(api.widgets("w"), patch, MERGE)).ok()["metadata"]
    assert "labels" not in metadata
    assert "annotations" not in metadata


async def test_json_patch_operations(api: Api) -> None:
    (await api.post(api.widgets(), widget("w", options={"a/b": "1"}, plan=["a", "b"]))).ok(201)
    operations = [
        {"op": "test", "path": "/spec/size", "value": 1},
        {"op": "replace", "path": "/spec/size", "value": 2},
        {"op": "add", "path": "/spec/plan/-", "value": "c"},
        {"op": "add", "path": "/spec/plan/0", "value": "z"},
        {"op": "remove", "path": "/spec/plan/1"},
        {"op": "move", "from": "/spec/options/a~1b", "path": "/spec/options/c"},
        {"op": "copy", "from": "/spec/options/c", "path": "/spec/options/d"},
    ]
    spec = (await api.patch(api.widgets("w"), operations, JSON_PATCH)).ok()["spec"]
    assert (spec["size"], spec["plan"], spec["options"]) == (2, ["z", "b", "c"], {"c": "1", "d": "1"})


async def test_json_patch_that_does_not_fit_changes_nothing(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w"))).ok(201)
    for operation in (
        {"op": "test", "path": "/spec/size", "value": 7},
        {"op": "remove", "path": "/spec/none"},
        {"op": "replace", "path": "/spec/none/deep", "value": 1},
    ):
        body = [{"op": "replace", "path": "/spec/size", "value": 9}, operation]
        (await api.patch(api.widgets("w"), body, JSON_PATCH)).refused(422, "Invalid")
    assert (await api.get(api.widgets("w"))).ok() == made


async def test_strategic_merge_follows_list_keys(api: Api) -> None:
    containers = [{"name": "main", "image": "one", "env": [{"name": "A", "value": "1"}]}, {"name": "side", "image": "one"}]
    (await api.post(api.core("pods"), {"metadata": {"name": "p"}, "spec": {"containers": containers}})).ok(201)
    patch = {"spec": {"containers": [{"name": "side", "image": "two"}]}}
    spec = (await api.patch(api.core("pods", "p"), patch, STRATEGIC)).ok()["spec"]
    assert {c["name"]: c["image"] for c in spec["containers"]} == {"main": "one", "side": "two"}
    assert next(c["env"] for c in spec["containers"] if c["name"] == "main") == [{"name": "A", "value": "1"}]


async def test_strategic_merge_of_conditions_and_deletion(api: Api) -> None:
    containers = [{"name": "main", "image": "one"}]
    (await api.post(api.core("pods"), {"metadata": {"name": "p"}, "spec": {"containers": containers}})).ok(201)
    path = api.core("pods", "p", "status")
    for kind in ("a.io/A", "b.io/B"):
        condition = {"type": kind, "status": "True"}
        (await api.patch(path, {"status": {"conditions": [condition]}}, STRATEGIC)).ok()
    patch = {"status": {"conditions": [{"type": "a.io/A", "$patch": "delete"}]}}
    conditions = (await api.patch(path, patch, STRATEGIC)).ok()["status"]["conditions"]
    assert [c["type"] for c in conditions] == ["b.io/B"]


async def test_strategic_merge_adds_to_finalizers(api: Api) -> None:
    (await api.post(api.core("configmaps"), configmap("c", metadata={"finalizers": ["x.io/a"]}))).ok(201)
    path = api.core("configmaps", "c")
    added = (await api.patch(path, {"metadata": {"finalizers": ["x.io/b"]}}, STRATEGIC)).ok()
    assert sorted(added["metadata"]["finalizers"]) == ["x.io/a", "x.io/b"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.io/a"]}}
    left = (await api.patch(path, patch, STRATEGIC)).ok()
    assert left["metadata"]["finalizers"] == ["x.io/b"]
    (await api.patch(path, {"metadata": {"finalizers": None}}, MERGE)).ok()


async def test_custom_kinds_have_no_strategic_merge(api: Api) -> None:
    (await api.post(api.widgets(), widget("w"))).ok(201)
    (await api.patch(api.widgets("w"), {"spec": {"size": 2}}, STRATEGIC)).refused(415, "UnsupportedMediaType")


async def test_a_patch_of_unknown_type_is_refused(api: Api) -> None:
    (await api.post(api.widgets(), widget("w"))).ok(201)
    (await api.patch(api.widgets("w"), {"spec": {"size": 2}}, "application/json")).refused(415, "UnsupportedMediaType")


async def test_a_patched_object_is_validated(api: Api) -> None:
    (await api.post(api.widgets(), widget("w"))).ok(201)
    (await api.patch(api.widgets("w"), {"spec": {"size": "many"}}, MERGE)).refused(422, "Invalid")
    (await api.patch(api.widgets("w"), {"spec": {"size": None}}, MERGE)).refused(422, "Invalid")
