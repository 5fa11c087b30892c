"""Writes as they go over the wire, what their answers mean, and the cache after each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiohttp import web
from fast_informer import HURRY, eventually
from hostile_server import DROP, HostileServer, failure, pod

from pincompute.api.builtin import PODS, Pod
from pincompute.api.meta import Key
from pincompute.api.projects import PROJECTS
from pincompute.kube import api_errors, write_requests
from pincompute.kube.api_client import ApiClient
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.kubeconfig import ClusterConfig

WEB = Key("default", "web")
BODY: dict[str, Any] = {"metadata": {"name": "web", "namespace": "default", "labels": {"a": "b"}}, "spec": {}}


class Writes:
    """Answers the next write; the cache's lists and watches are served by the torture server."""

    def __init__(self, server: HostileServer) -> None:
        self.server = server
        self.body: Any = {}
        self.code = 200
        server.answer = lambda seen: web.json_response(self.body, status=self.code) if seen.verb != "GET" else None

    def sent(self) -> list[str]:
        return [f"{s.verb} {s.path} {s.headers.get('Content-Type')}" for s in self.server.requests if s.verb != "GET"]


@pytest.fixture
def answers(server: HostileServer) -> Writes:
    return Writes(server)


@pytest.fixture
async def clusters(server: HostileServer) -> AsyncIterator[Clusters]:
    async with Clusters(user_agent="pincompute-test/0.1", timing=HURRY) as made:
        made.declare("local", PODS)
        await made.add("local", ClusterConfig(server=server.address))
        await made.until_synced("local")
        yield made


async def test_created_object_is_in_the_cache_before_the_call_returns(clusters: Clusters, answers: Writes) -> None:
    answers.body = pod("web", "u1", 500)
    await clusters.writer("local").create(PODS, BODY, "operator.shard")
    assert clusters.view("local", PODS).get(WEB) is not None
    assert answers.sent() == ["POST /api/v1/namespaces/default/pods application/json"]


async def test_apply_again_sends_nothing(clusters: Clusters, answers: Writes) -> None:
    """S-004, also where a policy in the member changed what was applied."""
    answers.body = pod("web", "u1", 500)
    answers.body["metadata"]["labels"] = {"changed-by": "policy"}
    writer = clusters.writer("local")
    for _ in range(3):
        await writer.apply(PODS, BODY, "m")
    assert answers.sent() == ["PATCH /api/v1/namespaces/default/pods/web application/apply-patch+yaml"]
    assert answers.server.requests[-1].query == {"fieldManager": "m", "force": "true", "fieldValidation": "Ignore"}


CHANGES = {
    "another body": ({}, {**BODY, "spec": {"nodeName": "n"}}),
    "somebody changed it, kind without generation": ({"spec": {"nodeName": "moved"}}, BODY),
    "somebody made it anew": ({"uid": "u2"}, BODY),
}


@pytest.mark.parametrize(("seen", "body"), CHANGES.values(), ids=CHANGES.keys())
async def test_apply_again_after_a_change(
    clusters: Clusters, answers: Writes, seen: dict[str, Any], body: dict[str, Any]
) -> None:
    answers.body = pod("web", "u1", 500)
    await clusters.writer("local").apply(PODS, BODY, "m")
    if seen:
        changed = pod("web", seen.get("uid", "u1"), 501, **seen.get("spec", {}))
        clusters.cache("local", PODS).written(msgspec.convert(changed, PODS.type))
    await clusters.writer("local").apply(PODS, body, "m")
    assert len(answers.sent()) == 2


async def test_a_status_write_of_others_needs_no_new_apply(clusters: Clusters, answers: Writes) -> None:
    answers.body = pod("web", "u1", 500)
    answers.body["metadata"]["generation"] = 4
    await clusters.writer("local").apply(PODS, BODY, "m")
    after = pod("web", "u1", 501)
    after["metadata"]["generation"] = 4
    after["status"] = {"phase": "Running"}
    clusters.cache("local", PODS).written(msgspec.convert(after, PODS.type))
    await clusters.writer("local").apply(PODS, BODY, "m")
    assert len(answers.sent()) == 1


async def test_lost_answer_leaves_the_cache_alone(clusters: Clusters, answers: Writes) -> None:
    answers.server.answer = lambda seen: DROP if seen.verb == "POST" else None
    with pytest.raises(api_errors.Unreachable):
        await clusters.writer("local").create(PODS, BODY, "m")
    assert clusters.view("local", PODS).get(WEB) is None


async def test_deleted_object_leaves_the_cache_at_once(clusters: Clusters, answers: Writes) -> None:
    answers.server.put("web")
    await eventually(lambda: clusters.view("local", PODS).get(WEB))
    answers.body = {"kind": "Status", "status": "Success", "details": {"uid": "u"}}
    uid = answers.server.objects["web"]["metadata"]["uid"]
    await clusters.writer("local").delete(PODS, WEB, uid, "7", "Foreground")
    assert clusters.view("local", PODS).get(WEB) is None


async def test_object_with_finalizers_stays_until_they_are_gone(clusters: Clusters, answers: Writes) -> None:
    answers.body = pod("web", "u1", 500)
    answers.body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    await clusters.writer("local").delete(PODS, WEB, "u1", "", "Background")
    left = clusters.view("local", PODS).get(WEB)
    assert left is not None
    assert left.deleting


