"""Connects a process to exactly the registered members, with the credentials in their Secrets.

Each process has a namespace of its own on the host for these Secrets, so that a stolen credential of one process opens no
other's. `spec.kubeconfig.name` of a MemberCluster names the Secret in each of these namespaces.

This is not a controller, because it writes nothing: it reads MemberClusters and Secrets, and changes what this process watches.
A kubeconfig that cannot be used leaves the member unreachable, with the reason in the log, and affects no other member
(S-012).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging

from pincompute.api.builtin import SECRETS, Secret
from pincompute.api.labels import HOST, secrets_namespace
from pincompute.api.member_clusters import MEMBERCLUSTERS
from pincompute.api.meta import Key, Object
from pincompute.kube import kubeconfig
from pincompute.kube.cache_views import Unknown, Views
from pincompute.kube.cluster_set import Clusters
from pincompute.kube.informer import InformerScope
from pincompute.kube.kubeconfig import ClusterConfig, ConfigError

log = logging.getLogger(__name__)

KUBECONFIG = "kubeconfig"  # key of the Secret's data
USAGE = "usage"  # key of the kubeconfig with which a process asks the member's usage reader
AT_LEAST_EVERY = 30.0  # seconds; an event is handled at once


class MemberConnections:
    """Keeps `Clusters` in step with the host's MemberClusters."""

    def __init__(self, clusters: Clusters, process: str) -> None:
        self._clusters = clusters
        self._namespace = secrets_namespace(process)
        self._news = asyncio.Event()
        self._used: dict[str, ClusterConfig] = {}
        self._said: dict[str, str] = {}
        clusters.declare("host", SECRETS, scope=InformerScope(namespace=self._namespace))
        clusters.listen("host", MEMBERCLUSTERS, self._changed)
        clusters.listen("host", SECRETS, self._changed)
        clusters.on_contact(self._contact)

    async def run(self) -> None:
        """Follows the host until it is cancelled."""
        while True:
            self._news.clear()
            await self._follow()
            try:
                async with asyncio.timeout(AT_LEAST_EVERY):
                    await self._news.wait()
            except TimeoutError:
                continue

    def _changed(self, cluster: str, obj: Object, *, initial: bool) -> None:  # noqa: ARG002 - the listener's signature
        self._news.set()

    def _contact(self, cluster: str) -> None:
        if cluster == HOST:
            self._news.set()

    async def _follow(self) -> None:
        try:
            wanted = configs(self._clusters, self._namespace)
        except Unknown:
            return
        for gone in set(self._clusters.members()) - set(wanted):
            self._used.pop(gone, None)
            await self._clusters.remove(gone)
            log.info("member disconnected", extra={"cluster": gone})
        for name, found in wanted.items():
            await self._use(name, found)

    async def _use(self, name: str, found: ClusterConfig | str) -> None:
        if isinstance(found, str):
            if self._said.get(name) != found:
                log.error("member has no usable kubeconfig", extra={"cluster": name, "problem": found})
            self._said[name] = found
            return
        self._said.pop(name, None)
        if self._used.get(name) != found:
            self._used[name] = found
            await self._clusters.add(name, found)
            log.info("member connected", extra={"cluster": name, "server": found.server})


def configs(views: Views, namespace: str) -> dict[str, ClusterConfig | str]:
    """Returns by member how to reach it, or in words why that is unknown. Raises Unknown while the host cannot be seen."""
    secrets = views.view(HOST, SECRETS)
    keys = {m.metadata.name: Key(namespace, m.spec.kubeconfig.name) for m in views.view(HOST, MEMBERCLUSTERS).list()}
    return {member: _config(key, secrets.get(key)) for member, key in keys.items()}


def _config(key: Key, secret: Secret | None) -> ClusterConfig | str:
    where = f"Secret {key.namespace}/{key.name}"
    if secret is None:
        return f"{where} does not exist; create it with the member's kubeconfig under the key {KUBECONFIG}"
    if KUBECONFIG not in secret.data:
        return f"{where} has no key {KUBECONFIG}; it must hold the member's kubeconfig"
    try:
        return kubeconfig.from_bytes(base64.b64decode(secret.data[KUBECONFIG], validate=True), where)
    except (ConfigError, binascii.Error) as problem:
        return str(problem)
