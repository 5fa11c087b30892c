"""The usage reader against kubelets over TLS: what it takes, and what it says of one that it does not take."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from kube.certificate_authority import Authority, authority

from pincompute.api.meta import ObjectMeta
from pincompute.api.usage import DaemonEndpoint, DaemonEndpoints, KubeletNode, KubeletNodeStatus, NodeAddress
from pincompute.kube.credentials import ApiCredentials
from pincompute.kube.kubeconfig import ClusterConfig
from pincompute.usage import kubelet_client
from pincompute.usage.kubelet_client import NotRead

METRICS = b"node_cpu_usage_seconds_total 1 1000\n"
TOKEN = "token of the reader"


@dataclass
class Kubelet:
    """`seen` are the Authorization headers that came."""

    node: KubeletNode
    seen: list[str] = field(default_factory=list[str])


def node(port: int, address: str = "127.0.0.1") -> KubeletNode:
    status = KubeletNodeStatus(
        addresses=(NodeAddress(type="Hostname", address="n1"), NodeAddress(type="InternalIP", address=address)),
        daemon_endpoints=DaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=port)),
    )
    return KubeletNode(metadata=ObjectMeta(name="n1"), status=status)


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def kubelet(ca: Authority, folder: Path, answer: Answer) -> AsyncIterator[Kubelet]:
    (folder / "server.pem").write_bytes(b"".join(ca.issue("n1")))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    found = Kubelet(node(0))

    async def metrics(request: web.Request) -> web.StreamResponse:
        found.seen.append(request.headers.get("Authorization", ""))
        return await answer(request)

    app = web.Application()
    app.router.add_get("/metrics/resource", metrics)
    app.router.add_get("/elsewhere", metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        found.node = node(runner.addresses[0][1])
        yield found
    finally:
        await runner.cleanup()


@pytest.fixture
def ca() -> Authority:
    return authority("cluster")


async def read(ca: Authority, wanted: KubeletNode) -> bytes:
    config = ClusterConfig(server="https://", ca=ca.pem, token=TOKEN)
    async with kubelet_client.connect(ApiCredentials(config), 4) as client:
        return await client.read(wanted)


async def well(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=METRICS)


async def test_a_kubelet_of_the_cluster_is_read_with_the_readers_token(ca: Authority, tmp_path: Path) -> None:
    async with kubelet(ca, tmp_path, well) as found:
        assert await read(ca, found.node) == METRICS
        assert found.seen == [f"Bearer {TOKEN}"]


async def test_a_server_with_a_certificate_of_somebody_else_does_not_get_the_token(ca: Authority, tmp_path: Path) -> None:
    async with kubelet(authority("a stranger"), tmp_path, well) as found:
        with pytest.raises(NotRead, match=r"certificate that is not accepted.*--kubelet-authority"):
            await read(ca, found.node)
        assert found.seen == []


async def test_a_certificate_for_another_address_is_not_accepted(ca: Authority, tmp_path: Path) -> None:
    async with kubelet(ca, tmp_path, well) as found:
        port = found.node.status.daemon_endpoints.kubelet_endpoint.port
        with pytest.raises(NotRead, match="certificate that is not accepted"):
            await read(ca, node(port, "127.0.0.2") if await _listens("127.0.0.2", port) else node(port, "localhost"))
        assert found.seen == []


async def _listens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * (1 << 20))


async def slow(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return await well(request)


async def trickle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x")
        await asyncio.sleep(0.01)


async def refusing(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=403, text="Forbidden")


async def redirecting(_request: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/elsewhere")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (huge, "answers with more than 8 MiB"),
        (slow, "does not answer within 0.3 s"),
        (trickle, "does not answer within 0.3 s"),
        (refusing, "refuses the reader's account .403.: it needs `get` of `nodes/metrics`"),
        (redirecting, "answers with status 302"),
    ],
)
async def test_a_kubelet_that_does_not_answer_well_is_not_read(
    answer: Answer, why: str, ca: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubelet_client, "DEADLINE", 20.0 if answer is huge else 0.3)
    async with kubelet(ca, tmp_path, answer) as found:
        with pytest.raises(NotRead, match=why):
            await read(ca, found.node)


async def test_nobody_listens(ca: Authority, unused_tcp_port: int) -> None:
    with pytest.raises(NotRead, match="cannot be reached"):
        await read(ca, node(unused_tcp_port))


def test_addresses_of_nodes() -> None:
    def of(*addresses: tuple[str, str], port: int = 0) -> str:
        status = KubeletNodeStatus(
            addresses=tuple(NodeAddress(type=kind, address=address) for kind, address in addresses),
            daemon_endpoints=DaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=port)),
        )
        return kubelet_client.address(KubeletNode(metadata=ObjectMeta(name="n1"), status=status))

    assert of(("Hostname", "n1"), ("InternalIP", "10.0.0.1")) == "https://10.0.0.1:10250/metrics/resource"
    assert of(("InternalIP", "fd00::1"), port=10260) == "https://[fd00::1]:10260/metrics/resource"
    assert of(("Hostname", "n1")) == "https://n1:10250/metrics/resource"
    with pytest.raises(NotRead, match="no address"):
        of()
