"""A restart of one replica or container is a request on its pod; the gateway itself ends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway.served_gateway import WITHIN, Running, running

from pincompute.api import labels
from pincompute.api.builtin import NAMESPACES, PODS, Pod
from pincompute.api.labels import HOST, RESTARTS
from pincompute.api.meta import Key, Manifest
from pincompute.api.workloads import PINAPPS
from pincompute.domain import operation_annotation, restart_requests
from pincompute.domain.restart_requests import MOST, RestartRequest
from pincompute.gateway import kubernetes_rbac

pytestmark = pytest.mark.served

DIGEST = "sha256:" + "a" * 64
DOCUMENT = {"name": "web", "replicas": 2, "containers": [{"name": "main", "image": "r/web:1"}]}
WEB = "/v1/projects/shop/apps/web"


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[Running]:
    """App web in project shop with two ready replicas in a1."""
    async with running(tmp_path) as there:
        status, _, _ = await there.ask("dan", "POST", "/v1/projects/shop/apps", DOCUMENT)
        assert status == 201
        there.member.store.create(NAMESPACES, "", {"metadata": {"name": "shop"}})
        newest = [put(there, pod(ordinal)) for ordinal in range(2)][-1]
        async with asyncio.timeout(WITHIN):
            await there.gateway.clusters.cache("a1", PODS).until(newest)
        await reported(there, 2)
        yield there


def put(there: Running, manifest: Manifest) -> int:
    """The version with its status."""
    there.member.store.create(PODS, "shop", manifest)
    key, body = Key("shop", manifest["metadata"]["name"]), {"status": manifest["status"]}
    made = there.member.store.patch(PODS, key, body, content_type="merge-patch", subresource="status")
    return int(made["metadata"]["resourceVersion"])


def pod(ordinal: int) -> Manifest:
    marks = {labels.MANAGED_BY: labels.PINCOMPUTE, labels.APP: "web", labels.WORKLOAD: "PinApp"}
    container: Manifest = {"name": "main", "image": "r/web:1", "resources": {}}
    return {
        "metadata": {
            "name": f"web-a1-{ordinal}",
            "labels": {**marks, labels.CLUSTER: "a1", labels.ZONE: "a"},
            "annotations": {labels.ORDINAL: str(ordinal)},
        },
        "spec": {"containers": [container, {**container, "name": "odd"}]},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-01T10:00:00Z"}],
            "containerStatuses": [
                {"name": "main", "imageID": f"r/web@{DIGEST}", "ready": True, "restartCount": 0, "image": ""}
            ],
        },
    }


async def reported(gateway: Running, ready: int) -> None:
    """The federation's report, until the gateway has it."""
    line = {"cluster": "a1", "zone": "a", "replicas": 2, "readyReplicas": ready, "known": True}
    body = {"status": {"clusters": [line], "readyReplicas": ready, "replicas": 2}}
    key = Key("shop", "web")
    made = gateway.host.store.patch(PINAPPS, key, body, content_type="merge-patch", subresource="status")
    await gateway.gateway.clusters.cache(HOST, PINAPPS).until(int(made["metadata"]["resourceVersion"]))


def there(gateway: Running, ordinal: int = 0) -> Pod:
    return msgspec.convert(gateway.member.store.get(PODS, Key("shop", f"web-a1-{ordinal}")), Pod)


def waiting(gateway: Running, ordinal: int = 0) -> tuple[RestartRequest, ...]:
    return restart_requests.waiting(there(gateway, ordinal))


async def restart(gateway: Running, body: dict[str, Any], key: str = "") -> tuple[int, Any]:
    headers = {"Idempotency-Key": key} if key else {}
    status, answer, _ = await gateway.ask("olga", "POST", f"{WEB}/restart", body, **headers)
    return status, answer


async def test_a_replica_is_asked_to_end_and_stays_until_the_account_allows_it(web: Running) -> None:
    before = there(web)
    status, done = await restart(web, {"replica": "0", "reason": "it leaks"})
    assert (status, done["changed"]) == (200, True)
    assert done["message"] == "web/0 will end and be replaced as soon as the workload's disruption account allows it"
    (request,) = waiting(web)
    assert (request.container, request.by, request.why) == ("", "olga", "it leaks")
    after = there(web)
    assert (after.metadata.uid, after.spec, after.deleting) == (before.metadata.uid, before.spec, False)
    assert waiting(web, 1) == ()


