"""Stands between clients and an API server and can silence their watches on pods: they stay open and tell nothing more.

Everything else passes, lists and writes included, so a client knows nothing of it unless it suspects a watch that is silent.
Clients are offered HTTP/1.1 only, so each watch has a connection of its own.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from pincompute.region.cluster import certificates
from pincompute.region.cluster.certificates import ClusterCredentials
from pincompute.region.layout import Layout

CHUNK = 1 << 16
WATCH_ON_PODS = re.compile(rb"GET /api/v1/(namespaces/[^/]+/)?pods\?\S*\bwatch=(1|true)\b")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
ENDED = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


@dataclass(slots=True)
class SilencedWatches:
    """`port` is where clients reach the API server, and `silent` whether watches on pods tell nothing."""

    credentials: ClusterCredentials
    target: tuple[str, int]
    certified: str
    port: int = 0
    silent: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes one connection. A client with a certificate reaches the API server with that of the user `certified`, and
        others with what they send, such as a token.
        """
        peer = writer.get_extra_info("ssl_object").getpeercert()
        connection = _Connection(self)
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.target, ssl=self._client(certified=bool(peer)))
            async with asyncio.TaskGroup() as both:
                both.create_task(connection.requests(reader, up_writer))
                both.create_task(connection.answers(up_reader, writer))
        except* ENDED:
            pass
        finally:
            with suppress(*ENDED):
                writer.close()

    def server(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.credentials.certificate(certificates.CA))
        context.load_cert_chain(*self._pair(certificates.APISERVER))
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context

    def _client(self, *, certified: bool) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.credentials.certificate(certificates.CA))
        context.set_alpn_protocols(["http/1.1"])
        if certified:
            context.load_cert_chain(*self._pair(self.certified))
        return context

    def _pair(self, name: str) -> tuple[Path, Path]:
        return self.credentials.certificate(name), self.credentials.key(name)


@dataclass(slots=True)
class _Connection:
    """`watches`: whether the present request watches pods."""

    relay: SilencedWatches
    watches: bool = False

    async def requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.watches = WATCH_ON_PODS.match(head) is not None
                length = LENGTH.search(head)
                writer.write(head + (await reader.readexactly(int(length[1])) if length else b""))
                await writer.drain()
        finally:
            writer.close()

    async def answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            if self.watches and self.relay.silent:
                continue
            writer.write(data)
            await writer.drain()
        while self.watches and self.relay.silent:  # noqa: ASYNC110 - the end of a silenced watch is not told either
            await asyncio.sleep(1.0)
        writer.close()


@asynccontextmanager
async def before(layout: Layout, cluster: str, index: int, certified: str) -> AsyncGenerator[SilencedWatches]:
    """Listens before the API server of a cluster."""
    relay = SilencedWatches(certificates.cluster(layout, cluster), (layout.address, layout.ports(index).apiserver), certified)
    server = await asyncio.start_server(relay.serve, layout.address, 0, ssl=relay.server(), limit=1 << 20)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()


def kubeconfig(relay: SilencedWatches, given: Path) -> Path:
    """Returns a copy of the kubeconfig, beside it, that reaches the API server through the relay."""
    content = yaml.safe_load(given.read_text())
    for each in content["clusters"]:
        each["cluster"]["server"] = f"https://{relay.target[0]}:{relay.port}"
    file = given.with_suffix(".silenced")
    file.write_text(yaml.safe_dump(content))
    file.chmod(0o600)
    return file
