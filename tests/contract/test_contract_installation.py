"""On an API server that is new, everything of ours can be used at once when the installation says that it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import aiohttp
import msgspec
import pytest
from contract_client import until
from real_api_server import TOKEN, RealServer, running

from pincompute import installation
from pincompute.api.builtin import NAMESPACES
from pincompute.api.kinds import KINDS
from pincompute.api.labels import (
    AUDIT_HEADS,
    DRAIN_FINALIZER,
    NAMESPACES_FINALIZER,
    SHARDS_FINALIZER,
    SYSTEM_NAMESPACE,
)
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS
from pincompute.api.meta import Key, Manifest, Object, Resource
from pincompute.api.projects import PROJECTS
from pincompute.api.workloads import PINAPPS, PINPODS
from pincompute.domain import project_namespace
from pincompute.kube import api_errors, write_requests
from pincompute.kube.api_client import ApiClient
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.region.cluster import update_type_conversion
from pincompute.region.cluster.manifest_installer import Installer

pytestmark = pytest.mark.region
TEMPLATE = {"spec": {"containers": [{"name": "web", "image": "hello:1"}]}}
SHOP = {"metadata": {"name": "shop", "labels": project_namespace.labels_of("shop", "shop-uid")}}
AT_ONCE: tuple[tuple[Resource[Any], str, Manifest, str], ...] = (
    (MEMBERCLUSTERS, "", {"spec": {"zone": "a", "kubeconfig": {"name": "a1"}}}, DRAIN_FINALIZER),
    (PROJECTS, "", {"spec": {}}, NAMESPACES_FINALIZER),
    (PINAPPS, "shop", {"spec": {"replicas": 1, "template": TEMPLATE}}, SHARDS_FINALIZER),
    (PINPODS, "shop", {"spec": {"template": TEMPLATE}}, SHARDS_FINALIZER),
)


@pytest.fixture
def new_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    with running(tmp_path_factory.mktemp("new")) as server:
        yield server


def client(server: RealServer) -> ApiClient:
    return ApiClient(ClusterConfig(server.url, verify=False, token=TOKEN), name="new")


async def post(api: ApiClient, kind: Resource[Any], body: Manifest) -> Object:
    """As a user's tool does: once, with no second try."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "_repeatable", lambda _error, _attempt: False)
        return await write_requests.create(api, kind, body, "test")


async def test_a_new_host_takes_the_first_write_of_every_kind(new_server: RealServer) -> None:
    async with client(new_server) as api:
        await write_requests.create(api, NAMESPACES, SHOP, "test")
        await Installer(api).apply_all(installation.of("host"))
        for kind, namespace, body, finalizer in AT_ONCE:
            metadata = {"name": "first"} | ({"namespace": namespace} if namespace else {})
            made = await post(api, kind, {**body, "metadata": metadata})
            assert finalizer in made.metadata.finalizers, kind


async def test_a_new_member_takes_the_first_write_of_every_kind(new_server: RealServer) -> None:
    """None of them is refused as one that is not known."""
    async with client(new_server) as api:
        await Installer(api).apply_all(installation.of("member"))
        await write_requests.create(api, NAMESPACES, SHOP, "test")
        for kind in (*(kind.shard for kind in KINDS), CLUSTERCAPACITIES):
            namespace = {"namespace": "shop"} if kind.namespaced else {}
            try:
                await post(api, kind, {"metadata": {"name": "first", **namespace}})
            except api_errors.Refused as refused:
                assert isinstance(refused, api_errors.Invalid), refused  # noqa: PT017 - judged on its merits


