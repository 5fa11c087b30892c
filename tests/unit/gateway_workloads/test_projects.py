"""Projects and their members."""

from __future__ import annotations

import pytest
from workload_gateway import Running

from pincompute.api.labels import NAMESPACES_FINALIZER
from pincompute.api.meta import Key
from pincompute.api.projects import PROJECTS
from pincompute.api.workloads import PINAPPS

SHOP = Key("", "shop")
MEMBERS = "/v1/projects/shop/members"


async def test_who_creates_a_project_owns_it(gateway: Running) -> None:
    status, made, _ = await gateway.ask("carl", "POST", "/v1/projects", {"name": "lab", "description": "tries"})
    assert status == 201, made
    assert made["item"]["members"] == [{"name": "carl", "role": "owner"}]
    assert [item["name"] for item in (await gateway.ask("carl", "GET", "/v1/projects"))[1]["items"]] == ["lab"]
    status, problem, _ = await gateway.ask("vera", "POST", "/v1/projects", {"name": "other"})
    assert (status, problem["code"]) == (403, "forbidden")
    status, problem, _ = await gateway.ask("carl", "POST", "/v1/projects", {"name": "kube-system"})
    assert (status, problem["errors"][0]["field"]) == (422, "name")


async def test_a_new_project_has_an_owner_and_roles_that_exist(gateway: Running) -> None:
    members = [{"name": "vera", "role": "viewer"}]
    _, made, _ = await gateway.ask("carl", "POST", "/v1/projects", {"name": "lab", "members": members})
    assert made["item"]["members"] == [{"name": "carl", "role": "owner"}, *members]
    members = [{"name": "vera", "role": "king"}]
    status, problem, _ = await gateway.ask("carl", "POST", "/v1/projects", {"name": "other", "members": members})
    assert (status, problem["errors"][0]["field"]) == (422, "members[0].role")


async def test_a_project_is_changed_but_not_its_members(gateway: Running) -> None:
    status, changed, _ = await gateway.ask("alice", "PATCH", "/v1/projects/shop", {"description": "sells"})
    assert (status, changed["item"]["description"]) == (200, "sells")
    status, replaced, _ = await gateway.ask("alice", "PUT", "/v1/projects/shop", {"description": "buys", "labels": {"a": "b"}})
    assert (status, replaced["item"]["description"], len(replaced["item"]["members"])) == (200, "buys", 4)
    status, problem, _ = await gateway.ask("alice", "PATCH", "/v1/projects/shop", {"members": []})
    assert (status, problem["errors"][0]["field"]) == (422, "members")


async def test_a_project_with_workloads_is_not_deleted(gateway: Running) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "web", "image": "i"}]}}}
    gateway.host.store.create(PINAPPS, "shop", {"metadata": {"name": "ant", "namespace": "shop"}, "spec": spec})
    await gateway.caught_up()
    status, problem, _ = await gateway.ask("alice", "DELETE", "/v1/projects/shop")
    assert (status, problem["code"]) == (409, "wrong-state")
    assert "app ant" in problem["detail"]
    assert "--workloads" in problem["remedy"]
    status, asked, _ = await gateway.ask("alice", "DELETE", "/v1/projects/shop?workloads=true&dryRun=true")
    assert (status, asked["dryRun"]) == (202, True)
    assert (await gateway.ask("alice", "DELETE", "/v1/projects/shop/apps/ant"))[0] == 202
    assert (await gateway.ask("alice", "DELETE", "/v1/projects/shop"))[0] == 202
    assert (await gateway.ask("root", "GET", "/v1/projects/shop"))[0] == 404


async def test_a_project_that_is_being_deleted_says_what_it_waits_for(gateway: Running) -> None:
    """And nobody creates another under its name meanwhile: that one would find the former's secrets and volumes."""
    store = gateway.host.store
    store.patch(PROJECTS, SHOP, {"metadata": {"finalizers": [NAMESPACES_FINALIZER]}}, content_type="merge-patch")
    await gateway.caught_up()
    status, accepted, _ = await gateway.ask("alice", "DELETE", "/v1/projects/shop?workloads=true")
    assert (status, accepted["waitsFor"]) == (202, ["its workloads", "its namespaces in all zones"])
    remaining = [{"cluster": "a1", "zone": "a", "message": "it does not answer, at least in part"}]
    store.patch(PROJECTS, SHOP, {"status": {"remaining": remaining}}, content_type="merge-patch", subresource="status")
    await gateway.caught_up()
    _, item, _ = await gateway.ask("alice", "GET", "/v1/projects/shop")
    assert item["status"]["remaining"] == remaining
    status, problem, _ = await gateway.ask("carl", "POST", "/v1/projects", {"name": "shop"})
    assert (status, problem["code"]) == (409, "conflict")
    assert "still being deleted" in problem["detail"]


