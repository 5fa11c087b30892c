"""`GET …/usage` through a whole gateway, with a usage reader that says what a test wants."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from aiohttp import web
from gateway.served_gateway import Running, running

from pincompute.api.builtin import NAMESPACES, PODS, SECRETS
from pincompute.api.projects import PROJECTS
from pincompute.api.usage import ContainerUsage, NodeUsage, UsageReport
from pincompute.gateway.usage import usage_readers

MIB = 1 << 20
CONTAINER = {
    "name": "web",
    "image": "hello:1",
    "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}},
}
READY = {"type": "Ready", "status": "True"}


@dataclass
class Reader:
    """`asked` are the namespaces, with the Authorization header."""

    report: UsageReport = field(default_factory=lambda: UsageReport(period=15.0))
    delay: float = 0.0
    body: bytes | None = None
    status: int = 200
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.query["namespace"], request.headers.get("Authorization", "")))
        await asyncio.sleep(self.delay)
        body = self.body if self.body is not None else msgspec.json.encode(self.report)
        return web.Response(body=body, status=self.status)

    def kubeconfig(self) -> str:
        user = {"name": "u", "user": {"token": "reader-token"}}
        content = {
            "current-context": "a1",
            "clusters": [{"name": "a1", "cluster": {"server": self.url}}],
            "users": [user],
            "contexts": [{"name": "a1", "context": {"cluster": "a1", "user": "u"}}],
        }
        return base64.b64encode(yaml.safe_dump(content).encode()).decode()


@asynccontextmanager
async def serving() -> AsyncIterator[Reader]:
    found = Reader()
    app = web.Application()
    app.router.add_get("/usage", found.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield found
    finally:
        await runner.cleanup()


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    async with serving() as found:
        yield found


@pytest.fixture
async def gateway(tmp_path: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """Project shop has app web with two replicas, on nodes n1 and n2."""
    monkeypatch.setattr(usage_readers, "CACHED", 0.0)
    async with running(tmp_path) as found:
        await found.ask(
            "alice",
            "POST",
            "/v1/projects/shop/apps",
            {"kind": "App", "name": "web", "containers": [CONTAINER | {"resources": {}}]},
        )
        found.host.store.create(NAMESPACES, "", {"metadata": {"name": "pincompute-gateway"}})
        found.member.store.create(NAMESPACES, "", {"metadata": {"name": "shop"}})
        for ordinal, node in ((0, "n1"), (1, "n2")):
            found.member.store.create(PODS, "shop", pod(ordinal, node))
        async with asyncio.timeout(10):
            while len(found.gateway.clusters.view("a1", PODS).list()) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield found


def pod(ordinal: int, node: str) -> dict[str, Any]:
    labels = {
        "pincompute.io/app": "web",
        "pincompute.io/workload": "PinApp",
        "pincompute.io/zone": "a",
        "pincompute.io/cluster": "a1",
        "app.kubernetes.io/managed-by": "pincompute",
    }
    metadata = {"name": f"web-a1-{ordinal}", "labels": labels, "annotations": {"pincompute.io/ordinal": str(ordinal)}}
    state = {"name": "web", "ready": True, "state": {"running": {}}}
    status = {"phase": "Running", "conditions": [READY], "containerStatuses": [state]}
    return {"metadata": metadata, "spec": {"nodeName": node, "containers": [CONTAINER]}, "status": status}


async def know(gateway: Running, reader: Reader) -> None:
    """The Secret that says where the reader is."""
    secret = {"metadata": {"name": "member-a1"}, "data": {"usage": reader.kubeconfig()}}
    gateway.host.store.create(SECRETS, "pincompute-gateway", secret)
    async with asyncio.timeout(10):
        while not gateway.gateway.clusters.view("host", SECRETS).list():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def read(name: str, *rows: ContainerUsage, state: Any = "read", reason: str = "") -> NodeUsage:
    return NodeUsage(name=name, state=state, reason=reason, containers=rows)


WEB_0 = ContainerUsage("shop", "web-a1-0", "web", 250, 16 * MIB)
WEB_1 = ContainerUsage("shop", "web-a1-1", "web", 50, 8 * MIB)


async def usage(gateway: Running, what: str = "apps/web/usage", user: str = "vera") -> Any:
    status, body, _ = await gateway.ask(user, "GET", f"/v1/projects/shop/{what}")
    assert status == 200, body
    return body


async def test_each_replica_has_its_use_beside_requests_and_limits(gateway: Running, reader: Reader) -> None:
    await know(gateway, reader)
    reader.report = UsageReport(nodes=(read("n1", WEB_0), read("n2", WEB_1)))
    found = await usage(gateway)
    assert [(each["name"], each["zone"], each["cpu"]) for each in found["replicas"]] == [
        ("web/0", "a", {"used": 250, "requested": 100, "limit": 1000}),
        ("web/1", "a", {"used": 50, "requested": 100, "limit": 1000}),
    ]
    assert found["replicas"][0]["memory"] == {"used": 16 * MIB, "requested": 64 * MIB, "limit": 64 * MIB}
    total = found["total"]
    assert (total["kind"], total["replicas"], total["known"]) == ("app", 2, 2)
    assert total["cpu"] == {"used": 300, "requested": 200, "limit": 2000}
    assert total["zones"][0]["zone"] == "a"
    assert "missing" not in found
    assert (await usage(gateway, "usage"))["items"] == [total]
    assert set(reader.asked) == {("shop", "Bearer reader-token")}


async def test_a_node_says_nothing_about_pods_that_are_bound_to_another(gateway: Running, reader: Reader) -> None:
    await know(gateway, reader)
    lie = msgspec.structs.replace(WEB_1, cpu=9999)
    stranger = ContainerUsage("other", "web-a1-1", "web", 9999, 1)
    reader.report = UsageReport(nodes=(read("n1", WEB_0, lie), read("n2", stranger)))
    found = await usage(gateway)
    assert [each["cpu"].get("used") for each in found["replicas"]] == [250, None]


@pytest.mark.parametrize(
    ("nodes", "node", "reason"),
    [
        ((read("n1", WEB_0), read("n2", state="failed", reason="cannot be reached")), "n2", "cannot be reached"),
        ((read("n1", WEB_0), read("n2", state="simulated", reason="is simulated")), "n2", "is simulated"),
        ((read("n1", WEB_0),), "n2", "its node is not known to the usage reader"),
    ],
)
async def test_a_node_that_is_not_read_is_named_and_never_0(
    nodes: tuple[NodeUsage, ...], node: str, reason: str, gateway: Running, reader: Reader
) -> None:
    await know(gateway, reader)
    reader.report = UsageReport(nodes=nodes)
    found = await usage(gateway)
    assert found["missing"] == [{"zone": "a", "cluster": "a1", "node": node, "reason": reason, "replicas": 1}]
    assert found["replicas"][1]["cpu"] == {"requested": 100, "limit": 1000}
    assert found["replicas"][1]["reason"] == reason
    total = found["total"]
    assert (total["replicas"], total["known"], total["cpu"]["used"]) == (2, 1, 250)
    assert (await usage(gateway, "usage"))["missing"] == found["missing"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"delay": 5.0}, "its usage reader does not answer within 0.2 s"),
        ({"status": 403}, "its usage reader does not answer: "),
        ({"body": b"<html>"}, "its usage reader does not answer: "),
        ({"body": b"x" * 2_000_000}, "its usage reader does not answer: it sends more than 0 MiB"),
    ],
)
async def test_a_reader_that_does_not_answer_is_named(
    change: dict[str, Any], reason: str, gateway: Running, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_readers, "DEADLINE", 0.2 if "delay" in change else 10.0)
    monkeypatch.setattr(usage_readers, "LARGEST", 1_000_000)
    await know(gateway, reader)
    for name, value in change.items():
        setattr(reader, name, value)
    found = await usage(gateway)
    (missing,) = found["missing"]
    assert (missing["cluster"], missing["replicas"], "node" in missing) == ("a1", 2, False)
    assert missing["reason"].startswith(reason)
    assert "used" not in found["total"]["cpu"]
    assert "known" not in found["total"]


async def test_a_member_whose_reader_is_not_known_says_what_to_do(gateway: Running) -> None:
    (missing,) = (await usage(gateway))["missing"]
    assert missing["reason"] == (
        "its usage reader is not known: Secret pincompute-gateway/member-a1 has no key usage (docs/usage.md)"
    )


async def test_figures_of_a_project_are_for_those_who_may_see_it(gateway: Running, reader: Reader) -> None:
    await know(gateway, reader)
    for path in ("usage", "apps/web/usage"):
        assert (await gateway.ask("stranger", "GET", f"/v1/projects/shop/{path}"))[0] == 404
        assert (await gateway.ask("", "GET", f"/v1/projects/shop/{path}"))[0] == 401
    assert (await gateway.ask("alice", "GET", "/v1/projects/lost/usage"))[0] == 404
    assert (await gateway.ask("root", "GET", "/v1/projects/lost/usage"))[0] == 404
    assert (await gateway.ask("vera", "GET", "/v1/projects/shop/apps/lost/usage"))[0] == 404
    assert reader.asked == [], "who may not see a project makes nobody measure it"


async def test_many_who_ask_at_once_are_one_question(gateway: Running, reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_readers, "CACHED", 60.0)
    await know(gateway, reader)
    reader.delay = 0.1
    await asyncio.gather(*(usage(gateway) for _ in range(8)))
    assert len(reader.asked) == 1


async def test_a_member_without_pods_of_the_project_is_not_asked(gateway: Running, reader: Reader) -> None:
    """A project costs the members in which it runs, and waits for none of the others."""
    await know(gateway, reader)
    gateway.host.store.create(PROJECTS, "", {"metadata": {"name": "empty"}, "spec": {}})
    async with asyncio.timeout(10):
        while (await gateway.ask("root", "GET", "/v1/projects/empty"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    status, found, _ = await gateway.ask("root", "GET", "/v1/projects/empty/usage")
    assert (status, found) == (200, {"items": []})
    assert reader.asked == []