GATEWAY = {
    "Authorization": f"Bearer {TOKEN}",
    "Impersonate-User": f"system:serviceaccount:{SYSTEM_NAMESPACE}:pincompute-gateway",
}
HEADS = f"/api/v1/namespaces/{SYSTEM_NAMESPACE}/configmaps/{AUDIT_HEADS}"
HASH, OTHER, AT = "a" * 64, "b" * 64, "2026-11-29T12:00:00Z"
HEAD, DAY = f"{10:020d} {HASH} {AT}", f"{3:020d} {HASH} {AT}"
NEXT_DAY = f"{25_000:020d} {HASH} 2026-11-30T00:00:01Z"
GROWS: tuple[dict[str, str | None], ...] = (
    {"gw": f"{11:020d} {OTHER} {AT}"},
    {"other": DAY, "other_2026-11-29": DAY},
    {"gw": f"{3 + 10_000 + 1_000:020d} {OTHER} 2026-11-29T12:00:01Z"},
    {"gw": f"{3 + 20_000 + 1_000:020d} {HASH} 2026-11-29T11:59:59Z"},  # a clock that was set back
    {"gw": NEXT_DAY, "gw_2026-11-30": NEXT_DAY},
    {"gw": f"{10_000_000:020d} {HASH} 2026-11-30T00:00:02Z"},  # the host was away, and the past allows it
)
SHRINKS: dict[str, dict[str, str | None]] = {
    "a lower record": {"gw": f"{9:020d} {OTHER} {AT}"},
    "another hash of the same record": {"gw": f"{10:020d} {OTHER} {AT}"},
    "another head of a day": {"gw_2026-11-29": f"{11:020d} {OTHER} {AT}"},
    "a head that is gone": {"gw": None},
    "a head of a day that is gone": {"gw_2026-11-29": None},
    "no head": {"gw": "9"},
    "a record that no gateway reaches": {"gw": f"{10**20 - 1:020d} {OTHER} {AT}"},
    "a record that is too far behind": {"gw": f"{10**9:020d} {OTHER} {AT}"},
    "more records than the time allows": {"gw": f"{10 + 10_000 + 1_001:020d} {OTHER} 2026-11-29T12:00:01Z"},
    "more records in no time": {"gw": f"{10 + 10_001:020d} {OTHER} {AT}"},
    "a forged time that allows everything": {"gw": f"{10 + 10_000_001:020d} {OTHER} 9999-12-31T00:00:00Z"},
    "a time that is none": {"gw": f"{11:020d} {OTHER} 2026-19-39T12:00:00Z"},
    "a time that is none for a new gateway": {"new": f"{11:020d} {OTHER} 2026-19-39T12:00:00Z"},
    "an invented day that leaves no key": {"gw": f"{11:020d} {OTHER} 2099-01-01T00:00:00Z"},
    "a first head that was never the newest": {"gw_2026-11-28": f"{10:020d} {HASH} 2026-11-28T12:00:00Z"},
    "a new gateway whose numbers run out": {f"new{end}": f"{10**13 + 1:020d} {OTHER} {AT}" for end in ("", "_2026-11-29")},
    "a head of another day than it says": {"gw_2099-01-01": HEAD},
    "a head of a day that is newer than the newest": {"gw_2026-11-28": f"{12:020d} {HASH} 2026-11-28T12:00:00Z"},
    "a head of a day of no gateway": {"unknown_2026-11-29": DAY},
    "a long name": {"g" * 101: HEAD},
    "a head with a tail": {"gw": f"{11:020d} {OTHER} {AT}" + "x" * 1000},
}
ABSENT = {"apiVersion": "v1", "kind": "ConfigMap", "name": "nothere", "uid": "00000000-0000-0000-0000-000000000001"}
BESIDE_HEADS: tuple[Manifest, ...] = (
    {"metadata": {"ownerReferences": [ABSENT]}},
    {"metadata": {"finalizers": ["example.com/hold"]}},
    {"metadata": {"annotations": {"example.com/large": "x" * 200_000}}},
    {"metadata": {"labels": {"a": "b"}}},
    {"binaryData": {"large": "eHh4"}},
    {"immutable": True},
)


async def test_heads_of_audit_logs_only_grow(new_server: RealServer) -> None:
    """An attack with the gateway's credential, one forbidden change per try, beside what gateways do and administrators may."""
    patch_type = {"Content-Type": "application/merge-patch+json"}

    async def change(body: Manifest, headers: dict[str, str]) -> tuple[int, str]:
        async with http.patch(new_server.url + HEADS, json=body, headers=headers | patch_type, ssl=False) as answer:
            return answer.status, await answer.text()

    async def delete(headers: dict[str, str]) -> int:
        async with http.delete(new_server.url + HEADS, params={"dryRun": "All"}, headers=headers, ssl=False) as answer:
            return answer.status

    async with client(new_server) as api, aiohttp.ClientSession() as http:
        await Installer(api).apply_all(installation.of("host"))
        assert (await change({"data": {"gw": DAY, "gw_2026-11-29": DAY}}, GATEWAY))[0] == 200
        assert (await change({"data": {"gw": HEAD}}, GATEWAY))[0] == 200
        await Installer(api).apply_all(installation.of("host"))  # an upgrade leaves the heads alone
        for what, data in SHRINKS.items():
            status, said = await change({"data": data}, GATEWAY)
            assert status in (403, 422), what
            assert "head" in said, what
        for body in BESIDE_HEADS:
            assert (await change(body, GATEWAY))[0] == 403, str(body)[:80]
        assert await delete(GATEWAY) == 403
        for data in GROWS:
            assert (await change({"data": data}, GATEWAY))[0] == 200, data
        steps = [{"gw": f"{number * 10**6:020d} {HASH} 2026-11-30T00:00:02Z"} for number in (19, 28, 37, 46)]
        allowed = [(await change({"data": data}, GATEWAY))[0] for data in steps]
        assert allowed == [200, 200, 200, 422], "repeated writes together get no further than one"
        administrator = {"Authorization": f"Bearer {TOKEN}"}
        assert (await change({"metadata": {"labels": {"a": "b"}}}, administrator))[0] == 200
        assert (await change({"data": {"gw": f"{37_000_001:020d} {OTHER} {AT}"}}, GATEWAY))[0] == 200, (
            "a label that is there stays"
        )
        assert await delete(administrator) == 200


