"""The usage reader's port: who gets the figures, what they hold, and when nodes are read."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from kube.certificate_authority import authority
from prometheus_client import CollectorRegistry

from pincompute.api.labels import SIMULATED_NODE
from pincompute.api.meta import ObjectMeta
from pincompute.api.usage import ContainerUsage, KubeletNode, UsageReport
from pincompute.kube.api_errors import RequestInfo, Unreachable
from pincompute.kube.cache_views import Unknown
from pincompute.usage import caller_review, node_figures, reading_loop, usage_server
from pincompute.usage.caller_review import CallerReview
from pincompute.usage.kubelet_client import NotRead
from pincompute.usage.node_figures import NodeFigures
from pincompute.usage.reading_loop import ReadingLoop, ReadingMetrics

METRICS = """\
container_cpu_usage_seconds_total{{container="web",namespace="{0}",pod="web-0"}} {1} {2}
container_memory_working_set_bytes{{container="web",namespace="{0}",pod="web-0"}} 1000 {2}
"""


class ApiServer:
    """Knows the tokens of two accounts, of which one may read usage. `asked` are the kinds of reviews. While it is `held`, it
    does not answer about other tokens.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.accounts = {"gateway-token": "gateway", "pod-token": "pod"}
        self.away = False
        self.held: asyncio.Event | None = None

    async def request(self, verb: str, path: str, *, body: bytes, deadline: float) -> bytes:
        if self.away:
            raise Unreachable(RequestInfo("a1", verb, path), "no answer", sent=True)
        review = msgspec.json.decode(body)
        self.asked.append(review["kind"])
        if review["kind"] == "TokenReview":
            user = self.accounts.get(review["spec"]["token"], "")
            if self.held is not None and not user:
                await self.held.wait()
            return msgspec.json.encode({"status": {"authenticated": bool(user), "user": {"username": user}}})
        assert review["spec"]["nonResourceAttributes"] == {"path": "/usage", "verb": "get"}
        return msgspec.json.encode({"status": {"allowed": review["spec"]["user"] == "gateway"}})


def node(name: str, **annotations: str) -> KubeletNode:
    return KubeletNode(metadata=ObjectMeta(name=name, annotations=annotations))


@asynccontextmanager
async def served(folder: Path, api: ApiServer, report: Callable[[str], UsageReport]) -> AsyncIterator[Callable[..., Any]]:
    ca = authority("cluster")
    certificate, key = ca.issue("usage")
    (folder / "tls.crt").write_bytes(certificate)
    (folder / "tls.key").write_bytes(key)
    app = usage_server.application(CallerReview(lambda: api), report)  # type: ignore[arg-type, return-value]
    context = usage_server.tls(folder / "tls.crt", folder / "tls.key")
    trusted = ssl.create_default_context(cadata=ca.pem.decode())
    async with usage_server.serve(app, "127.0.0.1", 0, context) as port, aiohttp.ClientSession() as http:

        async def ask(token: str = "", query: Mapping[str, str] | None = None, **options: Any) -> tuple[int, bytes]:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            url = f"https://127.0.0.1:{port}{options.pop('path', '/usage')}"
            async with http.request("GET", url, headers=headers, params=query, ssl=trusted, **options) as answer:
                return answer.status, await answer.read()

        yield ask


async def test_only_an_account_with_the_right_reads_usage(tmp_path: Path) -> None:
    api, given = ApiServer(), list[str]()

    def report(namespace: str) -> UsageReport:
        given.append(namespace)
        return UsageReport(period=15.0)

    async with served(tmp_path, api, report) as ask:
        assert (await ask())[0] == 401
        assert (await ask("stolen"))[0] == 401
        assert (await ask("pod-token"))[0] == 403
        assert (await ask("gateway-token", path="/metrics"))[0] == 404
        assert given == [], "who may not know figures makes nobody read nodes either"
        status, body = await ask("gateway-token", {"namespace": "shop"})
        assert (status, msgspec.json.decode(body, type=UsageReport)) == (200, UsageReport(period=15.0))
        assert given == ["shop"]


async def test_a_verdict_counts_for_a_while_and_a_flood_of_tokens_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pincompute.usage.caller_review.MOST", 5)
    api = ApiServer()
    review = CallerReview(lambda: api)  # type: ignore[arg-type, return-value]
    assert [await review.judge("Bearer gateway-token") for _ in range(5)] == ["allowed"] * 5
    assert len(api.asked) == 2
    assert {await review.judge(f"Bearer wrong-{number}") for number in range(50)} == {"unknown caller"}
    assert len(review._refused) == 5
    assert (await review.judge("Bearer gateway-token"), api.asked.count("SubjectAccessReview")) == ("allowed", 1)
    assert {await review.judge(text) for text in ("", "Basic x", "Bearer ", "Bearer " + "x" * 20_000)} == {"unknown caller"}


