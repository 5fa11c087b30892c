"""Describes the two servers that are compared: their addresses, and a client's credentials."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp

from benchmarks.benchmark_region import BenchmarkRegion
from benchmarks.gateway_load import LoadOrders
from pincompute.api.labels import HOST
from pincompute.kube import kubeconfig
from pincompute.region import gateway_programs
from pincompute.region.cluster import certificates


@dataclass(frozen=True, slots=True)
class ComparedServer:
    """`certificate` and `key` are files; empty when a header says who calls."""

    base: str
    ca: str
    headers: dict[str, str] = field(default_factory=dict[str, str])
    certificate: str = ""
    key: str = ""

    def url(self, path: str) -> str:
        return self.base + path

    def tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context

    def orders(self, path: str, *, connections: int, seconds: float) -> LoadOrders:
        place = urlsplit(self.base)
        return LoadOrders(
            address=place.hostname or "",
            port=place.port or 443,
            paths=(path,),
            ca=self.ca,
            headers=self.headers,
            certificate=self.certificate,
            key=self.key,
            connections=connections,
            seconds=seconds,
        )


async def sides(made: BenchmarkRegion, http: aiohttp.ClientSession) -> tuple[ComparedServer, ComparedServer]:
    """The gateway with a service token, the host's API server with an administrator's certificate."""
    host = certificates.cluster(made.layout, HOST)
    ca, certificate, key = (
        str(p) for p in (host.certificate(certificates.CA), host.certificate(certificates.ADMIN), host.key(certificates.ADMIN))
    )
    gateway = ComparedServer(gateway_programs.url(made.layout), ca, {}, certificate, key)
    wanted = {"name": "benchmark", "project": "*", "operations": ["*:*"]}
    async with http.post(gateway.url("/v1/tokens"), json=wanted, ssl=gateway.tls()) as answer:
        secret = (await answer.json())["secret"]
    server = kubeconfig.load(made.layout.kubeconfig, HOST).server
    return ComparedServer(gateway.base, ca, {"Authorization": f"Bearer {secret}"}), ComparedServer(
        server, ca, {}, certificate, key
    )
