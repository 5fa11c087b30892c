"""Server-side apply: ownership, conflicts, what a manager stops applying, lists merged by key."""

from __future__ import annotations

from typing import Any

from contract_client import MERGE, Api, configmap, managers, widget


async def applied(api: Api, manager: str, *, force: bool = False, **spec: Any) -> dict[str, Any]:
    body = widget("w")
    body["spec"] = spec
    answer = await api.apply(api.widgets("w"), body, manager, force=force)
    assert answer.code in (200, 201), answer.body
    return answer.body


async def test_apply_creates_what_is_missing_and_owns_what_it_names(api: Api) -> None:
    answer = await api.apply(api.widgets("w"), widget("w", options={"a": "1"}), "one")
    made = answer.ok(201)
    assert made["metadata"]["generation"] == 1
    assert managers(made) == {
        ("one", "Apply", ""): {"f:spec": {"f:size": {}, "f:options": {"f:a": {}}}},
    }
    assert (await api.apply(api.widgets("w"), widget("w", options={"a": "1"}), "one")).code == 200


async def test_apply_needs_a_manager(api: Api) -> None:
    assert (await api.patch(api.widgets("w"), widget("w"), "application/apply-patch+yaml")).code in (400, 422)


async def test_applying_the_same_again_writes_nothing(api: Api) -> None:
    first = await applied(api, "one", size=1, ports=[{"name": "http", "port": 80}])
    assert await applied(api, "one", size=1, ports=[{"name": "http", "port": 80}]) == first


