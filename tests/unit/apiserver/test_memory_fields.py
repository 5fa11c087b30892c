"""Sets of fields: what a value sets, how sets combine, how values differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pincompute.testing.apiserver import field_sets
from pincompute.testing.apiserver.field_sets import Fields
from pincompute.testing.apiserver.merge_strategies import BUILT_IN, DEDUCED

names = st.sampled_from(["f:a", "f:b", 'k:{"name":"x"}'])
members = st.frozensets(st.lists(names, min_size=1, max_size=3).map(tuple), max_size=6)


def tree(paths: frozenset[tuple[str, ...]]) -> Fields:
    """The set with these members."""
    root: Fields = {}
    for path in paths:
        node = root
        for name in path:
            node = node.setdefault(name, {})
        node[field_sets.SELF] = {}
    return plain(root)


def plain(node: Fields) -> Fields:
    """Without the mark on nodes that have nothing below."""
    below = {name: plain(part) for name, part in node.items() if name != field_sets.SELF}
    return {field_sets.SELF: {}, **below} if below and field_sets.SELF in node else below


@given(members, members)
def test_sets_combine_like_sets(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> None:
    assert field_sets.union(tree(one), tree(other)) == tree(one | other)
    assert field_sets.intersection(tree(one), tree(other)) == tree(one & other)
    assert field_sets.difference(tree(one), tree(other)) == tree(one - other)


def test_a_value_sets_its_leaves_and_its_keyed_items() -> None:
    pod = {"spec": {"containers": [{"name": "main", "args": ["a", "b"]}], "nodeSelector": {"a": "b"}}}
    assert field_sets.of(pod, BUILT_IN) == {
        "f:spec": {
            "f:containers": {'k:{"name":"main"}': {".": {}, "f:name": {}, "f:args": {}}},
            "f:nodeSelector": {},
        }
    }


def test_ports_are_known_by_their_protocol_even_where_it_is_left_out() -> None:
    pod = {"containers": [{"name": "main", "ports": [{"containerPort": 80}]}]}
    found = field_sets.of(pod, BUILT_IN)["f:containers"]['k:{"name":"main"}']["f:ports"]
    assert list(found) == ['k:{"containerPort":80,"protocol":"TCP"}']


def test_values_differ_by_what_is_written_and_what_is_gone() -> None:
    old = {"a": 1, "b": {"c": 1, "d": 1}, "e": [1]}
    new = {"a": 2, "b": {"c": 1}, "e": [1], "f": {"g": 1}}
    assert field_sets.compare(old, new, DEDUCED) == (
        {"f:a": {}, "f:f": {".": {}, "f:g": {}}},
        {"f:b": {"f:d": {}}},
    )
    assert field_sets.compare(old, old, DEDUCED) == (None, None)


def test_the_order_of_keyed_items_is_no_difference() -> None:
    one = {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]}
    other = {"env": list(reversed(one["env"]))}
    assert field_sets.compare(one, other, BUILT_IN) == (None, None)


def test_paths_are_named_as_an_api_server_names_them() -> None:
    found = field_sets.of({"containers": [{"name": "main", "ports": [{"containerPort": 80}]}]}, BUILT_IN)
    assert '.containers[name="main"].ports[containerPort=80,protocol="TCP"].containerPort' in field_sets.paths(found)
