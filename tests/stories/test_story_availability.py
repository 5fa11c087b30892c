"""One disruption account: whatever disrupts an app, as many of its replicas as were promised are ready at every moment.

Readiness is counted from the clusters' own watch streams, so that no moment between two polls is missed. S-123, S-232, S-233.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from live_region import Placed, Region
from story_manifests import web

pytestmark = pytest.mark.alone

ROUNDS = int(os.environ.get("AVAILABILITY_ROUNDS", "1"))
STAYS = 3.0  # seconds for which a state that must last is watched


@pytest.fixture
def three(region: Region, project: str) -> str:
    """Three replicas in three zones with the default update: 25 % of three is none, so all three stay."""
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    return project


def bad_image(region: Region, project: str) -> None:
    """A mistyped image stops after the first replica, which nobody misses; the way back is an ordinary update."""
    region.apply(web(project, replicas=3, image="hello:mistyped"))
    region.eventually("the status names the image", lambda: "hello:mistyped" in region.app(project, "web").status.message)
    region.throughout(STAYS, "one replica is tried", lambda: len(tried(region, project)) == 1)
    region.apply(web(project, replicas=3))
    region.settled(project, "web")


def tried(region: Region, project: str) -> list[Placed]:
    return [p for p in region.pods(project, "web") if p.pod.spec.containers[0].image.endswith(":mistyped")]


def good_update(region: Region, project: str) -> None:
    region.apply(web(project, replicas=3, image="hello:2"))
    region.settled(project, "web")
    region.apply(web(project, replicas=3))
    region.settled(project, "web")


def new_pods(region: Region, project: str) -> None:
    region.apply(web(project, replicas=3, color="blue"))
    region.settled(project, "web")
    region.apply(web(project, replicas=3))
    region.settled(project, "web")


def drain_and_update(region: Region, project: str) -> None:
    """Two at once do not add up."""
    with drained(region, next(iter(region.members))):
        region.apply(web(project, replicas=3, image="hello:2"))
    region.settled(project, "web")
    region.apply(web(project, replicas=3))
    region.settled(project, "web")


def drain(region: Region, project: str) -> None:
    """`kubectl drain` of the only node of a member ends: the cordon is the request, the budget follows."""
    with drained(region, next(iter(region.members))):
        pass
    region.settled(project, "web")


@contextmanager
def drained(region: Region, member: str) -> Iterator[None]:
    """Inside the block a drain is under way, at its end it has ended; afterwards the node takes pods again."""
    node = node_of(region, member)
    selector = "--pod-selector=pincompute.io/app=web"
    command = kubectl(
        region, member, "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", selector, "--timeout=120s"
    )
    draining = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield
        told, _ = draining.communicate(timeout=130)
        assert draining.returncode == 0, told
    finally:
        draining.kill()
        subprocess.run(kubectl(region, member, "uncordon", node), check=True, capture_output=True, timeout=60)


def node_of(region: Region, member: str) -> str:
    command = kubectl(region, member, "get", "nodes", "-o", "name")
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.split("/")[1].strip()


def kubectl(region: Region, member: str, *arguments: str) -> list[str]:
    return [str(region.program("kubectl")), f"--kubeconfig={region.layout.kubeconfig}", f"--context={member}", *arguments]


DISTURBANCES: dict[str, Callable[[Region, str], None]] = {
    "a good update": good_update,
    "a mistyped image and its way back": bad_image,
    "new pods": new_pods,
    "a drain": drain,
    "a drain and an update at once": drain_and_update,
}


@pytest.mark.parametrize("what", DISTURBANCES)
def test_all_three_stay_ready_through(what: str, region: Region, three: str) -> None:
    for _ in range(ROUNDS):
        with region.watching(three, "web") as during:
            DISTURBANCES[what](region, three)
        assert during.fewest_ready >= 3, f"{during.fewest_ready} of 3 were ready at some moment"
        region.settled(three, "web")


def test_one_at_a_time_without_surge(region: Region, project: str) -> None:
    """`maxUnavailable: 1` means one over all clusters, not one in each. S-158: an image that no node can pull ends none."""
    update = {"maxUnavailable": 1, "maxSurge": 0}
    region.apply(web(project, replicas=3, update=update))
    region.settled(project, "web")
    with region.watching(project, "web") as during:
        region.apply(web(project, replicas=3, image="hello:mistyped", update=update))
        region.eventually("the status names the image", lambda: "hello:mistyped" in region.app(project, "web").status.message)
        region.throughout(STAYS, "no replica is tried", lambda: not tried(region, project))
        assert during.fewest_ready == 3
        region.apply(web(project, replicas=3, image="hello:2", update=update))
        region.settled(project, "web")
    assert during.fewest_ready >= 2
    assert during.most_live == 3


def test_two_restarts_by_request_at_once_are_one_after_the_other(region: Region, three: str) -> None:
    """S-166: what the gateway writes is a request on the pod; the account decides when."""
    before = {placed.uid: placed for placed in region.pods(three, "web")}
    with region.watching(three, "web") as during:
        for n, placed in enumerate(before.values()):
            request = f'[{{"id":"r{n}","by":"a story","at":"{time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}"}}]'
            annotate = ("annotate", "pod", placed.pod.metadata.name, f"pincompute.io/restart-request={request}")
            command = kubectl(region, placed.cluster, "-n", three, *annotate)
            subprocess.run(command, check=True, capture_output=True, timeout=60)
        region.eventually("all have been replaced", lambda: not before.keys() & region.uids(three, "web"), within=120)
        region.settled(three, "web")
    assert during.fewest_ready >= 3


def test_a_drain_of_more_replicas_than_may_be_missing_ends(region: Region, project: str) -> None:
    """S-232: two of six on the only node of a member, and one may be missing: others are made elsewhere meanwhile."""
    region.apply(web(project, replicas=6))
    region.settled(project, "web")
    with region.watching(project, "web") as during, drained(region, next(iter(region.members))):
        pass
    assert during.fewest_ready >= 5
    region.settled(project, "web")
