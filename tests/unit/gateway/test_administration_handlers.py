"""The session, service tokens, roles, the audit log and clusters, through a whole gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway.served_gateway import Running, running

APPS = "/v1/projects/shop/apps"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with running(tmp_path) as found:
        yield found


async def test_who_am_i(gateway: Running):
    status, session, _ = await gateway.ask("root", "GET", "/v1/session")
    assert (status, session["name"], session["kind"], session["subject"]) == (200, "root", "user", "root")
    found = await gateway.send("GET", "/v1/session", None, await gateway.token("root"))
    assert (found.body["name"], found.body["kind"], found.body["subject"]) == ("test, made by root", "service", "root")


async def test_a_service_token_is_shown_once_narrows_and_can_be_revoked(gateway: Running):
    """Section 5.1: hashed, scoped, expiring, revocable; made by an owner, whose own rights it cannot exceed."""
    alice = gateway.issuer.token("alice")
    made = await gateway.send("POST", "/v1/tokens", {"name": "ci", "project": "shop", "role": "viewer"}, alice)
    assert made.status == 201
    secret, identity = made.body["secret"], made.body["id"]
    listed = await gateway.send("GET", "/v1/tokens", None, alice)
    assert secret not in listed.text
    assert identity in listed.text

    assert (await gateway.send("GET", APPS, None, secret)).status == 200
    refused = await gateway.send("DELETE", f"{APPS}/x", None, secret)
    assert refused.status == 403
    limited = "this token is limited to viewer in project shop"
    assert refused.body["detail"] == f"ci, made by alice may not delete apps in project shop: {limited}"
    assert refused.body["remedy"] == "create a token with `--role developer`, or use your own login instead of the token"
    session = await gateway.send("GET", "/v1/session", None, secret)
    assert session.body["scope"] == "viewer in project shop"
    assert (await gateway.send("DELETE", f"/v1/tokens/{identity}", None, alice)).status == 204
    assert (await gateway.send("GET", APPS, None, secret)).status == 401


async def test_a_token_never_allows_more_than_its_maker_may(gateway: Running):
    dan = gateway.issuer.token("dan")
    made = await gateway.send("POST", "/v1/tokens", {"name": "big", "project": "shop", "role": "owner"}, dan)
    assert (made.status, made.body["code"]) == (403, "forbidden")
    made = await gateway.send("POST", "/v1/tokens", {"name": "odd", "project": "shop", "role": "king"}, dan)
    assert (made.status, made.body["errors"][0]["field"]) == (422, "role")
    odd = {"name": "odd", "project": "shop", "operations": ["apps:get", "aps:list"]}
    made = await gateway.send("POST", "/v1/tokens", odd, dan)
    assert (made.status, made.body["errors"][0]["field"]) == (422, "operations")
    assert "did you mean 'apps'?" in made.body["errors"][0]["message"]


async def test_the_audit_log_is_verified_and_tampering_is_named(gateway: Running):
    """Section 5.4."""
    for _ in range(3):
        await gateway.ask("vera", "DELETE", f"{APPS}/hello")  # denied, and recorded
    status, report, _ = await gateway.ask("root", "POST", "/v1/admin/audit/verify")
    assert (status, report.get("faults", [])) == (200, [])
    log = gateway.gateway.settings.path("audit.log")
    log.write_bytes(log.read_bytes().replace(b"vera", b"vero", 1))
    _, report, _ = await gateway.ask("root", "POST", "/v1/admin/audit/verify")
    assert report["faults"]
    assert (await gateway.ask("alice", "POST", "/v1/admin/audit/verify"))[0] in (403, 404)


async def test_a_dry_run_of_every_verb_is_recorded_as_one_and_not_as_a_change(gateway: Running):
    app = {"kind": "App", "name": "judged", "containers": [{"name": "web", "image": "r/web:1"}]}
    apps = "/v1/projects/shop/apps"
    asked = (("POST", apps, app), ("PATCH", f"{apps}/judged", {"replicas": 2}), ("DELETE", f"{apps}/judged", None))
    for method, path, body in asked:
        for query in ("?dryRun=true", "?dryRun=false", ""):
            if method != "POST" or query != "":
                await gateway.ask("dan", method, path + query, body)
    await gateway.ask("dan", "POST", f"{apps}/hello/rollback?dryRun=true", {})
    _, page, _ = await gateway.ask("root", "GET", "/v1/admin/audit?who=dan&what=apps")
    done = [(r["verb"], r.get("dryRun", False)) for r in reversed(page["items"]) if r["stage"] == "done"]
    judged = [verb for verb, dry_run in done if dry_run]
    assert judged == ["create", "update", "delete", "rollback"]
    assert len(done) == 9


async def recorded(gateway: Running, query: str) -> list[tuple[str, dict[str, list[Any]]]]:
    """The operations that were done, oldest first, each with what it changed: field, before and after."""
    _, page, _ = await gateway.ask("root", "GET", f"/v1/admin/audit?{query}")
    return [
        (
            f"{record['verb']} {record['resource']}",
            {each["field"]: [each.get("before"), each.get("after")] for each in record.get("changes", ())},
        )
        for record in reversed(page["items"])
        if record["stage"] == "done"
    ]


async def test_the_records_of_a_project_say_what_was_set(gateway: Running) -> None:
    """Who raised which limit, lowered which protection and gave whom which role is found by the project."""
    limits, security = "/v1/admin/projects/shop/limits", "/v1/admin/projects/shop/pod-security"
    vic = "/v1/projects/shop/members/vic"
    for who, method, path, body in (
        ("root", "PUT", limits, {"pods": 20, "memory": "64Gi"}),
        ("root", "PUT", limits, {"pods": 50}),
        ("root", "PUT", security, {"level": "baseline"}),
        ("alice", "PUT", vic, {"role": "viewer"}),
        ("alice", "PUT", vic, {"role": "developer"}),
        ("alice", "DELETE", vic, None),
    ):
        status, answer, _ = await gateway.ask(who, method, path, body)
        assert status < 300, answer
    refused, _, _ = await gateway.ask("root", "PUT", limits, {"pods": -1})
    assert refused == 422
    found = await recorded(gateway, "project=shop&limit=100")
    assert [each for each in found if "policies" in each[0]] == [
        ("update policies", {"limits": [None, {"pods": 20, "memory": "64Gi"}]}),
        ("update policies", {"limits.pods": [20, 50], "limits.memory": ["64Gi", None]}),
        ("update policies", {"podSecurity": [None, {"level": "baseline"}]}),
        ("update policies", {}),
    ]
    assert [each for each in found if "members" in each[0]] == [
        ("update members", {"members.vic": [None, {"name": "vic", "role": "viewer"}]}),
        ("update members", {"members.vic.role": ["viewer", "developer"]}),
        ("delete members", {"members.vic": [{"name": "vic", "role": "developer"}, None]}),
    ]


async def test_the_record_of_a_creation_says_what_is_created(gateway: Running) -> None:
    """The name stands in the document. Without it, nobody finds who made a thing, or tried to."""
    app = {"kind": "App", "name": "ant", "containers": [{"name": "web", "image": "i"}]}
    full = {"apiVersion": "pincompute.io/v1alpha1", "kind": "PinApp", "metadata": {"name": "bee"}, "spec": {}}
    for who, path, body, wanted in (
        ("dan", APPS, app, 201),
        ("dan", APPS, full, 422),
        ("dan", APPS, {**app, "name": 7}, 422),
        ("root", "/v1/projects", {"name": "lab", "description": "tries"}, 201),
    ):
        status, answer, _ = await gateway.ask(who, "POST", path, body)
        assert status == wanted, answer
    assert await recorded(gateway, "project=shop&name=ant") == [("create apps", {})]
    assert await recorded(gateway, "project=shop&name=bee") == [("create apps", {})]
    ((operation, changes),) = await recorded(gateway, "project=lab")
    assert (operation, changes["description"]) == ("create projects", [None, "tries"])


async def test_the_record_of_a_service_token_says_what_it_may(gateway: Running) -> None:
    asked = {"name": "ci", "project": "shop", "role": "viewer", "days": 3}
    _, made, _ = await gateway.ask("alice", "POST", "/v1/tokens", asked)
    ((operation, changes),) = await recorded(gateway, "what=tokens")
    assert operation == "create tokens"
    assert {name: after for name, (_, after) in changes.items()} == {
        name: made[name] for name in ("id", "name", "project", "role", "expires")
    }
    assert made["secret"] not in gateway.gateway.settings.path("audit.log").read_text()


async def test_a_log_that_was_cut_off_at_its_end_lacks_the_head_that_was_kept(gateway: Running):
    """The chain alone cannot show it: what is left of it is whole."""
    verify = "/v1/admin/audit/verify"
    log = gateway.gateway.settings.path("audit.log")
    before = log.read_bytes()
    await gateway.ask("vera", "DELETE", f"{APPS}/hello")
    _, report, _ = await gateway.ask("root", "POST", verify)
    head = report["head"]
    _, report, _ = await gateway.ask("root", "POST", f"{verify}?head={head}")
    assert report.get("faults", []) == []
    log.write_bytes(before)
    _, report, _ = await gateway.ask("root", "POST", f"{verify}?head={head}")
    assert f"the record with hash {head} is gone" in [fault["what"] for fault in report["faults"]]
    status, problem, _ = await gateway.ask("root", "POST", f"{verify}?head=abc")
    assert (status, problem["errors"][0]["field"]) == (400, "head")


async def test_only_administrators_see_that_there_are_clusters(gateway: Running):
    _, page, _ = await gateway.ask("root", "GET", "/v1/admin/clusters")
    assert [(c["name"], c["zone"]) for c in page["items"]] == [("a1", "a")]
    assert (await gateway.ask("alice", "GET", "/v1/admin/clusters"))[0] == 403