async def test_members_come_and_go_and_change_their_role(gateway: Running) -> None:
    status, added, _ = await gateway.ask("alice", "POST", MEMBERS, {"name": "group:web", "role": "developer"})
    assert (status, added) == (201, {"name": "group:web", "role": "developer"})
    assert (await gateway.ask("alice", "POST", MEMBERS, {"name": "group:web", "role": "developer"}))[0] == 201
    assert (await gateway.ask("alice", "POST", MEMBERS, {"name": "group:web", "role": "viewer"}))[0] == 409
    assert (await gateway.ask("alice", "PUT", f"{MEMBERS}/vera", {"role": "operator"}))[0] == 200
    assert (await gateway.ask("alice", "GET", f"{MEMBERS}/vera"))[1]["role"] == "operator"
    assert (await gateway.ask("alice", "DELETE", f"{MEMBERS}/vera"))[0] == 204
    status, _, _ = await gateway.ask("vera", "GET", "/v1/projects/shop/apps")
    assert status == 404
    _, everybody, _ = await gateway.ask("alice", "GET", MEMBERS)
    assert [member["name"] for member in everybody["items"]] == ["alice", "olga", "dan", "group:web"]


async def test_the_last_owner_stays(gateway: Running) -> None:
    for method, body in (("DELETE", None), ("PUT", {"role": "viewer"})):
        status, problem, _ = await gateway.ask("alice", method, f"{MEMBERS}/alice", body)
        assert (status, problem["code"]) == (409, "conflict"), method
    assert (await gateway.ask("root", "DELETE", f"{MEMBERS}/alice"))[0] == 204


async def test_only_owners_change_members_and_roles_must_exist(gateway: Running) -> None:
    status, problem, _ = await gateway.ask("olga", "POST", MEMBERS, {"name": "olaf", "role": "viewer"})
    assert (status, problem["code"]) == (403, "forbidden")
    status, problem, _ = await gateway.ask("alice", "POST", MEMBERS, {"name": "olaf", "role": "king"})
    assert (status, problem["code"]) == (403, "forbidden")
    assert "king" in problem["detail"]


async def test_a_member_with_an_unknown_field_is_refused(gateway: Running):
    """What is not understood is not passed over: it may have been a limit of the right."""
    for method, tail, body in (("POST", "", {"name": "vic", "role": "viewer"}), ("PUT", "/vic", {"role": "viewer"})):
        status, problem, _ = await gateway.ask("alice", method, MEMBERS + tail, {**body, "until": "tomorrow"})
        assert (status, "until" in problem["detail"]) == (400, True), problem
    assert (await gateway.ask("alice", "GET", f"{MEMBERS}/vic"))[0] == 404


SECURITY = "/v1/admin/projects/shop/pod-security"
PRIVILEGED = {"level": "privileged", "reason": "flashes boards", "approvedBy": "ann", "until": "2999-12-31T00:00:00Z"}


async def test_an_administrator_lowers_the_pod_security_of_a_project_and_takes_it_back(gateway: Running) -> None:
    status, made, _ = await gateway.ask("root", "PUT", SECURITY, PRIVILEGED)
    assert (status, made) == (200, PRIVILEGED)
    assert (await gateway.ask("vera", "GET", "/v1/projects/shop"))[1]["podSecurity"] == PRIVILEGED
    assert (await gateway.ask("root", "PUT", SECURITY, {"level": "restricted"}))[0] == 200
    assert "podSecurity" not in (await gateway.ask("vera", "GET", "/v1/projects/shop"))[1]


@pytest.mark.parametrize(
    ("left_out", "field"), [("reason", "reason"), ("approvedBy", "approvedBy"), ("until", "until"), ("level", None)]
)
async def test_privileged_needs_a_reason_a_name_and_an_end(gateway: Running, left_out: str, field: str | None) -> None:
    body = {name: value for name, value in PRIVILEGED.items() if name != left_out}
    status, problem, _ = await gateway.ask("root", "PUT", SECURITY, body)
    assert (status, [error["field"] for error in problem.get("errors", ())]) == ((422, [field]) if field else (200, []))


@pytest.mark.parametrize("until", ["2020-01-01T00:00:00Z", "2999-02-30T00:00:00Z", "tomorrow", "2999-01-01"])
async def test_an_end_is_a_time_to_come(gateway: Running, until: str) -> None:
    status, problem, _ = await gateway.ask("root", "PUT", SECURITY, {**PRIVILEGED, "until": until})
    assert (status, [error["field"] for error in problem["errors"]]) == (422, ["until"])


async def test_a_document_without_a_level_leaves_it(gateway: Running) -> None:
    await gateway.ask("root", "PUT", SECURITY, {"level": "baseline"})
    for method, body in (("PATCH", {"description": "sells"}), ("PUT", {"description": "buys"})):
        status, changed, _ = await gateway.ask("alice", method, "/v1/projects/shop", body)
        assert (status, changed["item"]["podSecurity"]["level"]) == (200, "baseline"), changed


async def test_the_rules_of_a_template_follow_the_level_that_holds(gateway: Running) -> None:
    """The federation says in the status which level holds: a lowered one may have ended."""
    as_root = {"template": {"spec": {"securityContext": {"runAsUser": 0}}}}
    app = {"kind": "App", "name": "ant", "containers": [{"name": "web", "image": "i"}], "advanced": as_root}
    for level, wanted in (("restricted", 422), ("baseline", 201)):
        status = {"status": {"podSecurity": level}}
        gateway.host.store.patch(PROJECTS, Key("", "shop"), status, content_type="merge-patch", subresource="status")
        await gateway.caught_up()
        found, answer, _ = await gateway.ask("dan", "POST", "/v1/projects/shop/apps?dryRun=true", app)
        assert found == wanted or (wanted == 201 and found == 200), answer