async def test_an_upgrade_converts_the_former_type_of_an_update(new_server: RealServer) -> None:
    """Also when it was interrupted: the definition has both fields then, and one object is converted already."""
    fields = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/update/properties"
    former = {"type": "string", "enum": ["InPlaceIfPossible", "Recreate"], "default": "InPlaceIfPossible"}

    async def define(api: ApiClient, *patch: Manifest) -> None:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{PINAPPS.plural}.{PINAPPS.group}"
        body, kind = msgspec.json.encode(patch), "application/json-patch+json"
        await api.request("PATCH", path, body=body, content_type=kind, deadline=60.0)

    async def stored(api: ApiClient, name: str, update: Manifest) -> None:
        head = {"apiVersion": PINAPPS.api_version, "kind": PINAPPS.kind}
        body = {**head, "metadata": {"name": name, "namespace": "shop"}, "spec": {"template": TEMPLATE, "update": update}}

        async def post(query: Mapping[str, str]) -> bool:
            answer = await api.request("POST", PINAPPS.path("shop"), query=query, body=msgspec.json.encode(body))
            return "type" in msgspec.json.decode(answer)["spec"]["update"]

        await until(partial(post, {"dryRun": "All"}), "the API server to know the former field")
        assert await post({})

    async with client(new_server) as api:
        await write_requests.create(api, NAMESPACES, SHOP, "test")
        await Installer(api).apply_all(installation.of("host"))
        remove = {"op": "remove", "path": f"{fields}/inPlace"}
        await define(api, {"op": "add", "path": f"{fields}/type", "value": former}, remove)
        await stored(api, "replaced", {"type": "Recreate"})
        await stored(api, "kept", {"type": "InPlaceIfPossible"})
        for _ in range(2):
            await update_type_conversion.convert(api)
        await Installer(api).apply_all(installation.of("host"))
        found = {name: (await api.get(PINAPPS, Key("shop", name))).spec.update.in_place for name in ("replaced", "kept")}
        assert found == {"replaced": "Never", "kept": "Prefer"}


async def test_kubectl_is_refused_a_change_that_needs_new_pods_where_they_are_ruled_out(new_server: RealServer) -> None:
    async def change(api: ApiClient, spec: Manifest) -> str:
        body = msgspec.json.encode({"spec": spec})
        path, kind = PINAPPS.path("shop", "web"), "application/merge-patch+json"
        try:
            await api.request("PATCH", path, query={"dryRun": "All"}, body=body, content_type=kind)
        except api_errors.Refused as refused:
            return refused.message
        return ""

    def web(**fields: Any) -> Manifest:
        return {"template": {"spec": {"containers": [{"name": "web", "image": "hello:1", **fields}]}}}

    async with client(new_server) as api:
        await write_requests.create(api, NAMESPACES, SHOP, "test")
        await Installer(api).apply_all(installation.of("host"))
        body = {"metadata": {"name": "web", "namespace": "shop"}, "spec": {**web(), "update": {"inPlace": "Require"}}}
        await write_requests.create(api, PINAPPS, body, "test")
        assert await change(api, web(image="hello:2")) == ""
        assert await change(api, {"template": {"metadata": {"labels": {"team": "web"}}}}) == ""
        assert await change(api, web(resources={"requests": {"cpu": 1, "memory": "1Gi"}})) == ""
        for amounts in ({"cpu": "1"}, {"ephemeral-storage": "1Gi"}):
            said = await change(api, web(resources={"limits": amounts}))
            assert "no running pod can take another spec.template.spec.containers[0].resources" in said
        env = web(env=[{"name": "A", "value": "1"}], args=["-v"])
        said = await change(api, env)
        assert "spec.template.spec.containers[0].args, spec.template.spec.containers[0].env" in said
        assert "Prefer" in said
        assert "spec.template.spec.volumes" in await change(
            api, {"template": {"spec": {"volumes": [{"name": "a", "emptyDir": {}}]}}}
        )
        assert "restartedAt" in await change(
            api, {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}
        )
        assert await change(api, env | {"update": {"inPlace": "Prefer"}}) == ""
        assert await change(api, env | {"stopped": True}) == ""
