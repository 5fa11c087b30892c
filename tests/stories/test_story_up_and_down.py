"""The region itself: up twice, down and up again, and nothing left behind even after `kill -9` of its supervisor."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cluster_client import ApiRefusal
from live_region import COMMAND, Region, run
from story_manifests import web
from story_projects import make_project

from pincompute.api import conditions
from pincompute.api.builtin import NODES
from pincompute.region import home, slot_claims
from pincompute.region.layout import Layout, MemberSpec, RegionSpec
from pincompute.region.machine import leftovers
from pincompute.region.nodes import cgroups, real_node
from pincompute.region.process import region_processes

pytestmark = pytest.mark.alone

SEED = 20261121


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Layout]:
    """A second home on this machine, for a region of one member; nothing of it is left afterwards."""
    yield from _second(tmp_path, real_nodes=True)


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[Layout]:
    """The same without real nodes, as for a user who is not root."""
    yield from _second(tmp_path, real_nodes=False)


def _second(place: Path, *, real_nodes: bool) -> Iterator[Layout]:
    home.create(place)
    spec = RegionSpec(
        slot=slot_claims.claim(place, slot_claims.directory()),
        members=(MemberSpec(name="a1", zone="a", index=0),),
        real_nodes=real_nodes,
        simulated_nodes=0 if real_nodes else 1,
    )
    layout = Layout(place, spec)
    home.save(layout)
    yield layout
    run(place, "region", "down")
    assert leftovers.leftovers(layout) == []
    run(place, "region", "down", "--purge")
    assert not place.exists()


def everything(region: Region) -> set[tuple[int, str]]:
    """Every process of a region, its containers' included, by id and start time."""
    pids = cgroups.processes(real_node.cgroup_root(region.layout))
    pids |= {process.pid for process in region_processes.of_home(region.home)}
    return {(pid, started) for pid in pids if (started := _started(pid))}


def _started(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:  # it has ended meanwhile
        return ""


def turned_ready(region: Region) -> dict[str, conditions.Condition | None]:
    """The condition of each node, with the time since which it is ready: that changes if it is not ready for a moment."""
    nodes = [node for member in region.members.values() for node in member.list(NODES)]
    return {node.metadata.name: conditions.find(node.status.conditions, "Ready") for node in nodes}


FORMER_ROLE = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


def test_up_twice_is_harmless(region: Region, project: str):
    """It withdraws the role that a former version gave the gateway in all namespaces, because every project has its binding."""
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    member = region.members["a1"]
    member.request("POST", FORMER_ROLE, b'{"metadata": {"name": "pincompute-gateway"}}', "application/json")
    pids = {process.pid for process in region_processes.of_home(region.home) if process.leader}
    with region.watching(project, "web") as during:
        region.run("region", "up")
    assert pids <= {process.pid for process in region_processes.of_home(region.home) if process.leader}
    assert during.fewest_ready == during.most_live == 3
    with pytest.raises(ApiRefusal, match="not found"):
        member.request("GET", f"{FORMER_ROLE}/pincompute-gateway")


def test_workloads_survive_down_and_up(region: Region, project: str):
    """Down leaves nothing in the kernel; up brings back what ran, in the same zones."""
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    assert region.spread(project, "web") == {"a": 1, "b": 1, "c": 1}
    region.run("region", "down")
    assert leftovers.leftovers(region.layout) == []
    region.run("region", "up")
    region.settled(project, "web")
    region.settled("demo", "hello")
    assert region.spread(project, "web") == {"a": 1, "b": 1, "c": 1}
    assert region.http("c", project, "web")["zone"] == "c"


def test_down_leaves_nothing_after_the_supervisor_was_killed(region: Region, project: str):
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    pid = region.kill(region_processes.SUPERVISOR)
    region.eventually("the supervisor is dead", lambda: not os.path.exists(f"/proc/{pid}"))  # noqa: PTH110 - a process
    region.run("region", "down")
    assert leftovers.leftovers(region.layout) == []
    region.run("region", "up")
    region.settled(project, "web")


def test_up_repairs_after_the_supervisor_was_killed_and_keeps_what_runs(region: Region, project: str):
    """Programs are taken over as they are: no pod is lost, no program is started anew."""
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    pids = {process.pid for process in region_processes.of_home(region.home) if process.leader}
    supervisor = region.kill(region_processes.SUPERVISOR)
    with region.watching(project, "web") as during:
        region.run("region", "up")
        region.all_ready()
    after = {process.pid for process in region_processes.of_home(region.home) if process.leader}
    assert pids - {supervisor} <= after
    assert during.fewest_ready == during.most_live == 3


def test_two_regions_run_side_by_side(region: Region, project: str, small: Layout):
    """The first does not notice that the second comes and goes: no process of it ends, no node leaves Ready."""
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    processes, ready = everything(region), turned_ready(region)
    with region.watching(project, "web") as during:
        run(small.home, "region", "up", "--no-example")
        second = Region(small.home)
        make_project(second, project)
        second.apply(web(project, replicas=2))
        second.settled(project, "web")
        second.census.close()
        assert second.host.server != region.host.server
        assert not second.uids(project, "web") & region.uids(project, "web")
        run(small.home, "region", "down")
        assert leftovers.leftovers(small) == []
    assert processes <= everything(region)
    assert turned_ready(region) == ready
    assert during.fewest_ready == during.most_live == 3
    assert region.http("b", project, "web")["zone"] == "b"


def test_what_stops_up_half_way_is_named_and_repaired_by_the_next(simulated: Layout):
    """Section 6: a port in use, then Ctrl-C again and again; nothing half-done is left that `up` does not repair."""
    port = simulated.ports(0).apiserver
    with socket.create_server((simulated.address, port)):
        refused = run(simulated.home, "region", "up", "--no-example", succeed=False)
    assert refused.returncode == 1
    assert str(port) in refused.stderr

    rng = random.Random(SEED)
    for _ in range(3):
        command = (str(COMMAND), "region", "up", "--no-example")
        environment = os.environ | {"PINCOMPUTE_HOME": str(simulated.home)}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as up:
            with suppress(subprocess.TimeoutExpired):
                up.wait(rng.uniform(0.5, 6))  # a random moment of `up`
            up.send_signal(signal.SIGINT)
            _, said = up.communicate(timeout=60)
        assert up.returncode == 0 or (up.returncode == 130 and "interrupted" in said), said

    said = run(simulated.home, "region", "up", "--no-example").stderr
    assert "simulated nodes only" in said
    second = Region(simulated.home)
    make_project(second, "shop")
    second.apply(web("shop", replicas=1))
    second.settled("shop", "web")
    second.census.close()