async def test_who_was_allowed_before_does_not_wait_behind_a_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers who reach the port could otherwise keep the gateway from the figures."""
    monkeypatch.setattr("pincompute.usage.caller_review.ALLOWED_FOR", 0.0)
    api = ApiServer()
    review = CallerReview(lambda: api)  # type: ignore[arg-type, return-value]
    assert await review.judge("Bearer gateway-token") == "allowed"
    api.held = asyncio.Event()
    flood = [asyncio.create_task(review.judge(f"Bearer wrong-{number}")) for number in range(300)]
    await until(lambda: sum(task.done() for task in flood) == 300 - caller_review.LINE)
    assert {task.result() for task in flood if task.done()} == {"no verdict"}, "who cannot even stand in line tries again"
    assert await review.judge("Bearer gateway-token") == "allowed"
    api.held.set()
    assert set(await asyncio.gather(*flood)) == {"no verdict", "unknown caller"}


async def test_a_right_that_ends_ends_its_privilege_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pincompute.usage.caller_review.ALLOWED_FOR", 0.0)
    api = ApiServer()
    review = CallerReview(lambda: api)  # type: ignore[arg-type, return-value]
    assert await review.judge("Bearer gateway-token") == "allowed"
    api.accounts.clear()
    assert await review.judge("Bearer gateway-token") == "unknown caller"
    assert (len(review._allowed), len(review._refused)) == (0, 1)


async def test_without_a_verdict_nobody_is_answered_and_nothing_is_remembered(tmp_path: Path) -> None:
    api = ApiServer()
    api.away = True
    async with served(tmp_path, api, lambda _: UsageReport()) as ask:
        assert (await ask("gateway-token"))[0] == 503
        api.away = False
        assert (await ask("gateway-token"))[0] == 200


async def test_nodes_that_are_not_known_yet_are_no_empty_cluster(tmp_path: Path) -> None:
    def report(_namespace: str) -> UsageReport:
        raise Unknown("nodes have not synced")

    async with served(tmp_path, ApiServer(), report) as ask:
        assert (await ask("gateway-token"))[0] == 503


class Kubelets:
    """Answers of the nodes: metrics, or why there are none."""

    def __init__(self, **answers: str | None) -> None:
        self.answers = answers
        self.reads: dict[str, int] = {}

    async def read(self, wanted: KubeletNode) -> bytes:
        name = wanted.metadata.name
        self.reads[name] = number = self.reads.get(name, 0) + 1
        namespace = self.answers.get(name)
        if namespace is None:
            raise NotRead("cannot be reached")
        if namespace == "garbage":
            return b"<html>"
        if namespace == "trap":
            raise OverflowError
        return METRICS.format(namespace, number * 5, 1000 * (100 + number * 10)).encode()


def reading(kubelets: Kubelets, nodes: list[KubeletNode], **options: Any) -> ReadingLoop:
    return ReadingLoop(
        kubelets,  # type: ignore[arg-type]
        NodeFigures(15.0),
        lambda: nodes,
        ReadingMetrics(CollectorRegistry()),
        **options,
    )


async def test_every_node_has_its_own_state() -> None:
    """A bad node costs the others nothing, and is named with the reason."""
    nodes = [node("n1"), node("n2"), node("n3"), node("sim", **{SIMULATED_NODE: "fake"})]
    loop = reading(Kubelets(n1="shop", n2=None, n3="garbage"), nodes)
    first = {each.name: each for each in loop.figures.report(nodes, "").nodes}
    assert {name: each.state for name, each in first.items()} == {
        "n1": "starting",
        "n2": "starting",
        "n3": "starting",
        "sim": "simulated",
    }
    for _ in range(2):
        await loop._cycle()
    found = {each.name: each for each in loop.figures.report(nodes, "").nodes}
    assert {name: each.state for name, each in found.items()} == {
        "n1": "read",
        "n2": "failed",
        "n3": "failed",
        "sim": "simulated",
    }
    assert found["n1"].containers == (ContainerUsage("shop", "web-0", "web", 500, 1000),)
    assert (found["n2"].reason, found["n3"].reason) == (
        "cannot be reached",
        "it answers with something that is no resource metrics",
    )
    assert [each.containers for each in loop.figures.report(nodes, "other").nodes] == [()] * 4, "one namespace only"


async def test_an_answer_that_nobody_expects_is_that_nodes_trouble_alone(caplog: pytest.LogCaptureFixture) -> None:
    nodes = [node("n1"), node("n2")]
    loop = reading(Kubelets(n1="trap", n2="shop"), nodes)
    for _ in range(2):
        await loop._cycle()
    trapped, fine = loop.figures.report(nodes, "").nodes
    assert (trapped.state, trapped.reason) == ("failed", reading_loop.UNEXPECTED)
    assert (fine.state, len(fine.containers)) == ("read", 1)
    assert "OverflowError" in caplog.text


async def test_the_last_figures_of_a_node_stand_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, kubelets = [node("n1")], Kubelets(n1="shop")
    loop = reading(kubelets, nodes)
    await loop._cycle()
    kubelets.answers["n1"] = None
    await loop._cycle()
    (kept,) = loop.figures.report(nodes, "").nodes
    assert (kept.state, len(kept.containers), kept.reason) == ("failed", 1, "cannot be reached")
    monkeypatch.setattr(node_figures, "KEPT", 0.0)
    (gone,) = loop.figures.report(nodes, "").nodes
    assert (gone.containers, gone.memory, gone.at) == ((), None, kept.at)


async def test_a_node_that_is_gone_is_forgotten() -> None:
    nodes = [node("n1"), node("n2")]
    loop = reading(Kubelets(n1="shop", n2="shop"), nodes)
    await loop._cycle()
    del nodes[0]
    await loop._cycle()
    assert list(loop.figures._nodes) == ["n2"]


async def test_nodes_are_read_only_while_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_loop, "SOON", 0.0)
    kubelets, nodes = Kubelets(n1="shop"), [node("n1")]
    loop = reading(kubelets, nodes, unasked=0.05)
    loop.figures.period = 0.0
    task = asyncio.create_task(loop.run())
    try:
        await asyncio.sleep(0.05)
        assert kubelets.reads == {}
        loop.ask()
        await until(lambda: kubelets.reads.get("n1", 0) > 2)
        await until(lambda: not loop._asked.is_set())
        assert loop.figures.report(nodes, "").nodes[0].state == "starting", "figures from before the pause make no rate"
        stopped = kubelets.reads["n1"]
        await asyncio.sleep(0.05)
        assert kubelets.reads["n1"] == stopped
        loop.ask()
        await until(lambda: kubelets.reads["n1"] > stopped)
    finally:
        task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
