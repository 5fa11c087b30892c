"""Anchors the head of the audit log outside of the gateway's disk, so that nobody who owns the disk rewrites the log unseen.

A head is the number and the hash of a record, and stands for all records before it. Once a minute, when there are new records,
it goes into the ConfigMap `pincompute-audit-heads` on the host and, if the settings name one, to a collector by HTTP. The
ConfigMap has two sorts of keys, and an admission policy lets neither shrink:

    GATEWAY              the newest head; only a later record replaces it
    GATEWAY_2026-11-29   the first head of a day; nobody changes it, so what was anchored on a former day stays proved

Both are written at once on each new day, so that a head with an invented day leaves a key that stays.

The gateway compares the host's newest head with its own log when it starts. A log that has lost its end, or was written anew,
gets a record that says so, and continues behind the anchored record.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime

import aiohttp
import msgspec

from pincompute.api.labels import AUDIT_HEAD_BURST, AUDIT_HEADS, HOST, MOST_AUDIT_HEADS, SYSTEM_NAMESPACE
from pincompute.api.meta import Object, Resource
from pincompute.gateway.audit.audit_log import AuditLog
from pincompute.gateway.audit.chain_verification import HostAnchors
from pincompute.gateway.audit.hash_chain import AnchoredHead
from pincompute.gateway.gateway_settings import GatewaySettings
from pincompute.kube.api_client import ApiClient
from pincompute.kube.api_errors import KubeError, NotFound, Refused
from pincompute.kube.cache_views import Unknown
from pincompute.kube.clock import Clock
from pincompute.kube.cluster_set import Clusters

log = logging.getLogger(__name__)

PLACE = f"ConfigMap {SYSTEM_NAMESPACE}/{AUDIT_HEADS} of the host"
REMOVED = (
    f"the {PLACE} is gone, and with it every proof: only an administrator can remove it; apply the platform's manifests again"
)
CONFIGMAPS = Resource("", "v1", "ConfigMap", "configmaps", True, Object)
PERIOD = 60.0  # seconds between two heads
FIRST = 2.0  # seconds between two tries until the first head is anchored
LAST = 2.0  # seconds in which a gateway that stops anchors its last head
DAY = "_"  # stands between a gateway's name and a day
TRIES = 3  # to reach the collector with one head
WAIT = 1.0  # seconds before the second try
ANSWER = 5.0  # seconds a collector may take


class _HeadsConfigMap(msgspec.Struct, frozen=True):
    data: Mapping[str, str] = {}


class CollectedHead(msgspec.Struct, frozen=True):
    """What a collector gets."""

    gateway: str
    seq: int
    hash: str
    time: datetime


def gateway_name(settings: GatewaySettings) -> str:
    """Names this gateway among the region's, the same after a restart: `audit.name`, or its machine and port."""
    name = settings.audit.name or f"{socket.gethostname()}-{settings.listen.port}"
    return re.sub(r"[^a-z0-9-]", "-", name.lower())[:100]


