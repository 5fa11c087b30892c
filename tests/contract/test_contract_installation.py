"""On an API server that is new, everything of ours can be used at once when the installation says that it is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from real_api_server import TOKEN, RealServer, running

from pincompute import installation
from pincompute.api.builtin import NAMESPACES
from pincompute.api.kinds import KINDS
from pincompute.api.labels import DRAIN_FINALIZER, NAMESPACES_FINALIZER, SHARDS_FINALIZER
from pincompute.api.member_clusters import CLUSTERCAPACITIES, MEMBERCLUSTERS
from pincompute.api.meta import Manifest, Object, Resource
from pincompute.api.projects import PROJECTS
from pincompute.api.workloads import PINAPPS, PINPODS
from pincompute.domain import project_namespace
from pincompute.kube import api_errors, write_requests
from pincompute.kube.api_client import ApiClient
from pincompute.kube.kubeconfig import ClusterConfig
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
