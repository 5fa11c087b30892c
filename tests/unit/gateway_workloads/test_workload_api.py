"""The workload API through a whole gateway: what is written is there, once, judged at once, and told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from workload_gateway import Running

from pincompute.api.meta import Key
from pincompute.api.projects import PROJECTS
from pincompute.api.workloads import PINAPPS
from pincompute.kube import write_requests

APPS = "/v1/projects/shop/apps"


def app(name: str = "hello", **more: Any) -> dict[str, Any]:
    containers = [{"name": "web", "image": "hello:1", "ports": [{"name": "http", "port": 8080}]}]
    return {"kind": "App", "name": name, "replicas": 3, "containers": containers, **more}


async def test_what_is_created_can_be_read_at_once(gateway: Running):
    """S-250."""
    status, made, headers = await gateway.ask("dan", "POST", APPS, app())
    assert status == 201, made
    assert made["message"].startswith("3 replicas of hello will run in zone a")
    assert made["links"]["watch"] == f"{APPS}/hello/watch"
    status, read, fresh = await gateway.ask(
        "vera", "GET", f"{APPS}/hello", **{"Pincompute-Min-Version": headers["Pincompute-Version"]}
    )
    assert status == 200
    assert read == made["item"]
    assert (read["replicas"], read["author"], read["containers"]) == (3, "dan", app()["containers"])
    assert fresh["ETag"] == headers["ETag"] == f'"{read["version"]}"'


async def test_one_key_creates_one(gateway: Running):
    """S-259."""
    key = {"Idempotency-Key": "k1"}
    first = await gateway.ask("dan", "POST", APPS, app(), **key)
    again = await gateway.ask("dan", "POST", APPS, app(), **key)
    assert (first[0], again[0]) == (201, 201)
    assert again[1]["item"] == first[1]["item"]
    assert again[2]["Idempotency-Replayed"] == "true"
    for other in (app(replicas=4), app("other")):
        status, problem, _ = await gateway.ask("dan", "POST", APPS, other, **key)
        assert (status, problem["code"]) == (409, "key-reused")
    status, problem, _ = await gateway.ask("olga", "POST", APPS, app(), **key)
    assert (status, problem["code"]) == (409, "already-exists")


async def test_hooks_are_those_of_the_project_as_soon_as_it_is_known_which_these_are(gateway: Running):
    """One that an app has already stays: an administrator may have taken it away since."""
    hooked = {"update": {"hooks": [{"name": "board", "when": "BeforeStep"}]}}
    assert (await gateway.ask("dan", "POST", APPS, app(**hooked)))[0] == 201
    status = {"status": {"allowedHooks": ["freeze"]}}
    gateway.host.store.patch(PROJECTS, Key("", "shop"), status, content_type="merge-patch", subresource="status")
    await gateway.caught_up()
    status, problem, _ = await gateway.ask("dan", "POST", APPS, app("other", **hooked))
    assert (status, problem["errors"][0]["field"]) == (422, "update.hooks[0].name"), problem
    assert "write one of freeze" in problem["errors"][0]["message"]
    assert (await gateway.ask("dan", "PUT", f"{APPS}/hello", app(replicas=4, **hooked)))[0] == 200


async def test_every_mistake_is_told_at_once(gateway: Running):
    wrong = app("Hello", replicas=-1, termination="5s", zones=["z"])
    wrong["containers"][0] |= {"image": 5, "readinessProbe": {}, "resources": {"cpu": "1x"}}
    status, problem, _ = await gateway.ask("dan", "POST", APPS, wrong)
    assert (status, problem["code"]) == (422, "invalid")
    told = {error["field"]: error["message"] for error in problem["errors"]}
    assert set(told) == {
        "name",
        "replicas",
        "termination",
        "zones[0]",
        "containers[0].image",
        "containers[0].readinessProbe",
        "containers[0].resources.cpu",
    }
    assert told["containers[0].readinessProbe"] == "is not a field: write health"
    assert told["zones[0]"] == 'zone "z" does not exist: choose from a, or leave zones out'
    status, _, _ = await gateway.ask("dan", "GET", f"{APPS}/Hello")
    assert status == 404


@pytest.mark.parametrize(
    ("content_type", "body", "status", "says"),
    [
        ("application/json", b'{"name":\n x}', 400, "line 2, column 2"),
        ("application/yaml", b"name: a\nname: b\n", 400, 'line 2, column 1: "name" stands twice'),
        ("application/yaml", b"name: a\n---\nname: b\n", 400, "a second document from line 3 on"),
        ("text/plain", b"name: a", 415, "text/plain is not understood"),
        ("application/json", b'{"kind": "Ap"}', 422, "write App"),
        ("application/json", b'{"name": "a", "labels": {"a": "' + b"x" * 600_000 + b'"}}', 413, ""),
    ],
)
async def test_what_cannot_be_read_is_told_with_its_place(
    gateway: Running, content_type: str, body: bytes, status: int, says: str
):
    answered, problem = await gateway.send("dan", APPS, body, content_type)
    assert answered == status, problem
    assert says in problem["detail"]


async def test_yaml_and_the_full_resource_are_taken_as_well(gateway: Running):
    resource = b"""
