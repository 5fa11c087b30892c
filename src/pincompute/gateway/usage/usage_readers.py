"""Asks the members' usage readers for the figures of a project, all at once, each within a deadline.

The Secret with a member's kubeconfig also says how to reach its reader: the key `usage` holds a kubeconfig with the reader's
address, its authority, and the token of an account that may do nothing but read usage.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from pincompute import __version__
from pincompute.api.builtin import SECRETS
from pincompute.api.labels import GATEWAY, HOST, secrets_namespace
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key
from pincompute.api.usage import NAMESPACE, PATH, UsageReport
from pincompute.gateway import NAME
from pincompute.kube import kubeconfig
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import KubeError
from pincompute.kube.cache_views import Unknown, Views
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.informer import InformerScope
from pincompute.kube.kubeconfig import ClusterConfig, ConfigError
from pincompute.kube.member_connections import USAGE

DEADLINE = 3.0  # seconds a reader has
CACHED = 3.0  # seconds that an answer serves others who ask the same
LARGEST = 8 * 1024 * 1024  # bytes of an answer: a hundred thousand containers

Answer: TypeAlias = UsageReport | str
"""A member's report, or in words why there is none."""


@dataclass(slots=True)
class UsageReaders:
    """Create it before the first cluster is added, and close it when the gateway ends."""

    clusters: Clusters
    _clients: dict[str, ApiClient] = field(default_factory=dict[str, ApiClient])
    _asked: dict[tuple[str, str], asyncio.Task[Answer]] = field(default_factory=dict[tuple[str, str], asyncio.Task[Answer]])

    def __post_init__(self) -> None:
        self.clusters.declare("host", SECRETS, scope=InformerScope(namespace=secrets_namespace(GATEWAY)))

    async def of(self, members: Iterable[str], namespace: str) -> dict[str, Answer]:
        """The answers of these members about one namespace."""
        tasks = {member: self._task(member, namespace) for member in members}
        if tasks:
            await asyncio.wait(tasks.values())
        return {member: task.result() for member, task in tasks.items()}

    async def close(self) -> None:
        for task in self._asked.values():
            task.cancel()
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    def _task(self, member: str, namespace: str) -> asyncio.Task[Answer]:
        """One question at a time. Whoever asks the same shares its answer, also a little later."""
        key = member, namespace
        if key not in self._asked:
            self._asked[key] = task = asyncio.create_task(self._ask(member, namespace))
            task.add_done_callback(lambda _: task.get_loop().call_later(CACHED, self._asked.pop, key, None))
        return self._asked[key]

    async def _ask(self, member: str, namespace: str) -> Answer:
        try:
            client = await self._client(member)
            async with asyncio.timeout(DEADLINE):
                body = await _read(client, namespace)
            return msgspec.json.decode(body, type=UsageReport)
        except TimeoutError:
            return f"its usage reader does not answer within {DEADLINE:g} s"
        except (ConfigError, Unknown) as problem:
            return str(problem)
        except (KubeError, _TooLarge, msgspec.MsgspecError) as problem:
            return f"its usage reader does not answer: {problem}"

    async def _client(self, member: str) -> ApiClient:
        """Raises ConfigError and Unknown."""
        config, present = _config(self.clusters, member), self._clients.get(member)
        if present is not None and present.config == config:
            return present
        self._clients[member] = ApiClient(config, name=f"usage of {member}", user_agent=f"{NAME}/{__version__}")
        if present is not None:
            await present.close()
        return self._clients[member]


class _TooLarge(Exception):  # noqa: N818 - a reason
    pass


async def _read(client: ApiClient, namespace: str) -> bytes:
    body = bytearray()
    async with client.stream(PATH, {NAMESPACE: namespace}, DEADLINE) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) > LARGEST:
                raise _TooLarge(f"it sends more than {LARGEST >> 20} MiB")
    return bytes(body)


def _config(views: Views, member: str) -> ClusterConfig:
    """Raises ConfigError and Unknown."""
    found = views.view(HOST, MEMBERCLUSTERS).get(Key("", member))
    if found is None:
        raise ConfigError("it is no member any more")
    key = Key(secrets_namespace(GATEWAY), found.spec.kubeconfig.name)
    secret, where = views.view(HOST, SECRETS).get(key), f"Secret {key.namespace}/{key.name}"
    if secret is None or USAGE not in secret.data:
        raise ConfigError(f"its usage reader is not known: {where} has no key {USAGE} (docs/usage.md)")
    try:
        return kubeconfig.from_bytes(base64.b64decode(secret.data[USAGE], validate=True), where)
    except binascii.Error as problem:
        raise ConfigError(f"{where}: {USAGE} is not base64: {problem}") from None