async def test_two_at_once_both_wait_for_the_one_account(web: Running) -> None:
    """Neither goes by itself, so that they cannot both pass the same limit."""
    answers = await asyncio.gather(restart(web, {"replica": "0"}), restart(web, {"replica": "1"}))
    assert [status for status, _ in answers] == [200, 200]
    assert [len(waiting(web, ordinal)) for ordinal in range(2)] == [1, 1]
    assert not any(there(web, ordinal).deleting for ordinal in range(2))


async def test_that_it_may_have_to_wait_is_said_beforehand(web: Running) -> None:
    await reported(web, 1)
    _, done = await restart(web, {"replica": "0"})
    assert "1 of 2 replicas is not ready now, so the restart may have to wait" in done["message"]


async def test_a_container_is_asked_to_restart_and_nothing_of_the_pod_is_changed_yet(web: Running) -> None:
    before = there(web)
    status, done = await restart(web, {"replica": "0", "container": "main"})
    assert (status, done["changed"]) == (200, True)
    assert "container main of web/0 will restart" in done["message"]
    assert [request.container for request in waiting(web)] == ["main"]
    assert there(web).spec == before.spec
    assert RESTARTS not in there(web).metadata.annotations


async def test_asking_again_under_the_same_key_changes_nothing(web: Running) -> None:
    for body in ({"replica": "0"}, {"replica": "1", "container": "main"}):
        first = await restart(web, body, key=f"k{body['replica']}")
        again = await restart(web, body, key=f"k{body['replica']}")
        assert (first[0], again[0], first[1]["changed"], again[1].get("changed", False)) == (200, 200, True, False)
    assert [len(waiting(web, ordinal)) for ordinal in range(2)] == [1, 1]


async def test_a_request_whose_answer_was_lost_before_it_reached_the_pod_is_left_there_by_its_repetition(web: Running) -> None:
    """S-259: the record stands on the app, and the gateway died before it wrote to the member."""
    await restart(web, {"replica": "0"}, key="lost")
    gone = {"metadata": {"annotations": {labels.RESTART_REQUEST: None}}}
    web.member.store.patch(PODS, Key("shop", "web-a1-0"), gone, content_type="merge-patch")
    status, done = await restart(web, {"replica": "0"}, key="lost")
    assert (status, done["changed"], len(waiting(web))) == (200, True, 1)


async def test_a_replica_that_went_by_itself_is_not_mistaken_for_the_one_in_its_place(web: Running) -> None:
    await restart(web, {"replica": "0"}, key="gone")
    web.member.store.delete(PODS, Key("shop", "web-a1-0"), grace_seconds=0)
    put(web, pod(0))
    status, done = await restart(web, {"replica": "0"}, key="gone")
    assert (status, done["changed"]) == (200, False)
    assert waiting(web) == ()


IMPOSSIBLE = {
    "there is no such container": ("nope", 404, "container nope in web/0"),
    "the digest of its image is not known": ("odd", 409, "whose digest its node does not tell"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
async def test_what_can_never_be_done_is_refused_at_once(web: Running, case: str) -> None:
    container, status, words = IMPOSSIBLE[case]
    answer = await restart(web, {"replica": "0", "container": container})
    assert answer[0] == status
    assert words in answer[1]["detail"]
    assert waiting(web) == ()
    found = web.gateway.clusters.cache(HOST, PINAPPS).get(Key("shop", "web"))
    assert found is not None
    assert "restart" not in [note.verb for note in operation_annotation.read(found)], "nothing was asked for"


async def test_so_many_may_wait_and_no_more(web: Running) -> None:
    for _ in range(MOST):
        assert (await restart(web, {"replica": "0"}))[0] == 200
    status, problem = await restart(web, {"replica": "0"})
    assert (status, problem["code"]) == (409, "wrong-state")
    assert f"{MOST} restarts of the replica wait already" in problem["detail"]
    assert len(waiting(web)) == MOST


async def test_of_a_paused_app_nothing_is_asked_that_would_wait_until_it_is_resumed(web: Running) -> None:
    assert (await web.ask("olga", "POST", f"{WEB}/pause"))[0] == 200
    for body in ({"replica": "0"}, {"replica": "0", "container": "main"}):
        status, problem = await restart(web, body)
        assert (status, problem["code"], problem["remedy"]) == (409, "wrong-state", "resume it first with `pin resume web`")
    assert waiting(web) == ()


def test_the_gateway_may_not_delete_pods() -> None:
    roles = kubernetes_rbac.in_members(), kubernetes_rbac.in_projects_in_members()
    rules = [rule for role in roles for rule in role["rules"] if rule["resources"] == ["pods"]]
    assert {verb for rule in rules for verb in rule["verbs"]} == {"get", "list", "watch", "patch"}
