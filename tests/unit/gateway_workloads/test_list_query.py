"""Lists: filters, order, pages that nothing slips through, and clusters that are silent."""

from __future__ import annotations

from typing import Any

import pytest
from workload_gateway import Running

from pincompute.api.builtin import NAMESPACES
from pincompute.api.meta import Key
from pincompute.api.projects import PROJECTS
from pincompute.api.workloads import PINAPPS

APPS = "/v1/projects/shop/apps"


def manifest(name: str, project: str = "shop", **spec: Any) -> dict[str, Any]:
    labels = spec.pop("labels", {})
    image = spec.pop("image", "hello:1")
    template = {"spec": {"containers": [{"name": "web", "image": image}]}}
    return {"metadata": {"name": name, "namespace": project, "labels": labels}, "spec": {"template": template, **spec}}


def fill(gateway: Running) -> None:
    store = gateway.host.store
    store.create(PINAPPS, "shop", manifest("ant", labels={"team": "web"}, tier="Reserved"))
    store.create(PINAPPS, "shop", manifest("bee", labels={"team": "data"}, placement={"zones": ["a"]}))
    cat = manifest("cat", image="registry/cat:9")
    store.create(PINAPPS, "shop", cat)
    store.patch(
        PINAPPS,
        Key("shop", "cat"),
        {"status": {"phase": "Running", "readyReplicas": 1, "message": "all is well"}},
        content_type="merge-patch",
        subresource="status",
    )


def names(listed: Any) -> list[str]:
    return [item["name"] for item in listed["items"]]


@pytest.mark.parametrize(
    ("query", "found"),
    {
        "everything, by name": ("", ["ant", "bee", "cat"]),
        "a tier": ("tier=Reserved", ["ant"]),
        "a zone that is asked for": ("zone=a", ["bee"]),
        "a state": ("state=running", ["cat"]),
        "a state before the first reconciliation": ("state=Pending", ["ant", "bee"]),
        "a label": ("label=team=web", ["ant"]),
        "a label of whatever value": ("label=team", ["ant", "bee"]),
        "two labels": ("label=team&label=team=data", ["bee"]),
        "an image": ("text=registry/CAT", ["cat"]),
        "a message": ("text=well", ["cat"]),
        "nothing like it": ("text=dog", []),
        "backwards": ("sort=-name", ["cat", "bee", "ant"]),
        "by state": ("sort=-state&limit=1", ["cat"]),
    }.values(),
)
async def test_finds_and_sorts(gateway: Running, query: str, found: list[str]) -> None:
    fill(gateway)
    await gateway.caught_up()
    status, listed, headers = await gateway.ask("vera", "GET", f"{APPS}?{query}")
    assert (status, names(listed)) == (200, found)
    assert listed["version"] == headers["Pincompute-Version"]


async def test_pages_neither_repeat_nor_hide_what_stays(gateway: Running) -> None:
    """S-252: things come and go between two pages."""
    store = gateway.host.store
    for number in range(10):
        store.create(PINAPPS, "shop", manifest(f"app{number}"))
    await gateway.caught_up()
    seen, cursor, calls = [], "", 0
    while True:
        _, listed, _ = await gateway.ask("vera", "GET", f"{APPS}?limit=3&cursor={cursor}")
        seen += names(listed)
        calls += 1
        if calls == 1:
            store.delete(PINAPPS, Key("shop", "app1"))
            store.create(PINAPPS, "shop", manifest("app00"))
            store.create(PINAPPS, "shop", manifest("app55"))
            await gateway.caught_up()
        cursor = listed.get("cursor", "")
        if not cursor:
            break
    assert seen == ["app0", "app1", "app2", "app3", "app4", "app5", "app55", "app6", "app7", "app8", "app9"]


