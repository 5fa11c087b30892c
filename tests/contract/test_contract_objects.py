"""Create, read, update: versions, identity, generation, status apart from spec."""

from __future__ import annotations

from datetime import datetime

from contract_client import Api, configmap, widget


async def test_a_new_object_gets_its_identity_from_the_server(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w", metadata={"uid": "mine", "generation": 7}))).ok(201)
    metadata = made["metadata"]
    assert (metadata["name"], metadata["namespace"], metadata["generation"]) == ("w", api.namespace, 1)
    assert metadata["uid"] not in ("", "mine")
    assert int(metadata["resourceVersion"]) > 0
    assert datetime.fromisoformat(metadata["creationTimestamp"]).microsecond == 0
    assert (made["apiVersion"], made["kind"]) == ("contract.pincompute.io/v1", "Widget")
    assert (await api.get(api.widgets("w"))).ok() == made


async def test_a_name_is_taken_once(api: Api) -> None:
    (await api.post(api.widgets(), widget("w"))).ok(201)
    status = (await api.post(api.widgets(), widget("w", size=2))).refused(409, "AlreadyExists")
    assert status["message"] == 'widgets.contract.pincompute.io "w" already exists'
    assert status["details"] == {"name": "w", "group": "contract.pincompute.io", "kind": "widgets"}


async def test_what_does_not_exist_is_not_found(api: Api) -> None:
    status = (await api.get(api.widgets("none"))).refused(404, "NotFound")
    assert status["message"] == 'widgets.contract.pincompute.io "none" not found'
    assert status["details"] == {"name": "none", "group": "contract.pincompute.io", "kind": "widgets"}
    (await api.get(api.core("configmaps", "none"))).refused(404, "NotFound")
    (await api.put(api.widgets("none"), widget("none", metadata={"resourceVersion": "1"}))).refused(404, "NotFound")
    (await api.patch(api.widgets("none"), {"spec": {"size": 2}})).refused(404, "NotFound")
    (await api.delete(api.widgets("none"))).refused(404, "NotFound")


async def test_a_kind_that_is_not_served_is_not_found(api: Api) -> None:
    assert (await api.get("/apis/contract.pincompute.io/v1/gadgets")).code == 404
    assert (await api.get("/apis/nobody.example.com/v1/things")).code == 404


async def test_namespaced_kinds_need_a_namespace_that_exists(api: Api) -> None:
    path = "/apis/contract.pincompute.io/v1/namespaces/nowhere/widgets"
    status = (await api.post(path, widget("w"))).refused(404, "NotFound")
    assert status["message"] == 'namespaces "nowhere" not found'
    assert status["details"]["kind"] == "namespaces"


async def test_the_namespace_of_the_body_must_be_that_of_the_path(api: Api) -> None:
    (await api.post(api.widgets(), widget("w", metadata={"namespace": "default"}))).refused(400, "BadRequest")


async def test_cluster_scoped_kinds_are_not_below_namespaces(api: Api) -> None:
    assert (await api.get(api.core("nodes"))).code == 404
    assert (await api.post("/api/v1/configmaps", configmap("c"))).code in (404, 405)


async def test_a_body_of_another_kind_is_refused(api: Api) -> None:
    status = (await api.post(api.widgets(), {**widget("w"), "kind": "Gadget"})).refused(422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "kind"
    (await api.post(api.core("configmaps"), {**configmap("c"), "kind": "Secret"})).refused(400, "BadRequest")


async def test_a_new_object_must_not_name_a_version(api: Api) -> None:
    assert (await api.post(api.widgets(), widget("w", metadata={"resourceVersion": "5"}))).code >= 400


async def test_generated_names_begin_as_asked(api: Api) -> None:
    body = widget("")
    body["metadata"] = {"generateName": "w-"}
    names = {(await api.post(api.widgets(), body)).ok(201)["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("w-") and len(name) == 7 for name in names)


async def test_names_are_checked(api: Api) -> None:
    for bad in ("Upper", "under_score", "-dash", "a" * 254):
        status = (await api.post(api.widgets(), widget(bad))).refused(422, "Invalid")
        assert status["details"]["causes"][0]["field"] == "metadata.name"
    nameless = widget("")
    nameless["metadata"] = {}
    (await api.post(api.widgets(), nameless)).refused(422, "Invalid")


async def test_label_values_are_checked(api: Api) -> None:
    status = (await api.post(api.widgets(), widget("w", metadata={"labels": {"a": "no spaces"}}))).refused(422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "metadata.labels"


async def test_an_update_from_an_old_version_conflicts(api: Api) -> None:
    first = (await api.post(api.widgets(), widget("w"))).ok(201)
    second = (await api.put(api.widgets("w"), {**first, "spec": {"size": 2}})).ok()
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    status = (await api.put(api.widgets("w"), {**first, "spec": {"size": 3}})).refused(409, "Conflict")
    assert "the object has been modified" in status["message"]
    (await api.patch(api.widgets("w"), {"metadata": first["metadata"], "spec": {"size": 3}})).refused(409, "Conflict")


async def test_an_update_of_a_custom_kind_must_name_a_version(api: Api) -> None:
    (await api.post(api.widgets(), widget("w"))).ok(201)
    status = (await api.put(api.widgets("w"), widget("w", size=2))).refused(422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "metadata.resourceVersion"


async def test_an_update_of_a_built_in_kind_may_be_unconditional(api: Api) -> None:
    (await api.post(api.core("configmaps"), configmap("c", data={"a": "1"}))).ok(201)
    assert (await api.put(api.core("configmaps", "c"), configmap("c", data={"b": "2"}))).ok()["data"] == {"b": "2"}


async def test_another_uid_conflicts_in_an_update_and_is_invalid_in_a_patch(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w"))).ok(201)
    made["metadata"]["uid"] = "00000000-0000-4000-8000-000000000000"
    made["spec"]["size"] = 2
    (await api.put(api.widgets("w"), made)).refused(409, "Conflict")
    patch = {"metadata": {"uid": made["metadata"]["uid"]}, "spec": {"size": 2}}
    status = (await api.patch(api.widgets("w"), patch)).refused(422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "metadata.uid"
    patch["metadata"]["resourceVersion"] = "1"
    (await api.patch(api.widgets("w"), patch)).refused(409, "Conflict")


async def test_the_name_in_the_body_must_be_that_of_the_path(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w"))).ok(201)
    made["metadata"]["name"] = "other"
    (await api.put(api.widgets("w"), made)).refused(400, "BadRequest")


async def test_a_write_that_changes_nothing_keeps_the_version(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w", color="blue"))).ok(201)
    assert (await api.put(api.widgets("w"), made)).ok() == made
    assert (await api.patch(api.widgets("w"), {"spec": {"color": "blue"}})).ok() == made
    assert (await api.patch(api.widgets("w", "status"), {"spec": {"color": "red"}})).ok() == made


async def test_only_the_spec_counts_for_the_generation(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w"))).ok(201)
    labelled = (await api.patch(api.widgets("w"), {"metadata": {"labels": {"a": "b"}}})).ok()
    observed = (await api.patch(api.widgets("w", "status"), {"status": {"replicas": 3}})).ok()
    changed = (await api.patch(api.widgets("w"), {"spec": {"size": 9}})).ok()
    assert [o["metadata"]["generation"] for o in (made, labelled, observed, changed)] == [1, 1, 1, 2]
    versions = [int(o["metadata"]["resourceVersion"]) for o in (made, labelled, observed, changed)]
    assert versions == sorted(set(versions))


async def test_generation_is_the_servers(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w"))).ok(201)
    patched = (await api.patch(api.widgets("w"), {"metadata": {"generation": 40, "creationTimestamp": None}})).ok()
    assert patched["metadata"]["generation"] == 1
    assert patched["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]


async def test_status_and_spec_are_written_through_doors_of_their_own(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w", status={"replicas": 5}))).ok(201)
    assert "status" not in made
    ignored = (await api.patch(api.widgets("w"), {"status": {"replicas": 5}, "spec": {"size": 2}})).ok()
    assert "status" not in ignored
    body = {**ignored, "spec": {"size": 50}, "status": {"replicas": 5}}
    body["metadata"] = {**body["metadata"], "labels": {"from": "status"}}
    observed = (await api.put(api.widgets("w", "status"), body)).ok()
    assert observed["status"] == {"replicas": 5}
    assert observed["spec"]["size"] == 2
    assert "labels" not in observed["metadata"]
    assert (await api.patch(api.widgets("w"), {"spec": {"size": 3}})).ok()["status"] == {"replicas": 5}


async def test_status_writes_conflict_on_old_versions_too(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w"))).ok(201)
    (await api.patch(api.widgets("w"), {"spec": {"size": 2}})).ok()
    (await api.put(api.widgets("w", "status"), {**made, "status": {"replicas": 1}})).refused(409, "Conflict")


async def test_a_kind_without_status_has_no_such_door(api: Api) -> None:
    (await api.post(api.core("configmaps"), configmap("c"))).ok(201)
    assert (await api.patch(api.core("configmaps", "c", "status"), {"data": {"a": "b"}})).code == 404


async def test_dry_run_checks_and_stores_nothing(api: Api) -> None:
    assert (await api.post(api.widgets(), widget("w"), dryRun="All")).ok(201)["metadata"]["name"] == "w"
    (await api.get(api.widgets("w"))).refused(404, "NotFound")
    (await api.post(api.widgets(), widget("w", size=-1), dryRun="All")).refused(422, "Invalid")
    made = (await api.post(api.widgets(), widget("w"))).ok(201)
    assert (await api.patch(api.widgets("w"), {"spec": {"size": 8}}, dryRun="All")).ok()["spec"]["size"] == 8
    (await api.delete(api.widgets("w"), {"dryRun": ["All"]}, dryRun="All")).ok()
    assert (await api.get(api.widgets("w"))).ok() == made


async def test_scale_reads_and_writes_replicas(api: Api) -> None:
    (await api.post(api.widgets(), widget("w"))).ok(201)
    (await api.patch(api.widgets("w", "status"), {"status": {"replicas": 1, "selector": "a=b"}})).ok()
    scale = (await api.get(api.widgets("w", "scale"))).ok()
    assert (scale["apiVersion"], scale["kind"]) == ("autoscaling/v1", "Scale")
    assert scale["spec"] == {"replicas": 1}
    assert scale["status"] == {"replicas": 1, "selector": "a=b"}
    scaled = (await api.put(api.widgets("w", "scale"), {**scale, "spec": {"replicas": 4}})).ok()
    assert scaled["spec"] == {"replicas": 4}
    (await api.put(api.widgets("w", "scale"), {**scale, "spec": {"replicas": 5}})).refused(409, "Conflict")
    assert (await api.patch(api.widgets("w", "scale"), {"spec": {"replicas": 6}})).ok()["spec"] == {"replicas": 6}
    found = (await api.get(api.widgets("w"))).ok()
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (6, 3)


async def test_pods_begin_pending_and_count_generations(api: Api) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "main", "image": "one"}]}}
    made = (await api.post(api.core("pods"), pod)).ok(201)
    assert made["status"]["phase"] == "Pending"
    assert made["metadata"]["generation"] == 1
    patched = (await api.patch(api.core("pods", "p"), {"spec": {"containers": [{"name": "main", "image": "two"}]}})).ok()
    assert patched["metadata"]["generation"] == 2
    ready = (await api.patch(api.core("pods", "p", "status"), {"status": {"phase": "Running"}})).ok()
    assert (ready["status"]["phase"], ready["metadata"]["generation"]) == ("Running", 2)


async def test_a_scale_is_pinned_by_the_version_it_names(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w"))).ok(201)["metadata"]
    pins = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    scaled = (await api.patch(api.widgets("w", "scale"), {"metadata": pins, "spec": {"replicas": 4}})).ok()
    assert scaled["spec"] == {"replicas": 4}
    (await api.patch(api.widgets("w", "scale"), {"metadata": pins, "spec": {"replicas": 5}})).refused(409, "Conflict")
    (await api.patch(api.widgets("gone", "scale"), {"metadata": pins, "spec": {"replicas": 5}})).refused(404, "NotFound")
    assert (await api.get(api.widgets("w"))).ok()["spec"]["replicas"] == 4
