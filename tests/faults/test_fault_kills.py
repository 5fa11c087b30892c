"""`kill -9` of any program at a random moment of a change: the end is as if nothing had happened."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from app_outcome import outcome
from live_region import Region
from story_manifests import web

from pincompute.api.meta import Manifest

pytestmark = pytest.mark.alone

SEED = 20261121
ROUNDS = int(os.environ.get("KILL_ROUNDS", "1"))  # of one kill of each kind
LONGEST_WAIT = 1.5  # seconds from a change to the kill: changes take about so long
AFTER_A_KILL = 240.0  # seconds to calm down: an API server and what depends on it start anew

MEMBERS = ("a1", "b1", "c1")
CLUSTERS = ("host", *MEMBERS)
KINDS = {
    "federation": ("federation",),
    "operator": tuple(f"{member}-operator" for member in MEMBERS),
    "apiserver": tuple(f"{cluster}-apiserver" for cluster in CLUSTERS),
    "etcd": tuple(f"{cluster}-etcd" for cluster in CLUSTERS),
    "kubelet": tuple(f"{member}-kubelet" for member in MEMBERS),
}


@dataclass(frozen=True)
class WantedShape:
    """What the user wants of the app at a time."""

    replicas: int = 3
    version: int = 1
    color: str = "red"

    def manifest(self, project: str, name: str = "web") -> Manifest:
        update = {"maxUnavailable": 1, "maxSurge": 1}
        return web(project, name, replicas=self.replicas, image=f"hello:{self.version}", color=self.color, update=update)


def victims(rng: random.Random) -> Iterator[str]:
    """Every kind equally often, in any order."""
    for _ in range(ROUNDS):
        for kind in rng.sample(sorted(KINDS), len(KINDS)):
            yield rng.choice(KINDS[kind])


def next_wish(rng: random.Random, wish: WantedShape) -> WantedShape:
    """One change, and never none."""
    match rng.choice(("scale", "scale", "image", "color")):
        case "scale":
            return replace(wish, replicas=rng.choice([n for n in (3, 6, 9) if n != wish.replicas]))
        case "image":
            return replace(wish, version=3 - wish.version)
        case _:
            return replace(wish, color="blue" if wish.color == "red" else "red")


def judge(before: WantedShape, after: WantedShape, had: set[str], has: set[str]) -> None:
    """No pod is lost: exactly those that the change concerns have come and gone."""
    if before.color != after.color:
        assert not had & has
    elif before.replicas <= after.replicas:
        assert had <= has
    else:
        assert has < had
    assert len(has) == after.replicas


def test_kills_at_random_during_changes(region: Region, project: str):
    """No pod is lost or doubled at any moment, and the end is that of an undisturbed run."""
    rng, wish = random.Random(SEED), WantedShape()
    region.apply(wish.manifest(project))
    region.settled(project, "web")
    for victim in victims(rng):
        before, had = wish, region.uids(project, "web")
        wish = next_wish(rng, wish)
        story = f"{victim} was killed while {before} became {wish}"
        with region.watching(project, "web") as during:
            region.apply(wish.manifest(project))
            time.sleep(rng.uniform(0, LONGEST_WAIT))  # the fault's own random moment, not a wait for anything
            region.kill(victim)
            region.all_ready()
            region.settled(project, "web", within=AFTER_A_KILL)
        judge(before, wish, had, region.uids(project, "web"))
        replicas = max(before.replicas, wish.replicas)
        changed = (before.color, before.version) != (wish.color, wish.version)
        surge = 1 if changed else 0  # over all members together
        assert during.most_live <= replicas + surge, story

    region.apply(wish.manifest(project, "calm"))
    assert outcome(region, project, "web") == outcome(region, project, "calm")