class HeadAnchors:
    """Anchors the heads of one audit log."""

    def __init__(self, audit: AuditLog, clusters: Clusters, settings: GatewaySettings, clock: Clock) -> None:
        self._audit = audit
        self._clusters = clusters
        self._clock = clock
        self._collector = settings.audit.collector
        self._anchored = self._collected = 0
        self._compared = False
        self._trouble = ""
        self.name = gateway_name(settings)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._anchor_all())
                if self._collector:
                    group.create_task(self._collect_all())
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST):
                    await self._try_to_anchor()

    async def read(self) -> HostAnchors:
        """Every head of this gateway that the host has, the oldest first."""
        heads, trouble, removed = (), self._trouble, ""
        try:
            heads = tuple(sorted(self._own(await self._data()), key=lambda head: head.seq))
        except (KubeError, Unknown) as problem:
            trouble = f"the anchors cannot be read: {problem}"
            removed = REMOVED if isinstance(problem, NotFound) else ""
        return HostAnchors(PLACE, heads, self._clock.wall(), trouble, removed)

    async def _anchor_all(self) -> None:
        while True:
            await self._try_to_anchor()
            await self._clock.sleep(PERIOD if self._anchored else FIRST)

    async def _try_to_anchor(self) -> None:
        try:
            await self._anchor()
        except (KubeError, Unknown, OSError) as problem:
            if not self._trouble:
                log.warning("the audit log's head is not anchored", extra={"where": PLACE, "problem": str(problem)})
            self._trouble = str(problem)
            self._compared = self._compared and not isinstance(problem, Refused)  # it may have become another one there
        else:
            self._trouble = ""

    async def _anchor(self) -> None:
        if self._compared and self._audit.seq == self._anchored:
            return
        data = await self._data()
        if not self._compared:
            await self._compare(data)
        head = await self._audit.head()
        if head is None or head.seq <= self._anchored:
            return
        try:
            await self._write(head, data)
        except Refused:
            await self._anchor_in_steps(head, data)

    async def _anchor_in_steps(self, head: AnchoredHead, data: Mapping[str, str]) -> None:
        """Anchors records on the way to `head`, as far apart as the host allows at any time.

        Whoever has had a gateway's credential may have taken up the growth that the time allows.
        """
        for seq in range(self._anchored + AUDIT_HEAD_BURST, head.seq, AUDIT_HEAD_BURST):
            between = await self._audit.head_at(seq)
            if between is not None:
                data = await self._write(between, data)
        await self._write(head, data)

    async def _write(self, head: AnchoredHead, data: Mapping[str, str]) -> Mapping[str, str]:
        """Anchors a head. Returns what the host has, which was `data` before."""
        day = f"{self.name}{DAY}{head.time:%Y-%m-%d}"
        entries = {self.name: str(head)}
        if day not in data and len(data) < MOST_AUDIT_HEADS:
            entries[day] = str(head)
        await self._client().request(
            "PATCH", _path(), body=msgspec.json.encode({"data": entries}), content_type="application/merge-patch+json"
        )
        self._anchored = head.seq
        return {**data, **entries}

    async def _compare(self, data: Mapping[str, str]) -> None:
        newest = AnchoredHead.parse(data.get(self.name, ""))
        if newest is not None:
            await self._audit.continue_from(newest)
            self._anchored = newest.seq
        self._compared = True

    async def _data(self) -> Mapping[str, str]:
        body = await self._client().request("GET", _path())
        return msgspec.json.decode(body, type=_HeadsConfigMap).data

    def _own(self, data: Mapping[str, str]) -> Iterator[AnchoredHead]:
        for key, text in data.items():
            head = AnchoredHead.parse(text) if key.partition(DAY)[0] == self.name else None
            if head is not None:
                yield head

    def _client(self) -> ApiClient:
        return self._clusters.client(HOST)

    async def _collect_all(self) -> None:
        """A collector that is away costs records nothing: the next head stands for all that it missed."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER)) as session:
            while True:
                head = await self._audit.head()
                if head is not None and head.seq > self._collected and await self._collect(session, head):
                    self._collected = head.seq
                await self._clock.sleep(PERIOD)

    async def _collect(self, session: aiohttp.ClientSession, head: AnchoredHead) -> bool:
        body = msgspec.json.encode(CollectedHead(self.name, head.seq, head.hash, head.time))
        problem = ""
        for attempt in range(TRIES):
            await self._clock.sleep(attempt * WAIT)
            try:
                async with session.post(
                    self._collector, data=body, headers={"Content-Type": "application/json"}, allow_redirects=False
                ) as answer:
                    if answer.status < 300:
                        return True
                    problem = f"status {answer.status}"
            except (aiohttp.ClientError, OSError, ValueError) as error:
                problem = str(error) or type(error).__name__
        log.warning("the collector did not take the audit log's head", extra={"seq": head.seq, "problem": problem})
        return False


def _path() -> str:
    return CONFIGMAPS.path(SYSTEM_NAMESPACE, AUDIT_HEADS)
