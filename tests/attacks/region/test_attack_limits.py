"""A project that reaches a member's API server by itself: it meets its quota, and takes nothing from another project."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cluster_client import ApiRefusal, ClusterClient
from live_region import Region
from story_manifests import web
from story_projects import make_project

from pincompute.api.builtin import LIMITRANGES, RESOURCEQUOTAS
from pincompute.api.labels import MANAGED_BY
from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.api.projects import PROJECTS, Project
from pincompute.domain import namespace_quotas
from pincompute.domain.namespace_quotas import HEADROOM, LIMIT_RANGE, OBJECTS_QUOTA, PODS_QUOTA

MEMBER = "a1"
GREEDY, OTHER = "greedy", "modest"
PODS = f"/api/v1/namespaces/{GREEDY}/pods"
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def member(region: Region) -> ClusterClient:
    """Both projects are there; the greedy one may have one pod."""
    make_project(region, GREEDY)
    make_project(region, OTHER)
    region.host.change(PROJECTS, "", GREEDY, {"spec": {"limits": {"pods": 1}}})
    found = region.members[MEMBER]

    def limited() -> bool:
        quota = found.get(RESOURCEQUOTAS, GREEDY, PODS_QUOTA)
        return quota is not None and quota.spec["hard"]["pods"] == str(HEADROOM)

    region.eventually("the limit has arrived in the member", limited)
    return found


def make(member: ClusterClient, path: str, body: Manifest) -> None:
    member.request("POST", path, json.dumps(body).encode(), "application/json")


def a_pod(name: str) -> Manifest:
    """It never runs: no node is called so."""
    container: Manifest = {"name": "web", "image": "hello:1", "securityContext": RESTRICTED, "resources": LITTLE}
    security: Manifest = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "metadata": {"name": name},
        "spec": {"nodeSelector": {"nowhere": "x"}, "securityContext": security, "containers": [container]},
    }


RESTRICTED: Manifest = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
LITTLE: Manifest = {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"memory": "1Mi"}}


def test_a_project_that_reaches_a_member_takes_nothing_from_another(region: Region, member: ClusterClient) -> None:
    for number in range(HEADROOM):
        make(member, PODS, a_pod(f"p{number}"))
    with pytest.raises(ApiRefusal, match=f"exceeded quota: {PODS_QUOTA}"):
        make(member, PODS, a_pod("one-more"))
    make(member, PODS.replace(GREEDY, OTHER), a_pod("one-more"))
    region.apply(web(GREEDY, replicas=20, placement={"clusters": [MEMBER]}))  # past the gateway, so nothing refuses it
    region.apply(web(OTHER, placement={"clusters": [MEMBER]}))
    region.settled(OTHER, "web", 1)

    def told() -> str:
        message = region.app(GREEDY, "web").status.message
        return message if "exceeded quota" in message else ""

    message = region.eventually("the status says that the quota refuses the pod", told)
    assert "pin admin limits" in message
    assert not region.pods(GREEDY, "web")
    quota = member.get(RESOURCEQUOTAS, GREEDY, PODS_QUOTA)
    assert quota is not None
    assert quota.spec["hard"]["pods"] == str(HEADROOM)


QUOTAS = f"/api/v1/namespaces/{GREEDY}/resourcequotas"
CHANGES: dict[str, tuple[str, str, Any]] = {
    "a higher quota": ("PATCH", f"{QUOTAS}/{PODS_QUOTA}", {"spec": {"hard": {"pods": "1k"}}}),
    "no count of objects": ("DELETE", f"{QUOTAS}/{OBJECTS_QUOTA}", None),
    "a quota without its label": ("PATCH", f"{QUOTAS}/{PODS_QUOTA}", {"metadata": {"labels": {MANAGED_BY: None}}}),
    "no requests": ("DELETE", f"/api/v1/namespaces/{GREEDY}/limitranges/{LIMIT_RANGE}", None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_an_administrator_of_the_member_takes_away_comes_back(region: Region, member: ClusterClient, change: str) -> None:
    verb, path, body = CHANGES[change]
    member.request(verb, path, None if body is None else json.dumps(body).encode(), MERGE if body else "")

    def as_listed() -> bool:
        pods, objects = (member.get(RESOURCEQUOTAS, GREEDY, name) for name in (PODS_QUOTA, OBJECTS_QUOTA))
        requests = member.get(LIMITRANGES, GREEDY, LIMIT_RANGE)
        if pods is None or objects is None or requests is None:
            return False
        greedy = Project(metadata=ObjectMeta(name=GREEDY))
        listed = requests.spec == namespace_quotas.limit_range(greedy)["spec"] and pods.spec["hard"]["pods"] == str(HEADROOM)
        return listed and all(MANAGED_BY in found.metadata.labels for found in (pods, objects, requests))

    region.eventually("the federation has put it back", as_listed)
