"""Ranked indexes and sums follow every event, and come to what would be worked out from scratch."""

from __future__ import annotations

from itertools import islice

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pincompute.api.builtin import Container, Pod, PodSpec, ResourceRequirements
from pincompute.api.meta import Key, ObjectMeta
from pincompute.kube.indexer import ALWAYS, Index, IndexEntry, OfSpec, Ranked, Sum
from pincompute.kube.object_store import ObjectStore

USED: Sum[Pod] = Sum(lambda p: (IndexEntry(p.spec.node_name, position(p), {"cpu": cpu(p), "pods": 1}),))
INDEXES: dict[str, Index[Pod]] = {
    "by name": Ranked(lambda p: (p.spec.node_name,) if p.spec.node_name else (), lambda p: (cpu(p), p.metadata.name)),
    "used": USED,
}


def cpu(pod: Pod) -> int:
    return int(pod.spec.containers[0].resources.requests["cpu"])


def position(pod: Pod) -> int:
    at = int(pod.metadata.labels["at"])
    return ALWAYS if at == 0 else at


def pod(name: str, version: int, node: str = "n1", cpu: int = 1, at: int = 0) -> Pod:
    meta = ObjectMeta(name=name, namespace="ns", uid=name, resource_version=str(version), labels={"at": str(at)})
    asked = Container(name="c", resources=ResourceRequirements(requests={"cpu": cpu}))
    return Pod(metadata=meta, spec=PodSpec(node_name=node, containers=(asked,)))


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(("", "n1", "n2")), st.integers(0, 3), st.integers(0, 4))))
def test_what_is_kept_equals_what_is_worked_out_from_scratch(steps):
    store: ObjectStore[Pod] = ObjectStore(INDEXES)
    for version, (name, node, amount, at) in enumerate(steps, 1):
        if amount == 3:
            store.remove(pod(name, version))
        else:
            store.put(pod(name, version, node, amount, at))
    everything = store.all()
    for node in ("n1", "n2"):
        there = sorted((p for p in everything if p.spec.node_name == node), key=lambda p: (cpu(p), p.metadata.name))
        assert list(store.by("by name", node)) == there
        for after in (-1, 2, 9):
            counted = [p for p in there if position(p) > after]
            want = {"cpu": sum(map(cpu, counted)), "pods": len(counted)}
            assert store.total("used", node, after) == {name: amount for name, amount in want.items() if amount}
    assert set(store.values("by name")) == {p.spec.node_name for p in everything if p.spec.node_name}


def test_the_first_few_of_many_are_found_without_the_others():
    store: ObjectStore[Pod] = ObjectStore(INDEXES)
    for n in range(1000):
        store.put(pod(f"p{n:03}", n + 1, cpu=1000 - n))
    assert [p.metadata.name for p in islice(store.by("by name", "n1"), 3)] == ["p999", "p998", "p997"]


def test_a_sum_is_no_index_and_an_index_no_sum():
    store: ObjectStore[Pod] = ObjectStore(INDEXES)
    with pytest.raises(LookupError, match="no index 'nodes'; declared: by name, used"):
        store.by("nodes", "n1")
    with pytest.raises(LookupError, match="sum"):
        list(store.by("used", "n1"))
    with pytest.raises(LookupError, match="asked of an index"):
        store.total("by name", "n1")


def test_an_object_made_anew_counts_once():
    store: ObjectStore[Pod] = ObjectStore(INDEXES)
    store.put(pod("a", 1, cpu=2))
    store.bury(Key("ns", "a"), "a")
    assert store.total("used", "n1") == {}
    assert list(store.by("by name", "n1")) == []


def versioned(version: int, generation: int, node: str, uid: str = "a", at: int = 0) -> Pod:
    made = pod("a", version, node, at=at)
    return msgspec.structs.replace(made, metadata=msgspec.structs.replace(made.metadata, uid=uid, generation=generation))


def test_an_index_of_the_spec_follows_what_it_is_of_and_nothing_else():
    asked: list[int] = []

    def node(found: Pod) -> tuple[str, ...]:
        asked.append(int(found.metadata.resource_version))
        return (found.spec.node_name,)

    store: ObjectStore[Pod] = ObjectStore({"nodes": OfSpec(node, position), "used": OfSpec(USED, position)})
    steps = [
        (versioned(1, 1, "n1"), "n1", True),
        (versioned(2, 1, "n1"), "n1", False),
        (versioned(3, 2, "n2"), "n2", True),
        (versioned(4, 2, "n2", at=3), "n2", True),
        (versioned(5, 2, "n1", uid="b", at=3), "n1", True),
        (versioned(6, 0, "n2", uid="b", at=3), "n2", True),
        (versioned(7, 0, "n1", uid="b", at=3), "n1", True),
    ]
    for made, where, counts in steps:
        before = len(asked)
        store.put(made)
        assert (len(asked) > before) == counts, made.metadata.resource_version
        assert [p.metadata.resource_version for p in store.by("nodes", where)] == [made.metadata.resource_version]
        assert store.total("used", where) == {"cpu": 1, "pods": 1}
        assert set(store.values("nodes")) == {where}
    store.remove(steps[-1][0])
    assert store.total("used", "n1") == {}
    assert set(store.values("nodes")) == set()
