"""The region itself: up twice, down and up again, and nothing left behind even after `kill -9` of its supervisor."""

from __future__ import annotations

import os

from manifests import web
from region import Region

from pincompute.region import cleanup, processes


def test_up_twice_is_harmless(region: Region, project: str):
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    pids = {process.pid for process in processes.of_home(region.home) if process.leader}
    with region.watching(project, "web") as during:
        region.run("region", "up")
    assert pids <= {process.pid for process in processes.of_home(region.home) if process.leader}
    assert during.fewest_ready == during.most_live == 3


def test_workloads_survive_down_and_up(region: Region, project: str):
    """Down leaves nothing in the kernel; up brings back what ran, in the same zones."""
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    assert region.spread(project, "web") == {"a": 1, "b": 1, "c": 1}
    region.run("region", "down")
    assert cleanup.leftovers(region.layout) == []
    region.run("region", "up")
    region.settled(project, "web")
    region.settled("demo", "hello")
    assert region.spread(project, "web") == {"a": 1, "b": 1, "c": 1}
    assert region.http("c", project, "web")["zone"] == "c"


def test_down_leaves_nothing_after_the_supervisor_was_killed(region: Region, project: str):
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    pid = region.kill(processes.SUPERVISOR)
    region.eventually("the supervisor is dead", lambda: not os.path.exists(f"/proc/{pid}"))  # noqa: PTH110 - a process
    region.run("region", "down")
    assert cleanup.leftovers(region.layout) == []
    region.run("region", "up")
    region.settled(project, "web")


def test_up_repairs_after_the_supervisor_was_killed_and_keeps_what_runs(region: Region, project: str):
    """Programs are taken over as they are: no pod is lost, no program is started anew."""
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    pids = {process.pid for process in processes.of_home(region.home) if process.leader}
    supervisor = region.kill(processes.SUPERVISOR)
    with region.watching(project, "web") as during:
        region.run("region", "up")
        region.all_ready()
    after = {process.pid for process in processes.of_home(region.home) if process.leader}
    assert pids - {supervisor} <= after
    assert during.fewest_ready == during.most_live == 3
