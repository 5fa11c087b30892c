"""One member is cut off for a minute while an app is scaled up and back.

The network between the federation and the member is cut, not the member: a member whose API server is stopped would stop its
own operator and kubelet too, and the hardest part of a partition, that the other side lives on, would not be tested.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator

import pytest
import yaml
from app_outcome import outcome
from live_region import Region
from network_relay import Relay
from story_manifests import web

from pincompute.api import conditions
from pincompute.api.builtin import SECRETS
from pincompute.api.labels import FEDERATION, secrets_namespace
from pincompute.api.member_clusters import MEMBERCLUSTERS

pytestmark = pytest.mark.alone

MEMBER = "b1"
SECONDS = 60.0


def condition(region: Region, kind: str) -> bool:
    found = region.host.get(MEMBERCLUSTERS, "", MEMBER)
    return found is not None and conditions.is_true(found.status.conditions, kind)


@pytest.fixture
def relay(region: Region) -> Iterator[Relay]:
    """The federation reaches the member through it for the length of the test."""
    secret = region.host.get(SECRETS, secrets_namespace(FEDERATION), f"member-{MEMBER}")
    assert secret is not None
    kubeconfig = yaml.safe_load(base64.b64decode(secret.data["kubeconfig"]))
    cluster = kubeconfig["clusters"][0]["cluster"]
    host, _, port = cluster["server"].removeprefix("https://").rpartition(":")
    relay = Relay(host, int(port))
    cluster["server"] = relay.url
    reroute(region, base64.b64encode(yaml.safe_dump(kubeconfig).encode()).decode())
    region.eventually("the federation reaches the member through the relay", lambda: relay.connections > 0)
    region.eventually("the member takes work", lambda: condition(region, "Reachable") and condition(region, "Ready"))
    yield relay
    reroute(region, secret.data["kubeconfig"])
    relay.close()
    region.eventually("the member takes work", lambda: condition(region, "Reachable") and condition(region, "Ready"))


def reroute(region: Region, kubeconfig: str) -> None:
    region.host.change(SECRETS, secrets_namespace(FEDERATION), f"member-{MEMBER}", {"data": {"kubeconfig": kubeconfig}})


def test_a_member_is_cut_off_for_a_minute_while_an_app_is_scaled_up_and_back(region: Region, project: str, relay: Relay):
    """S-060, S-061, S-126, S-135: the silent member is left alone, the others take what is new, the end is even again."""
    region.apply(web(project, replicas=6))
    region.settled(project, "web")
    there = {placed.uid for placed in region.pods(project, "web") if placed.cluster == MEMBER}

    def untouched() -> bool:
        now = [placed for placed in region.pods(project, "web") if placed.cluster == MEMBER]
        return {placed.uid for placed in now} == there and all(placed.ready for placed in now)

    def elsewhere(replicas: int) -> bool:
        ready = [placed for placed in region.pods(project, "web") if placed.cluster != MEMBER]
        return len(ready) == replicas and all(placed.ready for placed in ready)

    with region.watching(project, "web") as during:
        with relay.cut():
            begun = time.monotonic()
            region.eventually("the silence is noticed", lambda: not condition(region, "Reachable"))
            region.scale(project, "web", 9)
            region.eventually("the others take what is new", lambda: elsewhere(7))
            line = next(line for line in region.app(project, "web").status.clusters if line.cluster == MEMBER)
            assert (line.known, line.replicas) == (False, 2)
            assert region.http("b", project, "web")["zone"] == "b"
            region.scale(project, "web", 6)
            left = SECONDS - (time.monotonic() - begun)
            region.throughout(left, "the silent member's replicas are untouched", untouched)
            assert not condition(region, "Ready")
        region.settled(project, "web", replicas=6)
        region.eventually("the zones are even again", lambda: set(region.spread(project, "web").values()) == {2})
        ended = outcome(region, project, "web")
    assert untouched()
    assert during.most_live == 9
    assert during.fewest_ready >= 6

    region.apply(web(project, "calm", replicas=6))
    region.settled(project, "calm")
    assert ended == outcome(region, project, "calm")
