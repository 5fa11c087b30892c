"""Many clusters at once: none blocks another, each comes and goes alone, and silence is told from emptiness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from fast_informer import HURRY, eventually
from hostile_server import HostileServer, ReceivedRequest, status

from pincompute.api.builtin import NODES, PODS, Pod
from pincompute.api.meta import Key
from pincompute.kube.backoff import BackoffLimits
from pincompute.kube.cache_views import Unknown
from pincompute.kube.cluster_connection import Liveness
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.kubeconfig import ClusterConfig

QUICK = Liveness(every=0.02, again=0.02, deadline=0.2, patience=0.4)


def by_node(pod: Pod) -> tuple[str, ...]:
    return (pod.spec.node_name,)


@asynccontextmanager
async def connected(**members: HostileServer) -> AsyncIterator[Clusters]:
    """Clusters that watch pods in these members."""
    async with Clusters(user_agent="pincompute-test/0.1", timing=HURRY, liveness=QUICK) as clusters:
        clusters.declare("members", PODS, {"node": by_node})
        for name, server in members.items():
            await clusters.add(name, ClusterConfig(server=server.address))
        yield clusters


def names(clusters: Clusters, cluster: str) -> set[str]:
    return {p.metadata.name for p in clusters.view(cluster, PODS).list()}


async def test_what_is_not_known_is_unknown_not_empty(server: HostileServer) -> None:
    """S-010: not connected, not synced, not declared are three different answers, none of them an empty list."""
    server.hold = asyncio.Event()
    async with connected(a1=server) as clusters:
        with pytest.raises(Unknown, match="b1 is not connected"):
            clusters.view("b1", PODS)
        with pytest.raises(Unknown, match="pods of a1 has not synced"):
            clusters.view("a1", PODS)
        with pytest.raises(LookupError, match="nodes is not watched in a1"):
            clusters.view("a1", NODES)
        with pytest.raises(RuntimeError, match="declared too late"):
            clusters.declare("members", NODES)
        server.hold.set()
        await clusters.until_synced("a1")
        assert names(clusters, "a1") == set()


async def test_a_member_that_hangs_stops_no_other(server: HostileServer) -> None:
    """S-014."""
    async with HostileServer(hold=asyncio.Event()) as hung, connected(a1=hung, b1=server) as clusters:
        await clusters.until_synced("b1")
        server.put("web", nodeName="n1")
        await eventually(lambda: [p.key for p in clusters.view("b1", PODS).by("node", "n1")] == [Key("default", "web")])
        assert clusters.reachable("b1")
        assert not clusters.answers("a1")
        assert clusters.members() == ("a1", "b1")
        assert hung.hold is not None
        hung.hold.set()


async def test_a_kind_that_cannot_sync_stops_no_other_kind(server: HostileServer) -> None:
    """S-011."""
    server.answer = lambda seen: status(403, "Forbidden", "nodes is forbidden") if seen.path.endswith("/nodes") else None
    async with Clusters(user_agent="pincompute-test/0.1", timing=HURRY, liveness=QUICK) as clusters:
        clusters.declare("members", PODS)
        clusters.declare("members", NODES)
        await clusters.add("a1", ClusterConfig(server=server.address))
        await clusters.cache("a1", PODS).until_synced()
        await eventually(lambda: clusters.cache("a1", NODES).trouble)
        with pytest.raises(Unknown, match="nodes of a1 has not synced: nodes is forbidden"):
            clusters.view("a1", NODES)


async def test_removed_member_is_left_alone(server: HostileServer) -> None:
    """S-015: its watches and probes have ended when `remove` returns."""
    async with connected(a1=server) as clusters:
        await clusters.until_synced("a1")
        await eventually(lambda: server.streams)
        await clusters.remove("a1")
        await eventually(lambda: not server.streams)
        with pytest.raises(Unknown):
            clusters.view("a1", PODS)
        assert clusters.members() == ()
        assert not [task for task in asyncio.all_tasks() if "a1" in task.get_name()]


async def test_credentials_change_under_a_running_watch(server: HostileServer) -> None:
    """S-012, F15: the open watch goes on, the next request has the new token, nothing is ever refused."""
    valid = {"Bearer old"}
    refused: list[ReceivedRequest] = []

    def answer(seen: ReceivedRequest) -> web.Response | None:
        if seen.headers.get("Authorization") in valid:
            return None
        refused.append(seen)
        return status(401, "Unauthorized", "Unauthorized")

    server.answer = answer
    async with connected() as clusters:
        await clusters.add("a1", ClusterConfig(server=server.address, token="old"))
        await clusters.until_synced("a1")
        await eventually(lambda: server.streams)
        streams, cache = set(server.streams), clusters.view("a1", PODS)
        valid.add("Bearer new")
        await clusters.add("a1", ClusterConfig(server=server.address, token="new"))
        valid.remove("Bearer old")
        server.put("web")
        await eventually(lambda: len(cache) == 1)
        await eventually(lambda: server.requests[-1].headers["Authorization"] == "Bearer new")
        assert server.streams == streams
        assert clusters.view("a1", PODS) is cache
        assert not refused


async def test_member_that_moved_to_another_address(server: HostileServer) -> None:
    server.put("old")
    async with HostileServer() as other, connected(a1=server) as clusters:
        other.put("new")
        await clusters.until_synced("a1")
        await clusters.add("a1", ClusterConfig(server=other.address))
        await clusters.until_synced("a1")
        assert names(clusters, "a1") == {"new"}
        await eventually(lambda: not server.streams)


async def test_contact_lost_and_made_again(server: HostileServer) -> None:
    """The last known objects stay visible meanwhile; only `reachable` says that they may be old."""
    contacts: list[tuple[str, bool]] = []
    server.put("web")
    async with connected() as clusters:
        clusters.on_contact(lambda name: contacts.append((name, clusters.reachable(name))))
        await clusters.add("a1", ClusterConfig(server=server.address))
        await clusters.until_synced("a1")
        await eventually(lambda: clusters.reachable("a1"))
        await server.stop()
        server.streams.clear()
        await eventually(lambda: ("a1", False) in contacts)
        assert names(clusters, "a1") == {"web"}
        assert clusters.trouble("a1")
        server.put("while-away")
        await server.start()
        await eventually(lambda: contacts[-1] == ("a1", True))
        await eventually(lambda: names(clusters, "a1") == {"web", "while-away"})
        assert clusters.trouble("a1") == ""


async def test_listeners_hear_of_members_that_come_later(server: HostileServer) -> None:
    seen: list[tuple[str, str, bool]] = []
    server.put("first")
    async with Clusters(user_agent="pincompute-test/0.1", timing=HURRY, liveness=QUICK) as clusters:
        clusters.listen("members", PODS, lambda cluster, obj, *, initial: seen.append((cluster, obj.metadata.name, initial)))
        await clusters.add("late", ClusterConfig(server=server.address))
        await clusters.until_synced("late")
        await eventually(lambda: server.streams)
        server.put("second")
        await eventually(lambda: seen == [("late", "first", True), ("late", "second", False)])


async def test_changes_that_leave_what_a_listener_reads_the_same_are_not_told(server: HostileServer) -> None:
    seen: list[tuple[str, str]] = []

    def hear(_cluster: str, obj: Pod, *, initial: bool) -> None:
        seen.append((obj.metadata.name, obj.spec.node_name))

    async with Clusters(user_agent="pincompute-test/0.1", timing=HURRY, liveness=QUICK) as clusters:
        clusters.listen("members", PODS, hear, lambda pod: pod.spec.node_name)
        await clusters.add("a1", ClusterConfig(server=server.address))
        await clusters.until_synced("a1")
        server.put("web", nodeName="n1")
        server.put("web", nodeName="n1", hostname="other")
        server.put("web", nodeName="n2")
        server.delete("web")
        server.put("web", nodeName="n2")
        server.put("last")
        await eventually(lambda: ("last", "") in seen)
    assert seen == [("web", "n1"), ("web", "n2"), ("web", "n2"), ("web", "n2"), ("last", "")]


async def test_watches_do_not_wait_out_their_backoff_when_the_member_is_back(server: HostileServer) -> None:
    patient = replace(HURRY, pace=BackoffLimits(base=3600.0, cap=3600.0))
    server.answer = lambda _seen: status(503, "", "starting")
    async with Clusters(user_agent="pincompute-test/0.1", timing=patient, liveness=QUICK) as clusters:
        clusters.declare("members", PODS)
        await clusters.add("a1", ClusterConfig(server=server.address))
        await eventually(lambda: clusters.cache("a1", PODS).trouble and clusters.trouble("a1") == "starting")
        server.answer = lambda _seen: None
        await asyncio.wait_for(clusters.until_synced("a1"), 20)


async def test_a_process_that_has_only_just_started_knows_of_no_member_that_it_is_silent(server: HostileServer) -> None:
    """A decision of that moment would be made anew for everything."""
    async with HostileServer(hold=asyncio.Event()) as hung, connected(a1=hung, b1=server) as clusters:
        with pytest.raises(Unknown, match="a1 has not been asked yet"):
            clusters.reachable("a1")
        with pytest.raises(Unknown, match="c1 has not been asked yet"):
            clusters.reachable("c1")
        await eventually(lambda: clusters.answers("b1"))
        assert clusters.reachable("b1")
        assert hung.hold is not None
        hung.hold.set()
