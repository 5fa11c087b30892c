"""Versions only rise, indexes follow, and our own writes are never taken back by a watch or list that lags behind."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from pincompute.api.builtin import Pod, PodSpec
from pincompute.api.meta import Key, ObjectMeta
from pincompute.kube.object_store import Event, ObjectStore


def pod(name: str = "web", version: int = 1, uid: str = "u1", node: str = "", namespace: str = "ns") -> Pod:
    meta = ObjectMeta(name=name, namespace=namespace, uid=uid, resource_version=str(version))
    return Pod(metadata=meta, spec=PodSpec(node_name=node))


WEB = Key("ns", "web")


class Log:
    """A store with a record of what it told its listeners."""

    def __init__(self) -> None:
        self.store: ObjectStore[Pod] = ObjectStore({"node": lambda p: (p.spec.node_name,)})
        self.events: list[tuple[str, str]] = []
        self.store.listen(self._heard)

    def _heard(self, event: Event, obj: Pod, _old: Pod | None) -> None:
        self.events.append((event, obj.metadata.name))


def test_older_states_are_ignored() -> None:
    log = Log()
    log.store.put(pod(version=7, node="b"))
    log.store.put(pod(version=5, node="a"))
    assert log.store.get(WEB) == pod(version=7, node="b")
    assert log.events == [("ADDED", "web")]


def test_own_delete_is_not_undone_by_late_events() -> None:
    log = Log()
    log.store.put(pod(version=5))
    log.store.bury(WEB, "u1")
    log.store.put(pod(version=6, node="late"))
    log.store.remove(pod(version=7))
    assert log.store.get(WEB) is None
    assert log.events == [("ADDED", "web"), ("DELETED", "web")]


def test_an_answer_that_comes_after_the_watch_saw_the_object_go_does_not_bring_it_back() -> None:
    """The answer to a delete is the object's last state; over two connections it may come after the event."""
    log = Log()
    log.store.put(pod(version=5))
    log.store.remove(pod(version=7))
    log.store.put(pod(version=7, node="late"))
    assert log.store.get(WEB) is None
    assert log.events == [("ADDED", "web"), ("DELETED", "web")]


def test_object_that_left_a_selection_may_come_back() -> None:
    log = Log()
    log.store.put(pod(version=5))
    log.store.remove(pod(version=7))
    log.store.put(pod(version=8, node="back"))
    assert log.store.get(WEB) == pod(version=8, node="back")


def test_name_used_again_after_own_delete() -> None:
    log = Log()
    log.store.put(pod(version=5))
    log.store.bury(WEB, "u1")
    log.store.put(pod(version=9, uid="u2"))
    log.store.remove(pod(version=8, uid="u1"))  # the watch is late with the deletion
    assert log.store.get(WEB) == pod(version=9, uid="u2")


def test_recreated_between_two_looks_is_a_deletion_and_an_addition() -> None:
    log = Log()
    log.store.put(pod(version=5))
    log.store.put(pod(version=9, uid="u2"))
    assert log.events == [("ADDED", "web"), ("DELETED", "web"), ("ADDED", "web")]


def test_list_is_a_difference() -> None:
    log = Log()
    for name in ("same", "changed", "gone"):
        log.store.put(pod(name, 3, uid=name))
    log.events.clear()
    listing = log.store.listing()
    listing.page([pod("same", 3, uid="same"), pod("changed", 8, uid="changed", node="n"), pod("new", 9, uid="new")], False)
    assert log.store.get(Key("ns", "gone")) is not None  # not before the last page
    listing.end("10", False)
    assert log.events == [("MODIFIED", "changed"), ("ADDED", "new"), ("DELETED", "gone")]


def test_own_writes_survive_a_list_that_began_before_them() -> None:
    log = Log()
    listing = log.store.listing()
    listing.page([pod("old", 3, uid="old")], False)
    log.store.put(pod("ours", 12, uid="ours"))
    log.store.put(pod("old", 11, uid="old", node="moved"))
    listing.end("10", False)
    assert {p.metadata.name: p.spec.node_name for p in log.store.all()} == {"old": "moved", "ours": ""}


def test_a_new_version_alone_is_no_news() -> None:
    log = Log()
    log.store.put(pod(version=5))
    log.store.put(pod(version=6))
    assert log.store.get(WEB) == pod(version=6)
    assert log.events == [("ADDED", "web")]


def test_namespaces() -> None:
    log = Log()
    log.store.put(pod("a", namespace="one"))
    log.store.put(pod("a", namespace="two"))
    assert [p.metadata.namespace for p in log.store.all("two")] == ["two"]
    assert len(log.store) == 2
    assert not log.store.all("three")


steps = st.lists(
    st.tuples(st.sampled_from(["put", "remove", "bury"]), st.sampled_from("abc"), st.integers(1, 40), st.sampled_from("xyz")),
    max_size=40,
)


@settings(deadline=None)
@given(steps)
def test_index_always_agrees_with_the_objects(actions: Sequence[tuple[str, str, int, str]]) -> None:
    store: ObjectStore[Pod] = ObjectStore({"node": lambda p: (p.spec.node_name, "all")})
    newest: dict[str, int] = {}
    for action, name, version, node in actions:
        obj = pod(name, version, uid=f"{name}{version // 15}", node=node)
        if action == "bury":
            store.bury(obj.key, obj.metadata.uid)
        else:
            (store.put if action == "put" else store.remove)(obj)
        shown = store.get(obj.key)
        if shown is None:
            newest.pop(name, None)
            continue
        assert int(shown.metadata.resource_version) >= newest.get(name, 0)
        newest[name] = int(shown.metadata.resource_version)
    for node in "xyz":
        filed = sorted(p.key for p in store.by("node", node))
        assert filed == sorted(p.key for p in store.all() if p.spec.node_name == node)
    assert len(store.by("node", "all")) == len(store)
