"""What only the store has: copies, history, listeners, dry runs, reproducible uids. The semantics are in tests/contract."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from pincompute.api import builtin
from pincompute.api.meta import Key, Resource
from pincompute.api.workloads import PINAPPS
from pincompute.kube import api_errors
from pincompute.testing.apiserver.cluster_store import ClusterStore
from pincompute.testing.apiserver.served_kinds import CONFIGMAPS
from pincompute.testing.apiserver.version_history import StoredEvent

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def store() -> ClusterStore:
    numbers = count(1)
    return ClusterStore(lambda: NOON, (PINAPPS,), uid=lambda: f"{next(numbers):08d}-0000-4000-8000-000000000000")


def app(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": spec}


def test_nothing_handed_in_or_out_is_shared(store: ClusterStore) -> None:
    body = app("a", tags=["x"])
    made = store.create(PINAPPS, "default", body)
    seen: list[StoredEvent] = []
    store.subscribe(lambda _resource, event: seen.append(event))
    store.update(PINAPPS, Key("default", "a"), {**made, "spec": {"tags": ["y"]}})
    listed = store.list(PINAPPS).items[0]
    happened = store.events(PINAPPS, "0")[-1].object
    for outside in (body, made, listed, happened, seen[0].object):
        outside["spec"]["tags"].append("damage")
    assert store.get(PINAPPS, Key("default", "a"))["spec"] == {"tags": ["y"]}
    assert [e.object["spec"] for e in store.events(PINAPPS, "0")] == [{"tags": ["x"]}, {"tags": ["y"]}]


def test_two_stores_with_the_same_clock_and_uids_are_the_same() -> None:
    def history() -> list[StoredEvent]:
        numbers = count(1)
        store = ClusterStore(lambda: NOON, (PINAPPS,), uid=lambda: f"{next(numbers):08d}")
        store.create(PINAPPS, "default", {"metadata": {"generateName": "a-"}, "spec": {}})
        store.create(CONFIGMAPS, "default", {"metadata": {"name": "c"}})
        return store.events(PINAPPS, "0") + store.events(CONFIGMAPS, "0")

    assert history() == history()


def test_every_write_has_the_next_version(store: ClusterStore) -> None:
    before = int(store.resource_version)
    made = store.create(PINAPPS, "default", app("a"))
    store.create(CONFIGMAPS, "default", {"metadata": {"name": "c"}})
    store.delete(PINAPPS, Key("default", "a"))
    assert int(made["metadata"]["resourceVersion"]) == before + 1
    assert store.resource_version == str(before + 3)
    assert [e.resource_version for e in store.events(PINAPPS, "0")] == [str(before + 1), str(before + 3)]


def test_compacted_history_is_gone(store: ClusterStore) -> None:
    store.create(PINAPPS, "default", app("a"))
    middle = store.resource_version
    store.create(PINAPPS, "default", app("b"))
    token = store.list(PINAPPS, limit=1).continue_
    assert [i["metadata"]["name"] for i in store.list(PINAPPS, at=middle).items] == ["a"]
    store.create(PINAPPS, "default", app("c"))
    store.compact()
    with pytest.raises(api_errors.Gone):
        store.events(PINAPPS, middle)
    with pytest.raises(api_errors.Gone):
        store.list(PINAPPS, continue_=token)
    with pytest.raises(api_errors.Gone):
        store.list(PINAPPS, at=middle)
    assert store.events(PINAPPS, store.resource_version) == []


def test_listeners_hear_every_event_until_they_leave(store: ClusterStore) -> None:
    received: list[tuple[Resource[Any], str]] = []
    leave = store.subscribe(lambda resource, event: received.append((resource, event.type)))
    store.create(PINAPPS, "default", app("a"))
    store.delete(PINAPPS, Key("default", "a"))
    leave()
    store.create(PINAPPS, "default", app("b"))
    assert received == [(PINAPPS, "ADDED"), (PINAPPS, "DELETED")]


def test_a_rehearsal_stores_nothing(store: ClusterStore) -> None:
    version = store.resource_version
    with store.rehearsal():
        assert store.create(PINAPPS, "default", app("a", replicas=1))["spec"] == {"replicas": 1}
    assert store.create(PINAPPS, "default", app("a"), dry_run=True)["metadata"]["name"] == "a"
    assert store.list(PINAPPS).items == []
    assert store.resource_version == version
    store.create(PINAPPS, "default", app("a"))


def test_consequences_are_there_when_the_write_returns(store: ClusterStore) -> None:
    owner = store.create(CONFIGMAPS, "default", {"metadata": {"name": "owner"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    store.create(CONFIGMAPS, "default", {"metadata": {"name": "child", "ownerReferences": [reference]}})
    store.delete(CONFIGMAPS, Key("default", "owner"))
    assert store.list(CONFIGMAPS).items == []
    store.create(builtin.NAMESPACES, "", {"metadata": {"name": "team"}})
    store.create(PINAPPS, "team", app("a"))
    store.delete(builtin.NAMESPACES, Key("", "team"))
    assert store.list(PINAPPS).items == []
    with pytest.raises(api_errors.NotFound):
        store.get(builtin.NAMESPACES, Key("", "team"))


def test_an_owner_in_another_namespace_is_no_owner(store: ClusterStore) -> None:
    store.create(builtin.NAMESPACES, "", {"metadata": {"name": "team"}})
    owner = store.create(CONFIGMAPS, "default", {"metadata": {"name": "owner"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    store.create(CONFIGMAPS, "team", {"metadata": {"name": "child", "ownerReferences": [reference]}})
    assert store.list(CONFIGMAPS, "team").items == []


def test_a_pod_on_a_node_leaves_after_its_grace(store: ClusterStore) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": []}}
    store.create(builtin.PODS, "default", pod)
    held = store.delete(builtin.PODS, Key("default", "p"))
    assert held["metadata"]["deletionTimestamp"] == "2026-01-01T12:00:30Z"
    store.delete(builtin.PODS, Key("default", "p"), grace_seconds=0)
    assert store.list(builtin.PODS).items == []


def test_a_kind_that_is_not_served_is_not_found() -> None:
    with pytest.raises(api_errors.NotFound):
        ClusterStore().list(PINAPPS)


def test_bookmarks_name_the_present_version(store: ClusterStore) -> None:
    event = store.bookmark(PINAPPS)
    assert (event.type, event.resource_version) == ("BOOKMARK", store.resource_version)
    assert event.object["kind"] == "PinApp"
