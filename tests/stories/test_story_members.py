"""Members come and go while hello serves; users notice nothing but capacity."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest
from live_region import POLL, Region
from story_manifests import API, example, web

from pincompute.api import conditions
from pincompute.api.member_clusters import MEMBERCLUSTERS

pytestmark = pytest.mark.alone


@contextmanager
def asked_all_the_time(region: Region, project: str, app: str) -> Generator[list[str], None, None]:
    """A user who asks any ready pod again and again; the list collects the times nobody answered at all."""
    failures: list[str] = []
    stop = threading.Event()

    def answers() -> bool:
        return any(_answers(region, zone, project, app) for zone in sorted(set(region.zones.values())))

    def user() -> None:
        while not stop.wait(POLL):
            if not answers() and not answers():  # a pod may end between being looked up and being asked
                failures.append("no zone answered")

    thread = threading.Thread(target=user, daemon=True)
    thread.start()
    try:
        yield failures
    finally:
        stop.set()
        thread.join()


def _answers(region: Region, zone: str, project: str, app: str) -> bool:
    try:
        return region.http(zone, project, app)["app"] == app
    except (AssertionError, OSError):
        return False


@pytest.fixture
def visitors(region: Region) -> Iterator[None]:
    """Members that a test adds are gone afterwards, whatever becomes of the test."""
    resident = set(region.zones)
    yield
    for name in set(region.zones) - resident:
        region.run("region", "remove-member", name)
    region.meet()


@pytest.mark.usefixtures("visitors")
def test_members_come_and_go_while_hello_serves(region: Region, project: str):
    """S-007, N7, #3: the work moves first; the number of ready replicas never falls below the number wanted."""
    region.apply(example(project))
    region.settled(project, "hello")
    with region.watching(project, "hello") as during, asked_all_the_time(region, project, "hello") as failures:
        region.run("region", "add-member", "--zone", "d", "--name", "d1")
        region.meet()
        region.scale(project, "hello", 8)
        region.eventually("all four zones have their part", lambda: set(region.spread(project, "hello").values()) == {2})
        region.settled(project, "hello", replicas=8)
        assert region.http("d", project, "hello")["pod"].startswith("hello-d1-")

    with region.watching(project, "hello") as leaving, asked_all_the_time(region, project, "hello") as more_failures:
        region.run("region", "remove-member", "d1")
        region.meet()
        assert region.host.get(MEMBERCLUSTERS, "", "d1") is None
        region.settled(project, "hello", replicas=8)
    assert (failures, more_failures) == ([], [])
    assert during.fewest_ready >= 6
    assert leaving.fewest_ready >= 8
    assert sorted(region.spread(project, "hello").values()) == [2, 3, 3]


@pytest.mark.usefixtures("visitors")
def test_two_clusters_in_one_zone_share_its_part(region: Region, project: str):
    """N2: the zone is the unit of spread, however many clusters it has."""
    region.run("region", "add-member", "--zone", "a", "--name", "a2")
    region.meet()
    region.apply(web(project, replicas=6))

    def shared() -> bool:
        return {placed.cluster for placed in region.pods(project, "web")} == {"a1", "a2", "b1", "c1"}

    region.eventually("both clusters of zone a have a part", shared)
    region.settled(project, "web")
    assert region.spread(project, "web") == {"a": 2, "b": 2, "c": 2}


def test_member_commands_refuse_what_cannot_be(region: Region):
    """Section 6: the message names the option and the remedy, the status is not 0, and nothing changed."""
    taken = region.run("region", "add-member", "--zone", "b", "--name", "a1", succeed=False)
    assert taken.returncode != 0
    assert "--name a1: already taken, it is member of zone a" in taken.stderr
    long = region.run("region", "add-member", "--zone", "a", "--name", "a-name-that-is-too-long", succeed=False)
    assert long.returncode != 0
    assert "at most 15" in long.stderr
    nobody = region.run("region", "remove-member", "x9", succeed=False)
    assert nobody.returncode != 0
    assert "no member is called 'x9': expected one of a1, b1, c1" in nobody.stderr
    assert set(region.zones) == {"a1", "b1", "c1"}


def test_a_member_whose_kubeconfig_does_not_work_says_so_and_can_be_removed(region: Region, project: str):
    """S-007, S-012: others are not concerned, and a member that never answered does not hold its own removal."""
    cluster = {"apiVersion": API, "kind": "MemberCluster", "metadata": {"name": "x1"}}
    region.host.apply(MEMBERCLUSTERS, cluster | {"spec": {"zone": "x", "kubeconfig": {"name": "no-such-secret"}}})

    def says_so() -> bool:
        found = region.host.get(MEMBERCLUSTERS, "", "x1")
        assert found is not None
        condition = conditions.find(found.status.conditions, "Reachable")
        return condition is not None and condition.status == "False" and "kubeconfig Secret" in condition.message

    try:
        region.eventually("its condition names the kubeconfig", says_so)
        region.apply(web(project, replicas=3))
        region.settled(project, "web")
    finally:
        region.host.delete(MEMBERCLUSTERS, "", "x1")
    region.eventually("it is gone", lambda: region.host.get(MEMBERCLUSTERS, "", "x1") is None)
