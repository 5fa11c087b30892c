"""Reads the resource metrics of one node from its kubelet, over TLS that the cluster's authority vouches for.

The token goes only to a server whose certificate names the node's address and is signed by the authority. Its account has the
right to read metrics of nodes and few others, because every kubelet that is read gets to know it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from pincompute.api.usage import KubeletNode
from pincompute.kube.credentials import ApiCredentials
from pincompute.kube.kubeconfig import ConfigError

METRICS = "/metrics/resource"
PORT = 10250
LARGEST = 8 * 1024 * 1024  # bytes of an answer; 250 pods make half a mebibyte
DEADLINE = 5.0  # seconds for a whole answer
ADDRESSES = ("InternalIP", "ExternalIP", "Hostname", "InternalDNS")  # of a node, the preferred one first


class NotRead(Exception):  # noqa: N818 - it says why a node has no figures
    """A kubelet did not answer as it should. The message says why, and what to do where an administrator can do something."""


@dataclass(frozen=True, slots=True)
class KubeletClient:
    """`credentials` are those of the reader's account, with the authority of kubelets' certificates."""

    session: aiohttp.ClientSession
    credentials: ApiCredentials

    async def read(self, node: KubeletNode) -> bytes:
        """Returns the text of the node's resource metrics. Raises NotRead."""
        url = address(node)
        try:
            identity = await self.credentials.identity()
            headers = {"Authorization": identity.authorization, "Accept": "text/plain", "Accept-Encoding": "identity"}
            limits = aiohttp.ClientTimeout(total=DEADLINE)
            async with self.session.get(
                url, headers=headers, ssl=identity.context or True, timeout=limits, allow_redirects=False
            ) as answer:
                return await _body(answer)
        except (ConfigError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NotRead(_why(error)) from error


@asynccontextmanager
async def connect(credentials: ApiCredentials, at_once: int) -> AsyncGenerator[KubeletClient]:
    connector = aiohttp.TCPConnector(limit=at_once, limit_per_host=1, keepalive_timeout=60.0)
    async with aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:
        yield KubeletClient(session, credentials)


def address(node: KubeletNode) -> str:
    """The address of the node's metrics. Raises NotRead."""
    by_type = {each.type: each.address for each in node.status.addresses}
    host = next((by_type[kind] for kind in ADDRESSES if by_type.get(kind)), "")
    if not host:
        raise NotRead("has no address yet")
    port = node.status.daemon_endpoints.kubelet_endpoint.port or PORT
    return f"https://{f'[{host}]' if _is_ipv6(host) else host}:{port}{METRICS}"


def _is_ipv6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """Raises NotRead."""
    if answer.status in (401, 403):
        raise NotRead(f"refuses the reader's account ({answer.status}): it needs `get` of `nodes/metrics` in this cluster")
    if answer.status != 200:
        raise NotRead(f"answers with status {answer.status}")
    pieces = bytearray()
    async for piece in answer.content.iter_any():
        pieces += piece
        if len(pieces) > LARGEST:
            raise NotRead(f"answers with more than {LARGEST >> 20} MiB")
    return bytes(pieces)


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            f"shows a certificate that is not accepted ({error.certificate_error}): have the cluster's authority sign serving "
            "certificates of kubelets (serverTLSBootstrap), or name their authority with --kubelet-authority"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot be reached: {error.os_error.strerror or error.os_error}"
    if isinstance(error, TimeoutError):
        return f"does not answer within {DEADLINE:g} s"
    return f"does not answer: {error}"
