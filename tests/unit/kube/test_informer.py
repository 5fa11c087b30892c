"""What a watch cache promises beyond surviving faults: unknown is not empty, own writes are seen, the server is asked well."""

from __future__ import annotations

import asyncio
import gc

import msgspec
import pytest
from fast_informer import HURRY, eventually, shown, watching
from hostile_server import HostileServer, ReceivedRequest, status

from pincompute.api.builtin import EVENTS, PODS, Pod
from pincompute.api.meta import Key
from pincompute.kube import object_decoding
from pincompute.kube.api_client import ApiClient
from pincompute.kube.cache_views import Unknown
from pincompute.kube.informer import Informer, InformerScope, InformerTiming
from pincompute.kube.kubeconfig import ClusterConfig


def decoded(server: HostileServer, name: str) -> Pod:
    return object_decoding.object_decoder(PODS.type).decode(msgspec.json.encode(server.objects[name]))


async def test_1250_objects_come_in_pages(server: HostileServer) -> None:
    for n in range(1250):
        server.put(f"pod-{n:04}")
    async with watching(server) as cache:
        await cache.until_synced()
        assert shown(cache) == server.truth()
        assert [seen.query["limit"] for seen in server.requests if not seen.watch] == ["500"] * 3


async def test_not_synced_before_the_last_page(server: HostileServer) -> None:
    """S-010: a cache that has seen a part of the list is unknown."""
    for n in range(600):
        server.put(f"pod-{n:04}")
    server.answer = lambda seen: status(503, "", "later") if "continue" in seen.query else None
    async with watching(server) as cache:
        await eventually(lambda: len(cache) == 500 and cache.trouble)
        assert not cache.synced
        server.answer = lambda _seen: None
        await cache.until_synced()
        assert len(cache) == 600


async def test_watch_asks_for_bookmarks_and_an_end(server: HostileServer) -> None:
    async with watching(
        server, scope=InformerScope(namespace="default", labels={"app": "web"}, fields="spec.nodeName=n1")
    ) as cache:
        await cache.until_synced()
        await eventually(lambda: server.watches)
    watch = next(seen for seen in server.requests if seen.watch)
    assert watch.path == "/api/v1/namespaces/default/pods"
    assert watch.query["allowWatchBookmarks"] == "true"
    assert watch.query["labelSelector"] == "app=web"
    assert watch.query["fieldSelector"] == "spec.nodeName=n1"
    assert 240 <= int(watch.query["timeoutSeconds"]) <= 480


async def test_a_watch_without_bookmarks_ends_before_its_silence_would_count_as_a_failure(server: HostileServer) -> None:
    """API servers send none for events, and nothing may happen for hours."""
    async with ApiClient(ClusterConfig(server=server.address), name="a1") as client:
        cache = Informer(client, EVENTS)
        task = asyncio.create_task(cache.run())
        await eventually(lambda: any(seen.watch for seen in server.requests))
        task.cancel()
        await asyncio.wait([task])
    watch = next(seen for seen in server.requests if seen.watch)
    assert int(watch.query["timeoutSeconds"]) < InformerTiming().inactivity


async def test_own_write_is_visible_before_the_watch_shows_it(server: HostileServer) -> None:
    async with watching(server) as cache:
        await cache.until_synced()
        await eventually(lambda: server.streams)
        server.mute()
        server.put("ours")
        cache.written(decoded(server, "ours"))
        assert cache.get(Key("default", "ours")) is not None


async def test_own_write_survives_a_list_that_was_begun_before_it(server: HostileServer) -> None:
    for n in range(600):
        server.put(f"pod-{n:04}")
    events: list[str] = []
    async with watching(server) as cache:
        cache.listen(lambda kind, obj, _old: events.append(f"{kind} {obj.metadata.name}"))

        def write_between_the_pages(seen: ReceivedRequest) -> None:
            if "continue" in seen.query:
                server.put("ours")  # sorts before the second page, whose version is older
                cache.written(decoded(server, "ours"))

        server.answer = write_between_the_pages
        await cache.until_synced()
        await eventually(lambda: server.streams)
        assert cache.get(Key("default", "ours")) is not None
        assert "DELETED ours" not in events


