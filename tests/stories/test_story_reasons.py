"""If it does not run, the status says why not and what to do, and what can run goes on running."""

from __future__ import annotations

import json

import pytest
from cluster_client import ApiRefusal
from live_region import Region
from story_manifests import web

from pincompute.api import conditions
from pincompute.api.builtin import NODES
from pincompute.api.quantity import cpu_millis
from pincompute.api.workloads import PINAPPS


def test_a_bad_image_is_named_and_the_rest_keeps_serving(region: Region, project: str):
    region.apply(web(project, replicas=3))
    region.settled(project, "web")
    with region.watching(project, "web") as during:
        region.apply(
            web(project, replicas=3, image="hello:nowhere", update={"inPlace": "Never", "maxUnavailable": 0, "maxSurge": 1})
        )

        def says_why() -> bool:
            message = region.app(project, "web").status.message
            return "registry.internal/hello:nowhere" in message and "correct the image's name or tag" in message

        region.eventually("the message names the image and the remedy", says_why)
        assert region.http("a", project, "web")["version"] == "1"
        region.apply(web(project, replicas=3))
        region.settled(project, "web")
    assert during.fewest_ready == 3


def test_what_has_no_room_waits_with_the_reason_and_starts_by_itself(region: Region, project: str):
    """S-038, S-040: nothing is refused; when room appears, it is used."""
    cores = min(cpu_millis(n.status.allocatable["cpu"]) for m in region.members.values() for n in m.list(NODES)) // 1000
    most = f"{cores * 1000 - 900}m"
    region.apply(web(project, "large", replicas=3, cpu=most))
    region.settled(project, "large")
    region.apply(web(project, "late", replicas=3, cpu=most))

    def waits() -> bool:
        status = region.app(project, "late").status
        scheduled = conditions.find(status.conditions, "Scheduled")
        assert scheduled is not None
        waiting = status.phase in ("Pending", "Stalled")
        return waiting and (scheduled.status, scheduled.reason) == ("False", "InsufficientCapacity")

    region.eventually("late waits for capacity", waits)
    full = "3 of 3 replicas wait for room: zones a, b and c have no room for another replica, which asks for cpu"
    assert full in region.app(project, "late").status.message
    assert "3 replicas without a place:" in region.run("explain", "late", "--project", project).stdout
    region.delete("PinApp", project, "large")
    region.settled(project, "late", replicas=3)


def test_an_update_that_needs_a_missing_claim_names_it_and_keeps_what_serves(region: Region, project: str):
    region.apply(web(project, replicas=2))
    region.settled(project, "web")
    old = region.uids(project, "web")
    manifest = web(project, replicas=2)
    pod = manifest["spec"]["template"]["spec"]
    pod.setdefault("volumes", []).append({"name": "data", "persistentVolumeClaim": {"claimName": "lost-data"}})

    def stalled() -> str:
        found = conditions.find(region.app(project, "web").status.conditions, "Stalled")
        return found.message if found is not None and found.status == "True" else ""

    with region.watching(project, "web") as during:
        region.apply(manifest)
        assert "an administrator creates claim lost-data in each zone" in region.eventually("the app is stalled", stalled)
        assert old <= region.uids(project, "web")
        region.apply(web(project, replicas=2))
        region.settled(project, "web")
    assert during.fewest_ready == 2


def refused(region: Region, manifest: dict) -> str:
    """What the API server answers to `kubectl create`."""
    body, path = json.dumps(manifest).encode(), PINAPPS.path(manifest["metadata"]["namespace"])
    with pytest.raises(ApiRefusal) as refusal:
        region.host.request("POST", path, body, "application/json", fieldValidation="Strict")
    assert refusal.value.code in (400, 403, 404, 422)
    return refusal.value.message


def test_bad_input_is_refused_with_the_field_and_the_remedy(region: Region, project: str):
    """At the API server itself, with no code of ours in between."""

    def with_container(**change: object) -> dict:
        manifest = web(project, "bad")
        manifest["spec"]["template"]["spec"]["containers"][0] |= change
        return manifest

    unknown = web(project, "bad")
    unknown["spec"]["replica"] = 3
    assert "spec.replica" in refused(region, unknown)
    assert "spec.replicas" in refused(region, web(project, "bad", replicas="three"))
    assert "spec.replicas" in refused(region, web(project, "bad", replicas=-1))
    assert "image" in refused(region, with_container(image=""))
    quantity = refused(region, with_container(resources={"requests": {"cpu": "half"}}))
    assert "half" in quantity or "requests" in quantity
    twice = web(project, "bad")
    containers = twice["spec"]["template"]["spec"]["containers"]
    containers.append(containers[0])
    assert "name" in refused(region, twice)
    assert "63" in refused(region, web(project, "b" * 64)) or "name" in refused(region, web(project, "b" * 64))
    nowhere = refused(region, web("nowhere", "bad"))
    assert "nowhere" in nowhere
    assert region.leftovers(project, "bad") == []


def test_a_zone_that_does_not_exist_waits_with_the_reason(region: Region, project: str):
    region.apply(web(project, replicas=1, placement={"zones": ["z"]}))

    def says_why() -> bool:
        return "zones a, b and c are not in `zones` (z)" in region.app(project, "web").status.message

    region.eventually("the message names the zone", says_why)
    region.apply(web(project, replicas=1, placement={"zones": ["b"]}))
    region.settled(project, "web", replicas=1)
    assert region.spread(project, "web") == {"a": 0, "b": 1, "c": 0}
