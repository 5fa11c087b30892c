"""How fresh a cache is known to be, and which questions it answers instead of the API server (F5)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from fast_informer import HURRY, eventually
from hostile_server import DROP, HostileServer, pod

from pincompute.api.builtin import PODS
from pincompute.api.meta import Key
from pincompute.kube import api_errors
from pincompute.kube.clock import Clock
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.freshness import APART, RECENT, Freshness
from pincompute.kube.kubeconfig import ClusterConfig

WEB = Key("default", "web")
BODY = {"metadata": {"name": "web", "namespace": "default"}, "spec": {}}


class MovableClock:
    """The monotonic clock, which a test moves ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.clock = Clock(monotonic=lambda: time.monotonic() + self.ahead)


@pytest.fixture
def movable() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def clusters(server: HostileServer, movable: MovableClock) -> AsyncIterator[Clusters]:
    async with Clusters(user_agent="pincompute-test/0.1", timing=HURRY, clock=movable.clock) as made:
        made.declare("local", PODS, {"app": lambda obj: [f"default/{obj.metadata.labels.get('app', '')}"]})
        await made.add("local", ClusterConfig(server=server.address))
        await made.until_synced("local")
        yield made


def test_a_cache_that_was_never_listed_is_not_known_to_hold_anything():
    assert not Freshness().holds_our_writes
    assert not Freshness().is_recent(0.0)


def test_a_list_proves_what_was_written_before_it_was_asked_for():
    fresh = Freshness()
    fresh.listed(10.0)
    assert fresh.holds_our_writes
    assert fresh.is_recent(10.0 + RECENT)
    assert not fresh.is_recent(10.1 + RECENT)


def test_an_answer_proves_nothing_before_the_watch_has_shown_its_version():
    fresh = Freshness()
    fresh.answered(10.0, 500, shown=499)
    assert not fresh.holds_our_writes
    fresh.shown(499)
    assert not fresh.holds_our_writes
    fresh.shown(500)
    assert fresh.as_of == 10.0


def test_an_answer_proves_at_once_what_the_watch_has_shown_already():
    fresh = Freshness()
    fresh.answered(10.0, 500, shown=501)
    assert fresh.as_of == 10.0


def test_a_later_version_proves_all_earlier_answers():
    fresh = Freshness()
    for n in range(5):
        fresh.answered(10.0 + n, 500 + n, shown=0)
    fresh.shown(503)
    assert fresh.as_of == 13.0


def test_proofs_that_come_close_together_are_not_all_remembered():
    fresh = Freshness()
    fresh.answered(10.0, 500, shown=0)
    fresh.answered(10.0 + APART / 2, 501, shown=0)
    fresh.shown(501)
    assert fresh.as_of == 10.0


def test_doubt_is_over_only_with_a_proof_from_later_on():
    """A predecessor, or a write of ours whose answer was lost, may have written until then."""
    fresh = Freshness()
    fresh.answered(9.0, 500, shown=0)
    fresh.listed(10.0)
    fresh.doubt(11.0)
    assert not fresh.holds_our_writes
    assert not fresh.is_recent(11.0)
    assert not fresh.covers(10.5, 11.0)
    fresh.shown(500)
    assert not fresh.holds_our_writes
    fresh.listed(11.5)
    assert fresh.holds_our_writes


async def test_a_recent_cache_answers_instead_of_the_server(server: HostileServer, clusters: Clusters):
    server.put("web")
    await eventually(lambda: clusters.view("local", PODS).get(WEB))
    before = len(server.requests)
    assert await clusters.writer("local").recent(PODS, WEB) == clusters.view("local", PODS).get(WEB)
    assert len(server.requests) == before


async def test_f5_an_old_cache_is_never_asked(server: HostileServer, clusters: Clusters, movable: MovableClock):
    movable.ahead = 600.0
    server.answer = lambda seen: web.json_response(pod("web", "u1", 501)) if seen.path.endswith("/web") else None
    seen = await clusters.writer("local").recent(PODS, WEB)
    assert seen is not None
    assert seen.metadata.resource_version == "501"
    assert clusters.writer("local").cached_uids(PODS, "app", "default/", recent=True) is None


async def test_an_object_that_we_wrote_a_moment_ago_needs_no_question(
    server: HostileServer, clusters: Clusters, movable: MovableClock
):
    movable.ahead = 600.0
    server.answer = lambda seen: web.json_response(pod("web", "u1", 500)) if seen.verb == "POST" else None
    await clusters.writer("local").create(PODS, BODY, "m")
    before = len(server.requests)
    seen = await clusters.writer("local").recent(PODS, WEB)
    assert seen is not None
    assert seen.metadata.resource_version == "500"
    assert len(server.requests) == before


async def test_an_old_cache_holds_all_that_was_written_under_our_lease(clusters: Clusters, movable: MovableClock):
    movable.ahead = 600.0
    assert clusters.writer("local").cached_uids(PODS, "app", "default/", recent=False) == frozenset()


async def test_f5_a_process_that_was_just_given_the_lease_trusts_no_cache(clusters: Clusters):
    clusters.doubt()
    assert clusters.writer("local").cached_uids(PODS, "app", "default/", recent=False) is None


async def test_f5_a_cache_is_in_doubt_after_a_write_whose_answer_was_lost(server: HostileServer, clusters: Clusters):
    server.answer = lambda seen: DROP if seen.verb == "POST" else None
    with pytest.raises(api_errors.Unreachable):
        await clusters.writer("local").create(PODS, BODY, "m")
    assert clusters.writer("local").cached_uids(PODS, "app", "default/", recent=False) is None
