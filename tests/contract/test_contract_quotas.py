"""The quotas and the LimitRange of a project's namespace, in a real API server with the controller that counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from contract_client import Answer, Api, until
from real_api_server import TOKEN, RealServer

from pincompute.api import template_hash
from pincompute.api.meta import Manifest, ObjectMeta
from pincompute.api.projects import Project, ProjectLimits, ProjectSpec
from pincompute.api.shards import PINAPPSHARDS, Origin, PinAppShard, ShardSpec, Share
from pincompute.domain import namespace_quotas, shard_pods
from pincompute.domain.namespace_quotas import HEADROOM

pytestmark = pytest.mark.region


@pytest.fixture
async def server(real_server: RealServer, unique: str) -> AsyncIterator[Api]:
    async def compact() -> None: ...

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:
        api = Api(session, real_server.url, compact, unique)
        (await api.post("/api/v1/namespaces", {"metadata": {"name": unique}})).ok(201)
        yield api
        await api.delete(f"/api/v1/namespaces/{unique}")


def listed(**limits: Any) -> tuple[Manifest, ...]:
    project = Project(metadata=ObjectMeta(name="shop"), spec=ProjectSpec(limits=ProjectLimits(**limits)))
    return (namespace_quotas.limit_range(project), *namespace_quotas.quotas(project))


def path(server: Api, plural: str, namespace: str = "") -> str:
    return f"/api/v1/namespaces/{namespace or server.namespace}/{plural}"


async def test_who_has_kubectl_takes_a_bounded_part_of_the_host(server: Api) -> None:
    """And nobody's app is counted: where the gateway accepts it, no quota refuses it."""
    await apply(server, (namespace_quotas.host_quota(),))
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{server.namespace}/leases"
    answers = await asyncio.gather(*(server.post(leases, {"metadata": {"name": f"l{n}"}, "spec": {}}) for n in range(101)))
    (refused,) = [answer for answer in answers if answer.code != 201]
    assert f"exceeded quota: {namespace_quotas.OBJECTS_QUOTA}" in refused.refused(403, "Forbidden")["message"]


async def test_who_makes_volume_claims_in_a_member_gets_a_bounded_sum(server: Api) -> None:
    await apply(server, listed(volumes="1Ti"))

    async def claim(name: str, storage: str) -> Answer:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}
        return await server.post(path(server, "persistentvolumeclaims"), {"metadata": {"name": name}, "spec": spec})

    (await claim("most", f"{HEADROOM}Ti")).ok(201)
    message = (await claim("more", "1")).refused(403, "Forbidden")["message"]
    assert f"exceeded quota: {namespace_quotas.OBJECTS_QUOTA}, requested: requests.storage=1" in message


async def apply(server: Api, manifests: tuple[Manifest, ...]) -> None:
    """And wait until the quotas are counted."""
    for manifest in manifests:
        plural = "limitranges" if manifest["kind"] == "LimitRange" else "resourcequotas"
        made = (await server.post(path(server, plural), manifest)).ok(201)
        assert made["spec"] == manifest["spec"]  # or it would count as changed, and be put back for ever

    async def counted() -> bool:
        quotas = (await server.get(path(server, "resourcequotas"))).ok()["items"]
        return all(quota["status"].get("used", {}).keys() == quota["spec"]["hard"].keys() for quota in quotas)

    await until(counted, "the quotas to be counted")


@pytest.mark.parametrize(
    "limits",
    [{}, {"pods": 0, "cpu": "0.3", "memory": "1e9", "storage": 3_000_000_000}, {"memory": "123456789", "cpu": "1500m"}],
)
async def test_an_api_server_keeps_what_is_listed_and_counts_all_of_it(server: Api, limits: dict[str, Any]) -> None:
    await apply(server, listed(**limits))


RESOURCES: Manifest = {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}
TEMPLATES: dict[str, Manifest] = {
    "nothing said": {"containers": [{"name": "web", "image": "i"}]},
    "everything said": {"containers": [{"name": "web", "image": "i", "resources": RESOURCES}]},
    "more storage than is filled in": {
        "containers": [{"name": "web", "image": "i", "resources": {"requests": {"ephemeral-storage": "5Gi"}}}],
    },
    "for the pod as a whole": {
        "containers": [{"name": "web", "image": "i"}, {"name": "log", "image": "i"}],
        "initContainers": [{"name": "init", "image": "i"}],
        "resources": RESOURCES,
    },
    "cpu for the pod as a whole": {
        "containers": [{"name": "web", "image": "i"}],
        "resources": {"requests": {"cpu": "50m"}},
    },
    "limits for the pod as a whole": {
        "containers": [
            {"name": "web", "image": "i", "resources": {"limits": {"memory": "32Mi"}}},
            {"name": "log", "image": "i"},
        ],
        "resources": {"limits": {"cpu": "50m", "memory": "64Mi"}},
    },
}