apiVersion: pincompute.io/v1alpha1
kind: PinApp
metadata: {name: full, namespace: shop}
spec: {template: {spec: {nodeSelector: {disk: ssd}, containers: [{name: web, image: "hello:1"}]}}}
"""
    for body in (b'{kind: App, name: short, containers: [{name: web, image: "hello:1"}]}', resource):
        status, answer = await gateway.send("dan", APPS, body, "application/yaml")
        assert status == 201, answer
    _, full, _ = await gateway.ask("dan", "GET", f"{APPS}/full")
    assert full["advanced"] == {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}


async def test_a_replacement_changes_what_it_says_and_keeps_what_verbs_have_set(gateway: Running):
    _, made, _ = await gateway.ask("dan", "POST", APPS, app(labels={"team": "web"}, annotations={"note": "x"}))
    gateway.host.store.patch(PINAPPS, Key("shop", "hello"), {"spec": {"paused": True}}, content_type="merge-patch")
    await gateway.caught_up()
    status, changed, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app(replicas=5, labels={"team": "shop"}))
    assert status == 200, changed
    item = changed["item"]
    assert (item["replicas"], item["labels"], item["paused"]) == (5, {"team": "shop"}, True)
    assert "annotations" not in item
    assert item["id"] == made["item"]["id"]
    assert {change["field"] for change in changed["changes"]} == {"replicas", "labels.team", "annotations"}
    status, same, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app(replicas=5, labels={"team": "shop"}))
    assert (status, same.get("changes")) == (200, None)
    assert same["message"].startswith("nothing changes")
    assert same["item"]["generation"] == item["generation"]


KEPT_COUNTS = {
    "not stated": ({}, 9, {"replicas": 9}),
    "no value": ({"replicas": None}, 9, {"replicas": 9}),
    "the default, stated": ({"replicas": 1}, 1, None),
    "another count": ({"replicas": 4}, 4, None),
}


@pytest.mark.parametrize("case", KEPT_COUNTS)
async def test_a_replacement_without_a_count_keeps_the_scaled_one(gateway: Running, case: str):
    stated, replicas, kept = KEPT_COUNTS[case]
    await gateway.ask("dan", "POST", APPS, app())
    assert (await gateway.ask("dan", "PATCH", f"{APPS}/hello", {"replicas": 9}))[0] == 200
    document = {**{name: value for name, value in app().items() if name != "replicas"}, **stated}
    document["containers"][0]["image"] = "hello:2"
    _, planned, _ = await gateway.ask("dan", "POST", f"{APPS}/hello/diff", document)
    assert planned.get("kept") == kept
    status, changed, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", document)
    assert (status, changed["item"].get("replicas", 1)) == (200, replicas)
    assert ("replicas" in {change["field"] for change in changed["changes"]}) == (kept is None)
    _, patched, _ = await gateway.ask("dan", "PATCH", f"{APPS}/hello", {"replicas": None})
    assert patched["item"].get("replicas", 1) == 1, "a merge patch says what it removes"


async def test_the_order_of_variables_alone_restarts_nothing(gateway: Running):
    """S-131: some clients sort what they send."""
    first, sorted_ = app(), app()
    first["containers"][0]["env"] = {"B": "1", "A": "$(B)"}
    sorted_["containers"][0]["env"] = {"A": "$(B)", "B": "1"}
    _, made, _ = await gateway.ask("dan", "POST", APPS, first)
    _, same, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", sorted_)
    assert same["message"].startswith("nothing changes")
    assert same["item"]["generation"] == made["item"]["generation"]
    sorted_["containers"][0]["env"]["A"] = "2"
    _, changed, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", sorted_)
    assert [change["field"] for change in changed["changes"]] == ["containers.web.env.A"]


async def test_a_replacement_keeps_what_a_restart_has_written(gateway: Running):
    await gateway.ask("dan", "POST", APPS, app())
    notes = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    patch = {"spec": {"template": {"metadata": {"annotations": notes}}}}
    gateway.host.store.patch(PINAPPS, Key("shop", "hello"), patch, content_type="merge-patch")
    await gateway.caught_up()
    _, changed, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app(replicas=4))
    assert [change["field"] for change in changed["changes"]] == ["replicas"]
    held = gateway.host.store.get(PINAPPS, Key("shop", "hello"))
    assert held["spec"]["template"]["metadata"]["annotations"] == notes


async def test_a_patch_changes_only_what_it_names(gateway: Running):
    await gateway.ask("dan", "POST", APPS, app(labels={"team": "web"}))
    status, changed, _ = await gateway.ask("dan", "PATCH", f"{APPS}/hello", {"replicas": 4, "labels": {"team": None, "a": "b"}})
    assert status == 200, changed
    assert (changed["item"]["replicas"], changed["item"]["labels"]) == (4, {"a": "b"})
    assert changed["message"].startswith("hello goes from 3 to 4 replicas")
    status, problem, _ = await gateway.ask("dan", "PATCH", f"{APPS}/hello", {"replicaz": 4})
    assert (status, problem["errors"][0]["message"]) == (422, "is not a field: write replicas")


@pytest.mark.parametrize(("method", "body"), [("PATCH", {"replicas": 7}), ("PUT", app(replicas=7))], ids=["patch", "replace"])
async def test_a_change_whose_answer_was_lost_may_be_sent_again(gateway: Running, method: str, body: Any):
    """S-259, S-260: it made the version that it is refused for otherwise; its key tells that this was itself."""
    _, _, headers = await gateway.ask("dan", "POST", APPS, app())
    said = {"Idempotency-Key": "k1", "If-Match": headers["ETag"]}
    first = await gateway.ask("dan", method, f"{APPS}/hello", body, **said)
    again = await gateway.ask("dan", method, f"{APPS}/hello", body, **said)
    assert (first[0], again[0]) == (200, 200)
    assert again[2]["ETag"] == first[2]["ETag"]
    other = await gateway.ask("dan", method, f"{APPS}/hello", {**body, "replicas": 9}, **said)
    assert (other[0], other[1]["code"]) == (409, "key-reused")
    stranger = await gateway.ask("olga", method, f"{APPS}/hello", body, **said)
    assert (stranger[0], stranger[1]["code"]) == (412, "precondition-failed")


async def test_one_request_id_for_several_changes_makes_them_no_repetitions(gateway: Running) -> None:
    """Whoever traces gives the same id to all that belongs together; only an Idempotency-Key says that it was sent before."""
    await gateway.ask("dan", "POST", APPS, app())
    for replicas in (4, 5, 4):
        changed = await gateway.ask("dan", "PATCH", f"{APPS}/hello", {"replicas": replicas}, **{"X-Request-Id": "trace1"})
        assert changed[0] == 200, changed[1]
        assert (await gateway.ask("dan", "GET", f"{APPS}/hello"))[1]["replicas"] == replicas


async def test_changes_at_the_same_time_are_all_kept(gateway: Running):
    await gateway.ask("dan", "POST", APPS, app())
    patches = [gateway.ask("dan", "PATCH", f"{APPS}/hello", {"labels": {f"l{n}": "x"}}) for n in range(20)]
    assert {status for status, _, _ in await asyncio.gather(*patches)} == {200}
    _, read, _ = await gateway.ask("dan", "GET", f"{APPS}/hello")
    assert len(read["labels"]) == 20


async def test_one_key_creates_one_at_the_same_time_as_well(gateway: Running):
    creations = [gateway.ask("dan", "POST", APPS, app(), **{"Idempotency-Key": "k"}) for _ in range(20)]
    made = await asyncio.gather(*creations)
    assert {status for status, _, _ in made} == {201}
    assert len({answer["item"]["id"] for _, answer, _ in made}) == 1


async def test_a_write_of_an_older_version_is_refused(gateway: Running):
    _, made, _ = await gateway.ask("dan", "POST", APPS, app())
    version = made["item"]["version"]
    status, _, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app(replicas=4), **{"If-Match": f'"{version}"'})
    assert status == 200
    status, problem, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app(replicas=5), **{"If-Match": f'"{version}"'})
    assert (status, problem["code"]) == (412, "precondition-failed")
    status, problem, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app(replicas=5, version=version))
    assert status == 412
    status, problem, _ = await gateway.ask("dan", "DELETE", f"{APPS}/hello", **{"If-Match": f'"{version}"'})
    assert status == 412


async def test_a_status_that_moves_does_not_make_a_version_old(gateway: Running):
    _, made, _ = await gateway.ask("dan", "POST", APPS, app())
    key = Key("shop", "hello")
    gateway.host.store.patch(PINAPPS, key, {"status": {"phase": "Running"}}, content_type="merge-patch", subresource="status")
    version = {"If-Match": f'"{made["item"]["version"]}"'}
    status, changed, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app(replicas=4), **version)
    assert status == 200, changed


async def test_a_dry_run_judges_and_does_nothing(gateway: Running):
    status, judged, _ = await gateway.ask("dan", "POST", f"{APPS}?dryRun=true", app())
    assert (status, judged["dryRun"], judged["item"]["replicas"]) == (200, True, 3)
    assert (await gateway.ask("dan", "GET", f"{APPS}/hello"))[0] == 404
    await gateway.ask("dan", "POST", APPS, app())
    status, judged, _ = await gateway.ask("dan", "PATCH", f"{APPS}/hello?dryRun=true", {"replicas": 9})
    assert (status, judged["item"]["replicas"]) == (200, 9)
    assert (await gateway.ask("dan", "GET", f"{APPS}/hello"))[1]["replicas"] == 3


async def test_a_difference_is_told_in_fields_and_as_text(gateway: Running):
    wanted = app(replicas=4)
    status, found, _ = await gateway.ask("dan", "POST", f"{APPS}/hello/diff", wanted)
    assert (status, found["creates"]) == (200, True)
    await gateway.ask("dan", "POST", APPS, app())
    wanted["containers"][0]["image"] = "hello:2"
    _, found, _ = await gateway.ask("dan", "POST", f"{APPS}/hello/diff", wanted)
    assert found["changes"] == [
        {"field": "containers.web.image", "before": "hello:1", "after": "hello:2"},
        {"field": "replicas", "before": 3, "after": 4},
    ]
    assert "-  image: hello:1" in found["text"]
    assert "+  image: hello:2" in found["text"]


async def test_where_new_pods_are_ruled_out_what_needs_them_is_refused_with_its_field(gateway: Running):
    """S-151: in the plan, in the write and in a patch; an image and a scale are taken."""
    required = {"update": {"inPlace": "Require"}}
    await gateway.ask("dan", "POST", APPS, app(**required))
    wanted = app(**required)
    wanted["containers"][0]["args"] = ["-v"]
    for method, path, body in (
        ("POST", f"{APPS}/hello/diff", wanted),
        ("PUT", f"{APPS}/hello?dryRun=true", wanted),
        ("PUT", f"{APPS}/hello", wanted),
        ("PATCH", f"{APPS}/hello", {"containers": wanted["containers"]}),
    ):
        status, problem, _ = await gateway.ask("dan", method, path, body)
        assert (status, problem["errors"][0]["field"]) == (422, "containers[0].args"), problem
        assert "update.inPlace: Prefer" in problem["errors"][0]["message"]
    wanted = app(replicas=5, **required)
    wanted["containers"][0]["image"] = "hello:2"
    assert (await gateway.ask("dan", "PUT", f"{APPS}/hello", wanted))[0] == 200


async def test_the_former_name_of_a_field_is_answered_with_the_present_one(gateway: Running):
    status, problem, _ = await gateway.ask("dan", "POST", APPS, app(update={"type": "Recreate"}))
    assert (status, problem["errors"][0]) == (
        422,
        {"field": "update.type", "expected": "is not a field", "message": "is not a field: write inPlace"},
    )


async def test_deleting_is_answered_when_accepted_and_harmless_to_repeat(gateway: Running):
    """S-259: with what it waits for."""
    await gateway.ask("dan", "POST", APPS, app())
    key = Key("shop", "hello")
    gateway.host.store.patch(PINAPPS, key, {"metadata": {"finalizers": ["pincompute.io/shards"]}}, content_type="merge-patch")
    gateway.host.store.patch(
        PINAPPS, key, {"status": {"phase": "Running", "replicas": 3}}, content_type="merge-patch", subresource="status"
    )
    await gateway.caught_up()
    for _ in range(2):
        status, gone, _ = await gateway.ask("dan", "DELETE", f"{APPS}/hello")
        assert status == 202
        assert gone["waitsFor"] == ["3 replicas must end"]
        assert gone["item"]["deleting"]
    status, problem, _ = await gateway.ask("dan", "PUT", f"{APPS}/hello", app())
    assert (status, problem["code"]) == (409, "conflict")


async def test_a_project_that_does_not_exist_takes_nothing(gateway: Running):
    status, problem, _ = await gateway.ask("root", "POST", "/v1/projects/nowhere/apps", app())
    assert (status, problem["code"]) == (404, "not-found"), problem


@pytest.mark.parametrize(("between", "answer"), [({"spec": {"replicas": 9}}, 412), ({"status": {"phase": "Running"}}, 202)])
async def test_a_write_just_before_a_deletion_of_a_version_counts(
    gateway: Running, monkeypatch: pytest.MonkeyPatch, between: dict[str, Any], answer: int
):
    """What the cache has not seen yet is judged by the API server; a status that moved is no other version."""
    _, made, _ = await gateway.ask("dan", "POST", APPS, app())
    key, delete = Key("shop", "hello"), write_requests.delete
    subresource = "status" if "status" in between else ""

    async def delete_later(*given: Any) -> Any:
        monkeypatch.undo()
        gateway.host.store.patch(PINAPPS, key, between, content_type="merge-patch", subresource=subresource)
        return await delete(*given)

    monkeypatch.setattr(write_requests, "delete", delete_later)
    version = {"If-Match": f'"{made["item"]["version"]}"'}
    assert (await gateway.ask("dan", "DELETE", f"{APPS}/hello?dryRun=true", **{"If-Match": '"other"'}))[0] == 412
    status, body, _ = await gateway.ask("dan", "DELETE", f"{APPS}/hello", **version)
    assert status == answer, body
    kept = [obj["metadata"]["name"] for obj in gateway.host.store.list(PINAPPS).items]
    assert kept == (["hello"] if answer == 412 else [])