async def test_another_object_of_that_name_is_a_conflict(server: HostileServer) -> None:
    """API servers call a wrong uid in a patch an invalid field; it is a failed precondition."""
    cause = {"field": "metadata.uid", "reason": "FieldValueInvalid", "message": "field is immutable"}
    body = {**failure(422, "Invalid", "field is immutable"), "details": {"causes": [cause]}}
    server.answer = lambda _seen: web.json_response(body, status=422)
    async with ApiClient(ClusterConfig(server=server.address), name="a1") as client:
        with pytest.raises(api_errors.Conflict):
            await write_requests.apply(client, PODS, WEB, BODY, "m", uid="mine")
        with pytest.raises(api_errors.Conflict):
            await write_requests.patch(client, PODS, WEB, {"metadata": {"uid": "mine"}}, "m")


async def test_patch_is_strategic_for_built_in_kinds_only(server: HostileServer) -> None:
    server.answer = lambda _seen: web.json_response(pod("web", "u1", 5))
    async with ApiClient(ClusterConfig(server=server.address), name="a1") as client:
        await write_requests.patch(client, PODS, WEB, {}, "m")
        await write_requests.patch(client, PROJECTS, Key("", "web"), {}, "m")
    assert [(s.path, s.headers["Content-Type"]) for s in server.requests] == [
        ("/api/v1/namespaces/default/pods/web", "application/strategic-merge-patch+json"),
        ("/apis/pincompute.io/v1alpha1/projects/web", "application/merge-patch+json"),
    ]


async def test_questions_past_the_cache_ask_for_metadata_only_and_follow_pages(server: HostileServer) -> None:
    pages = iter([("t1", ["u1", "u2"]), ("", ["u3"])])

    def answer(seen: Any) -> web.Response:
        assert "PartialObjectMetadata" in seen.headers["Accept"]
        if seen.path.endswith("/gone"):
            return web.json_response(failure(404, "NotFound", "gone"), status=404)
        token, found = next(pages)
        return web.json_response({"metadata": {"continue": token}, "items": [pod(uid, uid, 1) for uid in found]})

    server.answer = answer
    async with ApiClient(ClusterConfig(server=server.address), name="a1") as client:
        assert await write_requests.uids(client, PODS, "default", "app", "web") == {"u1", "u2", "u3"}
        assert await write_requests.current(client, PODS, Key("default", "gone")) is None
    assert server.requests[1].query == {"labelSelector": "app=web", "limit": "500", "continue": "t1"}


async def shown(clusters: Clusters) -> Pod:
    """The pod, when the cache shows it."""
    await eventually(lambda: clusters.view("local", PODS).get(WEB) is not None)
    pod = clusters.view("local", PODS).get(WEB)
    assert pod is not None
    return pod


async def test_an_evicted_pod_is_known_to_end_before_the_call_returns(clusters: Clusters, answers: Writes) -> None:
    answers.server.put("web")
    seen = await shown(clusters)
    answers.body, answers.code = {"kind": "Status", "status": "Success"}, 201
    await clusters.writer("local").evict(WEB, seen.metadata.uid, "7")
    left = clusters.view("local", PODS).get(WEB)
    assert left is not None
    assert left.deleting
    assert answers.sent() == ["POST /api/v1/namespaces/default/pods/web/eviction application/json"]
    pins = {"uid": seen.metadata.uid, "resourceVersion": "7"}
    assert msgspec.json.decode(answers.server.requests[-1].body)["deleteOptions"] == {"preconditions": pins}


async def test_a_blocked_eviction_is_asked_for_once_and_leaves_the_cache_alone(clusters: Clusters, answers: Writes) -> None:
    answers.server.put("web")
    seen = await shown(clusters)
    cause = {"reason": "DisruptionBudget", "message": "needs 2"}
    answers.body = {**failure(429, "TooManyRequests", "no"), "details": {"causes": [cause], "retryAfterSeconds": 10}}
    answers.code = 429
    with pytest.raises(api_errors.Blocked):
        await clusters.writer("local").evict(WEB, seen.metadata.uid, "")
    assert clusters.view("local", PODS).get(WEB) == seen
    assert len(answers.sent()) == 1


async def test_a_pod_that_was_gone_leaves_the_cache(clusters: Clusters, answers: Writes) -> None:
    answers.server.put("web")
    seen = await shown(clusters)
    answers.body, answers.code = failure(404, "NotFound", "gone"), 404
    with pytest.raises(api_errors.NotFound):
        await clusters.writer("local").evict(WEB, seen.metadata.uid, "")
    assert clusters.view("local", PODS).get(WEB) is None


async def test_a_scale_goes_to_its_subresource_with_its_pins(server: HostileServer) -> None:
    server.answer = lambda _seen: web.json_response({"kind": "Scale"})
    async with ApiClient(ClusterConfig(server=server.address), name="a1") as client:
        await write_requests.scale(client, PROJECTS, Key("", "web"), 4, "u1", "7", "m")
    sent = server.requests[0]
    assert (sent.verb, sent.path) == ("PATCH", "/apis/pincompute.io/v1alpha1/projects/web/scale")
    assert msgspec.json.decode(sent.body) == {"metadata": {"uid": "u1", "resourceVersion": "7"}, "spec": {"replicas": 4}}


async def test_f5_a_question_past_the_cache_always_reaches_the_server(clusters: Clusters, answers: Writes) -> None:
    """Also right after a write of our own: somebody else may have written since."""
    answers.body = pod("web", "u1", 500)
    writer = clusters.writer("local")
    await writer.create(PODS, BODY, "m")
    answers.server.put("web")
    before = len(answers.server.requests)
    answers.server.answer = lambda seen: web.json_response(pod("web", "u1", 501)) if seen.path.endswith("/web") else None
    seen = await writer.get(PODS, WEB)
    assert seen is not None
    assert seen.metadata.resource_version == "501"
    assert [s.path for s in answers.server.requests[before:] if not s.watch] == ["/api/v1/namespaces/default/pods/web"]