def rendered(name: str, spec: Manifest) -> Manifest:
    """The pod as the operator makes it, but for what this server does not have."""
    share = Share(revision="r", template=template_hash.normalise({"spec": spec}), replicas=1)
    meta = ObjectMeta(name="hello", namespace="demo", uid="s")
    shard = PinAppShard(
        metadata=meta, spec=ShardSpec(origin=Origin(uid="o", generation=1), cluster="a1", zone="a", mix=(share,))
    )
    marks = shard_pods.metadata(PINAPPSHARDS, shard, share, "shape", 0)
    pod = shard_pods.render(PINAPPSHARDS, shard, share, marks, name, "restricted")
    metadata = {key: value for key, value in pod["metadata"].items() if key in ("labels", "annotations")}
    return {"metadata": {**metadata, "name": name}, "spec": {k: v for k, v in pod["spec"].items() if k != "priorityClassName"}}


STORAGE = "ephemeral-storage"


async def test_a_limit_range_limits_what_a_pod_of_the_platform_writes_and_changes_nothing_else(server: Api) -> None:
    """And refuses none, also where the pod's own resources are smaller than those of a container that says nothing."""
    await apply(server, listed())
    for number, (case, spec) in enumerate(TEMPLATES.items()):
        pod = rendered(f"p{number}", spec)
        made = (await server.post(path(server, "pods"), pod)).ok(201)
        for sent, kept in zip(pod["spec"]["containers"], made["spec"]["containers"], strict=True):
            limits, requests = (dict(sent["resources"].get(part) or {}) for part in ("limits", "requests"))
            assert kept["resources"]["limits"] == {STORAGE: "1Gi", **limits}, case
            assert kept["resources"]["requests"].items() >= {STORAGE: "1Mi", **requests}.items(), case
        image = {"spec": {"containers": [{"name": "web", "image": "i:2"}]}}
        changed = await server.patch(
            path(server, f"pods/p{number}"), image, content_type="application/strategic-merge-patch+json"
        )
        assert changed.ok()["spec"]["containers"][0]["resources"] == made["spec"]["containers"][0]["resources"], case


async def test_a_container_of_a_stranger_that_says_nothing_has_requests(server: Api) -> None:
    await apply(server, listed())
    made = (await server.post(path(server, "pods"), stranger("p"))).ok(201)
    assert made["spec"]["containers"][0]["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi", STORAGE: "1Mi"},
        "limits": {STORAGE: "1Gi"},
    }


def stranger(name: str, **requests: str) -> Manifest:
    container: Manifest = {"name": "web", "image": "i"}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{**container, **({"resources": {"requests": requests}} if requests else {})}]},
    }


def writer(storage: str) -> Manifest:
    """A pod that may write so much, and requests next to nothing of it."""
    pod = stranger("writer", cpu="1m", memory="1Mi", **{STORAGE: "1Mi"})
    pod["spec"]["containers"][0]["resources"]["limits"] = {STORAGE: storage}
    return pod


def service(name: str) -> Manifest:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}


async def test_a_project_that_reaches_an_api_server_takes_a_bounded_part_of_it(server: Api, unique: str) -> None:
    """Each try stands beside the same one in another namespace, which is accepted."""
    other = f"{unique}-other"
    (await server.post("/api/v1/namespaces", {"metadata": {"name": other}})).ok(201)
    await apply(server, listed(pods=2, cpu="1", memory="1Gi", storage="1Gi", default_container_storage="1Mi", workloads=1))

    async def refused(plural: str, body: Manifest, quota: str) -> None:
        answer: Answer = await server.post(path(server, plural), body)
        assert f"exceeded quota: {quota}" in answer.refused(403, "Forbidden")["message"]
        (await server.post(path(server, plural, other), body)).ok(201)

    await refused("pods", stranger("cpu", cpu="3001m", memory="1Mi"), namespace_quotas.PODS_QUOTA)
    await refused("pods", stranger("memory", cpu="1m", memory="4Gi"), namespace_quotas.PODS_QUOTA)
    await refused("pods", writer("4Gi"), namespace_quotas.PODS_QUOTA)
    for number in range(2 * HEADROOM):
        (await server.post(path(server, "pods"), stranger(f"p{number}", cpu="1m", memory="1Mi"))).ok(201)
    await refused("pods", stranger("one-more", cpu="1m", memory="1Mi"), namespace_quotas.PODS_QUOTA)
    for number in range(HEADROOM):
        (await server.post(path(server, "services"), service(f"s{number}"))).ok(201)
    await refused("services", service("one-more"), namespace_quotas.OBJECTS_QUOTA)
    await server.delete(f"/api/v1/namespaces/{other}")