async def test_own_delete_is_not_undone_by_events_on_their_way(server: HostileServer) -> None:
    server.put("ours")
    events: list[str] = []
    async with watching(server) as cache:
        cache.listen(lambda kind, obj, _old: events.append(f"{kind} {obj.metadata.name}"))
        await cache.until_synced()
        await eventually(lambda: server.streams)
        cache.deleted(Key("default", "ours"), server.objects["ours"]["metadata"]["uid"])
        server.put("ours", nodeName="late")
        server.put("other")
        await eventually(lambda: "ADDED other" in events)
        assert cache.get(Key("default", "ours")) is None
        assert events == ["ADDED ours", "DELETED ours", "ADDED other"]


async def test_own_write_that_leaves_the_scope_is_not_shown(server: HostileServer) -> None:
    server.put("web-1")
    async with watching(server, scope=InformerScope(labels={"app": "web"})) as cache:
        await cache.until_synced()
        server.put("web-2")
        cache.written(decoded(server, "web-2"))
        server.put("job-1")
        cache.written(decoded(server, "job-1"))
        assert {p.metadata.name for p in cache.list()} == {"web-1", "web-2"}


async def test_an_object_that_cannot_be_decoded_is_unknown_and_hides_no_other(server: HostileServer) -> None:
    """F12: in a list and in a watch."""
    server.put("fine")
    server.put("poison", containers="not a list")
    async with watching(server) as cache:
        await cache.until_synced()
        assert set(shown(cache)) == {"fine"}
        with pytest.raises(Unknown, match="default/poison"):
            cache.get(Key("default", "poison"))
        server.put("late-poison", containers=7)
        server.put("late")
        await eventually(lambda: "late" in shown(cache))
        with pytest.raises(Unknown, match="late-poison"):
            cache.get(Key("default", "late-poison"))
        server.put("poison", nodeName="cured")
        await eventually(lambda: "poison" in shown(cache))
        assert cache.get(Key("default", "poison")) is not None


async def test_unsynced_kind_says_why(server: HostileServer) -> None:
    server.answer = lambda _seen: status(404, "NotFound", "the server could not find the requested resource")
    async with watching(server) as cache:
        await eventually(lambda: "could not find" in cache.trouble)
        server.answer = lambda _seen: None
        await cache.until_synced()
        assert cache.trouble == ""


async def test_last_contact_moves_with_bookmarks(server: HostileServer) -> None:
    async with watching(server) as cache:
        await cache.until_synced()
        await eventually(lambda: server.streams)
        before = cache.last_contact
        server.bookmark()
        await eventually(lambda: cache.last_contact > before)


async def test_collector_is_on_again_after_the_sync_and_after_a_list_that_fails(server: HostileServer) -> None:
    server.answer = lambda _seen: status(500, "", "broken")
    async with watching(server) as cache:
        await eventually(lambda: cache.trouble)
        await eventually(gc.isenabled)  # the next attempt may be under way
        server.answer = lambda _seen: None
        await cache.until_synced()
        assert gc.isenabled()


async def test_two_kinds_of_members_in_an_event_in_any_order(server: HostileServer) -> None:
    """Not every server writes the type first and nothing behind the object."""
    async with watching(server, timing=HURRY) as cache:
        await cache.until_synced()
        await eventually(lambda: server.streams)
        body = server.put("web")
        odd = {"object": {**body, "metadata": {**body["metadata"], "resourceVersion": "900"}}, "type": "MODIFIED"}
        server.raw(msgspec.json.encode(odd) + b"\n")
        behind = {"type": "MODIFIED", "object": {**body, "metadata": {**body["metadata"], "resourceVersion": "901"}}, "x": 1}
        server.raw(msgspec.json.encode(behind) + b"\n")
        await eventually(lambda: shown(cache) == {"web": "901"})


async def test_run_ends_when_cancelled_in_the_middle_of_anything(server: HostileServer) -> None:
    server.hold = asyncio.Event()
    async with watching(server) as cache:
        await eventually(lambda: server.requests)
        assert not cache.synced
    server.hold.set()
