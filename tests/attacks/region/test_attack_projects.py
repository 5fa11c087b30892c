"""Names are no proof: what bears a project's name, in a member or from the past, is not the project's."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from cluster_client import ApiRefusal
from live_region import Region
from story_manifests import web
from terminal_user import TerminalUser

from pincompute.api import conditions
from pincompute.api.builtin import NAMESPACES, SECRETS
from pincompute.api.conditions import Condition
from pincompute.api.labels import MANAGED_BY
from pincompute.api.meta import Manifest
from pincompute.api.projects import PROJECTS
from pincompute.api.shards import PINAPPSHARDS

MEMBER = "a1"
FOREIGN = "attackmonitoring"
CREATED = "attackcreated"
SHARD: Manifest = {
    "apiVersion": "pincompute.io/v1alpha1",
    "kind": "PinAppShard",
    "metadata": {"name": "web"},
    "spec": {
        "origin": {"uid": "u", "generation": 1},
        "cluster": MEMBER,
        "zone": "a",
        "mix": [{"revision": "r", "replicas": 1, "template": {"spec": {"containers": [{"name": "web", "image": "i"}]}}}],
    },
}


@pytest.fixture
def monitoring(region: Region) -> Iterator[str]:
    """A namespace of another team in one member, with a secret of theirs."""
    there = region.members[MEMBER]
    there.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": FOREIGN}})
    _keep_secret(region, FOREIGN)
    yield FOREIGN
    there.delete(NAMESPACES, "", FOREIGN)
    region.host.delete(PROJECTS, "", FOREIGN)
    region.eventually("the project is gone", lambda: region.host.get(PROJECTS, "", FOREIGN) is None)


def test_creating_a_project_takes_over_no_namespace_of_its_name(region: Region, monitoring: str) -> None:
    """Its pods would run beside that team's secrets. In the other members the project works."""
    region.apply(_project(monitoring))
    told = region.eventually("the name is reported as taken", lambda: _ready(region, monitoring, "NameTaken"))
    assert f"namespace {monitoring} in {MEMBER} exists and is not the platform's" in told.message
    region.apply(web(monitoring, replicas=3))
    region.eventually("pods run elsewhere", lambda: any(pod.ready for pod in region.pods(monitoring, "web")))
    assert region.pods(monitoring, "web", [MEMBER]) == []
    assert region.members[MEMBER].get(PINAPPSHARDS, monitoring, "web") is None
    kept = region.members[MEMBER].get(NAMESPACES, "", monitoring)
    assert kept is not None
    assert MANAGED_BY not in kept.metadata.labels


def test_a_shard_is_refused_in_a_namespace_that_is_no_projects(region: Region, project: str) -> None:
    """Also when its writer is mistaken about the namespace, or was given the name of another team's."""
    there = region.members[MEMBER]
    body, path = json.dumps(SHARD).encode(), PINAPPSHARDS.path
    there.request("POST", path(project), body, "application/json", dryRun="All")
    with pytest.raises(ApiRefusal, match="namespace default is not a project's"):
        there.request("POST", path("default"), body, "application/json", dryRun="All")


def test_a_project_created_again_inherits_nothing(region: Region, admin: TerminalUser, dev: TerminalUser) -> None:
    """Neither the secrets in its namespaces nor its history. The former owner has no right in it either."""
    _found(region, CREATED, "dev")
    region.apply(web(CREATED, "heir", replicas=1))
    region.settled(CREATED, "heir")
    _keep_secret(region, CREATED)
    before = _uids(region, CREATED)
    refused = dev.pin("project", "delete", CREATED, "--yes", status=None)
    assert refused.status != 0
    assert "app heir" in refused.err
    done = dev.pin("project", "delete", CREATED, "--workloads", "--yes", "--wait")
    assert f"project {CREATED} is deleted" in done.out
    assert _uids(region, CREATED) == {}
    _found(region, CREATED, "somebody")
    assert not set(before.values()) & set(_uids(region, CREATED).values())
    assert region.members[MEMBER].get(SECRETS, CREATED, "password") is None
    assert dev.pin("list", "--project", CREATED, status=None).status != 0
    _found(region, CREATED, "dev")
    assert "heir" not in dev.pin("timeline", "--project", CREATED, status=None).out
    assert dev.pin("history", "heir", "--project", CREATED, status=None).status != 0
    assert "heir" in admin.pin("history", "heir", "--project", CREATED).out
    region.host.delete(PROJECTS, "", CREATED)


def _project(name: str, *owners: str) -> Manifest:
    spec = {"members": [{"name": owner, "role": "owner"} for owner in owners]}
    return {"apiVersion": "pincompute.io/v1alpha1", "kind": "Project", "metadata": {"name": name}, "spec": spec}


def _found(region: Region, name: str, owner: str) -> None:
    region.apply(_project(name, owner))
    region.eventually("the project is ready", lambda: _ready(region, name, "Prepared"))


def _ready(region: Region, name: str, reason: str) -> Condition | None:
    found = region.host.get(PROJECTS, "", name)
    ready = conditions.find(found.status.conditions, "Ready") if found is not None else None
    return ready if ready is not None and ready.reason == reason else None


def _keep_secret(region: Region, namespace: str) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password", "namespace": namespace}}
    region.members[MEMBER].apply(SECRETS, {**secret, "stringData": {"word": "theirs"}})


def _uids(region: Region, name: str) -> dict[str, str]:
    """Returns the uid of the namespace of this name in every cluster that has one."""
    clusters = {"host": region.host, **region.members}
    found = {cluster: client.get(NAMESPACES, "", name) for cluster, client in clusters.items()}
    return {cluster: namespace.metadata.uid for cluster, namespace in found.items() if namespace is not None}
