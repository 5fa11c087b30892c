"""Watches: where they begin, what they show, how they end."""

from __future__ import annotations

from contract_client import Api, configmap, widget

PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


async def version(api: Api) -> str:
    return (await api.get(api.widgets())).ok()["metadata"]["resourceVersion"]


async def test_a_watch_from_a_list_shows_what_came_after_it(api: Api) -> None:
    (await api.post(api.widgets(), widget("before"))).ok(201)
    since = await version(api)
    (await api.post(api.widgets(), widget("w"))).ok(201)
    (await api.patch(api.widgets("w"), {"spec": {"size": 2}})).ok()
    async with api.watch(api.widgets(), resourceVersion=since) as watch:
        assert watch.code == 200
        assert await watch.take(2) == [("ADDED", "w"), ("MODIFIED", "w")]
        (await api.delete(api.widgets("w"))).ok()
        event = await watch.next()
    assert event is not None
    assert event["type"] == "DELETED"
    assert event["object"]["spec"]["size"] == 2
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(since)


async def test_a_watch_without_a_version_begins_with_what_there_is(api: Api) -> None:
    for name in ("a", "b"):
        (await api.post(api.widgets(), widget(name))).ok(201)
    async with api.watch(api.widgets()) as watch:
        assert sorted(await watch.take(2)) == [("ADDED", "a"), ("ADDED", "b")]
        (await api.post(api.widgets(), widget("c"))).ok(201)
        assert await watch.take(1) == [("ADDED", "c")]


async def test_a_watch_of_one_object(api: Api) -> None:
    (await api.post(api.widgets(), widget("a"))).ok(201)
    since = await version(api)
    async with api.watch(api.widgets(), resourceVersion=since, fieldSelector="metadata.name=b") as watch:
        (await api.patch(api.widgets("a"), {"spec": {"size": 2}})).ok()
        (await api.post(api.widgets(), widget("b"))).ok(201)
        assert await watch.take(1) == [("ADDED", "b")]


async def test_entering_and_leaving_a_selection(api: Api) -> None:
    (await api.post(api.widgets(), widget("w"))).ok(201)
    since = await version(api)
    async with api.watch(api.widgets(), resourceVersion=since, labelSelector="in=yes") as watch:
        (await api.patch(api.widgets("w"), {"metadata": {"labels": {"in": "yes"}}})).ok()
        (await api.patch(api.widgets("w"), {"spec": {"size": 2}})).ok()
        left = (await api.patch(api.widgets("w"), {"metadata": {"labels": {"in": "no"}}})).ok()
        (await api.delete(api.widgets("w"))).ok()
        (await api.post(api.widgets(), widget("end", metadata={"labels": {"in": "yes"}}))).ok(201)
        assert await watch.take(2) == [("ADDED", "w"), ("MODIFIED", "w")]
        event = await watch.next()
        assert event is not None
        assert event["type"] == "DELETED"
        assert event["object"]["metadata"]["resourceVersion"] == left["metadata"]["resourceVersion"]
        assert event["object"]["metadata"]["labels"] == {"in": "yes"}
        assert await watch.take(1) == [("ADDED", "end")]


async def test_a_watch_sees_its_namespace_only(api: Api) -> None:
    since = (await api.get(api.core("configmaps"))).ok()["metadata"]["resourceVersion"]
    async with (
        api.watch(api.core("configmaps"), resourceVersion=since) as near,
        api.watch("/api/v1/configmaps", resourceVersion=since, fieldSelector="metadata.name=far") as all_of_them,
    ):
        path = "/api/v1/namespaces/default/configmaps"
        (await api.post(path, configmap("far"))).ok(201)
        (await api.post(api.core("configmaps"), configmap("near"))).ok(201)
        assert await all_of_them.take(1) == [("ADDED", "far")]
        event = await near.next()
        while event and event["object"]["metadata"]["name"] == "kube-root-ca.crt":
            event = await near.next()
        assert event is not None
        assert event["object"]["metadata"]["name"] == "near"
        (await api.delete(f"{path}/far")).ok()


async def test_a_watch_ends_when_its_time_is_up(api: Api) -> None:
    async with api.watch(api.widgets(), resourceVersion=await version(api), timeoutSeconds=1) as watch:
        assert await watch.next() is None


async def test_initial_events_end_with_a_bookmark(api: Api) -> None:
    (await api.post(api.widgets(), widget("w"))).ok(201)
    query = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": 20,
    }
    async with api.watch(api.widgets(), **query) as watch:
        assert await watch.take(1) == [("ADDED", "w")]
        event = await watch.next()
        assert event is not None
        assert event["type"] == "BOOKMARK"
        assert (event["object"]["kind"], event["object"]["apiVersion"]) == ("Widget", "contract.pincompute.io/v1")
        assert int(event["object"]["metadata"]["resourceVersion"]) > 0
        assert "name" not in event["object"]["metadata"]
        assert event["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_version_that_is_forgotten_gives_an_error_in_the_stream(api: Api) -> None:
    """HTTP status 200 and then a Status with code 410: clients must look for it there."""
    (await api.post(api.widgets(), widget("w"))).ok(201)
    await api.compact()
    async with api.watch(api.widgets(), resourceVersion=1) as watch:
        assert watch.code == 200
        event = await watch.next()
        assert event is not None
        assert event["type"] == "ERROR"
        assert (event["object"]["kind"], event["object"]["code"]) == ("Status", 410)
        assert event["object"]["reason"] == "Expired"
        assert event["object"]["message"].startswith("too old resource version: 1 (")
        assert await watch.next() is None


async def test_a_watch_of_metadata_alone(api: Api) -> None:
    since = await version(api)
    async with api.watch(api.widgets(), accept=PARTIAL, resourceVersion=since) as watch:
        (await api.post(api.widgets(), widget("w"))).ok(201)
        event = await watch.next()
    assert event is not None
    assert event["object"]["kind"] == "PartialObjectMetadata"
    assert event["object"]["metadata"]["name"] == "w"
    assert "spec" not in event["object"]


async def test_a_write_that_changes_nothing_makes_no_event(api: Api) -> None:
    made = (await api.post(api.widgets(), widget("w"))).ok(201)
    async with api.watch(api.widgets(), resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        (await api.put(api.widgets("w"), made)).ok()
        (await api.post(api.widgets(), widget("next"))).ok(201)
        assert await watch.take(1) == [("ADDED", "next")]