async def test_applying_another_managers_value_shares_the_field(api: Api) -> None:
    first = await applied(api, "one", size=1)
    both = await applied(api, "two", size=1)
    assert int(both["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    assert both["metadata"]["generation"] == 1
    assert set(managers(both)) == {("one", "Apply", ""), ("two", "Apply", "")}


async def test_changing_another_managers_field_conflicts(api: Api) -> None:
    await applied(api, "one", size=1, options={"a": "1"})
    body = widget("w", options={"a": "2"})
    body["spec"]["size"] = 2
    status = (await api.apply(api.widgets("w"), body, "two")).refused(409, "Conflict")
    causes = {(c["reason"], c["field"], c["message"]) for c in status["details"]["causes"]}
    assert causes == {
        ("FieldManagerConflict", ".spec.options.a", 'conflict with "one"'),
        ("FieldManagerConflict", ".spec.size", 'conflict with "one"'),
    }
    assert (await api.get(api.widgets("w"))).body["spec"]["size"] == 1


async def test_force_takes_the_field_over(api: Api) -> None:
    await applied(api, "one", size=1, code="a")
    taken = await applied(api, "two", size=2, force=True)
    assert taken["spec"]["size"] == 2
    assert managers(taken)[("one", "Apply", "")] == {"f:spec": {"f:code": {}}}
    assert managers(taken)[("two", "Apply", "")] == {"f:spec": {"f:size": {}}}


async def test_a_field_no_longer_applied_goes(api: Api) -> None:
    await applied(api, "one", size=1, code="a", options={"a": "1", "b": "2"})
    left = await applied(api, "one", size=1, options={"b": "2"})
    assert left["spec"] == {"size": 1, "options": {"b": "2"}, "color": "red", "replicas": 1}


async def test_a_field_no_longer_applied_stays_while_others_own_it(api: Api) -> None:
    await applied(api, "one", size=1, code="a")
    await applied(api, "two", code="a", size=1)
    left = await applied(api, "one", size=1)
    assert left["spec"]["code"] == "a"
    assert managers(left)[("one", "Apply", "")] == {"f:spec": {"f:size": {}}}


async def test_a_field_that_others_wrote_meanwhile_is_theirs(api: Api) -> None:
    await applied(api, "one", size=1, code="a")
    patched = (await api.patch(api.widgets("w"), {"spec": {"code": "b"}}, MERGE, fieldManager="two")).ok()
    assert managers(patched)[("one", "Apply", "")] == {"f:spec": {"f:size": {}}}
    assert managers(patched)[("two", "Update", "")] == {"f:spec": {"f:code": {}}}
    left = await applied(api, "one", size=1)
    assert left["spec"]["code"] == "b"
    body = widget("w", code="c")
    status = (await api.apply(api.widgets("w"), body, "one")).refused(409, "Conflict")
    assert status["details"]["causes"][0]["message"] == 'conflict with "two" using contract.pincompute.io/v1'


async def test_a_removed_default_comes_back(api: Api) -> None:
    await applied(api, "one", size=1, color="blue")
    assert (await applied(api, "one", size=1))["spec"]["color"] == "red"


async def test_keyed_lists_merge_by_their_keys(api: Api) -> None:
    await applied(api, "one", size=1, ports=[{"name": "a", "port": 1}, {"name": "b", "port": 2}])
    both = await applied(api, "two", size=1, ports=[{"name": "c", "port": 3}])
    assert {p["name"]: p["port"] for p in both["spec"]["ports"]} == {"a": 1, "b": 2, "c": 3}
    left = await applied(api, "one", size=1, ports=[{"name": "b", "port": 2}])
    assert {p["name"]: p["port"] for p in left["spec"]["ports"]} == {"b": 2, "c": 3}
    body = widget("w", ports=[{"name": "b", "port": 9}])
    status = (await api.apply(api.widgets("w"), body, "two")).refused(409, "Conflict")
    assert [c["field"] for c in status["details"]["causes"]] == ['.spec.ports[name="b"].port']


async def test_keyed_items_are_owned_by_key_and_field(api: Api) -> None:
    made = await applied(api, "one", size=1, ports=[{"name": "a", "port": 1}])
    ports = managers(made)[("one", "Apply", "")]["f:spec"]["f:ports"]
    assert ports == {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:port": {}}}


async def test_an_item_stays_while_others_own_part_of_it(api: Api) -> None:
    await applied(api, "one", size=1, ports=[{"name": "a", "port": 1}])
    await applied(api, "two", size=1, ports=[{"name": "a", "weight": 7}], force=True)
    left = await applied(api, "one", size=1)
    assert left["spec"]["ports"] == [{"name": "a", "weight": 7}]


async def test_sets_merge_by_value(api: Api) -> None:
    await applied(api, "one", size=1, tags=["a", "b"])
    assert (await applied(api, "two", size=1, tags=["c"]))["spec"]["tags"] == ["a", "b", "c"]
    assert (await applied(api, "one", size=1, tags=["b"]))["spec"]["tags"] == ["b", "c"]


async def test_atomic_values_have_one_owner(api: Api) -> None:
    await applied(api, "one", size=1, plan=["a"], whole={"a": "1"})
    body = widget("w", plan=["b"], whole={"b": "1"})
    status = (await api.apply(api.widgets("w"), body, "two")).refused(409, "Conflict")
    assert {c["field"] for c in status["details"]["causes"]} == {".spec.plan", ".spec.whole"}
    taken = await applied(api, "two", size=1, plan=["b"], whole={"b": "1"}, force=True)
    assert (taken["spec"]["plan"], taken["spec"]["whole"]) == (["b"], {"b": "1"})


async def test_labels_and_finalizers_are_shared_one_by_one(api: Api) -> None:
    first = {"labels": {"a": "1", "b": "1"}, "finalizers": ["x.io/a"]}
    (await api.apply(api.widgets("w"), widget("w", metadata=first), "one")).ok(201)
    second = {"labels": {"c": "1"}, "finalizers": ["x.io/b"]}
    (await api.apply(api.widgets("w"), widget("w", metadata=second), "two")).ok()
    left = (await api.apply(api.widgets("w"), widget("w", metadata={"labels": {"a": "1"}}), "one")).ok()
    assert left["metadata"]["labels"] == {"a": "1", "c": "1"}
    assert left["metadata"]["finalizers"] == ["x.io/b"]


async def test_labels_that_are_all_gone_leave_nothing(api: Api) -> None:
    (await api.apply(api.widgets("w"), widget("w", metadata={"labels": {"a": "1"}}), "one")).ok(201)
    left = (await api.apply(api.widgets("w"), widget("w"), "one")).ok()
    assert "labels" not in left["metadata"]


async def test_what_nobody_owns_any_more_goes_whole_with_its_defaults(api: Api) -> None:
    await applied(api, "one", size=1, options={"a": "1"}, nested={"a": "1"}, ports=[{"name": "a"}], tags=["a"])
    left = await applied(api, "one", size=1)
    assert left["spec"] == {"size": 1, "color": "red", "replicas": 1}


async def test_an_empty_map_can_be_applied(api: Api) -> None:
    assert (await applied(api, "one", size=1, options={}))["spec"]["options"] == {}
    assert "options" not in (await applied(api, "one", size=1))["spec"]


async def test_a_map_that_is_emptied_but_still_applied_is_refused(api: Api) -> None:
    """A trap of custom kinds: pruning leaves null, which is no object. Leave the map out instead."""
    await applied(api, "one", size=1, options={"a": "1"})
    status = (await api.apply(api.widgets("w"), widget("w", options={}), "one")).refused(422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "spec.options"
    assert (await api.get(api.widgets("w"))).ok()["spec"]["options"] == {"a": "1"}


async def test_status_is_applied_through_its_own_door(api: Api) -> None:
    await applied(api, "one", size=1)
    ready = {"type": "Ready", "status": "True"}
    body = widget("w", status={"replicas": 2, "conditions": [ready]})
    observed = (await api.apply(api.widgets("w", "status"), body, "one")).ok()
    assert observed["status"] == {"replicas": 2, "conditions": [ready]}
    assert managers(observed)[("one", "Apply", "status")] == {
        "f:status": {
            "f:replicas": {},
            "f:conditions": {'k:{"type":"Ready"}': {".": {}, "f:type": {}, "f:status": {}}},
        }
    }
    assert managers(observed)[("one", "Apply", "")] == {"f:spec": {"f:size": {}}}
    other = widget("w", status={"conditions": [{"type": "Sound", "status": "True"}]})
    both = (await api.apply(api.widgets("w", "status"), other, "two")).ok()
    assert [c["type"] for c in both["status"]["conditions"]] == ["Ready", "Sound"]
    assert (await applied(api, "one", size=1))["status"] == both["status"]


async def test_applying_status_does_not_create(api: Api) -> None:
    assert (await api.apply(api.widgets("w", "status"), widget("w", status={"replicas": 1}), "one")).code == 404


async def test_unknown_fields_are_not_applied(api: Api) -> None:
    answer = await api.apply(api.widgets("w"), widget("w", oops=1), "one")
    assert answer.code >= 400
    assert "oops" in answer.body["message"]


async def test_invalid_values_are_not_applied(api: Api) -> None:
    (await api.apply(api.widgets("w"), widget("w", size=-1), "one")).refused(422, "Invalid")


async def test_apply_pinned_to_a_version_conflicts_when_it_is_old(api: Api) -> None:
    first = await applied(api, "one", size=1)
    await applied(api, "one", size=2)
    body = widget("w", metadata={"resourceVersion": first["metadata"]["resourceVersion"]}, size=3)
    (await api.apply(api.widgets("w"), body, "one")).refused(409, "Conflict")


async def test_apply_pinned_to_a_version_that_no_object_has_makes_what_is_missing_and_touches_nothing(api: Api) -> None:
    """So making an object and finding out that somebody else's has its name is one request (S-002)."""
    pinned = widget("w", metadata={"resourceVersion": "1"}, size=1)
    made = (await api.apply(api.widgets("w"), pinned, "one")).ok(201)
    assert made["metadata"]["resourceVersion"] != "1"
    (await api.apply(api.widgets("w"), {**pinned, "spec": {"size": 2}}, "one")).refused(409, "Conflict")
    assert (await api.get(api.widgets("w"))).ok()["spec"]["size"] == 1


async def test_apply_pinned_to_a_uid_neither_creates_nor_takes_over(api: Api) -> None:
    pinned = widget("w", metadata={"uid": "00000000-0000-4000-8000-000000000000"})
    (await api.apply(api.widgets("w"), pinned, "one")).refused(409, "Conflict")
    made = await applied(api, "one", size=1)
    status = (await api.apply(api.widgets("w"), {**pinned, "spec": {"size": 5}}, "one")).refused(422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "metadata.uid"
    pinned["metadata"]["uid"] = made["metadata"]["uid"]
    assert (await api.apply(api.widgets("w"), {**pinned, "spec": {"size": 6}}, "one")).ok()["spec"]["size"] == 6


async def test_updates_own_what_they_change(api: Api) -> None:
    made = (await api.post(api.core("configmaps"), configmap("c", data={"a": "1", "b": "1"}), fieldManager="one")).ok(201)
    assert managers(made) == {("one", "Update", ""): {"f:data": {".": {}, "f:a": {}, "f:b": {}}}}
    made["data"]["b"] = "2"
    changed = (await api.put(api.core("configmaps", "c"), made, fieldManager="two")).ok()
    assert managers(changed) == {
        ("one", "Update", ""): {"f:data": {".": {}, "f:a": {}}},
        ("two", "Update", ""): {"f:data": {"f:b": {}}},
    }


async def test_the_manager_of_an_update_is_by_default_the_user_agent(api: Api) -> None:
    made = (await api.post(api.core("configmaps"), configmap("c", data={"a": "1"}))).ok(201)
    assert [m[0] for m in managers(made)] == ["contract"]


async def test_containers_merge_by_name(api: Api) -> None:
    path, pod = api.core("pods", "p"), {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
    first = {**pod, "spec": {"containers": [{"name": "main", "image": "one"}, {"name": "side", "image": "one"}]}}
    (await api.apply(path, first, "one")).ok(201)
    first["spec"] = {"containers": [{"name": "main", "image": "two"}, {"name": "side", "image": "one"}]}
    changed = (await api.apply(path, first, "one")).ok()
    assert [(c["name"], c["image"]) for c in changed["spec"]["containers"]] == [("main", "two"), ("side", "one")]
    second = {**pod, "spec": {"containers": [{"name": "side", "image": "three"}]}}
    status = (await api.apply(path, second, "two")).refused(409, "Conflict")
    assert [c["field"] for c in status["details"]["causes"]] == ['.spec.containers[name="side"].image']
