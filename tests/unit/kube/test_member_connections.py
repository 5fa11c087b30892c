"""A process connects to the registered members with the Secrets of its own namespace, and follows them while it runs."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import yaml

from pincompute.api.builtin import NAMESPACES, SECRETS
from pincompute.api.labels import FEDERATION, GATEWAY, HOST, SYSTEM_NAMESPACE, secrets_namespace
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.kube.member_connections import MemberConnections
from pincompute.testing.apiserver.cluster_store import ClusterStore
from pincompute.testing.apiserver.memory_server import MemoryServer

NAME = "member-a1"


def kubeconfig(server: str, token: str) -> str:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "a1",
        "clusters": [{"name": "a1", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "a1", "context": {"cluster": "a1", "user": "u"}}],
    }
    return base64.b64encode(yaml.safe_dump(content).encode()).decode()


@dataclass
class Host:
    server: MemoryServer
    member: MemoryServer

    def hold(self, namespace: str, token: str) -> None:
        """Makes the member's Secret in a namespace."""
        self.server.store.create(SECRETS, namespace, {"metadata": {"name": NAME}, "data": self._data(token)})

    def renew(self, namespace: str, token: str) -> None:
        patch = {"data": self._data(token)}
        self.server.store.patch(SECRETS, Key(namespace, NAME), patch, content_type="merge-patch")

    def _data(self, token: str) -> dict[str, str]:
        return {"kubeconfig": kubeconfig(self.member.url, token)}


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with MemoryServer(ClusterStore(resources=(MEMBERCLUSTERS,))) as server, MemoryServer() as member:
        for namespace in (SYSTEM_NAMESPACE, secrets_namespace(FEDERATION), secrets_namespace(GATEWAY)):
            server.store.create(NAMESPACES, "", {"metadata": {"name": namespace}})
        spec = {"zone": "a", "kubeconfig": {"name": NAME}}
        server.store.create(MEMBERCLUSTERS, "", {"metadata": {"name": "a1"}, "spec": spec})
        yield Host(server, member)


@asynccontextmanager
async def connected(host: Host, process: str) -> AsyncIterator[Clusters]:
    async with Clusters(user_agent="pincompute-test/0.1") as clusters:
        clusters.declare("host", MEMBERCLUSTERS)
        membership = MemberConnections(clusters, process)
        await clusters.add(HOST, ClusterConfig(host.server.url))
        follows = asyncio.create_task(membership.run())
        try:
            yield clusters
        finally:
            follows.cancel()


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the test polls
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("process", [FEDERATION, GATEWAY])
async def test_a_process_uses_the_secret_of_its_own_namespace(host: Host, process: str) -> None:
    for each in (FEDERATION, GATEWAY):
        host.hold(secrets_namespace(each), f"of {each}")
    async with connected(host, process) as clusters:
        await eventually(clusters.members)
        assert clusters.client("a1").config.token == f"of {process}"


async def test_a_process_takes_no_secret_from_elsewhere(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.hold(SYSTEM_NAMESPACE, "of a former version")
    host.hold(secrets_namespace(FEDERATION), "of the federation")
    with caplog.at_level(logging.ERROR):
        async with connected(host, GATEWAY) as clusters:
            await eventually(lambda: caplog.records)
            assert clusters.members() == ()
    assert "Secret pincompute-gateway/member-a1 does not exist" in str(vars(caplog.records[0]))


async def test_a_renewed_token_is_used_without_a_new_connection(host: Host) -> None:
    host.hold(secrets_namespace(FEDERATION), "first")
    async with connected(host, FEDERATION) as clusters:
        await eventually(clusters.members)
        client = clusters.client("a1")
        host.renew(secrets_namespace(FEDERATION), "second")
        await eventually(lambda: client.config.token == "second")
        assert clusters.client("a1") is client