async def test_a_cursor_is_good_for_its_own_list_only(gateway: Running) -> None:
    fill(gateway)
    await gateway.caught_up()
    _, listed, _ = await gateway.ask("vera", "GET", f"{APPS}?limit=1")
    for query in (f"limit=1&sort=created&cursor={listed['cursor']}", "cursor=nonsense", "cursor=%00", "cursor=W10"):
        status, problem, _ = await gateway.ask("vera", "GET", f"{APPS}?{query}")
        assert (status, problem["code"]) == (400, "malformed")


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "sort=colour", "label=="])
async def test_a_query_out_of_range_is_refused(gateway: Running, query: str) -> None:
    status, problem, _ = await gateway.ask("vera", "GET", f"{APPS}?{query}")
    assert status in (400, 422)
    assert query.partition("=")[0] in problem["detail"]


async def test_a_list_over_projects_holds_what_the_caller_may_see(gateway: Running) -> None:
    fill(gateway)
    store = gateway.host.store
    store.create(NAMESPACES, "", {"metadata": {"name": "secret", "labels": {"pincompute.io/project": "secret"}}})
    store.create(PROJECTS, "", {"metadata": {"name": "secret"}, "spec": {"members": [{"name": "sue"}]}})
    store.create(PINAPPS, "secret", manifest("plan", "secret"))
    await gateway.caught_up()
    assert names((await gateway.ask("vera", "GET", "/v1/apps"))[1]) == ["ant", "bee", "cat"]
    assert names((await gateway.ask("sue", "GET", "/v1/apps"))[1]) == ["plan"]
    assert names((await gateway.ask("mallory", "GET", "/v1/apps"))[1]) == []
    assert names((await gateway.ask("root", "GET", "/v1/apps?sort=-name"))[1]) == ["plan", "cat", "bee", "ant"]
    assert names((await gateway.ask("root", "GET", "/v1/apps?project=secret"))[1]) == ["plan"]


async def test_a_list_shows_every_change_at_once(gateway: Running) -> None:
    """Lists are kept as bytes; a change makes new ones."""
    fill(gateway)
    await gateway.caught_up()
    first = await gateway.ask("vera", "GET", APPS)
    assert (await gateway.ask("vera", "GET", APPS))[1] == first[1]
    await gateway.ask("dan", "PATCH", f"{APPS}/ant", {"replicas": 7})
    _, listed, _ = await gateway.ask("vera", "GET", APPS)
    assert listed["items"][0]["replicas"] == 7


async def test_a_silent_cluster_makes_a_list_partial_and_no_error(gateway: Running) -> None:
    """S-252: not an error, and not silence."""
    fill(gateway)
    await gateway.caught_up()
    await gateway.clusters.remove("a1")
    status, listed, headers = await gateway.ask("vera", "GET", APPS)
    assert (status, names(listed), listed["unreachable"]) == (200, ["ant", "bee", "cat"], ["a"])
    assert headers["Pincompute-Partial"] == "a"


async def test_resources_in_full_pass_the_same_filters_and_can_be_sent_back(gateway: Running):
    """Reads of full objects: what is read is a resource as it may be written."""
    fill(gateway)
    await gateway.caught_up()
    status, listed, _ = await gateway.ask("dan", "GET", "/v1/resources/projects/shop/apps?tier=Reserved")
    assert (status, [item["metadata"]["name"] for item in listed["items"]]) == (200, ["ant"])
    status, cat, headers = await gateway.ask("dan", "GET", "/v1/resources/projects/shop/apps/cat")
    assert (status, cat["kind"], cat["status"]["readyReplicas"], cat["spec"]["replicas"]) == (200, "PinApp", 1, 1)
    _, simple, as_before = await gateway.ask("dan", "GET", f"{APPS}/cat")
    assert headers["ETag"] == as_before["ETag"]
    assert simple["kind"] == "App"
    status, back, _ = await gateway.ask("dan", "PUT", f"{APPS}/cat?dryRun=true", cat)
    assert (status, back.get("changes", [])) == (200, [])
    assert (await gateway.ask("mallory", "GET", "/v1/resources/projects/shop/apps/cat"))[0] == 404
