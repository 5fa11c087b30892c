"""Which manifests and blobs of a repository nothing uses: by tags, users, indexes and age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from pincompute.gateway.images import unused_images
from pincompute.gateway.images.registry_storage import Pushed, StoredRepository
from pincompute.gateway.images.stored_manifest import Descriptor, StoredManifest
from pincompute.gateway.images.unused_images import LOST, UNNAMED, Unused

NOW = 10 * UNNAMED
OLD, YOUNG = NOW - UNNAMED - 1, NOW - UNNAMED + 1
CONTENTS: Mapping[str, StoredManifest] = {
    name: StoredManifest(layers=tuple(map(Descriptor, layers)), manifests=tuple(map(Descriptor, manifests)))
    for name, (layers, manifests) in {
        "one": (("base", "a"), ()),
        "two": (("base", "b"), ()),
        "index": ((), ("one", "two")),
        "outer": ((), ("index",)),
        "loop": ((), ("loop",)),
        "cache": ((), ("a",)),
        "odd": ((), ("elsewhere",)),
    }.items()
}


def read(digest: str) -> StoredManifest:
    return CONTENTS.get(digest, StoredManifest())


def stored(
    manifests: Mapping[str, float],
    layers: str = "",
    tags: Mapping[str, str] | None = None,
    lost: Mapping[str, float] | None = None,
) -> StoredRepository:
    links = {digest: Pushed(when) for digest, when in manifests.items()}
    return StoredRepository("shop/web", links, dict.fromkeys(layers.split(), Pushed(OLD)), tags or {}, lost or {}, 0, 0.0, 0, 0)


@dataclass(frozen=True)
class Case:
    there: StoredRepository
    used: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()
    layers: tuple[str, ...] = field(default=())


BOTH = {"one": OLD, "two": OLD}
CASES = {
    "a tag keeps its image": Case(stored(BOTH, "base a b", {"1": "one", "2": "two"})),
    "without a tag and a user it goes with the parts that others do not share": Case(
        stored(BOTH, "base a b", {"1": "one"}), (), ("two",), ("b",)
    ),
    "a workload or a revision keeps its digest": Case(stored(BOTH, "base a b", {"1": "one"}), ("two",)),
    "an index keeps its images": Case(stored({**BOTH, "index": OLD}, "base a b", {"1": "index"})),
    "an index of indexes keeps all": Case(stored({**BOTH, "index": OLD, "outer": OLD}, "base a b"), ("outer",)),
    "an index goes with its images": Case(
        stored({**BOTH, "index": OLD}, "base a b", {"1": "one"}), (), ("index", "two"), ("b",)
    ),
    "an image of an index that goes stays for a user": Case(
        stored({**BOTH, "index": OLD}, "base a b"), ("two",), ("index", "one"), ("a",)
    ),
    "a cache of builds keeps the layers that it names as images": Case(stored({"cache": OLD}, "a", {"1": "cache"})),
    "a manifest may name itself or what is not there": Case(stored({"loop": OLD, "odd": OLD}, "", {"1": "loop", "2": "odd"})),
    "a manifest that just came stays, for the index that follows": Case(stored({"one": YOUNG}, "base a")),
    "what just lost its tag stays": Case(stored({"one": OLD}, "base a", lost={"one": NOW - LOST + 1})),
    "what lost its tag an hour ago goes, however young": Case(
        stored({"one": YOUNG}, "base a", lost={"one": NOW - LOST - 1}), (), ("one",), ("a", "base")
    ),
    "what came again after it had lost its tag stays": Case(stored({"one": YOUNG}, "base a", lost={"one": OLD})),
    "an old part that no manifest names goes": Case(stored({"one": OLD}, "base a left", {"1": "one"}), (), (), ("left",)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_nothing_uses(case: Case):
    assert unused_images.find(case.there, case.used, read, NOW) == Unused(case.manifests, case.layers)


def test_a_part_that_just_came_stays():
    there = StoredRepository("shop/web", {}, {"a": Pushed(YOUNG), "b": Pushed(OLD)}, {}, {}, 0, 0.0, 0, 0)
    assert unused_images.find(there, (), read, NOW).layers == ("b",)


# what there is, what somebody deletes, what is used: what goes
FREED = {
    "an image goes with its own parts": (stored(BOTH, "base a b"), {"one"}, (), Unused(("one",), ("a",))),
    "an index goes with its images": (
        stored({**BOTH, "index": OLD}, "base a b"),
        {"index"},
        (),
        Unused(("index", "one", "two"), ("a", "b", "base")),
    ),
    "an image of it that has a tag stays": (
        stored({**BOTH, "index": OLD}, "base a b", {"1": "one"}),
        {"index"},
        (),
        Unused(("index", "two"), ("b",)),
    ),
    "an image of it that is used stays": (
        stored({**BOTH, "index": OLD}, "base a b"),
        {"index"},
        ("two",),
        Unused(("index", "one"), ("a",)),
    ),
    "parts of others stay, however old": (stored({"one": OLD}, "base a left"), {"one"}, (), Unused(("one",), ("a", "base"))),
}


@pytest.mark.parametrize(("there", "deleted", "used", "expected"), FREED.values(), ids=FREED)
def test_what_goes_with_a_deleted_image(there: StoredRepository, deleted: set[str], used: tuple[str, ...], expected: Unused):
    assert unused_images.freed(there, deleted, used, read) == expected
